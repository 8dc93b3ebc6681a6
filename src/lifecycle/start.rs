//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::delete;
use super::gate;
use super::listener::{Agent, HandOver};
use super::ready;
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::error::{Lossy, Result};
use crate::json::Document;
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
    let mut progress = HandOver::default();
    let mut step = |listener| {
        let text = folder.read(c"config.json", document)?.unwrap_or(b"");
        let document = Document::parse("config.json", text)?;
        let config = spec::load(&document)?;
        let path = config.linux().and_then(|linux| linux.seccomp()).and_then(|seccomp| seccomp.listener_path());
        let path = path.ok_or_else(|| fail!("the filter has nobody to ask"))?;
        let state = record.document(record.status, init.number(), config.annotations());
        progress.step(&connection, listener, &Agent::new(arena.text(path)?, &config, &state, init.number(), output)?)
    };
    // Nobody would answer what the filter asks.
    ready::await_execution(&connection, &mut |listener| step(listener).inspect_err(|_| delete::end_child(&init)))?;
    record.started = true;
    folder.write_record(&record, second)
}
