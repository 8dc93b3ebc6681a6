//! The size of the shipped binary: its budget and its history.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Outcome, Subject, passed};
use crate::shell::{output, top};

/// Bytes that the whole program may have once it is complete.
const BUDGET: u64 = 131_072;
/// Bytes that it may have today, being over the budget: only ever lowered, until
/// it is the budget.
const CEILING: u64 = 378_800;
/// The history: a line for every change, the newest last.
const HISTORY: &str = "tools/xtask/size.txt";

pub fn check(subject: &Subject) -> Outcome {
    let size = subject.size;
    let change = record(size)?;
    ensure!(size <= CEILING, "{size} bytes are more than today's ceiling of {CEILING}{change}");
    let verdict = if size <= BUDGET { "within" } else { "OVER" };
    passed(format!("{size} bytes, {verdict} the budget of {BUDGET} ({} %){change}", size * 100 / BUDGET))
}

/// Adds a line to the history where the figure has changed since the last
/// commit. A machine that only tests leaves the history alone.
fn record(size: u64) -> Result<String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(top()));
    // Not the file itself: its last line may be from an earlier run of today.
    let history = git(&["show", &format!("HEAD:{HISTORY}")]).unwrap_or_default();
    let last = history.lines().rev().find_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    if last == Some(size) {
        return Ok(String::new());
    }
    if std::env::var_os("CI").is_none() {
        let after = git(&["log", "-1", "--format=%cs after: %s"]).unwrap_or_default();
        let path = top().join(HISTORY);
        fs::write(&path, format!("{history}{size:>7}  {}\n", after.trim()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(last.map_or(String::new(), |last| format!(", {:+} since the last commit", size as i64 - last as i64)))
}
