//! `check`: what can be seen without running a container, and with nothing
//! but a traced `--version` of the system.

mod call_graph;
mod elf;
pub mod fields;
mod floors;
mod heap;
mod machine_code;
mod size;
mod source;
mod stack;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::dist;
use crate::shell::{cargo, output};

/// What a check found out: one line.
pub enum Verdict {
    Passed(String),
    /// It could not look, and why.
    Skipped(String),
}

pub type Outcome = Result<Verdict>;

pub fn passed(found: impl Into<String>) -> Outcome {
    Ok(Verdict::Passed(found.into()))
}

/// What the checks look at.
pub struct Subject {
    /// Optimised, with symbols.
    built: PathBuf,
    /// As shipped.
    shipped: PathBuf,
    /// Bytes of the shipped file.
    size: u64,
}

type Check = fn(&Subject) -> Outcome;

/// The workspace in parts that cargo must see one at a time: built together,
/// the programs without std would get their dependencies with the features that
/// the tools and the tests ask for, std among them.
const PARTS: &[&[&str]] = &[
    &["--package", "ocinit"],
    &["--package", "ocinit", "--tests"],
    &["--package", "baseline"],
    &["--workspace", "--exclude", "ocinit", "--exclude", "baseline", "--all-targets"],
];

/// Of these, those that have tests.
pub const TESTED: &[&[&str]] =
    &[&["--package", "ocinit", "--lib"], &["--workspace", "--exclude", "ocinit", "--exclude", "baseline"]];

const CHECKS: &[(&str, Check)] = &[
    ("floors", floors::check),
    ("source", source::check),
    ("fields", fields::check),
    ("system calls", |_| crate::syscalls::check()),
    ("rustfmt", |_| output(cargo().args(["fmt", "--all", "--check", "--", "-l"])).and_then(|_| passed("formatted"))),
    ("clippy", |_| {
        for part in PARTS {
            let mut command = cargo();
            command.args(["clippy", "--quiet"]).args(*part);
            output(command.args(["--", "-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks"]))?;
        }
        passed("no warnings")
    }),
    ("size", size::check),
    ("elf", elf::check),
    ("no allocator", heap::no_symbols),
    ("no heap at run time", heap::no_calls),
    ("stack depth", stack::check),
];

/// Runs all of them, each whatever became of the others.
pub fn all() -> Result<Vec<(&'static str, Outcome)>> {
    let (shipped, size) = dist::dist()?;
    let subject = Subject { built: dist::built(), shipped, size };
    Ok(CHECKS.iter().map(|(name, check)| (*name, check(&subject))).collect())
}

/// One line for what was found, more for what is wrong.
pub fn print(name: &str, result: &Outcome) {
    match result {
        Ok(Verdict::Passed(found)) => println!("ok   {name}: {found}"),
        Ok(Verdict::Skipped(reason)) => println!("skip {name}: {reason}"),
        Err(error) => println!("FAIL {name}: {error:#}"),
    }
}

pub fn check() -> Result<()> {
    let results = all()?;
    for (name, result) in &results {
        print(name, result);
    }
    match results.iter().filter(|(_, result)| result.is_err()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", results.len()),
    }
}
