//! `kill`: a signal to a container's first process.

use core::ffi::CStr;

use super::arena::Arena;
use super::container;
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::spec::state::StateRecord;
use crate::sys::{self, AsFd, Errno, SIGKILL};

/// Sends the signal.
///
/// KILL to a container that shares its pid namespace goes to all its processes,
/// and reaches those that its first process has left behind: with a namespace of
/// its own the kernel sees to that.
///
/// `all`: the obsolete flag, of which it is left that a container whose first
/// process has ended is no error (as runc has it since 1.2).
///
/// # Errors
/// It does not run: in the words that engines look for.
pub fn kill(root: Option<&StateRoot>, id: &CStr, signal: u32, all: bool, workspace: &mut Workspace) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    let record = container::record(&folder, id, &mut workspace.second, &mut Arena::new(&mut workspace.strings))?;
    let init = container::status(&record)?.1;
    if signal == SIGKILL && !record.own_pid_namespace && kill_cgroup(&record)? {
        return Ok(());
    }
    let Some(init) = init else {
        return if all { Ok(()) } else { Err(fail!("container not running: {shown}")) };
    };
    match sys::pidfd_send_signal(init.pidfd.as_fd(), signal) {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => Err(fail!("container not running: {shown}")),
        Err(errno) => Err(fail!(errno => "cannot send signal {signal} to container {shown}")),
    }
}

/// Kills every process of the container's cgroup. Whether there were any.
fn kill_cgroup(record: &StateRecord<'_>) -> Result<bool> {
    // Inodes of an earlier boot are others'. Before there is a process, it is still
    // the business of whoever makes it.
    if record.pid == 0 || !container::of_this_boot(record)? {
        return Ok(false);
    }
    match container::cgroup(record)? {
        Some(cgroup) if cgroup.populated()? => cgroup.kill().map(|()| true),
        _ => Ok(false),
    }
}
