//! `create`, `run`, `start`, `kill`, `pause`, `resume` and `delete`: the command
//! line's words become a request to `lifecycle`.

use core::ffi::CStr;

use super::commands::{Flag, Task};
use super::report::Log;
use super::{Invocation, Vectors, variable};
use crate::error::{Lossy, Result};
use crate::lifecycle::{self, Changes, Request, StateRoot, Wishes, Workspace};
use crate::{fail, sys, words};

/// What the caller wants to be told and given. `foreground`: somebody stays.
pub fn wishes(invocation: &Invocation, environment: sys::Vector, foreground: bool) -> Wishes {
    Wishes {
        console_socket: invocation.path(Flag::ConsoleSocket),
        pidfd_socket: invocation.path(Flag::PidfdSocket),
        pid_file: invocation.path(Flag::PidFile),
        preserve_fds: invocation.number(Flag::PreserveFds).unwrap_or(0),
        listen_fds: listen_fds(environment),
        detached: !foreground,
    }
}

/// Sockets that whoever started us has opened for the container's process
/// (sd_listen_fds(3)). Not where the variables are meant for another process,
/// whose environment has come down to us.
pub fn listen_fds(environment: sys::Vector) -> u32 {
    let number = |name| variable(environment, name).map(|value| words::number(value).unwrap_or(0));
    match number("LISTEN_PID=") {
        Some(pid) if pid != sys::process::getpid().as_raw_nonzero().get().unsigned_abs() => 0,
        _ => number("LISTEN_FDS=").unwrap_or(0),
    }
}

/// Where whoever started us wants to hear that the container is ready (sd_notify(3)).
fn notify_socket(environment: sys::Vector) -> Option<&'static [u8]> {
    variable(environment, "NOTIFY_SOCKET=").filter(|target| !target.is_empty())
}

/// `create` and `run`.
pub fn create(
    invocation: &Invocation,
    task: Task,
    root: &CStr,
    vectors: Vectors,
    log: &mut Log,
    workspace: &'static mut Workspace,
) -> Result<i32> {
    let hardened = lifecycle::harden(vectors.arguments, vectors.environment)?;
    let run = task == Task::Run;
    let foreground = run && !invocation.has(Flag::Detach);
    let request = Request {
        id: invocation.id(),
        state_root: root,
        bundle: invocation.path(Flag::Bundle).unwrap_or(c"."),
        config: invocation.path(Flag::Config),
        wishes: wishes(invocation, vectors.environment, foreground),
        no_pivot: invocation.has(Flag::NoPivot),
        lock_mounts: false,
        changes: Changes::default(),
        no_new_keyring: invocation.has(Flag::NoNewKeyring),
        no_cgroup: invocation.is(Flag::CgroupManager, "disabled"),
        own_cgroup: None,
        rootless: match (invocation.is(Flag::Rootless, "true"), invocation.is(Flag::Rootless, "false")) {
            (false, false) => None,
            (rootless, _) => Some(rootless),
        },
        notify: notify_socket(vectors.environment),
        run,
        at_once: run,
        subreaper: foreground && !invocation.has(Flag::NoSubreaper),
    };
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    let mut created = lifecycle::create(&request, hardened, workspace, &mut warn)?;
    if !run {
        return Ok(0);
    }
    let status = match created.go(&mut warn) {
        Ok(()) if !foreground => return created.await_ready().map(|()| 0),
        Ok(()) => created.waiting.attend(&mut warn),
        Err(error) => Err(error),
    };
    if status.is_ok() && invocation.has(Flag::Keep) {
        return status;
    }
    match (status, created.made.delete(request.id, &mut warn)) {
        (Ok(_), Err(error)) => Err(error),
        (status, _) => status,
    }
}

/// `start`.
pub fn start(
    invocation: &Invocation,
    root: &CStr,
    vectors: Vectors,
    log: &mut Log,
    workspace: &'static mut Workspace,
) -> Result<i32> {
    let root = StateRoot::open(root, false)?;
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    let notify = notify_socket(vectors.environment);
    lifecycle::start(root.as_ref(), invocation.id(), workspace, notify, &mut warn).map(|()| 0)
}

/// `kill`.
pub fn kill(invocation: &Invocation, root: &CStr, workspace: &mut Workspace) -> Result<i32> {
    let signal = match invocation.words().nth(1) {
        None => sys::SIGTERM,
        Some(word) => {
            words::signal_number(word.to_bytes()).ok_or_else(|| fail!("unknown signal {}", Lossy(word.to_bytes())))?
        }
    };
    let root = StateRoot::open(root, false)?;
    lifecycle::kill(root.as_ref(), invocation.id(), signal, invocation.has(Flag::All), workspace).map(|()| 0)
}

/// `delete`.
pub fn delete(invocation: &Invocation, root: &CStr, log: &mut Log, workspace: &'static mut Workspace) -> Result<i32> {
    let root = StateRoot::open(root, false)?;
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    lifecycle::delete(root.as_ref(), invocation.id(), invocation.has(Flag::Force), workspace, &mut warn).map(|()| 0)
}

/// `pause`, or `resume`.
pub fn pause(invocation: &Invocation, frozen: bool, root: &CStr, workspace: &mut Workspace) -> Result<i32> {
    let root = StateRoot::open(root, false)?;
    lifecycle::pause(root.as_ref(), invocation.id(), frozen, workspace).map(|()| 0)
}
