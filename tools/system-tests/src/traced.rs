//! A command under the tracer: which of certain system calls it and all that
//! descends from it make, and what the kernel answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use anyhow::Result;
use tracer::{Action, End, Event, Tid, Tracer, Until};

/// Numbers of write(2) and seccomp(2).
#[cfg(target_arch = "x86_64")]
const NUMBERS: [u64; 2] = [1, 317];
#[cfg(not(target_arch = "x86_64"))]
const NUMBERS: [u64; 2] = [64, 277];
pub const WRITE: u64 = NUMBERS[0];
pub const SECCOMP: u64 = NUMBERS[1];
/// fsconfig(2), which has the same number everywhere.
pub const FSCONFIG: u64 = 431;

/// A system call that was made.
pub struct Call {
    pub arguments: [u64; 6],
    /// An error is a negated errno.
    pub answer: i64,
}

/// Runs the command to the end of all its processes. Gives its calls of this
/// `number` that are `wanted`, and how it ended.
pub fn calls(mut command: Command, number: u64, wanted: impl Fn(Tid, &[u64; 6]) -> bool) -> Result<(Vec<Call>, End)> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut pending, mut calls) = (BTreeMap::new(), Vec::new());
    let end = Tracer::spawn(command, Until::AllGone)?.follow(|event| {
        match *event {
            Event::Enter { tid, number: entered, arguments } if entered == number && wanted(tid, &arguments) => {
                pending.insert(tid, arguments);
            }
            Event::Leave { tid, value } => {
                calls.extend(pending.remove(&tid).map(|arguments| Call { arguments, answer: value }));
            }
            _ => {}
        }
        Action::Continue
    })?;
    Ok((calls, end))
}

/// What a task that stands at a system call has at an address.
pub fn text_of(task: Tid, address: u64, length: u64) -> Result<String> {
    let mut bytes = vec![0; usize::try_from(length)?.min(4096)];
    File::open(format!("/proc/{task}/mem"))?.read_exact_at(&mut bytes, address)?;
    Ok(String::from_utf8(bytes)?)
}
