//! Random documents, written by us and read by serde_json as well: both must
//! see the same.

use super::super::{Document, Kind, Value};
use super::Random;
use std::string::{String, ToString};

/// A value at random, with random space and random escapes.
fn value(random: &mut Random, depth: usize, text: &mut String) {
    space(random, text);
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => text.push_str("null"),
        1 => text.push_str("true"),
        2 => text.push_str("false"),
        3 => text.push_str(&(random.next() as i64 >> random.below(64)).to_string()),
        4 => text.push_str(&(random.next() >> random.below(64)).to_string()),
        5 => string(random, text),
        6 | 7 => list(random, text, ['[', ']'], |random, text| value(random, depth - 1, text)),
        _ => list(random, text, ['{', '}'], |random, text| {
            space(random, text);
            string(random, text);
            space(random, text);
            text.push(':');
            value(random, depth - 1, text);
        }),
    }
    space(random, text);
}

fn list(random: &mut Random, text: &mut String, quotes: [char; 2], mut item: impl FnMut(&mut Random, &mut String)) {
    text.push(quotes[0]);
    for index in 0..random.below(5) {
        if index > 0 {
            text.push(',');
        }
        item(random, text);
    }
    text.push(quotes[1]);
}

fn string(random: &mut Random, text: &mut String) {
    text.push('"');
    for _ in 0..random.below(8) {
        let character = ['a', '"', '\\', '/', '\n', '\t', '\u{1}', 'é', '€', '😀', '\u{7f}', ']', '}', ',', ':', ' ']
            [random.below(16)];
        if character < ' ' || character == '"' || character == '\\' || random.below(3) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&std::format!("\\u{unit:04x}"));
            }
        } else {
            text.push(character);
        }
    }
    text.push('"');
}

fn space(random: &mut Random, text: &mut String) {
    for _ in 0..random.below(6).saturating_sub(3) {
        text.push([' ', '\t', '\n', '\r'][random.below(4)]);
    }
}

fn same(ours: Value<'_>, theirs: &serde_json::Value) -> bool {
    match theirs {
        serde_json::Value::Null => ours.is_null(),
        serde_json::Value::Bool(value) => ours.as_bool() == Some(*value),
        serde_json::Value::Number(number) => {
            let number = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            // serde_json reads -0 as a double.
            let (negative, magnitude) = ours.as_integer().unwrap();
            number.unwrap_or(0) == i128::from(magnitude) * if negative { -1 } else { 1 }
        }
        serde_json::Value::String(text) => {
            ours.as_text().is_some_and(|ours| ours.is(text) && ours.to_string() == *text)
        }
        serde_json::Value::Array(items) => {
            ours.items().count() == items.len() && ours.items().zip(items).all(|(ours, theirs)| same(ours, theirs))
        }
        serde_json::Value::Object(members) => {
            // serde_json keeps the last of two members of one name.
            ours.kind() == Kind::Object
                && ours.members().all(|(name, _)| members.contains_key(&name.to_string()))
                && members.iter().all(|(name, theirs)| {
                    ours.members().filter(|(ours, _)| ours.is(name)).last().is_some_and(|(_, ours)| same(ours, theirs))
                })
        }
    }
}

#[test]
fn random_documents_read_the_same() {
    let mut random = Random(0x5eed);
    for _ in 0..4_000 {
        let mut text = String::new();
        value(&mut random, 6, &mut text);
        let theirs: serde_json::Value = serde_json::from_str(&text).expect("the generator writes JSON");
        let document = Document::of("t", text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(same(document.root(), &theirs), "{text}");
    }
}
