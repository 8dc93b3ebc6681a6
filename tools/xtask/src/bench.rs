//! `bench`: what `run /bin/true` costs, beside other runtimes and beside a bare
//! program that makes the same container.
//!
//! System calls and memory are those of the runtime's processes: from the first
//! instruction of the command until the user's program is executed, and the
//! parent's until it ends. The time is that of the whole command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bundle::Bundle;
use tracer::{End, FileId, Report, Until};

use crate::shell::{cargo, install, need_root, output, run, target, top};
use crate::{boot_bench, dist, shell};

#[derive(clap::Args)]
pub struct Arguments {
    /// Runs of each command, of which the fastest and the median are shown
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// Also show which system calls ocinit and the baseline make
    #[arg(long)]
    calls: bool,
    /// Instead: from the kernel to a container, beside a bare init (two runs are plenty)
    #[arg(long)]
    boot: bool,
}

/// Set in the process that already has its own view of the cgroups.
const VIEW: &str = "BENCH_HAS_PRIVATE_CGROUPS";

/// What is expected of ocinit: bytes, calls above the baseline's, KiB of each
/// process, and how much faster than crun.
const SIZE: u64 = 96 * 1024;
const CALLS_ABOVE: u64 = 60;
const MEMORY: u64 = 200;
const FASTER: u32 = 3;

pub fn bench(arguments: &Arguments) -> Result<()> {
    if arguments.boot {
        return boot_bench::bench(arguments.runs);
    }
    need_root("bench")?;
    if std::env::var_os(VIEW).is_none() {
        install(&[
            ("busybox", "busybox-static"),
            ("crun", "crun"),
            ("objcopy", "binutils"),
            ("runc", "runc"),
            ("unshare", "util-linux"),
        ])?;
        dist::dist()?;
        run(cargo().args(["build", "--quiet", "--release", "--package", "baseline"]))?;
        dist::strip(&target().join("release/baseline"), &baseline())?;
        // Some runtimes refuse a hybrid host; so that all are compared on the
        // same ground, all run where there is cgroup v2 and nothing else.
        let [program, rest @ ..] = bundle::PRIVATE_CGROUP2;
        let mut command = Command::new(program);
        command.args(rest).arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(VIEW, "1");
        return Err(command.exec()).context("cannot run unshare(1)");
    }
    for subject in ["runc spec", "docker-default.json"] {
        table(subject, arguments)?;
    }
    Ok(())
}

/// One program under measurement.
struct Contender {
    name: &'static str,
    program: PathBuf,
    arguments: fn(&Ground, &str) -> Vec<String>,
    traced: bool,
}

/// Where a table's runs happen.
struct Ground {
    /// As the baseline names it.
    kind: &'static str,
    bundle: Bundle,
    state: PathBuf,
}

struct Row {
    size: u64,
    /// System calls by name.
    calls: Option<BTreeMap<String, u64>>,
    /// The images of our processes, in KiB.
    memory: Vec<(String, u64)>,
    least: Duration,
    median: Duration,
}

/// The baseline, stripped as ocinit is.
fn baseline() -> PathBuf {
    target().join("release/baseline.stripped")
}

impl Row {
    fn total(&self) -> Option<u64> {
        self.calls.as_ref().map(|calls| calls.values().sum())
    }
}

fn contenders() -> Result<Vec<Contender>> {
    let runtime = |ground: &Ground, id: &str| {
        let words = ["--root", path(&ground.state), "run", "--bundle", path(ground.bundle.folder()), id];
        words.map(str::to_owned).to_vec()
    };
    let bare = |ground: &Ground, id: &str| {
        let root = ground.bundle.folder().join("rootfs");
        vec![ground.kind.to_owned(), path(&root).to_owned(), format!("/sys/fs/cgroup/{id}")]
    };
    let contender = |name, program, arguments, traced| Contender { name, program, arguments, traced };
    Ok(vec![
        contender("fork, exec", bundle::busybox()?, |_, _| vec!["true".into()], false),
        contender("baseline", baseline(), bare, true),
        contender("ocinit", top().join("dist/ocinit"), runtime, true),
        contender("crun", shell::find("crun")?, runtime, true),
        contender("runc", shell::find("runc")?, runtime, true),
    ])
}

fn path(path: &Path) -> &str {
    path.to_str().expect("our own temporary folder's name is UTF-8")
}

fn ground(subject: &str, folder: &Path) -> Result<Ground> {
    let (kind, mut bundle) = match subject {
        "runc spec" => ("spec", Bundle::from_spec(folder, &shell::find("runc")?)?),
        file => {
            let text = fs::read(top().join("tools/testdata/engines").join(file))?;
            ("docker", Bundle::from_config(folder, serde_json::from_slice(&text)?)?)
        }
    };
    bundle.no_terminal().no_seccomp_no_limits().arguments(&["/bin/true"]).real_bind_sources()?;
    for name in ["resolv.conf", "hostname", "hosts"] {
        fs::write(folder.join("rootfs/etc").join(name), "")?;
    }
    Ok(Ground { kind, bundle, state: folder.join("state") })
}

