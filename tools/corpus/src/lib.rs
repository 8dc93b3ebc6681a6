//! Broken configurations, made from a good one: each with one fault, and with
//! what an error about it has to name.
//!
//! Three sources: a table of faults that somebody thought of, every value of the
//! good one replaced by values of every other type, and the good one cut.

mod table;
mod tree;

use tree::Node;

/// A valid configuration that uses every field that is carried out. To run, it
/// needs a folder `rootfs` of user 100000 beside it with `proc`, `tmp`, `mnt` and
/// a static `bin/true`; then all that is wrong with a case is its fault.
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
    every_other_type("", &Node::read(GOOD, 0, false).1, &mut cases);
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
    let (_, mut parent) = Node::read(GOOD, 0, false);
    if path.is_empty() {
        return splice(parent.value, json);
    }
    let steps: Vec<String> = path.split('/').skip(1).map(unescaped).collect();
    let (name, before) = steps.split_last().expect("a path has a step");
    for step in before {
        let index = parent.children.iter().position(|(own, _)| own == step).expect(path);
        parent = parent.children.swap_remove(index).1;
    }
    match parent.child(name) {
        Some(node) if !json.is_empty() => splice(node.value.clone(), json),
        // With the comma behind it, or before it if it is the last one.
        Some(node) => {
            let end = node.member.end;
            if GOOD[end..].starts_with(',') {
                return splice(node.member.start..end + 1, "");
            }
            let start = GOOD[..node.member.start].trim_end();
            splice(start.len() - usize::from(start.ends_with(','))..end, "")
        }
        None => {
            assert!(!json.is_empty(), "nothing at {path}");
            let end = parent.value.end - 1;
            let comma = if parent.children.is_empty() { "" } else { ", " };
            let name = if name == "-" { String::new() } else { format!("\"{name}\": ") };
            splice(end..end, &format!("{comma}{name}{json}"))
        }
    }
}

fn splice(place: std::ops::Range<usize>, json: &str) -> Vec<u8> {
    [&GOOD[..place.start], json, &GOOD[place.end..]].concat().into_bytes()
}

/// A step of a JSON pointer (RFC 6901).
fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The message's part for a fault: as given, else the path of what was replaced.
fn named(path: &str, expected: &str) -> String {
    if expected.is_empty() { shown(path) } else { expected.into() }
}

/// A JSON pointer as an error shows it: `/mounts/1/type` is `mounts[1].type: `.
fn shown(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = unescaped(step);
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

/// Every value from `node` inwards replaced by one of every other type.
fn every_other_type(pointer: &str, node: &Node, cases: &mut Vec<Case>) {
    let own = match GOOD.as_bytes()[node.value.start] {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        _ => "integer",
    };
    for (kind, json) in SAMPLES.iter().filter(|(kind, _)| *kind != own) {
        let name = format!("type-{kind}-for{}", if pointer.is_empty() { "-all".into() } else { slug(pointer) });
        cases.push(case(&name, replaced(pointer, json), shown(pointer), Stage::Document));
    }
    for (name, child) in &node.children {
        let name = name.replace('~', "~0").replace('/', "~1");
        every_other_type(&format!("{pointer}/{name}"), child, cases);
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
