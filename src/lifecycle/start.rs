//! `start`: lets a created container's process go on to the user's program.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::gate;
use super::handshake::{Buffer, Message};
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::error::{Error, Lossy, Result};
use crate::fail;

/// Starts the container.
///
/// # Errors
/// It is not in the state "created", or its program cannot be executed.
pub fn start(root: Option<&StateRoot>, id: &CStr, workspace: &mut Workspace) -> Result<()> {
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    folder.lock()?;
    let mut record = container::record(&folder, id, &mut workspace.second, &mut Arena::new(&mut workspace.strings))?;
    match container::status(&record)?.0 {
        Status::Created => {}
        other => return Err(fail!("cannot start container {shown} in the {other} state")),
    }
    let Some(connection) = gate::knock(folder.fd())? else {
        return Err(fail!("cannot start container {shown} in the stopped state"));
    };
    let mut answer: Buffer = [0; _];
    match connection.receive(&mut answer)? {
        // execve has closed the other end.
        None => {
            record.started = true;
            folder.write_record(&record, &mut workspace.second)
        }
        Some(received) if received.message == Message::Failed => Err(Error::received(received.text)),
        Some(_) => Err(fail!("the process of {shown} speaks another version of the handshake")),
    }
}
