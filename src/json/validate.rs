//! The one pass that a document has to survive before anything looks at it.
//!
//! RFC 8259 to the letter, in constant memory: nesting is one bit a level. On
//! top of the grammar four things are refused because nothing good can come
//! of them: a byte order mark, a NUL in a string (the kernel would end the
//! string there), a nesting deeper than `limits::NESTING`, and a text longer
//! than `limits::DOCUMENT`.
//! Duplicate names are found later, where a table says which matter.

use super::extents::Extents;
use super::text::plain_length;
use crate::limits::{DOCUMENT, NESTING};

/// What is wrong and where: bytes from the start.
pub(super) type Fault = (usize, &'static str);

/// Checks the whole of `text`, and notes in `extents` where its large parts end, and
/// whether there are escapes in it.
pub(super) fn validate(text: &[u8], extents: &mut Extents) -> Result<(), Fault> {
    const { assert!(DOCUMENT == 1_048_576) };
    if text.len() > DOCUMENT {
        // Whoever read it knows the size, and should have said it already.
        return Err((DOCUMENT, "the document is larger than the limit of 1048576 bytes"));
    }
    if text.starts_with(&[0xef, 0xbb, 0xbf]) {
        return Err((0, "begins with a byte order mark"));
    }
    if let Err(error) = core::str::from_utf8(text) {
        return Err((error.valid_up_to(), "not UTF-8"));
    }
    extents.clear();
    let mut validator = Validator { text, at: 0, has_escapes: false };
    let result = validator.document(extents);
    extents.has_escapes = validator.has_escapes;
    result
}

struct Validator<'a> {
    text: &'a [u8],
    at: usize,
    has_escapes: bool,
}

/// Which containers we are in, outermost in the highest bit: 1 is an object.
struct Nesting {
    bits: u128,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool) -> Result<(), &'static str> {
        const { assert!(NESTING <= u128::BITS as usize) };
        if self.depth == NESTING {
            return Err("nested deeper than the limit of 128");
        }
        self.bits = self.bits << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth = self.depth.saturating_sub(1);
    }

    fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }
}

impl Validator<'_> {
    fn document(&mut self, extents: &mut Extents) -> Result<(), Fault> {
        let mut nesting = Nesting { bits: 0, depth: 0 };
        loop {
            // At the place of a value.
            self.space();
            let opened = match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    extents.open(self.at);
                    nesting.push(byte == b'{').map_err(|message| (self.at, message))?;
                    self.at += 1;
                    true
                }
                _ => {
                    self.scalar()?;
                    false
                }
            };
            // Close what ends here, up to the next value or the document's end.
            let mut first = opened;
            loop {
                if nesting.depth == 0 {
                    self.space();
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => Err((self.at, "something stands behind the end of the document")),
                    };
                }
                let object = nesting.in_object();
                self.space();
                match self.peek() {
                    Some(b'}') if object => {}
                    Some(b']') if !object => {}
                    Some(b',') if !first => {
                        self.at += 1;
                        self.name_if(object)?;
                        break;
                    }
                    Some(_) if first => {
                        self.name_if(object)?;
                        break;
                    }
                    None => return Err((self.at, "ends in the middle")),
                    Some(_) => return Err((self.at, if object { "expected , or }" } else { "expected , or ]" })),
                }
                self.at += 1;
                nesting.pop();
                extents.close(self.at);
                first = false;
            }
        }
    }

    fn name_if(&mut self, object: bool) -> Result<(), Fault> {
        if !object {
            return Ok(());
        }
        self.space();
        match self.peek() {
            Some(b'"') => self.string()?,
            None => return Err((self.at, "ends in the middle")),
            Some(_) => return Err((self.at, "expected a name in quotes")),
        }
        self.space();
        match self.peek() {
            Some(b':') => self.at += 1,
            None => return Err((self.at, "ends in the middle")),
            Some(_) => return Err((self.at, "expected : behind the name")),
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(_) => Err((self.at, "expected a value")),
            None => Err((self.at, "ends in the middle")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        let rest = self.text.get(self.at..).unwrap_or(&[]);
        if rest.starts_with(word) {
            self.at += word.len();
            Ok(())
        } else if word.starts_with(rest) {
            Err((self.text.len(), "ends in the middle"))
        } else {
            Err((self.at, "expected a value"))
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        match self.peek() {
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-') => Err((self.at, "not a number")),
            _ => Ok(()),
        }
    }

    /// One digit at least.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            None => Err((self.at, "ends in the middle")),
            Some(_) => Err((self.at, "expected a digit")),
        }
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.at += plain_length(self.text.get(self.at..).unwrap_or(&[]));
            match self.peek() {
                None => return Err((self.at, "ends in the middle")),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err((self.at, "a control character in a string must be escaped")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.has_escapes = true;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => match self.hex4()? {
                0 => return Err((start, "a NUL character in a string")),
                0xd800..0xdc00 => {
                    let second = self.at;
                    if !(self.take(b'\\') && self.peek() == Some(b'u') && (0xdc00..0xe000).contains(&self.hex4()?)) {
                        let ends = self.text.len() <= self.at;
                        return Err((if ends { self.at } else { second }, "half a surrogate pair"));
                    }
                }
                0xdc00..0xe000 => return Err((start, "half a surrogate pair")),
                _ => {}
            },
            None => return Err((self.at, "ends in the middle")),
            Some(_) => return Err((start, "unknown escape")),
        }
        Ok(())
    }

    /// At the `u` of an escape: its four digits.
    fn hex4(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = match self.peek() {
                None => return Err((self.at, "ends in the middle")),
                Some(byte) => char::from(byte).to_digit(16).ok_or((self.at, "expected a hexadecimal digit"))?,
            };
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or(&[]);
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }
}
