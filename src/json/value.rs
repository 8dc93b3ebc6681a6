//! Borrowed views of a validated document.
//!
//! The walks below rely on the text being valid: they skip, they do not check.
//! Where the text could surprise them all the same they end, they never panic.

use core::fmt;

use super::position::Place;
use super::text::Text;
use super::validate;
use crate::error::{Error, Result};
use crate::fail;

/// A document that was validated as a whole.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// How errors name it: `config.json`.
    pub(super) name: &'a str,
    pub(super) text: &'a [u8],
}

impl<'a> Document<'a> {
    /// Validates `text` (see [`validate`]); `name` is what errors call it.
    ///
    /// # Errors
    /// What is wrong first, with its place.
    pub fn parse(name: &'a str, text: &'a [u8]) -> Result<Document<'a>> {
        let document = Document { name, text };
        match validate::validate(text) {
            Ok(()) => Ok(document),
            Err((offset, message)) => Err(document.error(offset, format_args!("{message}"))),
        }
    }

    /// The one value that the document is.
    pub fn root(&'a self) -> Value<'a> {
        Value { document: self, at: skip_space(self.text, 0) }
    }

    /// The bytes of the document.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// `name:line:column: path: message`, for the place `offset` bytes in.
    #[cold]
    pub fn error(&self, offset: usize, message: fmt::Arguments<'_>) -> Error {
        fail!("{}{message}", self.place(offset))
    }

    fn place(&self, offset: usize) -> Place<'a> {
        Place { name: self.name, text: self.text, offset }
    }
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// A value, as the place in the document where it begins.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    at: usize,
}

impl<'a> Value<'a> {
    /// What stands here.
    pub fn kind(&self) -> Kind {
        match self.byte() {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Whether it is `null`, which engines written in Go use for "absent".
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.byte() {
            b't' => Some(true),
            b'f' => Some(false),
            _ => None,
        }
    }

    /// The number, if it is an integer of up to 64 bits. `1.0` and `1e3` are
    /// numbers but not integers; Go, in which the schema's types are written,
    /// does not take them for one either.
    pub fn as_integer(&self) -> Option<i128> {
        let token = self.token();
        let (negative, digits) = match token.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, token),
        };
        // By hand: the library's parsing of 128 bits is longer than its use.
        let magnitude = digits.iter().try_fold(0u64, |number, byte| {
            let digit = u64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
            number.checked_mul(10)?.checked_add(digit)
        })?;
        if digits.is_empty() || (negative && magnitude > i64::MIN.unsigned_abs()) {
            return None;
        }
        Some(if negative { -i128::from(magnitude) } else { i128::from(magnitude) })
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<Text<'a>> {
        if self.kind() != Kind::String {
            return None;
        }
        Some(Text::behind(*self, skip_string(self.document.text, self.at)))
    }

    /// The elements of an array; of anything else, none.
    pub fn items(&self) -> Items<'a> {
        Items { document: self.document, at: self.inside(Kind::Array) }
    }

    /// The members of an object, in the order of the text; of anything else, none.
    pub fn members(&self) -> Members<'a> {
        Members { document: self.document, at: self.inside(Kind::Object) }
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().find(|(key, _)| key.is(name)).map(|(_, value)| value)
    }

    /// The bytes that the value takes in the document.
    pub fn token(&self) -> &'a [u8] {
        let text = self.document.text;
        text.get(self.at..skip_value(text, self.at)).unwrap_or(&[])
    }

    /// Bytes from the start of the document.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// An error about this place: `config.json:41:17: mounts[3].type: message`.
    #[cold]
    pub fn error(&self, message: fmt::Arguments<'_>) -> Error {
        self.document.error(self.at, message)
    }

    /// An error about this place with what the kernel said: `…: message: errno`.
    #[cold]
    pub fn os_error(&self, errno: i32, message: fmt::Arguments<'_>) -> Error {
        Error::os(errno, format_args!("{}{message}", self.document.place(self.at)))
    }

    pub(super) fn document_text(&self) -> &'a [u8] {
        self.document.text
    }

    fn byte(&self) -> u8 {
        self.document.text.get(self.at).copied().unwrap_or(b'n')
    }

    /// Where the first element or member begins, if it is such a container.
    fn inside(&self, kind: Kind) -> usize {
        let text = self.document.text;
        if self.kind() == kind { skip_space(text, self.at + 1) } else { text.len() }
    }
}

