//! How documents of ours become JSON.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::record::Map;
use crate::error::Result;
use crate::fail;
use crate::json::{Text, Value};

/// Writes `document` into `buffer`; the number of bytes.
///
/// # Errors
/// No room: names the document by `what`, and the limit.
pub fn to_slice<T: Serialize>(what: &str, document: &T, buffer: &mut [u8]) -> Result<usize> {
    let limit = buffer.len();
    serde_json_core::to_slice(document, buffer).map_err(|_| fail!("{what} is larger than the limit of {limit} bytes"))
}

/// `bytes` as text, for a document.
///
/// # Errors
/// Not UTF-8, which JSON cannot carry: names it by `what`.
pub fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str> {
    core::str::from_utf8(bytes)
        .map_err(|_| fail!("{what} \"{}\" is not UTF-8, which a JSON document cannot hold", crate::error::Lossy(bytes)))
}

/// Annotations of a config.json, taken over into a document of ours.
#[derive(Clone, Copy)]
pub struct Annotations<'a>(pub Map<'a, Text<'static>>);

impl Annotations<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().next().is_none()
    }
}

impl Serialize for Annotations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(&Token(name.value()), &Token(value.value()))?;
        }
        map.end()
    }
}

/// A string of a validated document is JSON already: it is copied, escapes and
/// all. serde-json-core writes `bytes` as they are, which is its way for that.
struct Token<'a>(Value<'a>);

impl Serialize for Token<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.token())
    }
}
