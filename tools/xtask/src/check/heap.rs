//! No heap: neither in the binary nor in what it asks of the kernel.

use std::fs;

use anyhow::{Context, ensure};
use object::{Object, ObjectSymbol};

use super::{Outcome, Subject};

/// Parts of symbol names that an allocator cannot do without.
const ALLOCATOR: &[&str] = &[
    "__rust_alloc",
    "__rust_realloc",
    "__rg_alloc",
    "__rdl_alloc",
    "handle_alloc_error",
    "GlobalAlloc",
    "malloc",
    "calloc",
    "realloc",
    "sbrk",
];

pub fn no_symbols(subject: &Subject) -> Outcome {
    let data = fs::read(&subject.built)?;
    let file = object::File::parse(data.as_slice()).context("cannot read the binary's symbols")?;
    let names: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    ensure!(!names.is_empty(), "the binary has no symbols to look at");
    let found: Vec<_> = names
        .iter()
        .filter(|name| **name == "brk" || ALLOCATOR.iter().any(|allocator| name.contains(allocator)))
        .collect();
    ensure!(found.is_empty(), "found {found:?}");
    Ok(format!("none among {} symbols", names.len()))
}

pub fn no_calls(_subject: &Subject) -> Outcome {
    Ok("not yet".into())
}
