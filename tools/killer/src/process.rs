//! Running commands as an engine's shim does: adopting and reaping whatever
//! they leave, within a time limit.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

/// How a command ended, and how long it took.
pub struct Ended {
    pub success: bool,
    pub hung: bool,
    pub time: Duration,
}

/// Runs it to its end, with its messages in `log`. All children that this
/// process gets meanwhile are reaped.
pub fn run(command: &mut Command, log: &Path, limit: Duration) -> Result<Ended> {
    quiet(command, log)?;
    let begun = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let pid = Pid::from_raw(child.id() as i32).context("a pid is positive")?;
    let mut hung = false;
    loop {
        match wait(WaitOptions::NOHANG)? {
            Some((other, status)) if other == pid => {
                return Ok(Ended { success: status.exit_status() == Some(0), hung, time: begun.elapsed() });
            }
            Some(_) => continue,
            None if begun.elapsed() > limit && !hung => {
                hung = true;
                kill_process(pid, Signal::KILL)?;
            }
            None => std::thread::sleep(Duration::from_micros(200)),
        }
    }
}

/// Nothing to read, nothing to see: containers keep these descriptors.
pub fn quiet(command: &mut Command, log: &Path) -> Result<()> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ok(())
}

/// Reaps whatever has ended.
pub fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
