//! The sources as tokens: what they name of the crate, and rules on single files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

use super::{Outcome, Subject, passed};
use crate::shell::top;

/// Files that are the ground itself: the kernel's door and the entry point.
/// Only they may contain `unsafe`.
pub const GROUND: &[&str] = &["sys/", "main.rs", "entry.rs", "memory.rs", "relocate.rs"];

/// One source file of src/.
pub struct Source {
    /// Its path below src/, with `/`.
    pub path: String,
    /// What the binary is built from: without the tests.
    pub shipped: TokenStream,
    /// Whether it has tests of its own that run on the host.
    pub tested: bool,
}

impl Source {
    /// What it names of the crate's top level: `use crate::{a, b::c}`,
    /// `crate::a::f()`, `crate::fail!`.
    pub fn references(&self) -> Vec<String> {
        self.named_after("crate")
    }

    /// What it names of its own folder: `use super::a`.
    pub fn siblings(&self) -> Vec<String> {
        self.named_after("super")
    }

    fn named_after(&self, root: &str) -> Vec<String> {
        let mut found = Vec::new();
        references(self.shipped.clone(), root, &mut found);
        found.sort();
        found.dedup();
        found
    }

    /// The folder that it is in, with a `/` at its end; empty for src/ itself.
    pub fn folder(&self) -> &str {
        self.path.rfind('/').map_or("", |at| &self.path[..=at])
    }

    /// Whether it is nothing but tests.
    pub fn is_test(&self) -> bool {
        self.shipped.is_empty() && self.tested
    }

    /// Whether there is a function with a body in it. A file without one only
    /// declares: modules, re-exports, constants, types, tables.
    pub fn acts(&self) -> bool {
        has_word(self.shipped.clone(), "fn")
    }

    pub fn has_unsafe(&self) -> bool {
        has_word(self.shipped.clone(), "unsafe")
    }

    pub fn is_ground(&self) -> bool {
        GROUND.iter().any(|ground| self.path.starts_with(ground))
    }
}

/// All files of src/, in the order of their paths.
pub fn read_all() -> Result<Vec<Source>> {
    let src = top().join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths)?;
    paths.sort();
    paths.into_iter().map(|path| read(&src, &path)).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read(src: &Path, path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let relative = path.strip_prefix(src)?.to_str().context("a path that is not UTF-8")?.to_owned();
    parse(&relative, &text)
}

fn parse(path: &str, text: &str) -> Result<Source> {
    let file = syn::parse_file(text).with_context(|| format!("cannot parse src/{path}"))?;
    let (tests, shipped): (Vec<_>, Vec<_>) = file.items.into_iter().partition(|item| only_tests(attributes(item)));
    // Long tests stand in a file or a folder of their own.
    let all_tests = only_tests(&file.attrs) || path.ends_with("tests.rs") || path.contains("/tests/");
    let shipped = if all_tests { TokenStream::new() } else { shipped.iter().map(ToTokens::to_token_stream).collect() };
    let tested = all_tests || tests.iter().any(|item| matches!(item, syn::Item::Mod(_)));
    Ok(Source { path: path.to_owned(), shipped, tested })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`, exactly.
fn only_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

/// Finds `root :: name` and `root :: { name …, name … }` at any depth, inside
/// macros too.
fn references(tokens: TokenStream, root: &str, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => references(group.stream(), root, found),
            TokenTree::Ident(word) if word == root && is_path_separator(&tokens, at + 1) => match tokens.get(at + 3) {
                Some(TokenTree::Ident(name)) => found.push(name.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    first_names(group.stream(), found);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// The first name of each part of a `{a, b::c, d::{e}}`.
fn first_names(tokens: TokenStream, found: &mut Vec<String>) {
    let mut at_start = true;
    for token in tokens {
        match token {
            TokenTree::Ident(name) if at_start => {
                found.push(name.to_string());
                at_start = false;
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => at_start = true,
            _ => {}
        }
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    [at, at + 1].iter().all(|at| matches!(tokens.get(*at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':'))
}

fn has_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => has_word(group.stream(), word),
        TokenTree::Ident(ident) => ident == word,
        _ => false,
    })
}

/// `unsafe` only on the ground.
pub fn check(_: &Subject) -> Outcome {
    let sources = read_all()?;
    let wrong: Vec<_> = sources
        .iter()
        .filter(|source| source.has_unsafe() && !source.is_ground())
        .map(|source| format!("src/{}: unsafe code belongs into src/sys", source.path))
        .collect();
    ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    let ground = sources.iter().filter(|source| source.has_unsafe()).count();
    passed(format!("{} files, unsafe in {ground} of them, all in sys or the entry point", sources.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_they_stand() {
        let text = "
            use crate::{a, b::c, d::{e, f}};
            use crate::g::h as i;
            use super::not_this;
            fn f() { crate::j::k(); m!(x, $crate::l::n); }
            #[cfg(test)]
            mod tests { use crate::o; }
        ";
        let source = parse("x.rs", text).unwrap();
        assert_eq!(source.references(), ["a", "b", "d", "g", "j", "l"]);
        assert_eq!(source.siblings(), ["not_this"]);
        assert!(source.tested && source.acts() && !source.has_unsafe());
    }

    #[test]
    fn a_file_of_declarations_does_not_act() {
        assert!(!parse("x.rs", "pub mod a; pub use a::b; pub const C: u8 = 1;").unwrap().acts());
    }
}
