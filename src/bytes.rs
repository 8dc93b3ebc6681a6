//! Byte strings: cutting them up and reading numbers.
//!
//! `core` has all of this, but makes it anew for each use. Here it is once, and
//! small.
//!
//! Knows nothing of what the bytes mean.

use core::ffi::CStr;
use core::fmt;

/// The parts of a byte string between the bytes `at`: one more than there are of
/// those.
#[derive(Clone)]
pub struct Split<'a> {
    rest: Option<&'a [u8]>,
    at: u8,
}

/// Cuts `text` at every byte `at`, which belongs to no part.
pub const fn split(text: &[u8], at: u8) -> Split<'_> {
    Split { rest: Some(text), at }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let (part, rest) = cut(text, self.at);
        self.rest = rest;
        Some(part)
    }
}

/// What stands before the first byte `at`, and what stands behind it if it is
/// there.
#[inline(never)]
pub fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == at) {
        Some(place) => (text.get(..place).unwrap_or(text), text.get(place.saturating_add(1)..)),
        None => (text, None),
    }
}

/// The part number `index` of `list`, which is cut at the ASCII characters `at`.
#[inline(never)]
pub fn part(list: &'static str, at: u8, index: usize) -> Option<&'static str> {
    core::str::from_utf8(split(list.as_bytes(), at).nth(index)?).ok()
}

/// What follows `prefix`, if `text` begins so.
#[inline(never)]
pub fn after<'a>(text: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    (head == prefix.as_bytes()).then_some(rest)
}

/// The rest of the first line that begins with `name`, as /proc's files of
/// fields have them, without the blanks around it.
#[inline(never)]
pub fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    split(text, b'\n').find_map(|line| after(line, name)).map(<[u8]>::trim_ascii)
}

/// The parts, one behind the other, as a C string in `buffer`; `None` where they
/// do not fit. A NUL in one of them ends it.
#[inline(never)]
pub fn join<'b>(buffer: &'b mut [u8], parts: &[&[u8]]) -> Option<&'b CStr> {
    let mut places = buffer.iter_mut();
    for byte in parts.iter().copied().flatten().chain(&[0]) {
        *places.next()? = *byte;
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

/// The number that `text` is, in decimal digits alone: no sign, no blanks.
#[inline(never)]
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The number that `text` is, in hexadecimal digits alone.
pub fn hexadecimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |number, byte| Some(number << 4 | u64::from(char::from(*byte).to_digit(16)?)))
}

/// What `text` stands for (RFC 4648, 4), in `room`; `None`: it is not base64, or
/// longer than the room.
pub fn base64<'b>(text: &[u8], room: &'b mut [u8]) -> Option<&'b [u8]> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let (mut bits, mut count, mut length) = (0u32, 0, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            *room.get_mut(length)? = (bits >> count) as u8;
            length += 1;
        }
    }
    room.get(..length).filter(|_| count < 6)
}

/// A text of at most `N - 1` bytes, put together by formatting; a NUL stands
/// behind it. (heapless's `String` is made anew for every length there is.)
pub struct Printed<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Printed<N> {
    /// Empty. All zeros, so that a static one takes no room in the file.
    pub const fn new() -> Self {
        Printed { bytes: [0; N], length: 0 }
    }

    /// `text`, or as much of it as there is room for.
    pub fn of(text: fmt::Arguments<'_>) -> Self {
        let mut printed = Printed::new();
        printed.add(text);
        printed
    }

    /// Puts `text` behind what is there; `false` where there is no room for all
    /// of it.
    pub fn add(&mut self, text: fmt::Arguments<'_>) -> bool {
        print(&mut self.bytes, &mut self.length, text)
    }

    /// Puts `text` behind what is there, or leaves it as it is; `false` where
    /// there is no room.
    pub fn push(&mut self, text: &str) -> bool {
        push(&mut self.bytes, &mut self.length, text)
    }

    /// Bytes that there is still room for.
    pub fn room(&self) -> usize {
        N.saturating_sub(self.length).saturating_sub(1)
    }

    /// Takes back all but the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        // No more than what is written: a page that is not touched costs nothing.
        if let Some(written @ [_, ..]) = self.bytes.get_mut(length..self.length) {
            written.fill(0);
            self.length = length;
        }
    }

    /// Makes it empty again.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    pub fn as_str(&self) -> &str {
        text(&self.bytes, self.length)
    }

    /// For a system call.
    pub fn as_c_str(&self) -> &CStr {
        c_str(&self.bytes)
    }
}

