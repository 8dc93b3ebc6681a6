//! The commands that are killed, and one run of one of them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bundle::Bundle;
use tracer::{Action, Event, FileId, Tid, Tracer, Until};

use crate::process::{quiet, run};
use crate::remains::{Seen, Traces, note};

/// A command under the killer.
pub struct Scenario {
    pub name: &'static str,
    /// What the container runs.
    payload: &'static [&'static str],
    /// Commands before it, not killed.
    before: &'static [&'static [&'static str]],
    /// The command itself.
    command: &'static [&'static str],
    /// Whether the container's first process is the runtime still, and so is
    /// followed (and killed) too.
    init: bool,
    /// Whether the bundle has a hook of each kind.
    hooks: bool,
}

// In arguments, `ID` stands for the container's id, `BUNDLE` for its bundle and
// `PID` for its pid file.
const CREATE: &[&str] = &["create", "--bundle", "BUNDLE", "--pid-file", "PID", "ID"];
const RUN: &[&str] = &["run", "--detach", "--bundle", "BUNDLE", "--pid-file", "PID", "ID"];
const SLEEP: &[&str] = &["/bin/sleep", "300"];
const TRUE: &[&str] = &["/bin/true"];

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "create", payload: SLEEP, before: &[], command: CREATE, init: false, hooks: false },
    Scenario { name: "start", payload: SLEEP, before: &[CREATE], command: &["start", "ID"], init: true, hooks: false },
    Scenario {
        name: "run",
        payload: TRUE,
        before: &[],
        command: &["run", "--bundle", "BUNDLE", "ID"],
        init: false,
        hooks: false,
    },
    Scenario { name: "run-detached", payload: SLEEP, before: &[], command: RUN, init: false, hooks: false },
    Scenario {
        name: "exec",
        payload: SLEEP,
        before: &[RUN],
        command: &["exec", "ID", "/bin/true"],
        init: false,
        hooks: false,
    },
    Scenario {
        name: "exec-detached",
        payload: SLEEP,
        before: &[RUN],
        command: &["exec", "--detach", "ID", "/bin/sleep", "300"],
        init: false,
        hooks: false,
    },
    Scenario {
        name: "kill",
        payload: SLEEP,
        before: &[RUN],
        command: &["kill", "ID", "KILL"],
        init: false,
        hooks: false,
    },
    Scenario {
        name: "delete",
        payload: SLEEP,
        before: &[RUN, &["kill", "ID", "KILL"], &["(stopped)"]],
        command: &["delete", "ID"],
        init: false,
        hooks: false,
    },
    Scenario {
        name: "delete-force",
        payload: SLEEP,
        before: &[RUN],
        command: &["delete", "--force", "ID"],
        init: false,
        hooks: false,
    },
    Scenario {
        name: "run-hooks",
        payload: TRUE,
        before: &[],
        command: &["run", "--bundle", "BUNDLE", "ID"],
        init: false,
        hooks: true,
    },
    Scenario {
        name: "start-hooks",
        payload: SLEEP,
        before: &[CREATE],
        command: &["start", "ID"],
        init: true,
        hooks: true,
    },
];

/// The outcome of all runs of one scenario.
#[derive(Default)]
pub struct Figure {
    /// System calls of a run without a kill.
    pub calls: u64,
    pub kills: u64,
    /// Kills after which something was left.
    pub left: u64,
    /// Kills after which a `delete --force` did not succeed within a second.
    pub delete_failed: u64,
    /// Kills after which the rest of the command did not end.
    pub hung: u64,
    /// Kills with any of these.
    bad: u64,
}

impl Figure {
    pub fn clean(&self) -> bool {
        self.bad == 0
    }

    pub fn bad(&self) -> u64 {
        self.bad
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} indices of {} killed, {} left something", self.kills, self.calls, self.left)?;
        write!(f, "; delete --force failed after {}, hung after {}", self.delete_failed, self.hung)
    }
}

/// What one run came to.
struct Outcome {
    /// System calls up to the kill, or all.
    calls: u64,
    /// Whom it hit, and where. `None`: the command ended before.
    hit: Option<String>,
    /// What was not as it should be.
    left: Vec<String>,
    delete_failed: Vec<String>,
    hung: bool,
}

