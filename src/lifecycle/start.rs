//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Process, Status};
use super::delete;
use super::gate;
use super::listener::{Agent, HandOver};
use super::ready::{self, Progress};
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use crate::error::{Lossy, Result};
use crate::json::Document;
use crate::spec::state::StateRecord;
use crate::{fail, spec};

/// Starts the container.
///
/// # Errors
/// It is not in the state "created", or its program cannot be executed.
pub fn start(root: Option<&StateRoot>, id: &CStr, workspace: &mut Workspace) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    folder.lock()?;
    let Workspace { document, second, strings, output, .. } = workspace;
    let mut arena = Arena::new(strings);
    let mut record = container::record(&folder, id, second, &mut arena)?;
    let init = match container::status(&record)? {
        (Status::Created, Some(init)) => init,
        (other, _) => return Err(fail!("cannot start container {shown} in the {other} state")),
    };
    let Some(connection) = gate::knock(folder.fd())? else {
        return Err(fail!("cannot start container {shown} in the stopped state"));
    };
    let mut hand_over = HandOver::default();
    while let Progress::Listener(listener) = ready::await_progress(&connection)? {
        let agent = agent(&folder, &record, &init, &mut arena, (&mut *document, &mut *output));
        // Otherwise nobody would answer what the filter asks.
        agent
            .and_then(|agent| hand_over.step(&connection, listener, &agent))
            .inspect_err(|_| delete::end_child(&init))?;
    }
    record.started = true;
    folder.write_record(&record, second)
}

/// Whom the container's filter asks. `rooms`: for config.json, and for the message.
fn agent<'a: 'w, 'w>(
    folder: &Folder<'_>,
    record: &StateRecord<'_>,
    init: &Process,
    arena: &mut Arena<'a>,
    rooms: (&mut [u8], &'w mut [u8]),
) -> Result<Agent<'w>> {
    let text = folder.read(c"config.json", rooms.0)?.unwrap_or(b"");
    let document = Document::parse("config.json", text)?;
    let config = spec::load(&document)?;
    let path = config.linux().and_then(|linux| linux.seccomp()).and_then(|seccomp| seccomp.listener_path());
    let path = arena.text(path.ok_or_else(|| fail!("the filter has nobody to ask"))?)?;
    let state = record.document(record.status, init.number(), config.annotations());
    Agent::new(path, &config, &state, init.number(), rooms.1)
}
