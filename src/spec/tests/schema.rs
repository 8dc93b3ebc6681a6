//! The tables against the JSON schemas of the runtime-spec, property by property.
//!
//! The schemas are not part of this repository. `build.rs` looks for them in the
//! folder that OCINIT_OCI_DIR names, else in `../shared/oci` beside the
//! workspace; without them these tests are ignored.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::json::Document;
use crate::spec::config::Config;
use crate::spec::features::Features;
use crate::spec::record::{Form, Rule, Shape, Strictness, Table, check};
use crate::spec::state::State;

/// Where the schemas are, for tests that run only where they are.
fn folder() -> PathBuf {
    PathBuf::from(option_env!("OCINIT_SCHEMAS").unwrap_or_default()) // of build.rs
}

/// Where a schema goes on: the file it is in matters for its references.
#[derive(Clone)]
struct Schema {
    file: String,
    value: Value,
}

struct Comparison {
    folder: PathBuf,
    files: BTreeMap<String, Value>,
    differences: Vec<String>,
    compared: usize,
}

impl Comparison {
    /// A schema with its references followed and its `allOf` and `anyOf` merged;
    /// nothing if it is in a file of another platform, which is not at hand.
    fn resolve(&mut self, mut schema: Schema) -> Option<Schema> {
        while let Some(Value::String(reference)) = schema.value.get("$ref").cloned() {
            let (file, pointer) = reference.split_once('#').unwrap();
            let file = if file.is_empty() { schema.file } else { file.to_string() };
            if !self.files.contains_key(&file) {
                let text = std::fs::read(self.folder.join(&file)).ok()?;
                self.files.insert(file.clone(), serde_json::from_slice(&text).unwrap());
            }
            schema.value = self.files[&file].pointer(pointer).unwrap_or_else(|| panic!("{reference}")).clone();
            schema.file = file;
        }
        for word in ["allOf", "anyOf"] {
            for part in schema.value.get(word).and_then(Value::as_array).cloned().unwrap_or_default() {
                let part = self.resolve(Schema { file: schema.file.clone(), value: part })?;
                schema.file = part.file; // what is merged in refers to its own file
                let whole = schema.value.as_object_mut().unwrap();
                for (name, value) in part.value.as_object().unwrap() {
                    match (whole.get_mut(name), value) {
                        (Some(Value::Object(whole)), Value::Object(part)) => whole.extend(part.clone()),
                        (Some(Value::Array(whole)), Value::Array(part)) => whole.extend(part.clone()),
                        _ => drop(whole.insert(name.clone(), value.clone())),
                    }
                }
            }
        }
        Some(schema)
    }

    fn differs(&mut self, path: &str, what: String) {
        self.differences.push(format!("{path}: {what}"));
    }

