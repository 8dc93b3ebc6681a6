//! The strings of a validated document.

use core::ffi::CStr;
use core::fmt::{self, Write};

use super::value::Value;
use crate::error::{Error, Result};
use crate::limits;

/// A string: its escapes are decoded as it is read.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    value: Value<'a>,
    /// The bytes between the quotes, escapes as written.
    raw: &'a [u8],
}

/// Room for one path, with its NUL.
pub type PathBuffer = [u8; limits::PATH];

impl<'a> Text<'a> {
    /// The string at `value`, behind whose closing quote stands `end`.
    pub(super) fn behind(value: Value<'a>, end: usize) -> Text<'a> {
        let raw = value.document_text().get(value.offset() + 1..end.saturating_sub(1)).unwrap_or(&[]);
        Text { value, raw }
    }

    /// The bytes, if they stand for themselves. Most strings have no escape, and
    /// are compared at once.
    fn plain(&self) -> Option<&'a [u8]> {
        (!self.raw.contains(&b'\\')).then_some(self.raw)
    }

    /// The characters.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'a> {
        Characters { rest: core::str::from_utf8(self.raw).unwrap_or("") }
    }

    /// Bytes that the string takes once its escapes are decoded, in UTF-8.
    pub fn length(&self) -> usize {
        self.chars().map(char::len_utf8).sum()
    }

    /// Whether the string has no character.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether it says exactly this.
    pub fn is(&self, other: &str) -> bool {
        match self.plain() {
            Some(bytes) => bytes == other.as_bytes(),
            None => self.chars().eq(other.chars()),
        }
    }

    /// Whether it says the same as another string of a document.
    pub fn same_as(&self, other: Text<'_>) -> bool {
        match (self.plain(), other.plain()) {
            (Some(one), Some(two)) => one == two,
            _ => self.chars().eq(other.chars()),
        }
    }

    /// Whether it begins so.
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut characters = self.chars();
        prefix.chars().all(|expected| characters.next() == Some(expected))
    }

    /// Writes the decoded bytes and a NUL into `buffer`, for the kernel.
    ///
    /// # Errors
    /// Does not fit: names the limit and the place. (A NUL inside a string
    /// does not get past validation.)
    pub fn c_str<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b CStr> {
        let room = buffer.len();
        let mut length = 0;
        for character in self.chars() {
            let mut utf8 = [0; 4];
            for byte in character.encode_utf8(&mut utf8).bytes() {
                match buffer.get_mut(length) {
                    Some(place) if length + 1 < room => *place = byte,
                    _ => {
                        return Err(
                            self.error(format_args!("longer than the limit of {} bytes", room.saturating_sub(1)))
                        );
                    }
                }
                length += 1;
            }
        }
        if let Some(place) = buffer.get_mut(length) {
            *place = 0;
        }
        CStr::from_bytes_until_nul(buffer).map_err(|_| self.error(format_args!("no room for it")))
    }

    /// The decoded string in `buffer`.
    ///
    /// # Errors
    /// As [`Text::c_str`].
    pub fn str<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b str> {
        let bytes = self.c_str(buffer)?.to_bytes();
        core::str::from_utf8(bytes).map_err(|_| self.error(format_args!("not UTF-8")))
    }

    /// The place, as a value.
    pub fn value(&self) -> Value<'a> {
        self.value
    }

    /// An error about this place.
    #[cold]
    pub fn error(&self, message: fmt::Arguments<'_>) -> Error {
        self.value.error(message)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|character| f.write_char(character))
    }
}

/// The characters of a raw string, escapes decoded.
#[derive(Clone)]
struct Characters<'a> {
    rest: &'a str,
}

impl Characters<'_> {
    fn hex4(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        u32::from_str_radix(digits, 16).ok()
    }
}

impl Iterator for Characters<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next()?;
        self.rest = characters.as_str();
        if first != '\\' {
            return Some(first);
        }
        let escape = characters.next()?;
        self.rest = characters.as_str();
        Some(match escape {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&unit) {
                    self.rest = self.rest.get(2..)?; // the second half's "\u"
                    (0x10000 + ((unit - 0xd800) << 10)).wrapping_add(self.hex4()?.wrapping_sub(0xdc00))
                } else {
                    unit
                };
                char::from_u32(code)?
            }
            other => other, // `"`, `\` and `/` stand for themselves
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::json::Document;
    use std::string::ToString;

    #[test]
    fn decodes_every_escape() {
        let document = Document::parse("t", br#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#).unwrap();
        let text = document.root().as_text().unwrap();
        assert_eq!(text.to_string(), "\"\\/\u{8}\u{c}\n\r\té😀");
        let mut small = [0; 5];
        assert!(text.c_str(&mut small).is_err());
        let mut room = [0; 64];
        assert_eq!(text.str(&mut room).unwrap(), "\"\\/\u{8}\u{c}\n\r\té😀");
    }
}
