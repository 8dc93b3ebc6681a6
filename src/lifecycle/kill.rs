//! `kill`: a signal to a container's first process.

use core::ffi::CStr;

use super::arena::Arena;
use super::container;
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::cgroup::{CgroupPath, Hierarchy};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::spec::state::StateRecord;
use crate::sys::{self, AsFd, Errno};

/// SIGKILL.
const KILL: u32 = 9;

/// Sends the signal.
///
/// KILL to a container that shares its pid namespace goes to all its processes:
/// with a namespace of its own the kernel sees to that.
///
/// # Errors
/// It does not run: in the words that engines look for.
pub fn kill(root: Option<&StateRoot>, id: &CStr, signal: u32, workspace: &mut Workspace) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    let record = container::record(&folder, id, &mut workspace.second, &mut Arena::new(&mut workspace.strings))?;
    let (_, Some(init)) = container::status(&record)? else {
        return Err(fail!("container not running: {shown}"));
    };
    if signal == KILL && !record.own_pid_namespace && kill_cgroup(&record)? {
        return Ok(());
    }
    match sys::pidfd_send_signal(init.pidfd.as_fd(), signal) {
        Ok(()) => Ok(()),
        Err(Errno::SRCH) => Err(fail!("container not running: {shown}")),
        Err(errno) => Err(fail!(errno => "cannot send signal {signal} to container {shown}")),
    }
}

/// Kills every process of the container's cgroup, if it is still there.
fn kill_cgroup(record: &StateRecord<'_>) -> Result<bool> {
    if record.cgroup.is_empty() {
        return Ok(false);
    }
    let path = CgroupPath::from_bytes(record.cgroup.as_bytes())?;
    match Hierarchy::open()?.lookup(&path)? {
        Some(cgroup) if cgroup.inode() == record.cgroup_inode => cgroup.kill().map(|()| true),
        _ => Ok(false),
    }
}
