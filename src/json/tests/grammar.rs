//! RFC 8259 as a table: what is JSON, what is not, and where it stops being so.

use super::super::Document;
use std::string::{String, ToString};
use std::vec::Vec;

const ACCEPTED: &[&[u8]] = &[
    // Any value may be a document.
    b"null",
    b"true",
    b"false",
    b"0",
    b"\"\"",
    b"[]",
    b"{}",
    b" \t\r\n[ \t\r\n] \t\r\n",
    b"\n{\n}\n",
    b" null ",
    // Numbers.
    b"-0",
    b"1",
    b"-1",
    b"10",
    b"1234567890",
    b"0.0",
    b"-0.0",
    b"0.10",
    b"1.5",
    b"0e0",
    b"0e1",
    b"0E1",
    b"0e+1",
    b"0e-1",
    b"1e3",
    b"1E3",
    b"1e+3",
    b"1e-3",
    b"1.5e300",
    b"1e99999",
    b"-1e-99999",
    b"0.00000000000000000000000000000000000000000000001",
    b"123456789012345678901234567890123456789012345678901234567890",
    b"-9223372036854775809",
    b"1.0000000000000000000000000000000000000000000000001",
    b"20e1",
    // Strings.
    b"\"a\"",
    b"\" \"",
    b"\"/\"",
    b"\"\\\"\"",
    b"\"\\\\\"",
    b"\"\\/\"",
    b"\"\\b\\f\\n\\r\\t\"",
    b"\"\\u0001\"",
    b"\"\\u001f\"",
    b"\"\\u0020\"",
    b"\"\\u002F\"",
    b"\"\\u00e9\\u00E9\"",
    b"\"\\uabCD\"",
    b"\"\\ud800\\udc00\"",
    b"\"\\uDBFF\\uDFFF\"",
    b"\"\\ud83d\\ude00\\ud83d\\ude00\"",
    b"\"\\ud7ff\\ue000\"",
    b"\"\\ufdd0\\uffff\\ufffe\"",
    b"\"\\u2028\\u2029\"",
    b"\"\x7f\"",
    "\"é€😀\"".as_bytes(),
    "\"\u{80}\u{2028}\u{feff}\u{ffff}\u{10ffff}\"".as_bytes(),
    b"\"\\\\u0000\"",
    b"\"\\\\\\\"\"",
    b"\"{[,:]}\"",
    b"\"// no /* comment */\"",
    // Arrays.
    b"[1]",
    b"[1,2]",
    b"[ 1 , 2 ]",
    b"[[]]",
    b"[[],[]]",
    b"[[[[]]]]",
    b"[{}]",
    b"[null,true,false,0,\"\",[],{}]",
    b"[\"a\",\"a\"]",
    b"[1\n]",
    b"[\n1]",
    // Objects.
    b"{\"a\":1}",
    b"{\"\":0}",
    b"{ \"a\" : 1 , \"b\" : 2 }",
    b"{\"a\":{}}",
    b"{\"a\":[]}",
    b"{\"a\":{\"a\":{\"a\":null}}}",
    b"{\"\\u0061\":1}",
    b"{\"a\\\"b\":1}",
    b"{\"a\":\"b\",\"c\":[{\"d\":[1,{\"e\":null}]}]}",
    // Duplicates are JSON; where they matter is a question of the tables.
    b"{\"a\":1,\"a\":2}",
];

