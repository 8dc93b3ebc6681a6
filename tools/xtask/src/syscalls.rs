//! The tables of system calls in `src/seccomp/syscalls`: from the kernel's
//! headers as the crate linux-raw-sys has them, for every architecture at once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::check::{Outcome, passed};
use crate::shell::{cargo, output, top};

/// The architectures we run on, and those whose programs their kernels run too.
const TABLES: &[(&str, &[&str])] =
    &[("x86_64", &["x86_64", "x86", "x32"]), ("aarch64", &["aarch64", "arm"]), ("riscv64", &["riscv64"])];

/// Calls that are newer than the crate's headers (6.18); new ones have one number
/// everywhere.
const NEWER: &[(&str, u32)] = &[("listns", 470), ("rseq_slice_yield", 471)];

/// Calls that x86 once had, or still has, as functions of socketcall(2) and
/// ipc(2), by the number of the function (linux/net.h, linux/ipc.h).
const SOCKETCALL: &[(&str, u32)] = &[
    ("socket", 1),
    ("bind", 2),
    ("connect", 3),
    ("listen", 4),
    ("accept", 5),
    ("getsockname", 6),
    ("getpeername", 7),
    ("socketpair", 8),
    ("send", 9),
    ("recv", 10),
    ("sendto", 11),
    ("recvfrom", 12),
    ("shutdown", 13),
    ("setsockopt", 14),
    ("getsockopt", 15),
    ("sendmsg", 16),
    ("recvmsg", 17),
    ("accept4", 18),
    ("recvmmsg", 19),
    ("sendmmsg", 20),
];
const IPC: &[(&str, u32)] = &[
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// Set in the number of every x32 call (asm/unistd.h).
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// Writes the tables anew.
pub fn write() -> Result<()> {
    for (path, text) in tables()? {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Whether they are what [`write`] would write.
pub fn check() -> Outcome {
    let tables = tables()?;
    for (path, text) in &tables {
        let found = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(found == *text, "{} is not what `cargo xtask syscalls` makes", path.display());
    }
    let lines: Vec<String> = tables
        .iter()
        .map(|(path, text)| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            format!("{name} {}", text.lines().filter(|line| !line.starts_with('#')).count())
        })
        .collect();
    passed(format!("names of system calls: {}", lines.join(", ")))
}

/// Path and text of each table.
fn tables() -> Result<Vec<(PathBuf, String)>> {
    let headers = headers()?;
    TABLES
        .iter()
        .map(|(name, columns)| {
            let numbers = columns.iter().map(|column| numbers(&headers, column)).collect::<Result<Vec<_>>>()?;
            Ok((top().join(format!("src/seccomp/syscalls/{name}.txt")), table(columns, &numbers)))
        })
        .collect()
}

fn table(columns: &[&str], numbers: &[BTreeMap<String, u32>]) -> String {
    let multiplexed: BTreeMap<&str, String> = match columns.contains(&"x86") {
        false => BTreeMap::new(),
        true => [(SOCKETCALL, 's'), (IPC, 'i')]
            .iter()
            .flat_map(|(list, letter)| list.iter().map(move |(name, number)| (*name, format!("{letter}{number}"))))
            .collect(),
    };
    let mut names: Vec<&str> = numbers
        .iter()
        .flat_map(|column| column.keys().map(String::as_str))
        .chain(multiplexed.keys().copied())
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::from("# System calls by name. Written by `cargo xtask syscalls`, not by hand.\n");
    let last = if multiplexed.is_empty() { "" } else { " multiplexed" };
    let _ = writeln!(text, "# name {}{last}", columns.join(" ")); // to a string
    for name in names {
        text.push_str(name);
        for column in numbers {
            match column.get(name) {
                Some(number) => drop(write!(text, " {number}")),
                None => text.push_str(" -"),
            }
        }
        if let Some(function) = multiplexed.get(name) {
            let _ = write!(text, " {function}");
        }
        text.push('\n');
    }
    text
}

/// Name and number of each call of an architecture.
fn numbers(headers: &std::path::Path, architecture: &str) -> Result<BTreeMap<String, u32>> {
    let path = headers.join(architecture).join("general.rs");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut numbers: BTreeMap<String, u32> = NEWER.iter().map(|(name, number)| ((*name).into(), *number)).collect();
    for line in text.lines() {
        // `pub const __NR_read: u32 = 0;`, and `__ARM_NR_` for those of arm alone.
        let Some(rest) = line.strip_prefix("pub const __NR_").or_else(|| line.strip_prefix("pub const __ARM_NR_"))
        else {
            continue;
        };
        let (name, value) = rest.split_once(": u32 = ").context("a number of another form")?;
        // Bases to count from, not calls.
        if name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') {
            continue;
        }
        let mut number: u32 = value.trim_end_matches(';').parse().with_context(|| line.to_owned())?;
        if architecture == "x32" {
            number &= !X32_SYSCALL_BIT;
        }
        numbers.insert(name.into(), number);
    }
    ensure!(numbers.len() > 300, "{} has only {} system calls", path.display(), numbers.len());
    Ok(numbers)
}

/// The sources of linux-raw-sys, in the version that the program is built with.
fn headers() -> Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "linux-raw-sys")
        .and_then(|package| package["manifest_path"].as_str())
        .context("no package linux-raw-sys")?;
    Ok(PathBuf::from(manifest).with_file_name("src"))
}