/// A line for each contender.
fn table(subject: &str, arguments: &Arguments) -> Result<()> {
    let runs = arguments.runs;
    let folder = tempfile::Builder::new().prefix("ocinit-bench-").tempdir()?;
    let mut ground = ground(subject, folder.path())?;
    println!("\n{subject}, run /bin/true, {runs} runs:");
    println!(
        "{:<12} {:>10} {:>7} {:>8} {:>9}  memory of each process, KiB",
        "", "bytes", "calls", "least ms", "median ms"
    );
    let mut rows = Vec::new();
    for contender in contenders()? {
        // A thread each: what one contender needs is not inherited by the next.
        let ground = &mut ground;
        let row = std::thread::scope(|scope| scope.spawn(|| measure(&contender, ground, runs)).join());
        match row.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Ok(row) => {
                print(contender.name, &row);
                rows.push((contender.name, row));
            }
            Err(error) => println!("{:<12} fails here: {error:#}", contender.name),
        }
    }
    expectations(&rows);
    if arguments.calls {
        calls(&rows);
    }
    Ok(())
}

fn print(name: &str, row: &Row) {
    let calls = row.total().map_or("-".into(), |calls| calls.to_string());
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let memory: Vec<_> = row.memory.iter().map(|(name, memory)| format!("{name} {memory}")).collect();
    let memory = memory.join(", ");
    println!("{name:<12} {:>10} {calls:>7} {:>8.2} {:>9.2}  {memory}", row.size, ms(row.least), ms(row.median));
}

fn measure(contender: &Contender, ground: &mut Ground, runs: usize) -> Result<Row> {
    if bundle::peers::help(&contender.program)? {
        println!("{:<12} (a seccomp filter tells it that it may raise RLIMIT_MEMLOCK, which root here may not)", "");
    }
    // Twice unmeasured, for caches and for what the first run creates in the root.
    for n in 0..2 {
        let mut command = prepare(contender, ground, &format!("warm-{n}"))?;
        output(&mut command)?;
    }
    let mut row = Row {
        size: fs::metadata(&contender.program)?.len(),
        calls: None,
        memory: Vec::new(),
        least: Duration::MAX,
        median: Duration::MAX,
    };
    if contender.traced {
        let mut command = prepare(contender, ground, "traced")?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let report = Report::of(command, Some(FileId::of(&ground.bundle.busybox())?), Until::AllGone)?;
        ensure!(report.end.is_some_and(End::success), "it failed under the tracer");
        ensure!(report.executed.len() > 1, "it never came to the user's program");
        row.memory = memory(&report);
        row.calls = Some(report.calls);
    }
    let mut times = Vec::new();
    for n in 0..runs.max(1) {
        let mut command = prepare(contender, ground, &format!("run-{n}"))?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let status = command.status()?;
        times.push(begun.elapsed());
        ensure!(status.success(), "run {n} ended with {status}");
    }
    times.sort();
    (row.least, row.median) = (times[0], times[times.len() / 2]);
    Ok(row)
}

/// The command for one run, its container's cgroup set.
fn prepare(contender: &Contender, ground: &mut Ground, run: &str) -> Result<Command> {
    let id = format!("bench-{}-{}-{run}", std::process::id(), contender.name.replace([',', ' '], ""));
    ground.bundle.cgroup(&format!("/{id}")).write()?;
    let mut command = Command::new(&contender.program);
    command.args((contender.arguments)(ground, &id)).stdin(Stdio::null());
    Ok(command)
}

/// The images by the name of their executable. Processes come and go: the
/// largest of each name comes first.
fn memory(report: &Report) -> Vec<(String, u64)> {
    // A runtime that protects its file runs from a copy, which has no such name.
    let name = |path: &Path| match path.file_name().unwrap_or_default().to_string_lossy().replace(" (deleted)", "") {
        name if name.is_empty() || name == "exe" => "copy".into(),
        name => name,
    };
    let mut memory: Vec<_> = report.images.iter().map(|image| (name(&image.path), image.high_water_mark)).collect();
    memory.sort_by_key(|(_, memory)| std::cmp::Reverse(*memory));
    memory
}

/// Whether ocinit is where it is expected to be.
fn expectations(rows: &[(&str, Row)]) {
    let row = |name: &str| rows.iter().find(|(other, _)| *other == name).map(|(_, row)| row);
    let Some(ocinit) = row("ocinit") else { return };
    let say = |what: String, met: bool| println!("  {} {what}", if met { "met:    " } else { "NOT MET:" });
    say(format!("{} bytes, at most {SIZE}", ocinit.size), ocinit.size <= SIZE);
    let most = ocinit.memory.iter().map(|(_, memory)| *memory).max().unwrap_or(0);
    say(format!("at most {most} KiB in a process, under {MEMORY}"), most < MEMORY);
    if let (Some(baseline), Some(calls)) = (row("baseline").and_then(Row::total), ocinit.total()) {
        let above = calls.saturating_sub(baseline);
        say(format!("{above} calls more than the baseline, at most {CALLS_ABOVE}"), above <= CALLS_ABOVE);
    }
    if let Some(crun) = row("crun") {
        let part = ocinit.median.as_secs_f64() / crun.median.as_secs_f64();
        say(format!("{:.2} of crun's time, at most a third", part), ocinit.median * FASTER <= crun.median);
    }
}

/// Which calls ocinit makes more often than the baseline, or less.
fn calls(rows: &[(&str, Row)]) {
    let of = |name: &str| rows.iter().find(|(other, _)| *other == name).and_then(|(_, row)| row.calls.as_ref());
    let (Some(ours), Some(bare)) = (of("ocinit"), of("baseline")) else { return };
    println!("  {:<20} {:>8} {:>8}", "system call", "ocinit", "baseline");
    let names: BTreeSet<&String> = ours.keys().chain(bare.keys()).collect();
    for name in names {
        let count = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or(0);
        println!("  {name:<20} {:>8} {:>8}", count(ours), count(bare));
    }
}