/// And the byte at which each is found out.
const REFUSED: &[(&[u8], usize)] = &[
    // Nothing, or something behind.
    (b"", 0),
    (b" ", 1),
    (b"\n\n", 2),
    (b"null null", 5),
    (b"1 2", 2),
    (b"{}{}", 2),
    (b"[],", 2),
    (b"{} x", 3),
    (b"[1]]", 3),
    (b"{\"a\":1}}", 7),
    (b"\"\"\"\"", 2),
    (b"{}\0", 2),
    (b"1;", 1),
    (b"{}#", 2),
    // Words.
    (b"nul", 3),
    (b"nulL", 0),
    (b"NULL", 0),
    (b"True", 0),
    (b"tru", 3),
    (b"truer", 4),
    (b"truefalse", 4),
    (b"fals", 4),
    (b"undefined", 0),
    (b"NaN", 0),
    (b"Infinity", 0),
    (b"-Infinity", 1),
    (b"[nul]", 1),
    (b"[true1]", 5),
    (b"n", 1),
    (b"x", 0),
    // Numbers.
    (b"+1", 0),
    (b"-", 1),
    (b"--1", 1),
    (b"- 1", 1),
    (b"00", 1),
    (b"01", 1),
    (b"-01", 2),
    (b".5", 0),
    (b"-.5", 1),
    (b"1.", 2),
    (b"1.e1", 2),
    (b"1..2", 2),
    (b"1.2.3", 3),
    (b"1e", 2),
    (b"1e+", 3),
    (b"1e-", 3),
    (b"1e1.5", 3),
    (b"1ee1", 2),
    (b"1e++1", 3),
    (b"0x10", 1),
    (b"1_000", 1),
    (b"1,000", 1),
    (b"1a", 1),
    (b"1-2", 1),
    (b"1+2", 1),
    (b"[-]", 2),
    (b"[1.]", 3),
    (b"[0e]", 3),
    (b"[012]", 2),
    (b"1\xc2\xa0", 1),
    ("１".as_bytes(), 0),
    // Strings.
    (b"\"", 1),
    (b"\"a", 2),
    (b"'a'", 0),
    (b"a", 0),
    (b"\"\\\"", 3),
    (b"\"\\", 2),
    (b"\"\\a\"", 1),
    (b"\"\\'\"", 1),
    (b"\"\\x41\"", 1),
    (b"\"\\U0041\"", 1),
    (b"\"\\0\"", 1),
    (b"\"\\\n\"", 1),
    (b"\"\\u\"", 3),
    (b"\"\\u1\"", 4),
    (b"\"\\u12\"", 5),
    (b"\"\\u123\"", 6),
    (b"\"\\u123g\"", 6),
    (b"\"\\u+123\"", 3),
    (b"\"\\u 123\"", 3),
    (b"\"\\u{41}\"", 3),
    (b"\"\\u00", 5),
    (b"\"\\u0000\"", 1),
    (b"\"a\\u0000b\"", 2),
    (b"\"\0\"", 1),
    (b"\"\n\"", 1),
    (b"\"\t\"", 1),
    (b"\"\r\"", 1),
    (b"\"\x1f\"", 1),
    (b"\"a\x01\"", 2),
    (b"\"\\ud800\"", 7),
    (b"\"\\udbff\"", 7),
    (b"\"\\udc00\"", 1),
    (b"\"\\udfff\"", 1),
    (b"\"\\ud800x\"", 7),
    (b"\"\\ud800\\n\"", 7),
    (b"\"\\ud800\\u0041\"", 7),
    (b"\"\\ud800\\ud800\"", 7),
    (b"\"\\ud800\\udb", 11),
    (b"\"\\ud800\\u", 9),
    (b"\"\\ud800\\", 8),
    (b"\"\\ud800", 7),
    (b"\"\\udc00\\ud800\"", 1),
    // UTF-8.
    (b"\xef\xbb\xbf{}", 0),
    (b"\xef\xbb\xbf", 0),
    (b"\xfe\xff\0{\0}", 0),
    (b"{\0}\0", 1),
    (b"\"\xff\"", 1),
    (b"\"\x80\"", 1),
    (b"\"\xc3\"", 1),
    (b"\"\xc3\x28\"", 1),
    (b"\"\xc0\xaf\"", 1),
    (b"\"\xe0\x80\xaf\"", 1),
    (b"\"\xed\xa0\x80\"", 1),
    (b"\"\xf4\x90\x80\x80\"", 1),
    (b"\"\xf8\x88\x80\x80\x80\"", 1),
    (b"\"\xe2\x82\"", 1),
    (b"[\xff]", 1),
    (b"{\"\xe9\":1}", 2),
    (b"\xa0", 0),
    // Space that JSON does not know.
    (b"[\x0c]", 1),
    (b"[\x0b]", 1),
    (b"\xc2\xa0[]", 0),
    ("[\u{2028}]".as_bytes(), 1),
    ("[\u{feff}]".as_bytes(), 1),
    // Arrays.
    (b"[", 1),
    (b"[1", 2),
    (b"[1,", 3),
    (b"[1,]", 3),
    (b"[,1]", 1),
    (b"[,]", 1),
    (b"[1,,2]", 3),
    (b"[1 2]", 3),
    (b"[1;2]", 2),
    (b"[1:2]", 2),
    (b"[\"a\":1]", 4),
    (b"[}", 1),
    (b"[1}", 2),
    (b"]", 0),
    (b"[\"\"", 3),
    (b"[[1]", 4),
    (b"[][]", 2),
    (b"[1,2,3,...]", 7),
    (b"(1)", 0),
    (b"<null>", 0),
    // Objects.
    (b"{", 1),
    (b"}", 0),
    (b"{]", 1),
    (b"{,}", 1),
    (b"{a:1}", 1),
    (b"{'a':1}", 1),
    (b"{1:1}", 1),
    (b"{null:1}", 1),
    (b"{[]:1}", 1),
    (b"{\"a\"}", 4),
    (b"{\"a\":}", 5),
    (b"{\"a\":", 5),
    (b"{\"a\"", 4),
    (b"{\"a", 3),
    (b"{\"a\" 1}", 5),
    (b"{\"a\"::1}", 5),
    (b"{\"a\",1}", 4),
    (b"{\"a\":1,}", 7),
    (b"{\"a\":1,,\"b\":2}", 7),
    (b"{\"a\":1 \"b\":2}", 7),
    (b"{\"a\":1;\"b\":2}", 6),
    (b"{\"a\":1]", 6),
    (b"{\"a\":1", 6),
    (b"{\"a\":1,", 7),
    (b"{\"a\":1,1}", 7),
    (b"{\"a\":/*c*/1}", 5),
    (b"{//c\n}", 1),
    (b"{\"a\":1}//c", 7),
    (b"{\"a\":\"b\"c\"d\"}", 8),
    (b"{{}}", 1),
    (b"{\"a\":{\"b\":{}}", 13),
];

