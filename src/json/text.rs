//! The strings of a validated document.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::value::Value;
use crate::bytes;
use crate::error::{Error, Result};
use crate::limits;
use crate::word_list::{Finder, WordList};

/// A string, which stands at that place: its escapes are decoded as it is read.
#[derive(Clone, Copy)]
pub struct Text<'a>(pub(super) Value<'a>);

/// Longer than any word of a list, in bytes.
pub const WORD: usize = 64;

/// Room for one path, with its NUL.
pub type PathBuffer = [u8; limits::PATH];

impl<'a> Text<'a> {
    /// The string at `value`, which is known to be one: what it says is without
    /// meaning if it is not.
    pub fn at(value: Value<'a>) -> Text<'a> {
        Text(value)
    }

    /// The bytes in UTF-8, escapes decoded.
    pub fn bytes(&self) -> Bytes<'a> {
        Bytes { rest: self.0.rest(), pending: 0 }
    }

    /// Bytes that the string takes once its escapes are decoded, in UTF-8.
    pub fn length(&self) -> usize {
        self.plain().map_or_else(|| self.bytes().count(), <[u8]>::len)
    }

    /// Whether the string has no character.
    pub fn is_empty(&self) -> bool {
        self.bytes().next().is_none()
    }

    /// Whether it says exactly this.
    pub fn is(&self, other: &str) -> bool {
        self.is_bytes(other.as_bytes())
    }

    #[inline(never)]
    fn is_bytes(&self, other: &[u8]) -> bool {
        // Where it ends need not be known, unless it may end within what is the same.
        let rest = self.0.rest();
        let begins_so = rest.get(other.len()) == Some(&b'"') && rest.starts_with(other);
        begins_so && plain_length(other) == other.len()
            || self.may_have_escapes() && self.bytes().eq(other.iter().copied())
    }

    fn may_have_escapes(&self) -> bool {
        self.0.document().extents.has_escapes
    }

    /// The bytes as they stand in the document, if there is no escape among them, as
    /// is the rule.
    fn plain(&self) -> Option<&'a [u8]> {
        let rest = self.0.rest();
        let (plain, behind) = rest.split_at_checked(plain_length(rest))?;
        (behind.first() == Some(&b'"')).then_some(plain)
    }

    /// Where it stands in `list`.
    #[inline(never)]
    pub fn place_in(&self, list: WordList) -> Option<usize> {
        self.place_by(&mut list.finder())
    }

    /// The same, by one who has looked for others there.
    #[inline(never)]
    pub fn place_by(&self, finder: &mut Finder) -> Option<usize> {
        match self.may_have_escapes() {
            false => finder.find_before(self.0.rest(), Some(b'"')),
            true => finder.find(self.word(&mut [0; WORD])?),
        }
    }

    /// The decoded bytes, if they are no more than a word: those of the document
    /// itself, or where they must be decoded, in `buffer`.
    #[inline(never)]
    pub fn word<'b>(&self, buffer: &'b mut [u8; WORD]) -> Option<&'b [u8]>
    where
        'a: 'b,
    {
        if let Some(plain) = self.plain() {
            return Some(plain);
        }
        let mut length = 0;
        for byte in self.bytes() {
            *buffer.get_mut(length)? = byte;
            length += 1;
        }
        buffer.get(..length)
    }

    /// Whether it says the same as another string of a document.
    #[inline(never)]
    pub fn same_as(&self, other: Text<'_>) -> bool {
        self.bytes().eq(other.bytes())
    }

    /// Whether it begins so.
    #[inline(never)]
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut bytes = self.bytes();
        prefix.bytes().all(|expected| bytes.next() == Some(expected))
    }

    /// Writes the decoded bytes and a NUL into `buffer`, for the kernel.
    ///
    /// # Errors
    /// Does not fit: names the limit and the place. (A NUL inside a string
    /// does not get past validation.)
    pub fn c_str<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b CStr> {
        let most = buffer.len().saturating_sub(1);
        if let Some(plain) = self.plain().filter(|plain| plain.len() <= most) {
            return bytes::join(buffer, &[plain]).ok_or_else(|| self.error(format_args!("no room for it")));
        }
        let mut length = 0;
        for byte in self.bytes() {
            match buffer.get_mut(length) {
                Some(place) if length < most => *place = byte,
                _ => return Err(self.error(format_args!("longer than the limit of {most} bytes"))),
            }
            length += 1;
        }
        if let Some(place) = buffer.get_mut(length) {
            *place = 0;
        }
        CStr::from_bytes_until_nul(buffer).map_err(|_| self.error(format_args!("no room for it")))
    }

    /// The place, as a value.
    pub fn value(&self) -> Value<'a> {
        self.0
    }

    /// An error about this place.
    #[cold]
    pub fn error(self, message: fmt::Arguments<'_>) -> Error {
        self.0.error(message)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.rest();
        loop {
            let (plain, behind) = rest.split_at_checked(plain_length(rest)).unwrap_or((rest, &[]));
            f.write_str(core::str::from_utf8(plain).unwrap_or(""))?;
            let Some((character, behind)) = bytes::after(behind, "\\").and_then(escape) else { return Ok(()) };
            f.write_char(character)?;
            rest = behind;
        }
    }
}

