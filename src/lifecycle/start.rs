//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::hooks::{HookRoom, Moment};
use super::process_plan::Buffers;
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use super::{delete, gate, ready};
use crate::error::{Lossy, Result};
use crate::fail;

/// Starts the container.
///
/// # Errors
/// It is not in the state "created", or its program cannot be executed; or a hook
/// fails, and the container is destroyed.
pub fn start(
    root: Option<&StateRoot>,
    id: &CStr,
    workspace: &'static mut Workspace,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let Workspace { document, second, strings, arguments, environment, names, groups, output, .. } = workspace;
    let mut arena = Arena::new(strings);
    let folder = container::open(root, id)?;
    folder.lock()?;
    let mut record = container::record(&folder, id, second, &mut arena)?;
    match container::status(&record)?.0 {
        Status::Created => {}
        other => return Err(fail!("cannot start container {shown} in the {other} state")),
    }
    let Some(connection) = gate::knock(folder.fd())? else {
        return Err(fail!("cannot start container {shown} in the stopped state"));
    };
    let answer = ready::await_program(&connection, warn, &mut || folder.unlock());
    let room = HookRoom { document, buffers: Buffers { arguments, environment, names, groups, arena }, output };
    if record.hooks {
        relock(&folder, id)?;
    }
    match answer {
        Ok(()) => {}
        Err((error, true)) => {
            // That it fails is reported, whatever clearing up meets.
            let _ = delete::destroy(folder, id, record, room, warn);
            return Err(error);
        }
        Err((error, false)) => return Err(error),
    }
    record.started = true;
    folder.write_record(&record, second)?;
    if !record.hooks {
        return Ok(());
    }
    let mut later = room.read(&folder)?;
    folder.unlock();
    let ran = later.run(Moment::Poststart, &record, record.pid, warn);
    ran.inspect_err(|_| {
        let _ = relock(&folder, id).and_then(|()| delete::destroy_by(folder, id, &mut record, Some(&mut later), warn));
    })
}

/// After hooks, while which it was not held.
fn relock(folder: &Folder<'_>, id: &CStr) -> Result<()> {
    folder.lock()?;
    if folder.is_current(id) { Ok(()) } else { Err(fail!("container {} has just been deleted", Lossy(id.to_bytes()))) }
}
