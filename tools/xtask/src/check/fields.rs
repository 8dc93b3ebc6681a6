//! The fields of the specification and the tests that prove them: docs/fields.md
//! is made out of the program's own tables, which host tests hold against the
//! specification's schemas, and of what the cases say they prove.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ocinit::spec::config::Config;
use ocinit::spec::record::{Form, Rule};
use proc_macro2::{TokenStream, TokenTree};

use super::{Outcome, Subject, passed};
use crate::shell::top;

const TABLE: &str = "docs/fields.md";

/// The folders with cases, and what their names begin with.
const CASES: &[(&str, &str)] = &[("tools/system-tests/src/cases", ""), ("vm-tests/src/cases", "vm/")];

pub fn check(_: &Subject) -> Outcome {
    let fields = specified();
    let claims = claims()?;
    let unknown: Vec<&String> =
        claims.keys().filter(|claim| !fields.keys().any(|field| stands_for(claim, field))).collect();
    ensure!(unknown.is_empty(), "proved by a case, but no field: {unknown:?}");
    let bare: Vec<&String> =
        fields.iter().filter(|(field, _)| proofs(&claims, field).is_empty()).map(|(field, _)| field).collect();
    ensure!(bare.is_empty(), "{} fields that no case proves:\n  {}", bare.len(), join(&bare));
    let there = fs::read_to_string(top().join(TABLE)).unwrap_or_default();
    ensure!(there == table(&fields, &claims), "{TABLE} is not what the cases say: `cargo xtask fields` writes it");
    passed(format!("{} fields, each with a case that proves it", fields.len()))
}

/// Writes the table.
pub fn write() -> Result<()> {
    let path = top().join(TABLE);
    fs::write(&path, table(&specified(), &claims()?)).with_context(|| format!("cannot write {}", path.display()))
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join("\n  ")
}

/// How a field is named: `mounts[].options[]`, `annotations.*`.
type Fields = BTreeMap<String, &'static str>;

/// The fields that hold a value, and what is said of them.
fn specified() -> Fields {
    let mut fields = Fields::new();
    descend(&Config::FORM, "", "", &mut fields);
    fields
}

fn descend(form: &'static Form, path: &str, said: &'static str, fields: &mut Fields) {
    match form {
        Form::Object(table) => {
            for name in table.names.iter() {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                let index = table.names.iter().position(|other| other == name).unwrap_or_default();
                match table.rules[index] {
                    Rule::Foreign => drop(fields.insert(path, "another platform's: refused")),
                    Rule::Later => drop(fields.insert(path, "not carried out: refused")),
                    Rule::Optional | Rule::Required => descend(table.forms[index], &path, said, fields),
                }
            }
        }
        Form::List(items) | Form::Filled(items) => descend(items, &format!("{path}[]"), said, fields),
        Form::Map(members) => descend(members, &format!("{path}.*"), said, fields),
        _ => drop(fields.insert(path.to_owned(), said)),
    }
}

/// What cases say they prove, each with the names of the cases.
type Claims = BTreeMap<String, BTreeSet<String>>;

fn stands_for(claim: &str, field: &str) -> bool {
    match claim.strip_suffix('*') {
        // A map's members are called so as well: `annotations.*`.
        Some(start) => claim == field || field.starts_with(start),
        None => claim == field,
    }
}

fn proofs<'a>(claims: &'a Claims, field: &str) -> BTreeSet<&'a String> {
    claims.iter().filter(|(claim, _)| stands_for(claim, field)).flat_map(|(_, cases)| cases).collect()
}

fn claims() -> Result<Claims> {
    let mut claims = Claims::new();
    for (folder, prefix) in CASES {
        for path in files(&top().join(folder))? {
            let text = fs::read_to_string(&path)?;
            let file = syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
            for item in file.items {
                if let syn::Item::Macro(item) = item
                    && item.mac.path.is_ident("cases")
                {
                    read_cases(item.mac.tokens, prefix, &mut claims)
                        .with_context(|| format!("{}: cases!", path.display()))?;
                }
            }
        }
    }
    Ok(claims)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    Ok(files)
}

/// `"group": one, two [Need::…] proves ["a.b"]`
fn read_cases(tokens: TokenStream, prefix: &str, claims: &mut Claims) -> Result<()> {
    let mut tokens = tokens.into_iter();
    let Some(TokenTree::Literal(group)) = tokens.next() else { bail!("a group's name comes first") };
    let group = group.to_string().trim_matches('"').to_owned();
    let (mut case, mut proves) = (String::new(), false);
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "proves" => proves = true,
            TokenTree::Ident(word) => case = word.to_string(),
            TokenTree::Group(fields) if proves => {
                for field in fields.stream() {
                    if let TokenTree::Literal(field) = field {
                        let field = field.to_string().trim_matches('"').to_owned();
                        claims.entry(field).or_default().insert(format!("{prefix}{group}/{case}"));
                    }
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => proves = false,
            _ => {}
        }
    }
    Ok(())
}

fn table(fields: &Fields, claims: &Claims) -> String {
    let mut text = String::from(
        "# The fields of config.json, and the tests that prove them\n\n\
         Made by `cargo xtask fields` from what the cases say; `cargo xtask check` fails when a\n\
         field has no row. A case reads the field's effect back from the kernel. Those of `vm/`\n\
         boot a guest, the others run on the host, in a guest with an old kernel, or in both.\n\
         What the kernel has nothing for (another platform, cgroup version 1, SELinux without\n\
         its module) is shown to be refused or told; for resctrl's hardware a folder stands in.\n\n\
         | field | proved by |\n|---|---|\n",
    );
    for (field, said) in fields {
        let cases: Vec<String> = proofs(claims, field).iter().map(|case| format!("`{case}`")).collect();
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        text.push_str(&format!("| `{field}`{said} | {} |\n", cases.join(" ")));
    }
    text
}
