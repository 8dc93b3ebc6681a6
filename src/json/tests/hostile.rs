//! Documents made to break a reader: too deep, too long, cut, with flipped bits.

use super::super::{Document, Kind, Value};
use super::Random;
use crate::limits;
use std::format;
use std::string::{String, ToString};

const SAMPLE: &str = r#"{
  "ociVersion": "1.0.2", "annotations": {"é\ud83d\ude00": "\\\"\u00e9", "": ""},
  "mounts": [{"destination": "/proc", "options": ["ro", "nosuid"]}, {}, null],
  "numbers": [-0, 1.5e+10, 18446744073709551615, -9223372036854775808],
  "deep": [[[{"a": [true, false]}]]]
}
"#;

/// Looks at everything that can be looked at; the number of values.
fn walk(value: Value<'_>) -> usize {
    let _ = (value.as_bool(), value.as_integer(), value.is_null(), value.offset());
    let _ = value.as_text().map(|text| text.bytes().count());
    let inside: usize = match value.kind() {
        Kind::Array => value.items().map(walk).sum(),
        Kind::Object => value.members().map(|(name, member)| name.length().min(1) + walk(member)).sum(),
        _ => 0,
    };
    assert!(value.offset() + value.token().len() <= SAMPLE.len().max(1 << 20));
    1 + inside
}

/// An error's line and column, verified to lie in the text (or just behind it).
fn place_is_inside(text: &[u8], said: &str) {
    let mut parts = said.strip_prefix("t:").unwrap().splitn(3, ':');
    let line: usize = parts.next().unwrap().parse().unwrap();
    let column: usize = parts.next().unwrap().parse().unwrap();
    let lines: std::vec::Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    assert!(line >= 1 && line <= lines.len(), "{said}");
    assert!(column >= 1 && column <= lines[line - 1].len() + 1, "{said}");
    assert!(!said.contains('\n'));
}

#[test]
fn cut_at_every_byte() {
    assert!(Document::of("t", SAMPLE.as_bytes()).is_ok());
    let end = SAMPLE.trim_end().len();
    for cut in 0..end {
        let text = &SAMPLE.as_bytes()[..cut];
        let said = Document::of("t", text).err().expect("a cut document is not one").to_string();
        place_is_inside(text, &said);
    }
}

#[test]
fn every_bit_flipped() {
    for index in 0..SAMPLE.len() {
        for bit in 0..8 {
            let mut text = SAMPLE.as_bytes().to_vec();
            text[index] ^= 1 << bit;
            match Document::of("t", &text) {
                Ok(document) => assert!(walk(document.root()) > 0),
                Err(error) => place_is_inside(&text, &error.to_string()),
            }
        }
    }
}

#[test]
fn bytes_at_random() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let alphabet = br#"{}[]",:\u0d8 1e-.tfnalse"#;
        let text: std::vec::Vec<u8> = (0..random.below(40)).map(|_| alphabet[random.below(alphabet.len())]).collect();
        let theirs = serde_json::from_slice::<serde_json::Value>(&text);
        match (Document::of("t", &text), theirs) {
            (Ok(document), Ok(_)) => assert!(walk(document.root()) > 0),
            (Err(error), theirs) => {
                place_is_inside(&text, &error.to_string());
                assert!(theirs.is_err(), "{}", text.escape_ascii());
            }
            (Ok(_), Err(error)) => assert!(error.to_string().contains("out of range"), "{}", text.escape_ascii()),
        }
    }
}

#[test]
fn depth_is_bounded() {
    for (depth, fine) in [(1, true), (127, true), (128, true), (129, false), (10_000, false), (500_000, false)] {
        let arrays = "[".repeat(depth) + &"]".repeat(depth);
        let objects = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        let mixed = format!("{}[]{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        for (text, depth) in [(arrays, depth), (objects, depth), (mixed, depth / 2 * 2 + 1)] {
            match Document::of("t", text.as_bytes()) {
                Ok(document) => assert!(depth <= 128 && walk(document.root()) > 0),
                Err(error) if text.len() <= limits::DOCUMENT => {
                    assert!(!fine || depth > 128);
                    assert!(error.to_string().contains("nested deeper than the limit of 128"), "{error}");
                }
                Err(error) => assert!(error.to_string().contains("larger than the limit"), "{error}"),
            }
        }
    }
    // Never closed, and not UTF-8 at the end: the place must not take long to find.
    let mut text = "[".repeat(limits::DOCUMENT - 1).into_bytes();
    text.push(0xff);
    assert!(Document::of("t", &text).is_err());
}

#[test]
fn size_is_bounded() {
    let fits = format!("\"{}\"", "x".repeat(limits::DOCUMENT - 2));
    assert_eq!(Document::of("t", fits.as_bytes()).unwrap().root().as_text().unwrap().length(), fits.len() - 2);
    let said = Document::of("t", format!(" {fits}").as_bytes()).err().unwrap().to_string();
    assert!(said.contains("larger than the limit of 1048576 bytes"), "{said}");
}

#[test]
fn ten_thousand_mounts_cost_no_more_memory_than_ten() {
    // Nothing allocates (the crate has no allocator outside tests); what a walk
    // holds is what the iterator holds.
    assert!(size_of::<super::super::Items<'_>>() <= 16 && size_of::<Value<'_>>() <= 16);
    let mount = r#"{"destination":"/d","type":"bind","source":"/s","options":["bind","ro"]}"#;
    let text = format!("{{\"mounts\":[{}]}}", std::vec![mount; 10_000].join(","));
    let document = Document::of("t", text.as_bytes()).unwrap();
    let mounts = document.root().get("mounts").unwrap();
    assert_eq!(mounts.items().count(), 10_000);
    let last = mounts.items().last().unwrap().get("options").unwrap().items().last().unwrap();
    let said: String = last.error(format_args!("x")).to_string();
    assert!(said.ends_with(": mounts[9999].options[1]: x"), "{said}");
}
