//! The foreground of `run` and `exec`: passes signals and the terminal through
//! until the process has ended, and reaps.

use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::process::{Pid, WaitOptions, wait};
use crate::sys::{self, AsFd, Errno, OwnedFd, SignalSet};
use crate::terminal::Relay;

use super::container::Process;

/// Waits for the process, which is a child of ours; all signals are blocked.
/// Gives the status that a shell would: the process's own, or 128+n.
pub fn supervise(process: &Process, mut relay: Option<Relay>) -> Result<i32> {
    let signals = sys::signalfd(SignalSet::ALL).map_err(|errno| fail!(errno => "cannot watch for signals"))?;
    if let Some(relay) = &mut relay {
        relay.resize();
    }
    loop {
        if let Some(status) = reap(process.pid)? {
            if let Some(relay) = &mut relay {
                relay.drain();
            }
            return Ok(status);
        }
        wait_for_something(&signals, process, relay.as_mut())?;
    }
}

/// One turn: a signal to pass on, or bytes from or to the terminal.
fn wait_for_something(signals: &OwnedFd, process: &Process, relay: Option<&mut Relay>) -> Result<()> {
    const CHLD: u32 = 17;
    const WINCH: u32 = 28;
    let none = PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::empty());
    let mut ready = [
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        none.clone(),
        none,
    ];
    if let Some(relay) = &relay {
        let [input, master] = relay.poll_fds();
        ready[1] = input;
        ready[2] = master;
    }
    match poll(&mut ready, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(fail!(errno => "cannot wait for the container")),
    }
    let [signal, input, master] = ready.map(|fd| fd.revents());
    let has_terminal = relay.is_some();
    if let Some(relay) = relay {
        relay.ready(input, master)?;
        if !signal.is_empty() {
            // Read below; a WINCH among them is for the terminal.
            relay.resize();
        }
    }
    if signal.is_empty() {
        return Ok(());
    }
    while let Some(number) =
        sys::read_signal(signals.as_fd()).map_err(|errno| fail!(errno => "cannot read a signal"))?
    {
        if number == CHLD || (number == WINCH && has_terminal) {
            continue;
        }
        // A failure means that it has just ended: the next turn reaps it.
        let _ = sys::pidfd_send_signal(process.pidfd.as_fd(), number);
    }
    Ok(())
}

/// Reaps every child that has ended: ours, and orphans where we are their
/// subreaper. The status of `pid` once it is among them.
fn reap(pid: Pid) -> Result<Option<i32>> {
    let mut found = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((child, status))) if child == pid => {
                found = Some(match (status.exit_status(), status.terminating_signal()) {
                    (Some(status), _) => status,
                    (None, Some(signal)) => 128 + signal,
                    (None, None) => continue, // stopped or continued: not asked for
                });
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(found),
            Err(errno) => return Err(fail!(errno => "cannot wait for the container's process")),
        }
    }
}
