//! Runs the cases, one after the other, and keeps count.
//!
//! The harness works in a mount namespace of its own, where a cgroup2 tree
//! stands alone at /sys/fs/cgroup whatever the host has, and where mounts are
//! shared among themselves, as they are on a host under systemd: a container
//! that leaked a mount would leak it to here. Each case is a child process, so
//! that one which hangs or panics takes nothing with it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::bundle::make_root;
use crate::case::Case;
use crate::cases;
use crate::command::Running;
use crate::context::Context;
use crate::guest;
use crate::leaks::Before;

/// Everything that touches the kernel: the shipped binary is run as root
/// against real bundles.
#[derive(clap::Parser)]
pub struct Options {
    /// Only cases whose name holds one of these
    filter: Vec<String>,
    /// The runtime under test [default: $OCINIT, else dist/ocinit]
    #[arg(long)]
    ocinit: Option<PathBuf>,
    /// Print the names of the cases and stop
    #[arg(long)]
    list: bool,
    /// Keep the folders of failed cases, and say where they are
    #[arg(long)]
    keep: bool,
    /// Take the machine's cgroup tree as it is, instead of a cgroup2 tree alone
    #[arg(long)]
    as_is: bool,
    /// Do not boot the guest with an old kernel
    #[arg(long)]
    no_guest: bool,
    /// Names are whole names, not parts of them
    #[arg(long)]
    exact: bool,
    /// Print how long each case took
    #[arg(long)]
    times: bool,
}

/// Passed, failed, skipped.
#[derive(Default)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// A case as a whole may take no longer than this.
const CASE_LIMIT: Duration = Duration::from_secs(120);

/// The variable with the number of a process that still has the machine's own
/// mount namespace.
pub const HOST_PROCESS: &str = "SYSTEM_TESTS_HOST_PROCESS";

/// What a case's process ends with.
const PASSED: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 77;

/// Runs all; false where a case failed.
pub fn main(options: &Options) -> Result<bool> {
    let chosen: Vec<&Case> = cases::all().filter(|case| wanted(options, case.name)).collect();
    if options.list {
        chosen.iter().for_each(|case| println!("{}", case.name));
        return Ok(true);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("these tests make containers, for which they must be root: run them with sudo");
    }
    let program = program(options)?;
    let work = tempfile::Builder::new().prefix("ocinit-tests-").tempdir().context("cannot make a temporary folder")?;
    // The root of a user namespace is somebody else out here, and must reach
    // its bundle.
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o711))?;
    let mut count = Count::default();
    prepare(options.as_is)?;
    let root = work.path().join("root");
    make_root(&root)?;
    for (number, case) in chosen.iter().enumerate() {
        let tag = format!("st{}x{number}", std::process::id());
        let dir = work.path().join(format!("case-{number}"));
        let begin = Instant::now();
        let outcome = supervise(case, &tag, &dir, &program, &root, options.keep)?;
        let time = if options.times { format!(" ({} ms)", begin.elapsed().as_millis()) } else { String::new() };
        count.report(&format!("{}{time}", case.name), &outcome);
    }
    if !options.no_guest && std::env::var_os("SYSTEM_TESTS_GUEST").is_none() {
        guest::run(&options.filter, &program, &mut count)?;
    }
    if options.keep && count.failed > 0 {
        println!("the folders of failed cases are in {}", work.keep().display());
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    Ok(count.failed == 0)
}

/// How a case ended.
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Count {
    /// Prints a case's line and counts it.
    pub fn report(&mut self, name: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                println!("ok {name}");
            }
            Outcome::Failed(why) => {
                self.failed += 1;
                // One line a case, whatever it has to say.
                println!("FAILED {name}: {}", why.replace('\n', " | "));
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                println!("skipped {name}: {}", why.replace('\n', " | "));
            }
        }
    }
}

pub fn wanted(options: &Options, name: &str) -> bool {
    let fits = |part: &String| if options.exact { name == part } else { name.contains(part.as_str()) };
    options.filter.is_empty() || options.filter.iter().any(fits)
}

