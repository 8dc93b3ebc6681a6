//! `dist`: the shipped binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{cargo, run, target, top};

/// What LLVM does for speed at the cost of size, even when asked for size: code
/// taken out of loops and common values kept in registers need more of them than
/// there are, blocks in their order of likelihood need more jumps. Measured, for
/// Rust 1.95: 1.3, 0.5, 0.2 and 0.8 % of the code.
const SMALLER: &[&str] =
    &["disable-machine-licm", "disable-machine-cse", "split-spill-mode=size", "disable-block-placement"];

/// The optimised binary with its symbols, once it is built: what `check` looks into.
pub fn built() -> PathBuf {
    target().join("release/ocinit")
}

fn build() -> Result<PathBuf> {
    build_with(&[])
}

fn build_with(options: &[&str]) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["rustc", "--quiet", "--release", "--package", "ocinit", "--bin", "ocinit"]).args(options);
    command.arg("--config").arg(format!("build.rustflags={:?}", remapped()?));
    command.arg("--").args(SMALLER.iter().map(|option| format!("-Cllvm-args=-{option}")));
    run(&mut command)?;
    Ok(built())
}

/// Options that take the builder's paths out of what a panic would say: they
/// are long, and nobody's business.
fn remapped() -> Result<Vec<String>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(Ok(registries)) = home.map(|home| fs::read_dir(home.join("registry/src"))) else { return Ok(Vec::new()) };
    registries.map(|registry| Ok(format!("--remap-path-prefix={}/=", registry?.path().display()))).collect()
}

/// Builds, strips, prints the size in bytes; returns path and size.
pub fn dist() -> Result<(PathBuf, u64)> {
    let built = build()?;
    let folder = top().join("dist");
    fs::create_dir_all(&folder).context("cannot make dist/")?;
    let shipped = folder.join("ocinit");
    strip(&built, &shipped)?;
    let size = fs::metadata(&shipped)?.len();
    println!("dist/ocinit: {size} bytes");
    Ok((shipped, size))
}

/// Builds the program that panics on purpose, beside the shipped one.
pub fn panicking() -> Result<()> {
    let built = build_with(&["--features", "panics"])?;
    fs::create_dir_all(top().join("dist")).context("cannot make dist/")?;
    strip(&built, &top().join("dist/ocinit-panics"))
}

/// Leaves out whatever the kernel does not read: it needs the program headers
/// and what they name. Symbols, sections and their names are for debuggers and
/// linkers.
pub fn strip(built: &Path, stripped: &Path) -> Result<()> {
    let strip = |option: &str| {
        let mut command = Command::new("objcopy");
        command.args(["--strip-all", option]).arg(built).arg(stripped);
        command
    };
    // --strip-section-headers came with binutils 2.41.
    let mut best = strip("--strip-section-headers");
    if !best.output().is_ok_and(|output| output.status.success()) {
        run(&mut strip("--strip-debug"))?;
        drop_section_headers(stripped)?;
    }
    Ok(())
}

/// Cuts the table of sections and the strings of their names off an ELF64
/// file, as newer versions of objcopy can.
fn drop_section_headers(path: &Path) -> Result<()> {
    let mut file = fs::read(path)?;
    let word = |file: &[u8], at: usize, size: usize| {
        file[at..at + size].iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    // elf(5): e_phoff, e_phentsize, e_phnum; p_offset, p_filesz.
    let (table, entry, entries) = (word(&file, 32, 8), word(&file, 54, 2), word(&file, 56, 2));
    let end = (0..entries)
        .map(|n| (table + n * entry) as usize)
        .map(|header| word(&file, header + 8, 8) + word(&file, header + 32, 8))
        .fold(table + entry * entries, u64::max);
    file.truncate(end as usize);
    // e_shoff, and e_shentsize (kept), e_shnum, e_shstrndx.
    file[40..48].fill(0);
    file[60..64].fill(0);
    fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))
}
