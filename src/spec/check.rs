//! Whether a document has the form that its tables describe.

use super::record::{Form, Rule, Table, Test};
use crate::error::{Error, Result};
use crate::json::{Kind, Text, Value};
use crate::limits::MAP_MEMBERS;
use crate::word_list::WordList;

/// How thoroughly [`check`] looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Valid against the specification.
    Valid,
    /// And nothing in it that this program does not carry out.
    Supported,
}

/// Checks that `value` has the form, and everything inside it.
///
/// Unknown members are ignored, as the specification demands ("Extensibility").
///
/// # Errors
/// The first value that is not as it should be, with its place.
pub fn check(value: Value<'_>, form: &Form, strictness: Strictness) -> Result<()> {
    let kind = match form {
        Form::Bool => Kind::Bool,
        Form::Text | Form::Word(_) | Form::Pattern(..) => Kind::String,
        Form::Integer(..) => Kind::Number,
        Form::List(_) | Form::Filled(_) => Kind::Array,
        Form::Map(_) | Form::Object(_) | Form::Anything => Kind::Object,
    };
    if value.kind() != kind {
        return Err(value.error(format_args!("expected {kind}, found {}", value.kind())));
    }
    match form {
        Form::Bool | Form::Text | Form::Anything => Ok(()),
        Form::Integer(range) => {
            let inside = match value.as_integer() {
                Some((false, number)) => {
                    number <= range.most && i64::try_from(number).unwrap_or(i64::MAX) >= range.least
                }
                Some((true, magnitude)) => 0i64.wrapping_sub_unsigned(magnitude) >= range.least,
                None => false,
            };
            if inside { Ok(()) } else { Err(not_between(value, range.least, range.most)) }
        }
        Form::Word(words) => match value.as_text() {
            Some(text) if text.place_in(**words).is_none() => {
                Err(value.error(format_args!("expected one of {}, found \"{text}\"", OrList(**words))))
            }
            _ => Ok(()),
        },
        Form::Pattern(test) => match value.as_text() {
            Some(text) => check_pattern(text, test),
            None => Ok(()),
        },
        Form::Filled(_) if value.items().next().is_none() => {
            Err(value.error(format_args!("expected one element at least")))
        }
        Form::List(form) | Form::Filled(form) => value.items().try_for_each(|item| check(item, form, strictness)),
        Form::Map(form) => check_map(value, form, strictness),
        Form::Object(table) => check_object(value, table, strictness),
    }
}

fn check_pattern(text: Text<'_>, test: &Test) -> Result<()> {
    let length = text.length();
    if length > test.most {
        return Err(text.error(format_args!("{length} bytes long, more than the limit of {}", test.most)));
    }
    match (test.holds)(text) {
        true => Ok(()),
        false if test.shown => Err(text.error(format_args!("expected {}, found \"{text}\"", test.says))),
        false => Err(text.error(format_args!("expected {}", test.says))),
    }
}

/// The error of an integer that is not from `least` to `most`.
#[cold]
pub fn not_between(value: Value<'_>, least: i64, most: u64) -> Error {
    value.error(format_args!("expected an integer from {least} to {most}"))
}

fn check_map(map: Value<'_>, form: &Form, strictness: Strictness) -> Result<()> {
    check_names(map)?;
    // As in an object with names of ours: `null` is absent.
    let mut members = map.members().filter(|(_, member)| !member.is_null());
    members.try_for_each(|(_, member)| check(member, form, strictness))
}

/// Not too many names, and none of them twice.
#[inline(never)] // the filter is gone from the stack before anything deeper
fn check_names(map: Value<'_>) -> Result<()> {
    // One bit for each hash of a name: only where it is set already a search
    // through all names before has to tell, so that a map as large as a document
    // is looked through a few times, not a thousand times.
    let mut filter = [0u32; MAP_MEMBERS / 2];
    for (index, (name, _)) in map.members().enumerate() {
        if index == MAP_MEMBERS {
            return Err(name.error(format_args!("more than the limit of {MAP_MEMBERS} members")));
        }
        let hash = name.bytes().fold(0u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x9e37_79b1));
        let bit = 1 << (hash >> 27);
        let Some(word) = filter.get_mut(hash as usize / 64 % (MAP_MEMBERS / 2)) else { continue };
        if *word & bit != 0 && map.members().take(index).any(|(earlier, _)| earlier.same_as(name)) {
            return Err(name.error(format_args!("stands here a second time")));
        }
        *word |= bit;
    }
    Ok(())
}

/// A list of words for a message.
struct OrList(WordList);

impl core::fmt::Display for OrList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().filter(|word| !word.is_empty()).enumerate().try_for_each(|(index, word)| {
            f.write_str(if index > 0 { ", " } else { "" })?;
            f.write_str(word)
        })
    }
}

fn check_object(object: Value<'_>, table: &Table, strictness: Strictness) -> Result<()> {
    let mut seen = 0u64; // one bit a field; no table has more than 64
    let mut finder = table.names.finder();

    for (name, value) in object.members() {
        let Some((index, form, rule)) = table.find(name, &mut finder) else { continue };
        if seen & 1 << index != 0 {
            return Err(name.error(format_args!("stands here a second time")));
        }
        seen |= 1 << index;
        if value.is_null() {
            if rule == Rule::Required {
                seen &= !(1 << index);
            }
            continue;
        }
        check(value, form, strictness)?;
        let refusal = match rule {
            Rule::Later => "not supported by this version of ocinit",
            Rule::Foreign => "for another platform than Linux",
            Rule::Optional | Rule::Required => continue,
        };
        if strictness == Strictness::Supported && !asks_for_nothing(value) {
            return Err(value.error(format_args!("{refusal}")));
        }
    }
    for (index, rule) in table.rules.iter().enumerate() {
        if *rule == Rule::Required && seen & 1 << index == 0 {
            let name = table.names.get(index).unwrap_or("");
            return Err(object.error(format_args!("\"{name}\" is missing")));
        }
    }
    Ok(())
}

/// Whether a value says no more than its absence would: engines write out
/// zeros, empty strings and empty objects for what they leave alone.
pub fn asks_for_nothing(value: Value<'_>) -> bool {
    match value.kind() {
        Kind::Null => true,
        Kind::Bool => value.as_bool() == Some(false),
        Kind::Number => value.as_u64() == Some(0),
        Kind::String => value.as_text().is_some_and(|text| text.is_empty()),
        Kind::Array => value.items().next().is_none(),
        Kind::Object => value.members().all(|(_, member)| asks_for_nothing(member)),
    }
}
