//! `system-tests --helper WHAT… -- COMMAND…`: becomes COMMAND in an unusual
//! condition, which a plain spawn cannot bring about.
//!
//! - `terminal PATH`: in a session of its own, with that pty as controlling
//!   terminal and as all three standard descriptors
//! - `block SIGNAL…`: with these signals blocked (numbers)
//! - `vsock`: the command is a list of ports, and what comes there is printed (see
//!   `vsock_listener`)
//! - `peer RUNTIME`: with what another runtime needs to run here

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::{Mode, OFlags};

pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let error = match run(words.collect()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    eprintln!("system-tests --helper: {error:#}");
    ExitCode::from(99)
}

fn run(words: Vec<OsString>) -> Result<()> {
    let split = words.iter().position(|word| word == "--").context("no --")?;
    let (what, command) = (&words[..split], &words[split + 1..]);
    let what: Vec<&str> = what.iter().filter_map(|word| word.to_str()).collect();
    match what.as_slice() {
        ["terminal", path] => {
            rustix::process::setsid().context("setsid")?;
            let terminal = rustix::fs::open(*path, OFlags::RDWR, Mode::empty()).context("cannot open the terminal")?;
            rustix::process::ioctl_tiocsctty(&terminal).context("TIOCSCTTY")?;
            rustix::stdio::dup2_stdin(&terminal)?;
            rustix::stdio::dup2_stdout(&terminal)?;
            rustix::stdio::dup2_stderr(&terminal)?;
        }
        ["block", numbers @ ..] => {
            let mut set = SigSet::empty();
            for number in numbers {
                set.add(Signal::try_from(number.parse::<i32>()?)?);
            }
            set.thread_block()?;
        }
        ["vsock"] => return crate::vsock_listener::listen(command),
        ["peer", runtime] => {
            bundle::peers::help(std::path::Path::new(runtime))?;
        }
        _ => bail!("no such condition: {what:?}"),
    }
    let command: Vec<CString> =
        command.iter().map(|word| CString::new(word.clone().into_vec())).collect::<Result<_, _>>()?;
    let program = command.first().context("no command")?;
    nix::unistd::execvp(program, &command).context("cannot execute the command")?;
    Ok(())
}
