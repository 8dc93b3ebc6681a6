//! Borrowed views of a validated document.
//!
//! The walks below rely on the text being valid: they skip, they do not check.
//! Where the text could surprise them all the same they end, they never panic.

use core::fmt;

use rustix::io::Errno;

use super::extents::Extents;
use super::position::Place;
use super::text::{Text, plain_length};
use super::validate;
use crate::bytes;
use crate::error::{Error, Result};
use crate::fail;

/// A document that was validated as a whole.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// How errors name it: `config.json`.
    pub(super) name: &'a str,
    pub(super) text: &'a [u8],
    pub(super) extents: &'a Extents,
}

impl<'a> Document<'a> {
    /// Validates `text` (see [`validate`]); `name` is what errors call it, `extents` room
    /// for what the walks need.
    ///
    /// # Errors
    /// What is wrong first, with its place.
    pub fn parse(name: &'a str, text: &'a [u8], extents: &'a mut Extents) -> Result<Document<'a>> {
        let result = validate::validate(text, extents);
        let document = Document { name, text, extents };
        match result {
            Ok(()) => Ok(document),
            Err((offset, message)) => Err(document.error(offset, format_args!("{message}"))),
        }
    }

    /// The same for tests, which give the room back at their end.
    #[cfg(test)]
    pub fn of(name: &'a str, text: &'a [u8]) -> Result<Document<'a>> {
        Document::parse(name, text, std::boxed::Box::leak(std::boxed::Box::default()))
    }

    /// The one value that the document is.
    pub fn root(&'a self) -> Value<'a> {
        Value { document: self, at: skip_space(self.text, 0) }
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

    /// The number, if it is an integer of up to 64 bits: whether it is below
    /// zero, and its magnitude. `1.0` and `1e3` are numbers but not integers; Go,
    /// in which the schema's types are written, does not take them for one either.
    pub fn as_integer(&self) -> Option<(bool, u64)> {
        let token = self.token();
        let digits = bytes::after(token, "-");
        let magnitude = bytes::decimal(digits.unwrap_or(token))?;
        let negative = digits.is_some() && magnitude > 0;
        (!negative || magnitude <= i64::MIN.unsigned_abs()).then_some((negative, magnitude))
    }

    /// The number, if it is an integer from 0 to 2⁶⁴-1.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_integer().filter(|(negative, _)| !negative).map(|(_, magnitude)| magnitude)
    }

    /// The number, if it is an integer from -2⁶³ to 2⁶³-1.
    pub fn as_i64(&self) -> Option<i64> {
        match self.as_integer()? {
            (true, magnitude) => Some(0i64.wrapping_sub_unsigned(magnitude)),
            (false, magnitude) => i64::try_from(magnitude).ok(),
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<Text<'a>> {
        (self.kind() == Kind::String).then_some(Text(*self))
    }

    /// The elements of an array; of anything else, none.
    pub fn items(&self) -> Items<'a> {
        Items::of(Some(*self))
    }

    /// The members of an object, in the order of the text; of anything else, none.
    pub fn members(&self) -> Members<'a> {
        Members::of(Some(*self))
    }

    /// The value that begins `offset` bytes into the same document.
    pub fn elsewhere(&self, offset: usize) -> Value<'a> {
        Value { document: self.document, at: offset }
    }

    /// The member called `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members().find(|(key, _)| key.is(name)).map(|(_, value)| value)
    }

    /// The bytes that the value takes in the document.
    pub fn token(&self) -> &'a [u8] {
        let text = self.text();
        text.get(self.at..self.end()).unwrap_or(&[])
    }

    /// Bytes from the start of the document.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// An error about this place: `config.json:41:17: mounts[3].type: message`.
    #[cold]
    #[inline(never)]
    pub fn error(self, message: fmt::Arguments<'_>) -> Error {
        self.document.error(self.at, message)
    }

    /// An error about this place with what the kernel said: `…: message: errno`.
    #[cold]
    #[inline(never)]
    pub fn os_error(self, errno: Errno, message: fmt::Arguments<'_>) -> Error {
        Error::os(errno, format_args!("{}{message}", self.document.place(self.at)))
    }

    /// The document's text. Behind a black box, without which the compiler loads
    /// it before each of the calls that want it, of which there are hundreds.
    fn text(&self) -> &'a [u8] {
        core::hint::black_box(self.document).text
    }

    pub(super) fn document(&self) -> &'a Document<'a> {
        self.document
    }

    /// The text from behind its first byte on.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text().get(self.at + 1..).unwrap_or(&[])
    }

    fn byte(&self) -> u8 {
        self.text().get(self.at).copied().unwrap_or(b'n')
    }

    /// The first element or member, if it is such a container and has one.
    fn first(self, kind: Kind) -> Option<Value<'a>> {
        if self.kind() == kind { self.elsewhere(self.at + 1).or_none() } else { None }
    }

    /// The next element or member of the container that it is in.
    fn next(self) -> Option<Value<'a>> {
        let text = self.text();
        let at = skip_space(text, self.end());
        if text.get(at) == Some(&b',') { self.elsewhere(at + 1).or_none() } else { None }
    }

    /// Behind its last byte.
    fn end(&self) -> usize {
        let known = if matches!(self.byte(), b'{' | b'[') { self.document.extents.end(self.at) } else { None };
        known.unwrap_or_else(|| skip_value(self.text(), self.at))
    }

    /// The value from here on, unless the container ends here.
    fn or_none(self) -> Option<Value<'a>> {
        let at = skip_space(self.text(), self.at);
        match self.text().get(at) {
            None | Some(b']' | b'}') => None,
            Some(_) => Some(self.elsewhere(at)),
        }
    }
}