// Once, not for every length.

#[inline(never)]
fn text(bytes: &[u8], length: usize) -> &str {
    bytes.get(..length).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
}

#[inline(never)]
fn c_str(bytes: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(bytes).unwrap_or(c"")
}

impl<const N: usize> Default for Printed<N> {
    fn default() -> Self {
        Printed::new()
    }
}

#[inline(never)]
fn print(room: &mut [u8], length: &mut usize, text: fmt::Arguments<'_>) -> bool {
    fmt::write(&mut Writer { room, length }, text).is_ok()
}

/// Writes into a buffer that somebody else has, and whose last byte stays free.
pub struct Writer<'a> {
    room: &'a mut [u8],
    length: &'a mut usize,
}

impl<'a> Writer<'a> {
    /// Begins behind the first `length` bytes of `room`, and keeps count there.
    pub fn new(room: &'a mut [u8], length: &'a mut usize) -> Writer<'a> {
        Writer { room, length }
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if push(self.room, self.length, text) { Ok(()) } else { Err(fmt::Error) }
    }
}

#[inline(never)]
fn push(room: &mut [u8], length: &mut usize, text: &str) -> bool {
    let end = length.saturating_add(text.len());
    if end >= room.len() {
        return false; // the last byte stays NUL
    }
    for (place, byte) in room.iter_mut().skip(*length).zip(text.bytes()) {
        *place = byte;
    }
    *length = end;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn splits_as_core_does() {
        for text in ["", "a", "a b", " ", "a  b ", " a"] {
            let ours: Vec<_> = split(text.as_bytes(), b' ').collect();
            let theirs: Vec<_> = text.as_bytes().split(|byte| *byte == b' ').collect();
            assert_eq!(ours, theirs, "{text}");
        }
    }

    #[test]
    fn fields() {
        let text = b"Name:\tx\nSigIgn:\t00ff \nSigCgt:\t1\n";
        assert_eq!(field(text, "SigIgn:"), Some(&b"00ff"[..]));
        assert_eq!(field(text, "SigBlk:"), None);
    }

    #[test]
    fn what_is_printed_fits() {
        let mut printed = Printed::<8>::of(format_args!("{}-{}", 12, "ab"));
        assert_eq!((printed.as_str(), printed.as_c_str()), ("12-ab", c"12-ab"));
        assert!(printed.add(format_args!("cd")));
        assert_eq!(printed.as_c_str(), c"12-abcd");
        assert!(!printed.add(format_args!("e")));
        assert_eq!(printed.as_bytes(), b"12-abcd");
    }

    #[test]
    fn joined_parts_fit_with_their_nul() {
        let mut buffer = [1; 5];
        assert_eq!(join(&mut buffer, &[b"ab", b"", b"cd"]), Some(c"abcd"));
        assert_eq!(join(&mut buffer, &[b"ab", b"cde"]), None);
        assert_eq!(join(&mut buffer, &[]), Some(c""));
    }

    #[test]
    fn base64_texts() {
        for (text, value) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zg", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9vYmFy", Some("foobar")),
            ("+/+/", None), // not UTF-8
            ("Zm9vYmFyYg==", None),
            ("Z", None),
            ("Zg==Zg==", None),
            ("Z g=", None),
        ] {
            let mut room = [0; 6];
            let found = base64(text.as_bytes(), &mut room).and_then(|found| core::str::from_utf8(found).ok());
            assert_eq!(found, value, "{text}");
        }
        assert_eq!(base64(b"+/+/", &mut [0; 6]), Some(&[0xfb, 0xff, 0xbf][..]));
    }

    #[test]
    fn hexadecimal_numbers() {
        for (text, number) in
            [("00fF", Some(255)), ("ffffffffffffffff", Some(u64::MAX)), ("", None), ("g", None), ("+1", None)]
        {
            assert_eq!(hexadecimal(text.as_bytes()), number, "{text}");
        }
        assert_eq!(hexadecimal(&[b'0'; 17]), None);
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("184467440737095516150", None),
            ("", None),
            ("-1", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), number, "{text}");
        }
    }
}
