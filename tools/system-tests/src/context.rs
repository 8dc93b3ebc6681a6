//! What a case works with: its folder, its bundle, and the runtime under test.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;

use crate::bundle::{Config, copy_tree};
use crate::command::{Output, Running};
use crate::kernel;

/// One case's world.
pub struct Context {
    /// The case's own folder; the harness removes it.
    pub dir: PathBuf,
    /// In the name of everything that the case makes: ids, cgroups, processes.
    pub tag: String,
    /// The runtime under test.
    pub program: PathBuf,
    next: Cell<u32>,
    /// Commands under way, which `reap` must leave to their owners.
    owned: RefCell<Vec<u32>>,
}

/// How long a status may take to come about.
const SOON: Duration = Duration::from_secs(5);

impl Context {
    pub fn new(dir: &Path, tag: &str, program: &Path, root: &Path) -> Result<Context> {
        copy_tree(root, &dir.join("bundle/rootfs")).context("cannot make the bundle")?;
        Ok(Context {
            dir: dir.into(),
            tag: tag.into(),
            program: program.into(),
            next: Cell::new(0),
            owned: RefCell::default(),
        })
    }

    pub fn bundle(&self) -> PathBuf {
        self.dir.join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("bundle/rootfs")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// A folder in the case's own, made if it is missing.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Lets everybody pass the case's own folders on the way to the root file system.
    pub fn open_way(&self) -> Result<()> {
        for folder in self.bundle().ancestors().filter(|folder| folder.starts_with(&self.dir)) {
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        Ok(())
    }

    /// An id that no other container has.
    pub fn id(&self) -> String {
        self.next.set(self.next.get() + 1);
        format!("{}-{}", self.tag, self.next.get())
    }

    /// Writes the bundle's config.json.
    pub fn write(&self, config: &Config) -> Result<()> {
        fs::write(self.bundle().join("config.json"), serde_json::to_vec_pretty(&config.0)?)?;
        Ok(())
    }

    /// A command line of the runtime, with the case's own state directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.state_dir()).args(arguments);
        self.surroundings(&mut command);
        command
    }

    /// Puts a command into the bundle's folder and marks it as the case's.
    pub fn surroundings(&self, command: &mut Command) {
        command.current_dir(self.bundle()).env("SYSTEM_TESTS_TAG", &self.tag).stdin(Stdio::null());
    }

    /// Runs a command line of the runtime to its end.
    pub fn call(&self, arguments: &[&str]) -> Result<Output> {
        self.finish(self.command(arguments))
    }

    /// Runs a prepared command to its end.
    pub fn finish(&self, command: Command) -> Result<Output> {
        self.reap();
        let mut running = self.start_command(command)?;
        // A container's pid namespace ends once the last process in it is
        // reaped, and those that `exec --detach` left are our children: an
        // engine reaps them at any time, and so must we.
        let end = Instant::now() + crate::command::LIMIT;
        let mut pause = Duration::from_micros(500);
        while running.child.try_wait()?.is_none() && Instant::now() < end {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
            if pause > Duration::from_millis(5) {
                self.reap();
            }
        }
        running.finish()
    }

    /// Starts a prepared command; the caller finishes it.
    pub fn start_command(&self, command: Command) -> Result<Running> {
        let running = Running::start(command, &self.dir)?;
        self.owned.borrow_mut().push(running.pid());
        Ok(running)
    }

    /// Starts a command line of the runtime.
    pub fn spawn(&self, arguments: &[&str]) -> Result<Running> {
        self.start_command(self.command(arguments))
    }

    /// Collects ended containers, as an engine's shim would.
    pub fn reap(&self) {
        for pid in kernel::children() {
            let zombie = kernel::state_and_parent(pid).is_some_and(|(state, _)| state == 'Z');
            if zombie && !self.owned.borrow().contains(&pid) {
                let _ = waitpid(Pid::from_raw(pid as i32), WaitOptions::NOHANG);
            }
        }
    }

    /// `run` in the foreground, with a fresh id.
    pub fn run(&self, config: &Config) -> Result<Output> {
        self.write(config)?;
        let id = self.id();
        self.call(&["run", &id])
    }

    /// What the probe sees in the sections named, under `config`.
    pub fn probe(&self, config: &Config, sections: &[&str]) -> Result<Value> {
        let mut args = vec!["/probe"];
        args.extend(sections);
        self.run(&config.clone().args(&args))?.ok()?.json()
    }

    /// `create`, with a fresh id.
    pub fn create(&self, config: &Config) -> Result<String> {
        self.write(config)?;
        let id = self.id();
        self.call(&["create", &id])?.ok()?;
        Ok(id)
    }

    /// `run --detach` of a container that stays: its id.
    pub fn detached(&self, config: &Config) -> Result<String> {
        self.write(config)?;
        let id = self.id();
        self.call(&["run", "--detach", &id])?.ok()?;
        Ok(id)
    }

    /// A running container that only sleeps.
    pub fn sleeper(&self) -> Result<String> {
        self.detached(&Config::plain().args(&["sleep", "1000"]))
    }

    /// `exec` of a command in a container.
    pub fn exec(&self, id: &str, command: &[&str]) -> Result<Output> {
        let mut arguments = vec!["exec", id];
        arguments.extend(command);
        self.call(&arguments)
    }

    pub fn state(&self, id: &str) -> Result<Value> {
        self.call(&["state", id])?.ok()?.json()
    }

    /// The container's first process, as the host numbers it.
    pub fn pid(&self, id: &str) -> Result<u32> {
        let state = self.state(id)?;
        Ok(state["pid"].as_u64().with_context(|| format!("no pid in {state}"))? as u32)
    }

    /// Waits until `state` says `status`.
    pub fn await_status(&self, id: &str, status: &str) -> Result<()> {
        let mut last = Value::Null;
        self.until(&format!("{id} to be {status}"), || {
            self.reap();
            last = self.state(id)?["status"].clone();
            Ok(last == status)
        })
        .with_context(|| format!("status {last}"))
    }

    /// Waits for a condition, for a few seconds.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + SOON;
        while !done()? {
            if Instant::now() > end {
                bail!("waited {SOON:?} in vain for {what}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// `delete --force`.
    pub fn delete(&self, id: &str) -> Result<()> {
        self.call(&["delete", "--force", id])?.ok()?;
        self.reap();
        Ok(())
    }

    /// Deletes whatever the state directory still lists: the end of a case
    /// that failed, when nobody checks any more.
    pub fn give_up(&self) {
        for entry in fs::read_dir(self.state_dir()).into_iter().flatten().flatten() {
            let _ = self.delete(&entry.file_name().to_string_lossy());
        }
    }
}

/// Sends a signal to a process of the host's.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    kill_process(Pid::from_raw(pid as i32).context("pid 0")?, signal).with_context(|| format!("cannot signal {pid}"))
}

/// A command of `ocinit`, or of another runtime with what it needs to run here.
pub fn runtime(context: &Context, name: &str) -> Result<Command> {
    if name == "ocinit" {
        return Ok(Command::new(&context.program));
    }
    let path = kernel::find_program(name).with_context(|| format!("no {name} here"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--helper", "peer"]).arg(&path).arg("--").arg(&path);
    Ok(command)
}
