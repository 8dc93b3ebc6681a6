//! Commands that meet: one id from many sides, and death at any moment. The
//! dice are thrown with a fixed seed, so that a failure can be seen again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::bundle::Config;
use crate::command::{Output, Running};
use crate::context::{Context, signal};
use crate::kernel;

cases!("races":
    one_create_of_many_wins,
    one_start_of_many_wins,
    random_commands_on_one_id,
    killed_at_random_times,
    foreground_run_is_killed,
    many_containers_at_once,
);

/// Numbers that look random (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What a thread needs to call the runtime.
#[derive(Clone)]
struct Caller {
    program: PathBuf,
    state: PathBuf,
    bundle: PathBuf,
    dir: PathBuf,
    tag: String,
}

impl Caller {
    fn of(c: &Context) -> Caller {
        Caller {
            program: c.program.clone(),
            state: c.state_dir(),
            bundle: c.bundle(),
            dir: c.dir.clone(),
            tag: c.tag.clone(),
        }
    }

    fn start(&self, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).args(arguments).current_dir(&self.bundle).stdin(Stdio::null());
        Running::start(
            {
                command.env("SYSTEM_TESTS_TAG", &self.tag);
                command
            },
            &self.dir,
        )
    }

    fn call(&self, arguments: &[&str]) -> Result<Output> {
        self.start(arguments)?.finish()
    }
}

fn sleeping() -> Config {
    Config::plain().args(&["sleep", "1000"])
}

/// Calls the same from many threads; how many succeeded.
fn together(caller: &Caller, threads: usize, arguments: &[&str]) -> Result<Vec<Output>> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(|| caller.call(arguments))).collect();
        all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))).collect()
    })
}

fn one_create_of_many_wins(c: &Context) -> Result<()> {
    let caller = Caller::of(c);
    c.write(&sleeping())?;
    for _ in 0..10 {
        let id = c.id();
        let outputs = together(&caller, 6, &["create", &id])?;
        let won = outputs.iter().filter(|output| output.status == 0).count();
        same!(won, 1, "winners; they said {:?}", outputs.iter().map(|o| &o.stderr).collect::<Vec<_>>());
        for output in outputs.into_iter().filter(|output| output.status != 0) {
            output.error(1, &["already exists"])?;
        }
        same!(c.state(&id)?["status"], "created", "status");
        c.call(&["start", &id])?.ok()?;
        c.delete(&id)?;
    }
    Ok(())
}

fn one_start_of_many_wins(c: &Context) -> Result<()> {
    let caller = Caller::of(c);
    for _ in 0..10 {
        let id = c.create(&Config::plain().script("echo x >> /count; exec sleep 1000"))?;
        let outputs = together(&caller, 6, &["start", &id])?;
        same!(outputs.iter().filter(|output| output.status == 0).count(), 1, "winners");
        // There as soon as the shell has opened it, and empty until `echo` writes.
        c.until("the process's trace", || Ok(fs::metadata(c.rootfs().join("count")).is_ok_and(|file| file.len() > 0)))?;
        same!(fs::read_to_string(c.rootfs().join("count"))?, "x\n", "how often the process started");
        fs::remove_file(c.rootfs().join("count"))?;
        c.delete(&id)?;
    }
    Ok(())
}