/// The runtime under test, as an absolute path: cases change their folder.
fn program(options: &Options) -> Result<PathBuf> {
    let named = options.ocinit.clone().or_else(|| std::env::var_os("OCINIT").map(PathBuf::from));
    let path = named.unwrap_or_else(|| "dist/ocinit".into());
    fs::canonicalize(&path).with_context(|| {
        format!(
            "there is no {}: `cargo xtask dist` makes it, or name the runtime by --ocinit or $OCINIT",
            path.display()
        )
    })
}

/// Gives the tests a mount namespace and, unless told otherwise, a cgroup2
/// tree alone. Nothing of the host's changes.
fn prepare(as_is: bool) -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).context("cannot become a subreaper")?;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    let recursive = |flag| flag | MountPropagationFlags::REC;
    mount_change("/", recursive(MountPropagationFlags::PRIVATE)).context("cannot make the mounts private")?;
    if !as_is {
        // All mounts at or below the place, the last first.
        for line in crate::kernel::mount_table().iter().rev() {
            let point = line.split(' ').nth(4).unwrap_or_default();
            if Path::new(point).starts_with("/sys/fs/cgroup") {
                unmount(point, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {point}"))?;
            }
        }
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None)
            .context("cannot mount the cgroup2 tree")?;
    }
    mount_change("/", recursive(MountPropagationFlags::SHARED)).context("cannot make the mounts shared")
}

/// Runs one case as a child process and looks for what it left.
fn supervise(case: &Case, tag: &str, dir: &Path, program: &Path, root: &Path, keep: bool) -> Result<Outcome> {
    if let Some(why) = case.needs.iter().find_map(|need| need.missing()) {
        return Ok(Outcome::Skipped(why));
    }
    fs::create_dir(dir)?;
    let before = Before::now();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--one").arg(case.name).arg(dir).arg(tag).arg(program).arg(root);
    command.stdin(Stdio::null()).env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
    // Who started us has the machine's own mount namespace.
    if let Some(parent) = rustix::process::getppid() {
        command.env(HOST_PROCESS, parent.as_raw_nonzero().to_string());
    }
    let ended = Running::start(command, dir)?.finish_within(CASE_LIMIT);
    let left = before.left(tag, &dir.join("state"));
    let mut outcome = match ended {
        Ok(output) if output.status == i32::from(PASSED) => Outcome::Passed,
        Ok(output) if output.status == i32::from(SKIPPED) => Outcome::Skipped(output.stdout.trim().into()),
        Ok(output) if output.status == i32::from(FAILED) => Outcome::Failed(output.stdout.trim().into()),
        Ok(output) => Outcome::Failed(format!("the case died: {} {}", output.stdout.trim(), output.stderr.trim())),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    };
    if !left.is_empty() {
        before.clear(tag);
        let left = left.join("; ");
        outcome = match outcome {
            Outcome::Failed(why) => Outcome::Failed(format!("{why}; and it left {left}")),
            _ => Outcome::Failed(format!("it left {left}")),
        };
    }
    if !(keep && matches!(outcome, Outcome::Failed(_))) {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(outcome)
}

/// A case's skip, decided while it runs.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// The child's side: NAME DIR TAG PROGRAM ROOT.
pub fn one(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let mut next = || words.next().unwrap_or_default();
    let (name, dir, tag) = (next(), PathBuf::from(next()), next().to_string_lossy().into_owned());
    let (program, root) = (PathBuf::from(next()), PathBuf::from(next()));
    let run = || -> Result<()> {
        let case = cases::all().find(|case| *case.name == *name).context("no such case")?;
        nix::sys::prctl::set_child_subreaper(true)?;
        let context = Context::new(&dir, &tag, &program, &root)?;
        let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&context)))
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the case itself panicked")));
        if result.is_err() {
            context.give_up();
        }
        context.reap();
        result
    };
    match run() {
        Ok(()) => ExitCode::from(PASSED),
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(skip) => {
                println!("{skip}");
                ExitCode::from(SKIPPED)
            }
            None => {
                println!("{error:#}");
                ExitCode::from(FAILED)
            }
        },
    }
}
