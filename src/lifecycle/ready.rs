//! The parent's side of the handshake, for every kind of child: from its birth
//! to `Ready`, and the word to go.

use super::birth::open_procfs;
use super::container::{Process, wait_end};
use super::handshake::{Buffer, Channel, Message, Received};
use super::listener::{Agent, HandOver};
use super::process_plan::ProcessPlan;
use super::{delete, interrupt};
use crate::error::{Error, Result};
use crate::fail;
use crate::identity::{self, When};
use crate::sys::process::{WaitId, WaitIdOptions, waitid};
use crate::sys::{AsFd, OwnedFd};

/// Listens until the child says `expected`. Gives its terminal, where it has
/// sent one by then. Whatever else it asks for goes to `asked`.
///
/// # Errors
/// What the child says last, or what became of it.
pub fn await_message(
    channel: &Channel,
    child: &Process,
    expected: Message,
    warn: &mut dyn FnMut(&str),
    asked: &mut dyn FnMut(Received<'_>) -> Result<()>,
) -> Result<Option<Terminal>> {
    let mut terminal = None;
    loop {
        let mut buffer: Buffer = [0; _];
        interrupt::wait(&[channel.fd()])?;
        let Some(received) = channel.receive(&mut buffer)? else { return Err(ended(child)) };
        match received.message {
            message if message == expected => return Ok(terminal),
            Message::Failed => return Err(Error::received(received.text)),
            Message::Warning => warn(core::str::from_utf8(received.text).unwrap_or("?")),
            Message::Console => {
                let path = heapless::Vec::from_slice(received.text).unwrap_or_default();
                terminal = received.descriptor.map(|master| Terminal { master, path });
            }
            _ => asked(received)?,
        }
    }
}

/// Of a process that may not ask for anything else.
pub fn nothing_else(_: Received<'_>) -> Result<()> {
    Err(fail!("the container's process speaks another version of the handshake"))
}

/// The terminal that the child has made for itself.
pub struct Terminal {
    pub master: OwnedFd,
    /// In the container: `/dev/pts/0`.
    pub path: heapless::Vec<u8, 64>,
}

/// Ends the child, with which something cannot be done. What it has said itself, if
/// it failed before.
pub fn last_word(channel: &Channel, child: &Process) -> Option<Error> {
    delete::end_child(child);
    let mut buffer: Buffer = [0; _];
    let received = channel.receive(&mut buffer).ok()?.filter(|received| received.message == Message::Failed)?;
    Some(Error::received(received.text))
}

/// The child has closed its end without a word: how it ended.
fn ended(child: &Process) -> Error {
    let _ = wait_end(child.pidfd.as_fd(), 1000);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::PidFd(child.pidfd.as_fd()), options) {
        Ok(Some(status)) => match (status.terminating_signal(), status.exit_status()) {
            (Some(9), _) => fail!(
                "the container's process was killed before it was ready: by the kernel if it ran out of memory, \
                 or from outside"
            ),
            (Some(signal), _) => fail!("the container's process was ended by signal {signal} before it was ready"),
            (None, status) => {
                fail!("the container's process ended with status {} before it was ready", status.unwrap_or(0))
            }
        },
        _ => fail!("the container's process has disappeared before it was ready"),
    }
}

/// What the parent has to do to the process because the process itself may lack
/// the right to: its place in the queue of the OOM killer, its priorities, and its limits where
/// it has no rights outside of a user namespace.
pub fn apply_from_outside(plan: &ProcessPlan<'_>, child: &Process) -> Result<()> {
    if let Some(score) = plan.oom_score_adj.filter(|_| !plan.ordinary_user) {
        identity::set_oom_score_adj(&open_procfs()?, child.number(), score)?;
    }
    identity::set_priorities(child.pid.as_raw_nonzero().get(), &plan.view)?;
    match plan.in_user_namespace {
        true => identity::set_rlimits(Some(child.pid), plan.rlimits, When::Early),
        false => Ok(()),
    }
}

/// Lets the process go on to its program. `agent`: whom its filter asks.
///
/// # Errors
/// A hook fails, or execve; the process ends before it; or the hand-over of the
/// filter's listener fails.
pub fn go(channel: &Channel, child: &Process, agent: Option<&Agent<'_>>, warn: &mut dyn FnMut(&str)) -> Result<()> {
    // One that has failed by now does not hear it, but has said why.
    let mut unread = channel.send(Message::Go).is_err();
    let mut hand_over = HandOver::default();
    loop {
        let progress = await_progress(channel, &mut unread, warn, &mut || {}).map_err(|(error, _)| error)?;
        match (progress, agent) {
            // Without having heard the word it was not ready.
            (Progress::Executed, _) => return if unread { Err(ended(child)) } else { Ok(()) },
            (Progress::Listener(listener), Some(agent)) => hand_over.step(channel, listener, agent)?,
            (Progress::Listener(_), None) => return Err(fail!("the filter has nobody to ask")),
        }
    }
}

/// How far a process has come that was told to go.
pub enum Progress {
    /// Its program is executed; or it has ended, which is seen by whoever waits
    /// for it. Both close its end.
    Executed,
    /// A step of its filter's listener, for [`HandOver::step`].
    Listener(Option<OwnedFd>),
}

/// Listens to a process that was told to go. `unread`: whether it went without
/// having heard so. `at_hooks` is called when its own hooks are about to run.
///
/// # Errors
/// A hook fails, or execve does: whether it was a hook beside it.
pub fn await_progress(
    channel: &Channel,
    unread: &mut bool,
    warn: &mut dyn FnMut(&str),
    at_hooks: &mut dyn FnMut(),
) -> Result<Progress, (Error, bool)> {
    loop {
        let mut buffer: Buffer = [0; _];
        let received = interrupt::wait(&[channel.fd()]).and_then(|_| channel.receive_or_reset(&mut buffer, unread));
        let received = received.map_err(|error| (error, false))?;
        let Some(received) = received else { return Ok(Progress::Executed) };
        match received.message {
            Message::Warning => warn(core::str::from_utf8(received.text).unwrap_or("?")),
            Message::Hooks => at_hooks(),
            Message::Listener => return Ok(Progress::Listener(received.descriptor)),
            message => return Err((Error::received(received.text), message == Message::HookFailed)),
        }
    }
}