/// The longest that any command may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills at every index, or at a sample of them, or at one.
pub fn kill_everywhere(runtime: &Path, scenario: &Scenario, sample: Option<u64>, index: Option<u64>) -> Result<Figure> {
    let folder = tempfile::Builder::new().prefix("killer-").tempdir()?;
    let bench = Bench::new(runtime, scenario, folder.path())?;
    let dry = bench.once(0)?;
    if !dry.left.is_empty() || !dry.delete_failed.is_empty() || dry.hung {
        bail!("already without a kill: {}", [dry.left, dry.delete_failed].concat().join("; "));
    }
    let mut figure = Figure { calls: dry.calls, ..Figure::default() };
    let step = sample.map_or(1, |sample| (dry.calls / sample.max(1)).max(1));
    let (mut next, mut misses) = (index.unwrap_or(1), 0);
    loop {
        let outcome = bench.once(next)?;
        // How many calls there are depends a little on who waits for whom: a run
        // may end before the index that others come to. The end is where three
        // in a row did.
        let Some(hit) = &outcome.hit else {
            misses += 1;
            if index.is_some() || (next >= dry.calls && misses >= 3) {
                break;
            }
            next += step;
            continue;
        };
        misses = 0;
        figure.kills += 1;
        figure.left += u64::from(!outcome.left.is_empty());
        figure.delete_failed += u64::from(!outcome.delete_failed.is_empty());
        figure.hung += u64::from(outcome.hung);
        let mut wrong = outcome.left;
        wrong.extend(outcome.delete_failed);
        if outcome.hung {
            wrong.push("the rest of the command hung".into());
        }
        figure.bad += u64::from(!wrong.is_empty());
        if !wrong.is_empty() || index.is_some() {
            let wrong = if wrong.is_empty() { "nothing left".into() } else { wrong.join("; ") };
            println!("  {} {next}: {hit}: {wrong}", scenario.name);
        }
        next += step;
        if index.is_some() || sample.is_some_and(|sample| figure.kills >= sample) {
            break;
        }
    }
    Ok(figure)
}

/// What all runs of one scenario share.
struct Bench<'a> {
    runtime: &'a Path,
    scenario: &'a Scenario,
    folder: &'a Path,
    payload: FileId,
}

impl<'a> Bench<'a> {
    fn new(runtime: &'a Path, scenario: &'a Scenario, folder: &'a Path) -> Result<Bench<'a>> {
        let bundle = Bundle::from_spec(&folder.join("bundle"), runtime)?;
        let payload = FileId::of(&bundle.busybox())?;
        Ok(Bench { runtime, scenario, folder, payload })
    }

    /// One run; index 0 kills nobody.
    fn once(&self, index: u64) -> Result<Outcome> {
        let id = format!("killed-{}-{}-{index}", std::process::id(), self.scenario.name);
        let mut bundle = Bundle::open(&self.folder.join("bundle"))?;
        bundle.no_terminal().no_rlimits().no_seccomp_no_limits().arguments(self.scenario.payload);
        bundle.cgroup(&format!("/{id}")).config["process"]["env"] = serde_env(&id);
        if self.scenario.hooks {
            // Released as the payload is: the same file.
            let host = bundle.busybox();
            for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
                let path = if kind == "startContainer" { "/bin/true".as_ref() } else { host.as_path() };
                let hook = serde_json::json!({"path": path, "args": ["true"], "env": [format!("KILLED={id}")]});
                bundle.config["hooks"][kind] = serde_json::json!([hook]);
            }
        }
        bundle.write()?;
        let run = Run { bench: self, id: &id, state: self.folder.join(format!("state-{index}")) };
        fs::create_dir_all(&run.state)?;
        let mut seen = Seen::new();
        let result = run.kill_at(index, &mut seen);
        let traces = Traces { id: &id, bundle: bundle.folder(), state: &run.state, seen: &seen };
        let result = result.and_then(|(calls, hit, hung)| {
            let delete_failed = run.delete_twice()?;
            Ok(Outcome { calls, hit, left: traces.remains(), delete_failed, hung })
        });
        traces.clear();
        result
    }
}

/// One run.
struct Run<'a> {
    bench: &'a Bench<'a>,
    id: &'a str,
    state: PathBuf,
}

