//! How documents of ours become JSON.
//!
//! A document is put together as a tree of [`Json`] on the stack: one way of
//! writing instead of one for each type of structure, which is what deriving
//! gives.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::record::Map;
use crate::error::Result;
use crate::fail;
use crate::json::{Text, Value};
use crate::word_list::WordList;

/// A value of a document of ours.
#[derive(Clone, Copy)]
pub enum Json<'a> {
    Bool(bool),
    Number(u64),
    Text(&'a str),
    /// An array of strings.
    Words(WordList),
    NoWords,
    /// An object, by names and values.
    Object(&'a [(&'a str, Json<'a>)]),
    /// Annotations of a config.json, taken over; left out of an object when
    /// there are none.
    Annotations(Map<'a, Text<'static>>),
    /// A string of a validated document: it is JSON already, and copied with its
    /// escapes.
    Token(Value<'a>),
}

impl Json<'_> {
    /// Writes the document into `buffer`; the number of bytes.
    ///
    /// # Errors
    /// No room: names the document by `what`, and the limit.
    pub fn write(&self, what: &str, buffer: &mut [u8]) -> Result<usize> {
        let limit = buffer.len();
        serde_json_core::to_slice(self, buffer).map_err(|_| fail!("{what} is larger than the limit of {limit} bytes"))
    }

    fn is_left_out(&self) -> bool {
        matches!(self, Json::Annotations(map) if map.iter().next().is_none())
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(number) => serializer.serialize_u64(*number),
            Json::Text(text) => serializer.serialize_str(text),
            // serde-json-core writes `bytes` as they are, which is its way for that.
            Json::Token(value) => serializer.serialize_bytes(value.token()),
            Json::NoWords => serializer.serialize_seq(Some(0))?.end(),
            Json::Words(list) => {
                let mut array = serializer.serialize_seq(None)?;
                list.iter().try_for_each(|word| array.serialize_element(word))?;
                array.end()
            }
            Json::Object(members) => {
                let mut object = serializer.serialize_map(None)?;
                for (name, value) in members.iter().filter(|(_, value)| !value.is_left_out()) {
                    object.serialize_key(&Json::Text(name))?;
                    object.serialize_value(value)?;
                }
                object.end()
            }
            Json::Annotations(annotations) => {
                let mut object = serializer.serialize_map(None)?;
                for (name, value) in annotations.iter() {
                    object.serialize_key(&Json::Token(name.value()))?;
                    object.serialize_value(&Json::Token(value.value()))?;
                }
                object.end()
            }
        }
    }
}
