//! The wait for a process in the foreground: passes signals and the terminal
//! through until it has ended, and reaps.

use super::container::Process;
use super::notify::Notify;
use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::process::{Pid, WaitOptions, wait};
use crate::sys::{self, AsFd, Errno, OwnedFd, SIGCHLD, SIGPIPE, SIGWINCH, SignalSet};
use crate::terminal::relay::Relay;

/// Waits for the process, which is a child of ours; all signals are blocked.
/// Gives the status that a shell would: the process's own, or 128+n.
pub fn supervise(
    process: &Process,
    mut relay: Option<&mut Relay<'_>>,
    mut notify: Option<Notify>,
    warn: &mut dyn FnMut(&str),
) -> Result<i32> {
    let signals = sys::signalfd(SignalSet::ALL).map_err(|errno| fail!(errno => "cannot watch for signals"))?;
    // A child that has ended before this has left its SIGCHLD, which is blocked.
    let status = loop {
        if wait_for_something(&signals, relay.as_deref_mut(), notify.as_ref())? {
            // Whoever wants to know has us for its main process.
            let passed = notify.as_ref().map_or(Ok(true), |notify| notify.pass(None));
            if passed.unwrap_or_else(|error| {
                warn(error.text(&mut [0; crate::limits::MESSAGE]));
                true
            }) {
                notify = None;
            }
        }
        if pass_signals(&signals, process, relay.as_deref())?
            && let Some(status) = reap(process.pid)?
        {
            break status;
        }
    };
    if let Some(relay) = relay
        && let Err(error) = relay.drain()
    {
        // The process has its own status whatever became of its output.
        warn(error.text(&mut [0; crate::limits::MESSAGE]));
    }
    Ok(status)
}

/// Until there is a signal, or something to relay, which is relayed. Whether there
/// is word of readiness.
fn wait_for_something(signals: &OwnedFd, relay: Option<&mut Relay<'_>>, notify: Option<&Notify>) -> Result<bool> {
    let mut wanted = heapless::Vec::<PollFd<'_>, 5>::new();
    let mut timeout = None;
    if let Some(relay) = &relay {
        let _ = wanted.extend_from_slice(&relay.poll_fds()); // three at most
        timeout = relay.timeout();
    }
    for fd in [Some(signals.as_fd()), notify.map(Notify::fd)].into_iter().flatten() {
        let _ = wanted.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    }
    match poll(&mut wanted, timeout.as_ref()) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(false),
        Err(errno) => return Err(fail!(errno => "cannot wait for the process")),
    }
    let is_told = notify.is_some() && wanted.last().is_some_and(|fd| !fd.revents().is_empty());
    if let Some(relay) = relay {
        relay.ready(&wanted);
    }
    Ok(is_told)
}

/// Sends on what signals have come. Whether a child has ended is among them.
fn pass_signals(signals: &OwnedFd, process: &Process, relay: Option<&Relay<'_>>) -> Result<bool> {
    let mut has_ended = false;
    while let Some(signal) =
        sys::read_signal(signals.as_fd()).map_err(|errno| fail!(errno => "cannot read a signal"))?
    {
        match (signal, relay) {
            (SIGCHLD, _) => has_ended = true,
            (SIGPIPE, _) => {} // our own
            (SIGWINCH, Some(relay)) => relay.resize(),
            // A failure means that it has just ended: the next turn reaps it.
            _ => drop(sys::pidfd_send_signal(process.pidfd.as_fd(), signal)),
        }
    }
    Ok(has_ended)
}

/// Reaps children that have ended: ours, and orphans where we are their
/// subreaper. The status of `pid` once it is among them.
fn reap(pid: Pid) -> Result<Option<i32>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((child, status))) if child == pid => {
                let status = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                if status.is_some() {
                    return Ok(status); // without, it was only stopped or continued
                }
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(errno) => return Err(fail!(errno => "cannot wait for the process")),
        }
    }
}
