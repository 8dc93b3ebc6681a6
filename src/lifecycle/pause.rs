//! `pause` and `resume`: all of a container's processes at once, by the freezer of
//! its cgroup.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::error::{Lossy, Result};
use crate::fail;

/// Freezes the container, or lets it go on.
///
/// Takes no lock: `start` holds it while it waits for a process that may be
/// frozen, which this is to let go on.
///
/// # Errors
/// It does not run, is paused already or is not; it has no cgroup; it does not
/// freeze in time.
pub fn pause(root: Option<&StateRoot>, id: &CStr, frozen: bool, workspace: &mut Workspace) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    let record = container::record(&folder, id, &mut workspace.second, &mut Arena::new(&mut workspace.strings))?;
    match (container::status_and_paused(&record)?.0, frozen) {
        (Status::Created | Status::Running, true) | (Status::Paused, false) => {}
        (status, true) => return Err(fail!("cannot pause container {shown} in the {status} state")),
        (status, false) => return Err(fail!("container {shown} is not paused: {status}")),
    }
    container::own_cgroup(&record)?.freeze(frozen)
}
