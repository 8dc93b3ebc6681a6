//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Process, Status};
use super::hooks::{HookRoom, Moment};
use super::listener::{Agent, HandOver};
use super::notify::Notify;
use super::process_plan::Buffers;
use super::ready::{self, Progress};
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use super::{delete, gate};
use crate::error::{Lossy, Result};
use crate::json::{Document, Extents};
use crate::spec::state::StateRecord;
use crate::{fail, spec};

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
    // What is paused would be waited for until somebody resumes it.
    let init = match container::status_and_paused(&record)? {
        (Status::Created, Some(init)) => init,
        (other, _) => return Err(fail!("cannot start container {shown} in the {other} state")),
    };
    let notify = match notify {
        Some(target) => Notify::listen(&folder, target)?,
        None => None,
    };
    let Some(connection) = gate::knock(folder.fd())? else {
        return Err(fail!("cannot start container {shown} in the stopped state"));
    };
    let mut hand_over = HandOver::default();
    let answer = loop {
        match ready::await_progress(&connection, &mut false, warn, &mut || folder.unlock()) {
            Ok(Progress::Executed) => break Ok(()),
            Ok(Progress::Listener(listener)) => {
                let agent = agent(&folder, &record, &init, &mut arena, (&mut *document, &mut *output));
                // Otherwise nobody would answer what the filter asks.
                agent
                    .and_then(|agent| hand_over.step(&connection, listener, &agent))
                    .inspect_err(|_| delete::end_child(&init))?;
            }
            Err(failed) => break Err(failed),
        }
    };
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
        Some(notify) => notify.await_ready(&init),
        None => Ok(()),
    }
}

/// Whom the container's filter asks. `rooms`: for config.json, and for the message.
fn agent<'a: 'w, 'w>(
    folder: &Folder,
    record: &StateRecord<'_>,
    init: &Process,
    arena: &mut Arena<'a>,
    rooms: (&mut [u8], &'w mut [u8]),
) -> Result<Agent<'w>> {
    let text = folder.read(c"config.json", rooms.0)?.unwrap_or(b"");
    let mut extents = Extents::new();
    let document = Document::parse("config.json", text, &mut extents)?;
    let config = spec::load(&document)?;
    let path = config.linux().and_then(|linux| linux.seccomp()).and_then(|seccomp| seccomp.listener_path());
    let path = arena.text(path.ok_or_else(|| fail!("the filter has nobody to ask"))?)?;
    let state = record.document(record.status, init.number(), config.annotations());
    Agent::new(path, &config, &state, init.number(), rooms.1)
}

/// After hooks, while which it was not held.
fn relock(folder: &Folder, id: &CStr) -> Result<()> {
    folder.lock()?;
    if folder.is_current() { Ok(()) } else { Err(fail!("container {} has just been deleted", Lossy(id.to_bytes()))) }
}