/// Bytes at the beginning of `text` that stand for themselves in a string: neither a
/// quote, a backslash nor a control character. Eight are looked at at once.
#[inline(never)]
pub(super) fn plain_length(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    let mut rest = text;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let bytes = u64::from_le_bytes(*eight);
        // The highest bit of a byte below `limit` is set, and maybe of those above it.
        let below = |bytes: u64, limit: u64| bytes.wrapping_sub(ONES * limit) & !bytes;
        let [quotes, backslashes] = [b'"', b'\\'].map(|byte| below(bytes ^ (ONES * u64::from(byte)), 1));
        let found = (quotes | backslashes | below(bytes, 0x20)) & HIGHEST_BITS;
        if found != 0 {
            return text.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    text.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}

/// The bytes of a string, escapes decoded.
#[derive(Clone)]
pub struct Bytes<'a> {
    /// The document from here on: the string ends at the first quote.
    rest: &'a [u8],
    /// What is left of an escape, the next byte lowest. A string holds no NUL, so
    /// that zero is nothing.
    pending: u32,
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    #[inline(never)]
    fn next(&mut self) -> Option<u8> {
        if self.pending == 0 {
            let (first, rest) = self.rest.split_first()?;
            if *first == b'"' {
                return None;
            }
            self.rest = rest;
            if *first != b'\\' {
                return Some(*first);
            }
            let (character, rest) = escape(rest)?;
            self.rest = rest;
            let mut utf8 = [0; 4];
            character.encode_utf8(&mut utf8);
            self.pending = u32::from_le_bytes(utf8);
        }
        let byte = self.pending as u8;
        self.pending >>= 8;
        Some(byte)
    }
}

/// The character of an escape, and what stands behind it; `text` begins behind
/// the backslash.
fn escape(text: &[u8]) -> Option<(char, &[u8])> {
    let (letter, rest) = text.split_first()?;
    let character = match letter {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(rest),
        other => char::from(*other), // `"`, `\` and `/` stand for themselves
    };
    Some((character, rest))
}

/// The same for `\u`, with the escape of the second half where it is one half.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let (unit, rest) = hex4(text)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, rest));
    }
    let (second, rest) = hex4(rest.get(2..)?)?;
    let code = (0x10000 + ((unit - 0xd800) << 10)).wrapping_add(second.wrapping_sub(0xdc00));
    Some((char::from_u32(code)?, rest))
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let unit = digits.iter().fold(0, |unit, digit| unit << 4 | char::from(*digit).to_digit(16).unwrap_or(0));
    Some((unit, rest))
}

#[cfg(test)]
mod tests {
    use crate::json::Document;
    use std::string::ToString;

    #[test]
    fn decodes_every_escape() {
        let document = Document::of("t", br#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#).unwrap();
        let text = document.root().as_text().unwrap();
        assert_eq!(text.to_string(), "\"\\/\u{8}\u{c}\n\r\té😀");
        let mut small = [0; 5];
        assert!(text.c_str(&mut small).is_err());
        let mut room = [0; 64];
        assert_eq!(text.c_str(&mut room).unwrap().to_str().unwrap(), "\"\\/\u{8}\u{c}\n\r\té😀");
    }

    /// Whatever stands behind it, with escapes in the document and without.
    #[test]
    fn says_what_it_says() {
        for (document, says, other) in [
            (r#"["a","b"]"#, "a", r#"a","b"#),
            (r#"["a\"","b"]"#, "a\"", r#"a\"#),
            (r#"["a\\","b"]"#, "a\\", r#"a\\"#),
            (r#"["a\u0062","b"]"#, "ab", r#"a\u0062"#),
        ] {
            let document = Document::of("t", document.as_bytes()).unwrap();
            let text = document.root().items().next().unwrap().as_text().unwrap();
            assert!(text.is(says) && !text.is(other), "{other}");
        }
    }
}