/// The elements of an array.
#[derive(Clone)]
pub struct Items<'a> {
    document: &'a Document<'a>,
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let text = self.document.text;
        if matches!(text.get(self.at), None | Some(b']')) {
            self.at = text.len();
            return None;
        }
        let value = Value { document: self.document, at: self.at };
        self.at = skip_separator(text, skip_value(text, self.at));
        Some(value)
    }
}

/// The members of an object.
#[derive(Clone)]
pub struct Members<'a> {
    document: &'a Document<'a>,
    at: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.document.text;
        if matches!(text.get(self.at), None | Some(b'}')) {
            self.at = text.len();
            return None;
        }
        let name_end = skip_string(text, self.at);
        let name = Text::behind(Value { document: self.document, at: self.at }, name_end);
        let value = Value { document: self.document, at: skip_space(text, skip_space(text, name_end) + 1) };
        self.at = skip_separator(text, skip_value(text, value.at));
        Some((name, value))
    }
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// From behind a value to the next one, or to what closes the container.
fn skip_separator(text: &[u8], at: usize) -> usize {
    let at = skip_space(text, at);
    if text.get(at) == Some(&b',') { skip_space(text, at + 1) } else { at }
}

/// From the opening quote to behind the closing one.
fn skip_string(text: &[u8], mut at: usize) -> usize {
    at += 1;
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// From the start of a value to behind it.
fn skip_value(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    loop {
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => at = skip_string(text, at),
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(_) if depth > 0 => {
                at += 1;
                continue; // separators and scalars inside a container
            }
            Some(_) => {
                while !matches!(text.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn walks_what_was_validated() {
        let document = Document::parse("t", br#" { "a" : [1, "x,]", {"b":[]}, null ] , "c\u00e9":true} "#).unwrap();
        let root = document.root();
        let items: Vec<_> = root.get("a").unwrap().items().collect();
        assert_eq!(items.len(), 4);
        assert_eq!(items[0].as_integer(), Some(1));
        assert!(items[1].as_text().unwrap().is("x,]"));
        assert_eq!(items[2].get("b").unwrap().items().count(), 0);
        assert!(items[3].is_null());
        assert_eq!(root.get("cé").unwrap().as_bool(), Some(true));
        assert!(root.get("d").is_none());
    }

    #[test]
    fn integers_only_where_they_are_whole_and_fit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-9223372036854775808", Some(i64::MIN as i128)),
            ("18446744073709551615", Some(u64::MAX as i128)),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("-0", Some(0)),
            ("true", None),
            ("[]", None),
            ("1.0", None),
            ("1e3", None),
            ("\"1\"", None),
            ("184467440737095516150", None),
        ] {
            let document = Document::parse("t", text.as_bytes()).unwrap();
            assert_eq!(document.root().as_integer(), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        let document =
            Document::parse("config.json", b"{\n \"mounts\": [ {}, { \"options\": [ \"ro\",\n  \"rboud\" ] } ] }")
                .unwrap();
        let option = document
            .root()
            .get("mounts")
            .unwrap()
            .items()
            .nth(1)
            .unwrap()
            .get("options")
            .unwrap()
            .items()
            .nth(1)
            .unwrap();
        let said: String = option.error(format_args!("unknown option \"rboud\"")).to_string();
        assert_eq!(said, "config.json:3:3: mounts[1].options[1]: unknown option \"rboud\"");
    }
}
