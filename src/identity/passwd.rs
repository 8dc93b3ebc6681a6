//! /etc/passwd (passwd(5)), read byte by byte and for one thing only, so that no
//! line has to fit anywhere.

use crate::json::PathBuffer;

/// The search for a user's home folder, by the user's number: names are not
/// looked at (R8).
pub struct Search<'b> {
    uid: u32,
    /// What the line is known to say: its number, once there is a digit; and
    /// the home folder, as far as there is room for it.
    number: Option<u64>,
    home: &'b mut PathBuffer,
    length: usize,
    /// Colons so far.
    column: usize,
}

impl<'b> Search<'b> {
    /// Before the first line.
    pub fn new(uid: u32, home: &'b mut PathBuffer) -> Search<'b> {
        Search { uid, number: None, home, length: 0, column: 0 }
    }

    /// Takes the next byte. `true` at the end of a line that is the user's and
    /// names an absolute home folder: it is in the buffer then, and a NUL.
    pub fn take(&mut self, byte: u8) -> bool {
        match (byte, self.column) {
            (b'\n', _) => {
                let end = self.home.get_mut(self.length);
                if self.number == Some(self.uid.into())
                    && let Some(end) = end
                {
                    *end = 0;
                    if self.home.first() == Some(&b'/') {
                        return true;
                    }
                }
                (self.number, self.length, self.column) = (None, 0, 0);
            }
            (b':', column) => self.column = column.saturating_add(1),
            (_, 2) => {
                // What is not a digit makes it a number that nobody has.
                let digit = byte.wrapping_sub(b'0');
                let digit = if digit <= 9 { digit.into() } else { u64::MAX };
                self.number = Some(self.number.unwrap_or(0).saturating_mul(10).saturating_add(digit));
            }
            (_, 5) => {
                if let Some(place) = self.home.get_mut(self.length) {
                    *place = byte;
                    self.length += 1;
                }
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use core::ffi::CStr;
    use std::format;

    fn home_in(text: &str, uid: u32) -> Option<std::string::String> {
        let mut buffer = [b'/'; limits::PATH];
        let mut search = Search::new(uid, &mut buffer);
        let found = text.bytes().any(|byte| search.take(byte));
        found.then(|| CStr::from_bytes_until_nul(&buffer).unwrap().to_str().unwrap().into())
    }

    #[test]
    fn the_line_of_the_number() {
        for (line, uid, expected) in [
            ("root:x:0:0:root:/root:/bin/sh", 0, Some("/root")),
            ("a:x:1000:5::/home/a:", 1000, Some("/home/a")),
            ("a:x:1000:5::/home/a", 1000, Some("/home/a")),
            ("b:x:1:1::/b:\n\na:x:1000:5::/home/a\nc:x:1000:5::/c", 1000, Some("/home/a")),
            ("b:x:1000:1::b:\na:x:1000:5::/home/a", 1000, Some("/home/a")),
            ("a:x:1000:5::/home/a:", 5, None),
            ("a:x:1000:5:::", 1000, None),
            ("a:x:1000:5::relative:", 1000, None),
            ("1000:x:0:0::/x:", 1000, None),
            ("a:x:+10:5::/x:", 10, None),
            ("a:x:1 0:5::/x:", 10, None),
            ("a:x:4294967296:5::/x:", 0, None),
            ("a:x:18446744073709551616:5::/x:", 0, None),
            ("a:x:-1:5::/x:", u32::MAX, None),
            ("a:x::5::/x:", 0, None),
            ("", 0, None),
            ("a:x:0", 0, None),
        ] {
            assert_eq!(home_in(&format!("{line}\n"), uid).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_home_folder_is_a_path() {
        for (length, taken) in [(limits::PATH - 1, true), (limits::PATH, false), (limits::PATH + 9, false)] {
            let home = format!("/{}", "x".repeat(length - 1));
            let found = home_in(&format!("a:x:7:7:{}:{home}:\n", "long".repeat(9999)), 7);
            assert_eq!(found, taken.then_some(home));
        }
    }
}
