//! `size`: where the bytes of the shipped binary are, to the last one.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::dist;

/// Bytes of code, constants and relocated tables.
type Row = [u64; 3];

pub fn print() -> Result<()> {
    let (_, size) = dist::dist()?;
    let built = dist::built();
    let data = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    let file = object::File::parse(data.as_slice()).context("cannot read the binary's symbols")?;
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut total = [0; 3];
    for section in file.sections() {
        let Some(column) = column(section.kind(), section.name()?) else { continue };
        total[column] += section.size();
        // Several names may stand for one place, where the same code was made twice.
        let mut named: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.section_index() == Some(section.index())) {
            if symbol.size() > 0 {
                named.insert(symbol.address(), (symbol.size(), owner(symbol.name()?)));
            }
        }
        let mut rest = section.size();
        for (bytes, owner) in named.into_values() {
            rows.entry(owner).or_default()[column] += bytes;
            rest = rest.saturating_sub(bytes);
        }
        rows.entry("texts, constants and tables without a name".into()).or_default()[column] += rest;
    }
    let headers = size.saturating_sub(total.iter().sum());
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.iter().sum::<u64>()));
    println!("{:<44} {:>8} {:>8} {:>8} {:>8}", "", "code", "const", "tables", "all");
    let line = |name: &str, row: &Row| {
        println!("{name:<44} {:>8} {:>8} {:>8} {:>8}", row[0], row[1], row[2], row.iter().sum::<u64>());
    };
    rows.iter().for_each(|(name, row)| line(name, row));
    line("headers, and what aligns the segments", &[0, headers, 0]);
    total[1] += headers;
    line("all", &total);
    Ok(())
}

/// Which column a section counts in; `None`: it takes no bytes of the file.
fn column(kind: SectionKind, name: &str) -> Option<usize> {
    match kind {
        SectionKind::Text => Some(0),
        SectionKind::ReadOnlyData | SectionKind::ReadOnlyString | SectionKind::Metadata => {
            matches!(name, ".rodata" | ".dynsym" | ".gnu.hash" | ".hash" | ".dynstr" | ".relr.dyn" | ".rela.dyn")
                .then_some(1)
        }
        SectionKind::Data | SectionKind::ReadOnlyDataWithRel => Some(2),
        SectionKind::Elf(_) => matches!(name, ".dynamic" | ".relr.dyn").then_some(2),
        _ => None,
    }
}

/// The folder, or the file on the top level, that a symbol is from; of another crate, its name.
fn owner(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    // `<ocinit::bytes::Split as core::iter::Iterator>::next` is of `bytes`.
    let from_own = name.find("ocinit::").map(|place| &name[place..]);
    let path = from_own.unwrap_or_else(|| name.trim_start_matches(['<', '&', '[', '(']));
    let mut words =
        path.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or("?");
    match (first, words.next()) {
        ("ocinit", Some(part)) if part.starts_with(char::is_lowercase) => format!("src/{part}"),
        ("ocinit", _) => "src/main.rs".into(),
        ("rustix" | "heapless" | "serde_json_core" | "serde_core", _) => first.into(),
        // Traits of core for core's own types are named by these.
        _ => "core".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn owners_of_symbols() {
        for (symbol, whose) in [
            ("ocinit::json::value::skip_string", "src/json"),
            ("<ocinit::bytes::Split as core::iter::traits::iterator::Iterator>::next", "src/bytes"),
            ("ocinit::WORKSPACE", "src/main.rs"),
            ("core::fmt::write", "core"),
            ("rustix::fs::openat", "rustix"),
            ("<&mut T as core::fmt::Display>::fmt", "core"),
        ] {
            assert_eq!(owner(symbol), whose, "{symbol}");
        }
    }
}