fn random_commands_on_one_id(c: &Context) -> Result<()> {
    let caller = Caller::of(c);
    c.write(&sleeping())?;
    let id = c.id();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=6)
            .map(|seed| {
                let (caller, id) = (caller.clone(), id.clone());
                scope.spawn(move || -> Result<()> {
                    let mut dice = Dice(seed * 0x9e37_79b9);
                    for _ in 0..40 {
                        let words: &[&str] = match dice.below(9) {
                            0 | 1 => &["create", &id],
                            2 => &["start", &id],
                            3 => &["run", "-d", &id],
                            4 => &["kill", &id, "KILL"],
                            5 => &["delete", "--force", &id],
                            6 => &["delete", &id],
                            7 => &["state", &id],
                            _ => &["exec", &id, "true"],
                        };
                        let output = caller.call(words)?;
                        // `delete --force` may end a create that is under way.
                        let ended = output.signal == Some(9) && ["create", "run"].contains(&words[0]);
                        let fine = [0, 1].contains(&output.status) || words[0] == "exec";
                        ensure!(ended || fine && output.signal.is_none(), "{output:?}");
                        ensure!(!output.stderr.contains("panicked"), "{output:?}");
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            // Ended containers are this process's orphans, and must be reaped
            // for `delete` to see the end of their namespaces.
            while !thread.is_finished() {
                reap();
                std::thread::sleep(Duration::from_millis(5));
            }
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))?;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    c.delete(&id)?;
    ensure!(kernel::cgroups_with(&id).is_empty(), "a cgroup is left");
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}

/// Reaps orphans: not a runtime's command, which a thread waits for, but what
/// lives in a pid namespace of a container's.
fn reap() {
    for pid in kernel::zombies() {
        let numbers = kernel::status_field(&pid.to_string(), "NSpid").unwrap_or_default();
        if numbers.split_whitespace().count() > 1 {
            let pid = rustix::process::Pid::from_raw(pid as i32);
            let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::NOHANG);
        }
    }
}

/// What a killed command may leave until `delete --force`, and nothing after.
fn heal(c: &Context, id: &str, what: &str) -> Result<()> {
    // The init of a killed create dies with it, or is in the record.
    c.delete(id).map_err(|error| error.context(what.to_string()))?;
    let gone = || Ok(kernel::cgroups_with(id).is_empty() && kernel::children().is_empty());
    c.until(&format!("nothing to be left, {what}"), || {
        c.reap();
        gone()
    })?;
    ensure!(!c.state_dir().join(id).exists(), "state is left, {what}");
    c.call(&["delete", "--force", id])?.ok()?;
    Ok(())
}

fn killed_at_random_times(c: &Context) -> Result<()> {
    let caller = Caller::of(c);
    let mut dice = Dice(42);
    c.write(&sleeping())?;
    let mounts = kernel::mount_table();
    for round in 0..60 {
        let id = c.id();
        let words: Vec<&str> = match round % 3 {
            0 => vec!["create", &id],
            1 => vec!["run", "-d", &id],
            _ => vec!["run", &id],
        };
        let mut running = caller.start(&words)?;
        let pause = dice.below(12_000);
        std::thread::sleep(Duration::from_micros(pause));
        running.child.kill()?;
        running.child.wait()?;
        heal(c, &id, &format!("{} killed after {pause} µs", words[0]))?;
        same!(kernel::mount_table(), mounts, "the mount table");
    }
    Ok(())
}

fn foreground_run_is_killed(c: &Context) -> Result<()> {
    c.write(&sleeping())?;
    let id = c.id();
    let running = c.spawn(&["run", &id])?;
    c.until("the container to run", || Ok(c.call(&["state", &id])?.stdout.contains("running")))?;
    signal(running.pid(), Signal::KILL)?;
    drop(running.finish()?);
    heal(c, &id, "run killed while it waited")
}

fn many_containers_at_once(c: &Context) -> Result<()> {
    let caller = Caller::of(c);
    c.write(&sleeping())?;
    let ids: Vec<String> = (0..40).map(|_| c.id()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = ids
            .chunks(10)
            .map(|ids| {
                let caller = caller.clone();
                scope.spawn(move || -> Result<()> {
                    for id in ids {
                        caller.call(&["run", "-d", id])?.ok()?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
    })?;
    same!(c.call(&["list", "-q"])?.ok()?.lines().len(), ids.len(), "containers in the list");
    for id in &ids {
        c.delete(id)?;
    }
    ensure!(is_empty(&c.state_dir())?, "something is left in the state directory");
    Ok(())
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}
