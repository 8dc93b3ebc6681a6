//! Broken configurations, made from a good one: each with one fault, and with
//! what an error about it has to name.
//!
//! Three sources: a table of faults that somebody thought of, every value of the
//! good one replaced by values of every other type, and the good one cut.

use serde_json::Value;

mod table;

/// A valid configuration that uses every field that is carried out.
pub const GOOD: &str = include_str!("base.json");

/// Where a fault is found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// By the document alone, before anything is done.
    Document,
    /// By the rules of mount options, by files, or by the kernel.
    Runtime,
}

/// A configuration with one fault.
#[derive(Debug)]
pub struct Case {
    /// Of letters, digits, `-`, `_` and `.`: fit for a file.
    pub name: String,
    /// Of config.json.
    pub bytes: Vec<u8>,
    /// A part that the message has to have, such as `mounts[1].options[0]: `.
    pub expected: String,
    pub stage: Stage,
}

/// All of them, but for the truncations.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, (path, json, expected)) in table::FAULTS.iter().enumerate() {
        cases.push(case(
            &format!("fault-{index:03}{}", slug(path)),
            replaced(path, json),
            named(path, expected),
            Stage::Document,
        ));
    }
    for (index, (path, json, expected)) in table::RUNTIME.iter().enumerate() {
        cases.push(case(
            &format!("runtime-{index:03}{}", slug(path)),
            replaced(path, json),
            named(path, expected),
            Stage::Runtime,
        ));
    }
    for (name, bytes, expected) in table::texts() {
        cases.push(case(&format!("text-{name}"), bytes, expected.into(), Stage::Document));
    }
    let good = serde_json::from_str(GOOD).expect("the good configuration is JSON");
    every_other_type("", &good, &mut cases);
    cases
}

/// The good configuration cut at every byte, but for its last newline.
pub fn truncations() -> impl Iterator<Item = Case> {
    (0..GOOD.trim_end().len())
        .map(|cut| case(&format!("cut-{cut:04}"), GOOD.as_bytes()[..cut].to_vec(), String::new(), Stage::Document))
}

fn case(name: &str, bytes: Vec<u8>, expected: String, stage: Stage) -> Case {
    Case { name: name.into(), bytes, expected, stage }
}

/// The good configuration with the value at `path` (a JSON pointer) replaced by
/// `json`, raw; without the value if there is no `json`.
fn replaced(path: &str, json: &str) -> Vec<u8> {
    let mut document: Value = serde_json::from_str(GOOD).expect("the good configuration is JSON");
    const MARK: &str = "@@MARK@@";
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", ""));
    let name = name.replace("~1", "/").replace("~0", "~");
    let index = name.parse::<usize>();
    match document.pointer_mut(parent) {
        _ if path.is_empty() => document = MARK.into(),
        Some(Value::Object(members)) if json.is_empty() => drop(members.remove(&name).expect(path)),
        Some(Value::Object(members)) => drop(members.insert(name, MARK.into())),
        Some(Value::Array(items)) if json.is_empty() => drop(items.remove(index.expect(path))),
        Some(Value::Array(items)) if name == "-" => items.push(MARK.into()),
        Some(Value::Array(items)) => items[index.expect(path)] = MARK.into(),
        _ => panic!("nothing at {path}"),
    }
    let text = serde_json::to_string_pretty(&document).expect("it was JSON before");
    text.replace(&format!("\"{MARK}\""), json).into_bytes()
}

/// The message's part for a fault: as given, else the path of what was replaced.
fn named(path: &str, expected: &str) -> String {
    if expected.is_empty() { shown(path) } else { expected.into() }
}

/// A JSON pointer as an error shows it: `/mounts/1/type` is `mounts[1].type: `.
fn shown(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.parse::<usize>().is_ok() {
            path += &format!("[{step}]");
        } else {
            path += &format!("{}{step}", if path.is_empty() { "" } else { "." });
        }
    }
    if path.is_empty() { path } else { path + ": " }
}

fn slug(path: &str) -> String {
    path.replace('/', "-").replace('~', "")
}

/// A value of each type, with its type.
const SAMPLES: &[(&str, &str)] = &[
    ("bool", "true"),
    ("integer", "7"),
    ("fraction", "1.5"),
    ("string", "\"\\u0007 text\""),
    ("array", "[[]]"),
    ("object", "{\"x\": {}}"),
];

/// Every value inside `value` replaced by one of every other type.
fn every_other_type(pointer: &str, value: &Value, cases: &mut Vec<Case>) {
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    for (kind, json) in SAMPLES.iter().filter(|(kind, _)| *kind != own) {
        let name = format!("type-{kind}-for{}", if pointer.is_empty() { "-all".into() } else { slug(pointer) });
        cases.push(case(&name, replaced(pointer, json), shown(pointer), Stage::Document));
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                every_other_type(&format!("{pointer}/{index}"), item, cases);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                every_other_type(&format!("{pointer}/{name}"), member, cases);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_large_and_its_names_are_fit_for_files() {
        let cases = all();
        assert!(cases.len() >= 200, "{}", cases.len());
        let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))));
        assert!(truncations().count() > 2000);
    }
}
