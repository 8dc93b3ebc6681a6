//! No heap: neither in the binary nor in what it asks of the kernel.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use bundle::Bundle;
use object::{Object, ObjectSymbol};
use tracer::{End, FileId, Report, Until};

use super::{Outcome, Subject, Verdict, passed};
use crate::shell::{have, is_root};

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
    passed(format!("none among {} symbols", names.len()))
}

pub fn no_calls(subject: &Subject) -> Outcome {
    let shipped = &subject.shipped;
    let mut version = Command::new(shipped);
    version.arg("--version").stdout(Stdio::null());
    let report = match Report::of(version, None, Until::AllGone) {
        Ok(report) => report,
        Err(error) => return Ok(Verdict::Skipped(format!("{error:#}"))),
    };
    ensure!(report.heap.is_empty(), "--version asks for memory: {:?}", report.heap);
    if !is_root() {
        return Ok(Verdict::Skipped("a traced `run` needs root".into()));
    }
    if !have("busybox") {
        return Ok(Verdict::Skipped("a traced `run` needs busybox (Debian: busybox-static)".into()));
    }
    let folder = tempfile::Builder::new().prefix("ocinit-check-").tempdir()?;
    let mut bundle = Bundle::from_spec(folder.path(), shipped)?;
    bundle.no_terminal().no_rlimits().arguments(&["/bin/true"]).write()?;
    let payload = FileId::of(&bundle.busybox())?;
    let id = format!("check-{}", std::process::id());
    let mut run = Command::new(shipped);
    run.arg("--root").arg(folder.path().join("state")).args(["run", "--bundle"]).arg(bundle.folder()).arg(id);
    let report = Report::of(run, Some(payload), Until::AllGone)?;
    ensure!(report.end.is_some_and(End::success), "the traced run ended with {:?}", report.end);
    ensure!(report.executed.len() > 1, "the traced run never came to its payload");
    ensure!(report.heap.is_empty(), "`run` asks for memory: {:?}", report.heap);
    passed(format!("no brk and no anonymous mmap among the {} calls of a `run`", report.total()))
}