    fn compare(&mut self, schema: Schema, form: &Form, path: &str) {
        self.compared += 1;
        let file = schema.file.clone();
        let inside = |value: &Value| Schema { file: file.clone(), value: value.clone() };
        let word = |name: &str| schema.value.get(name).cloned();
        let kind = word("type").and_then(|kind| kind.as_str().map(String::from)).unwrap_or("object".into());
        match (kind.as_str(), form) {
            ("boolean", Form::Bool) => {}
            ("integer", Form::Integer(range)) => {
                let (least, most) = (i128::from(range.least), i128::from(range.most));
                let number = |name: &str, none: i128| {
                    word(name).map_or(none, |number| {
                        number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).unwrap()
                    })
                };
                let theirs = (number("minimum", least), number("maximum", most));
                if theirs != (least, most) {
                    self.differs(path, format!("{theirs:?} in the schema, {:?} here", (least, most)));
                }
            }
            ("string", Form::Text) if word("enum").is_none() && word("pattern").is_none() => {}
            ("string", Form::Word(words)) if word("enum").is_some() => {
                let sorted = |mut words: Vec<String>| {
                    words.sort();
                    words
                };
                let theirs = word("enum").unwrap();
                let theirs =
                    sorted(theirs.as_array().unwrap().iter().map(|word| word.as_str().unwrap().into()).collect());
                let ours = sorted(words.iter().map(String::from).collect());
                if theirs != ours {
                    self.differs(path, format!("words {theirs:?} in the schema, {ours:?} here"));
                }
            }
            // What the schema has no pattern for, the specification's text demands.
            ("string", Form::Pattern(..)) if word("enum").is_none() => {}
            ("array", Form::List(items)) if word("minItems").is_none() => {
                let items_schema = self.resolve(inside(&word("items").unwrap())).unwrap();
                self.compare(items_schema, items, &format!("{path}[]"));
            }
            ("array", Form::Filled(items)) if word("minItems") == Some(1.into()) => {
                let items_schema = self.resolve(inside(&word("items").unwrap())).unwrap();
                self.compare(items_schema, items, &format!("{path}[]"));
            }
            ("object", Form::Map(members)) => {
                let theirs =
                    word("additionalProperties").or_else(|| Some(word("patternProperties")?.get(".{1,}")?.clone()));
                let theirs = self.resolve(inside(&theirs.unwrap_or_else(|| panic!("{path} is no map")))).unwrap();
                self.compare(theirs, members, &format!("{path}.*"));
            }
            ("object", Form::Object(table)) => {
                let required = word("required").unwrap_or_default();
                let required: Vec<&str> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let properties = word("properties").and_then(|value| value.as_object().cloned()).unwrap_or_default();
                self.compare_object(&file, &properties, &required, table, path);
            }
            (kind, _) => {
                self.differs(path, format!("{kind} with {:?} in the schema", word("pattern").or(word("enum"))))
            }
        }
    }

    fn compare_object(&mut self, file: &str, theirs: &Map<String, Value>, required: &[&str], ours: &Table, path: &str) {
        for name in ours.names.iter().filter(|name| !theirs.contains_key(*name)) {
            self.differs(path, format!("{name:?} is not in the schema"));
        }
        for (name, schema) in theirs {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let Some(index) = ours.names.iter().position(|ours| ours == name) else {
                self.differs(&path, "not in the table".to_string());
                continue;
            };
            let (form, rule) = (ours.forms[index], ours.rules[index]);
            if required.contains(&name.as_str()) != (rule == Rule::Required) {
                self.differs(&path, "required on one side only".to_string());
            }
            let schema = self.resolve(Schema { file: file.to_string(), value: schema.clone() });
            match (schema, form) {
                (_, Form::Anything) if rule == Rule::Foreign => {}
                (Some(schema), form) => self.compare(schema, form, &path),
                (None, _) => self.differs(&path, "a reference that leads nowhere".to_string()),
            }
        }
    }
}

fn differences(file: &str, form: &Form) -> (usize, Vec<String>) {
    let mut comparison = Comparison { folder: folder(), files: BTreeMap::new(), differences: Vec::new(), compared: 0 };
    let schema =
        comparison.resolve(Schema { file: String::new(), value: serde_json::json!({ "$ref": format!("{file}#") }) });
    comparison.compare(schema.unwrap(), form, "");
    (comparison.compared, comparison.differences)
}