impl Run<'_> {
    /// A command line of the runtime, its placeholders filled in.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bench.runtime);
        command.arg("--root").arg(&self.state);
        for argument in arguments {
            match *argument {
                "ID" => command.arg(self.id),
                "BUNDLE" => command.arg(self.bench.folder.join("bundle")),
                "PID" => command.arg(self.pid_file()),
                other => command.arg(other),
            };
        }
        command
    }

    fn pid_file(&self) -> PathBuf {
        self.bench.folder.join("pid")
    }

    fn log(&self) -> PathBuf {
        self.bench.folder.join("log")
    }

    /// The commands before; then the command, killed. Returns the calls, whom
    /// the kill hit, and whether the rest hung.
    fn kill_at(&self, index: u64, seen: &mut Seen) -> Result<(u64, Option<String>, bool)> {
        let init = self.prepare(seen)?;
        let mut command = self.command(self.bench.scenario.command);
        quiet(&mut command, &self.log())?;
        let mut tracer = Tracer::spawn(command, Until::CommandGone)?;
        tracer.limit(LIMIT);
        let root = tracer.root();
        note(root, seen);
        let mut tasks: Vec<(Tid, String)> = vec![(root, "the command itself".into())];
        if let Some(init) = init.filter(|_| self.bench.scenario.init) {
            tracer.attach(init)?;
            tasks.push((init, "the container's first process".into()));
        }
        let (mut calls, mut hit, mut children) = (0, None, 0);
        let end = tracer.follow(|event| match event {
            Event::Enter { tid, number, .. } => {
                calls += 1;
                if calls != index {
                    return Action::Continue;
                }
                let who = tasks.iter().find(|(task, _)| task == tid).map_or("a new task", |(_, name)| name);
                hit = Some(format!("{} in {who}", tracer::name(*number)));
                Action::Kill
            }
            Event::Spawned { child, .. } => {
                children += 1;
                tasks.push((*child, format!("child {children}")));
                note(*child, seen);
                Action::Continue
            }
            Event::Executed { file, .. } if *file == self.bench.payload => Action::Release,
            _ => Action::Continue,
        })?;
        ensure!(index != 0 || end.success(), "the command failed, though nobody was killed: {}", self.said());
        Ok((calls, hit, tracer.expired()))
    }

    /// Runs the commands before; returns the container's first process.
    fn prepare(&self, seen: &mut Seen) -> Result<Option<Tid>> {
        let _ = fs::remove_file(self.log());
        let _ = fs::remove_file(self.pid_file());
        let mut init = None;
        for arguments in self.bench.scenario.before {
            if *arguments == ["(stopped)"] {
                self.wait_until_stopped(init)?;
                continue;
            }
            let ended = run(&mut self.command(arguments), &self.log(), LIMIT)?;
            ensure!(ended.success, "{} failed: {}", arguments.join(" "), self.said());
            if let Ok(pid) = fs::read_to_string(self.pid_file()) {
                let pid = pid.trim().parse().context("the pid file holds no pid")?;
                note(pid, seen);
                init = Some(pid);
            }
        }
        Ok(init)
    }

    fn wait_until_stopped(&self, init: Option<Tid>) -> Result<()> {
        let init = init.context("no pid file")?;
        for _ in 0..1000 {
            crate::process::reap();
            if !Path::new(&format!("/proc/{init}")).exists() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("process {init} does not end")
    }

    /// `delete --force`, and again: the second finds nothing and does no harm.
    fn delete_twice(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for time in ["first", "second"] {
            let _ = fs::remove_file(self.log());
            let ended = run(&mut self.command(&["delete", "--force", "ID"]), &self.log(), LIMIT)?;
            if ended.hung {
                wrong.push(format!("the {time} delete --force hung"));
            } else if !ended.success {
                wrong.push(format!("the {time} delete --force failed: {}", self.said()));
            } else if ended.time > Duration::from_secs(1) {
                wrong.push(format!("the {time} delete --force took {:?}", ended.time));
            }
        }
        Ok(wrong)
    }

    /// The last line that the runtime wrote.
    fn said(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().next_back().unwrap_or("(nothing said)").to_owned()
    }
}

/// The payload's environment, with the id by which it is found.
fn serde_env(id: &str) -> serde_json::Value {
    serde_json::json!(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", format!("KILLED={id}")])
}