fn verdict(text: &[u8]) -> Option<String> {
    Document::of("t", text).err().map(|error| error.to_string())
}

#[test]
fn what_is_json_is_taken() {
    for text in ACCEPTED {
        assert_eq!(verdict(text), None, "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_not_is_refused_at_the_right_byte() {
    for (text, byte) in REFUSED {
        assert_eq!(
            super::super::validate::validate(text, &mut super::super::extents::Extents::new()).map_err(|(at, _)| at),
            Err(*byte),
            "{}",
            text.escape_ascii()
        );
        assert!(verdict(text).unwrap().starts_with("t:"));
    }
    assert!(ACCEPTED.len() + REFUSED.len() >= 150);
}

#[test]
fn the_table_agrees_with_another_reader() {
    let unlike = |text: &&&[u8]| {
        let ours = verdict(text).is_none();
        // It reads numbers into doubles; a huge one is JSON all the same.
        let theirs = match serde_json::from_slice::<serde_json::Value>(text) {
            Ok(_) => true,
            Err(error) => error.to_string().contains("out of range"),
        };
        ours != theirs
    };
    let texts = ACCEPTED.iter().chain(REFUSED.iter().map(|(text, _)| text));
    let unlike: Vec<String> = texts.filter(unlike).map(|text| text.escape_ascii().to_string()).collect();
    // NUL in a string is JSON; it is refused because the kernel would end the string there.
    assert_eq!(unlike, ["\\\"\\\\u0000\\\"", "\\\"a\\\\u0000b\\\""]);
}

#[test]
fn escapes_are_decoded() {
    for (text, expected) in [
        (r#""\u0041\u00e9\u20AC\ud83d\uDE00""#, "Aé€😀"),
        (r#""\uD800\uDC00\uDBFF\uDFFF""#, "\u{10000}\u{10ffff}"),
        (r#""\\u0041\/\"""#, "\\u0041/\""),
        (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
        (r#""a\\""#, "a\\"),
    ] {
        let document = Document::of("t", text.as_bytes()).unwrap();
        let value = document.root().as_text().unwrap();
        assert!(value.is(expected) && value.to_string() == expected && value.length() == expected.len(), "{text}");
    }
}
