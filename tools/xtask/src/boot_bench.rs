//! `bench --boot`: what the way from the kernel to a container costs, beside a bare
//! init that makes the same file systems and the same container with everything
//! decided beforehand (`baseline`). Both are booted in an emulated machine whose clock
//! counts instructions (two nanoseconds each), so that the figures are the same on a
//! busy host and on an idle one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use bundle::Bundle;

use crate::shell::{cargo, install, need_root, output, run, target};
use crate::{dist, shell};

/// What is expected: the time as a multiple of the bare init's, and bytes of the
/// compressed initramfs without a container.
const RATIO: f64 = 1.5;
const SIZE: usize = 100 * 1024;

/// The container's program: how much memory is free when it runs.
const PROGRAM: &str = "#!/bin/busybox sh\n/bin/busybox grep MemFree /proc/meminfo\n";

/// What one boot has shown: microseconds from the first instruction to the program's
/// execve, and KiB free.
#[derive(Clone, Copy)]
struct Boot {
    time: u64,
    free: u64,
}

pub fn bench(runs: usize) -> Result<()> {
    need_root("bench")?;
    install(&[("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("objcopy", "binutils")])?;
    dist::dist()?;
    run(cargo().args(["build", "--quiet", "--release", "--package", "baseline"]))?;
    let bare = target().join("release/baseline.stripped");
    dist::strip(&target().join("release/baseline"), &bare)?;
    let ocinit = shell::top().join("dist/ocinit");
    let kernel = kernel()?;
    let work = tempfile::tempdir()?;
    let ours = pack(&work.path().join("ocinit"), &ocinit, Some(&ocinit))?;
    let theirs = pack(&work.path().join("baseline"), &bare, Some(&ocinit))?;
    let (mut best, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        best.push(boot(&kernel, &ours, |console| {
            let at = |step: &str| {
                let line = console.lines().find(|line| line.trim_end().ends_with(step))?;
                line.split_whitespace().find_map(|word| word.parse::<u64>().ok())
            };
            Some(at("about to be executed")? - at("first instruction")?)
        })?);
        bare.push(boot(&kernel, &theirs, |console| {
            console
                .lines()
                .find_map(|line| line.strip_prefix("baseline: ")?.trim_end().strip_suffix(" us")?.parse().ok())
        })?);
    }
    let least = |boots: &[Boot]| boots.iter().map(|boot| boot.time).min().unwrap_or(0);
    let most_free = |boots: &[Boot]| boots.iter().map(|boot| boot.free).max().unwrap_or(0);
    let (time, bare_time) = (least(&best), least(&bare));
    let ratio = time as f64 / bare_time as f64;
    let empty = pack(&work.path().join("empty"), &ocinit, None)?;
    let packed = Command::new("gzip").args(["-9", "-n", "-c"]).arg(&empty).output().context("no gzip")?.stdout.len();
    let memory = most_free(&bare).saturating_sub(most_free(&best));
    println!(
        "from the first instruction to the program's execve, emulated at two nanoseconds an instruction, least of {runs}:"
    );
    println!(
        "  ocinit {time} us, a bare init {bare_time} us: {ratio:.2} times (at most {RATIO}) {}",
        met(ratio <= RATIO)
    );
    println!("initramfs without a container, gzip: {packed} bytes (at most {SIZE}) {}", met(packed <= SIZE));
    println!("memory in use when the program runs, above the bare init's: {memory} KiB");
    Ok(())
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}

/// A 6.1 kernel as the system tests keep it, or the machine's own.
fn kernel() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))).unwrap_or_default();
    let folders = [cache.join("ocinit-tests/linux-6.1/boot"), PathBuf::from("/boot")];
    let all = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let mut found = all.map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    found.find(named).context("no kernel to boot: `cargo xtask test guest` fetches one")
}

/// An initramfs of `init`, and of a bundle by `spec` where there is one to write it.
fn pack(tree: &Path, init: &Path, spec: Option<&Path>) -> Result<PathBuf> {
    fs::create_dir_all(tree.join("dev"))?;
    fs::copy(init, tree.join("init"))?;
    run(Command::new("mknod").arg(tree.join("dev/console")).args(["c", "5", "1"]))?;
    if let Some(runtime) = spec {
        let folder = tree.join("bundle");
        fs::create_dir_all(&folder)?;
        let mut bundle = Bundle::from_spec(&folder, runtime)?;
        bundle.no_terminal().arguments(&["/bin/true"]).write()?;
        let program = folder.join("rootfs/bin/true");
        let _ = fs::remove_file(&program);
        fs::write(&program, PROGRAM)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    }
    let archive = tree.with_extension("cpio");
    let script = format!("find . | /bin/busybox cpio -o -H newc >{} 2>/dev/null", archive.display());
    run(Command::new("sh").args(["-c", &script]).current_dir(tree))?;
    Ok(archive)
}

fn boot(kernel: &Path, archive: &Path, time: impl Fn(&str) -> Option<u64>) -> Result<Boot> {
    let console = output(
        Command::new("timeout")
            .args([
                "300",
                "qemu-system-x86_64",
                "-M",
                "q35",
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=1,sleep=off",
                "-cpu",
                "max,la57=off",
            ])
            .args(["-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(archive)
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off ocinit.trace"])
            .stdin(Stdio::null()),
    )?;
    let time = time(&console).with_context(|| format!("the console does not say how long it took:\n{console}"))?;
    let free =
        console.lines().find_map(|line| line.trim().strip_prefix("MemFree:")?.split_whitespace().next()?.parse().ok());
    ensure!(time > 0, "it took no time:\n{console}");
    Ok(Boot { time, free: free.context("the container's program has not run")? })
}