/// The elements of an array.
#[derive(Clone)]
pub struct Items<'a> {
    next: Option<Value<'a>>,
}

impl<'a> Items<'a> {
    /// Those of `array`, where there is one.
    pub fn of(array: Option<Value<'a>>) -> Items<'a> {
        Items { next: array.and_then(|array| array.first(Kind::Array)) }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Value<'a>> {
        let value = self.next?;
        self.next = value.next();
        Some(value)
    }
}

/// The members of an object.
#[derive(Clone)]
pub struct Members<'a> {
    next: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    /// Those of `object`, where there is one.
    pub fn of(object: Option<Value<'a>>) -> Members<'a> {
        Members { next: object.and_then(|object| object.first(Kind::Object)) }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        let name = self.next?;
        let text = name.text();
        let colon = skip_space(text, skip_string(text, name.at));
        let value = name.elsewhere(skip_space(text, colon + 1));
        self.next = value.next();
        Some((Text(name), value))
    }
}

/// Between tokens of a valid document nothing else is below a blank.
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|byte| *byte <= b' ') {
        at += 1;
    }
    at
}

/// From the opening quote to behind the closing one.
fn skip_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at += plain_length(text.get(at..).unwrap_or(&[]));
        match text.get(at) {
            None => return text.len(),
            Some(b'"') => return at + 1,
            Some(_) => at += 2, // a backslash, and what it makes of the next byte
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
        let document = Document::of("t", br#" { "a" : [1, "x,]", {"b":[]}, null ] , "c\u00e9":true} "#).unwrap();
        let root = document.root();
        let items: Vec<_> = root.get("a").unwrap().items().collect();
        assert_eq!(items.len(), 4);
        assert_eq!(items[0].as_u64(), Some(1));
        assert!(items[1].as_text().unwrap().is("x,]"));
        assert_eq!(items[2].get("b").unwrap().items().count(), 0);
        assert!(items[3].is_null());
        assert_eq!(root.get("cé").unwrap().as_bool(), Some(true));
        assert!(root.get("d").is_none());
    }

    #[test]
    fn integers_only_where_they_are_whole_and_fit() {
        for (text, expected) in [
            ("0", Some((false, 0))),
            ("-9223372036854775808", Some((true, i64::MIN.unsigned_abs()))),
            ("18446744073709551615", Some((false, u64::MAX))),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("-0", Some((false, 0))),
            ("true", None),
            ("[]", None),
            ("1.0", None),
            ("1e3", None),
            ("\"1\"", None),
            ("184467440737095516150", None),
        ] {
            let document = Document::of("t", text.as_bytes()).unwrap();
            let number = document.root();
            assert_eq!(number.as_integer(), expected, "{text}");
            let wide = expected.map(|(negative, magnitude)| i128::from(magnitude) * if negative { -1 } else { 1 });
            assert_eq!(number.as_u64().map(i128::from), wide.filter(|wide| *wide >= 0), "{text}");
            assert_eq!(number.as_i64(), wide.and_then(|wide| wide.try_into().ok()), "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        let document =
            Document::of("config.json", b"{\n \"mounts\": [ {}, { \"options\": [ \"ro\",\n  \"rboud\" ] } ] }")
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