#[test]
#[cfg_attr(not(schemas), ignore = "no JSON schemas of the runtime-spec (see OCINIT_OCI_DIR)")]
fn config_is_as_in_the_schema() {
    let (compared, differences) = differences("config-schema.json", &Config::FORM);
    let expected = [
        // Engines send what a host's node has: see `Device`.
        "linux.devices[].fileMode: (0, 511) in the schema, (0, 4294967295) here",
        // A closed list where the schema has a pattern: see `DeviceTypes`, `RlimitTypes`.
        "linux.devices[].type: string with Some(String(\"^[cbup]$\")) in the schema",
        // config-linux.md calls it REQUIRED.
        "linux.memoryPolicy.mode: required on one side only",
        // The kernel's own ranges: see `RuleNumber`, and below `Cells`, `Id`, `Umask`.
        "linux.resources.devices[].major: (-9223372036854775808, 9223372036854775807) in the schema, (-1, 2147483647) here",
        "linux.resources.devices[].minor: (-9223372036854775808, 9223372036854775807) in the schema, (-1, 2147483647) here",
        // Engines send the recursive forms, and "" for none: see `Propagations`.
        "linux.rootfsPropagation: words [\"private\", \"shared\", \"slave\", \"unbindable\"] in the schema, \
         [\"\", \"private\", \"rprivate\", \"rshared\", \"rslave\", \"runbindable\", \"shared\", \"slave\", \"unbindable\"] here",
        "process.consoleSize.height: (0, 18446744073709551615) in the schema, (0, 65535) here",
        "process.consoleSize.width: (0, 18446744073709551615) in the schema, (0, 65535) here",
        "process.rlimits[].type: string with Some(String(\"^RLIMIT_[A-Z]+$\")) in the schema",
        "process.user.additionalGids[]: (0, 4294967295) in the schema, (0, 4294967294) here",
        "process.user.gid: (0, 4294967295) in the schema, (0, 4294967294) here",
        "process.user.uid: (0, 4294967295) in the schema, (0, 4294967294) here",
        "process.user.umask: (0, 4294967295) in the schema, (0, 511) here",
    ];
    assert_eq!(differences, expected);
    assert!(compared > 200, "{compared}");
}

#[test]
#[cfg_attr(not(schemas), ignore = "no JSON schemas of the runtime-spec (see OCINIT_OCI_DIR)")]
fn state_is_as_in_the_schema() {
    let (compared, differences) = differences("state-schema.json", &<State<'static> as Shape>::FORM);
    assert_eq!((compared, differences), (8, Vec::<String>::new()));
}

#[test]
#[cfg_attr(not(schemas), ignore = "no JSON schemas of the runtime-spec (see OCINIT_OCI_DIR)")]
fn features_are_as_in_the_schema() {
    let (_, differences) = differences("features-schema.json", &<Features<'static> as Shape>::FORM);
    // features-linux.md has them since 1.3.
    let newer = ["schemata", "monitoring"].map(|name| format!("linux.intelRdt: \"{name}\" is not in the schema"));
    assert_eq!(differences, newer);
}

#[test]
#[cfg_attr(not(schemas), ignore = "no JSON schemas of the runtime-spec (see OCINIT_OCI_DIR)")]
fn examples_behave_as_their_folders_say() {
    let folder = folder();
    let mut files = 0;
    for (kind, form) in [
        ("config", &Config::FORM),
        ("state", &<State<'static> as Shape>::FORM),
        ("features", &<Features<'static> as Shape>::FORM),
    ] {
        for (verdict, good) in [("good", true), ("bad", false)] {
            for file in std::fs::read_dir(folder.join("examples").join(kind).join(verdict)).unwrap() {
                let file = file.unwrap().path();
                let text = std::fs::read(&file).unwrap();
                let said = Document::of("t", &text)
                    .and_then(|document| {
                        check(document.root(), form, Strictness::Valid)?;
                        if kind == "config" {
                            crate::spec::semantics::check(&Config::view(document.root()))
                        } else {
                            Ok(())
                        }
                    })
                    .err()
                    .map(|error| error.to_string());
                assert_eq!(said.is_none(), good, "{}: {said:?}", file.display());
                files += 1;
            }
        }
    }
    assert!(files >= 13, "{files}");
}

#[test]
#[cfg_attr(not(schemas), ignore = "no JSON schemas of the runtime-spec (see OCINIT_OCI_DIR)")]
fn what_engines_write_is_valid() {
    let folder = folder();
    for file in std::fs::read_dir(folder.join("engines")).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read(&file).unwrap();
        let document = Document::of("t", &text).unwrap();
        check(document.root(), &Config::FORM, Strictness::Valid).unwrap();
        crate::spec::semantics::check(&Config::view(document.root())).unwrap();
        crate::spec::version::check(Config::view(document.root()).oci_version().unwrap()).unwrap();
    }
}
