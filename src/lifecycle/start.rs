//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::hooks::{HookRoom, Moment};
use super::notify::Notify;
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
    notify: Option<&'static [u8]>,
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
    let notify = match notify {
        Some(target) => Notify::listen(&folder, target)?,
        None => None,
    };
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
    if record.hooks || notify.is_some() {
        folder.unlock();
    }
    if record.hooks {
        let mut later = room.read(&folder)?;
        if let Err(error) = later.run(Moment::Poststart, &record, record.pid, warn) {
            let locked = relock(&folder, id);
            let _ = locked.and_then(|()| delete::destroy_by(folder, id, &mut record, Some(&mut later), warn));
            return Err(error);
        }
    }
    match notify {
        Some(notify) => container::init(&record)?.map_or(Ok(()), |process| notify.await_ready(&process)),
        None => Ok(()),
    }
}

/// After hooks, while which it was not held.
fn relock(folder: &Folder<'_>, id: &CStr) -> Result<()> {
    folder.lock()?;
    if folder.is_current(id) { Ok(()) } else { Err(fail!("container {} has just been deleted", Lossy(id.to_bytes()))) }
}
