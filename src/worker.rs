//! A process of the program's own for work that must not be done in the caller:
//! it would leave descriptors there, or never end.
//!
//! It says once how its work went, and ends, or goes on alone.

use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::sys::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use crate::sys::process::{WaitId, WaitIdOptions, waitid};
use crate::sys::{
    AsFd, AsRawFd, BorrowedFd, Child, CloneFlags, CloneRequest, SignalSet, clone3, close_all_but, close_copy, exit,
    receive_message, send_message, signal_mask,
};

/// What is sent when all is well; else it is a sentence.
const DONE: &[u8] = &[0];

/// Who waits to be told.
pub struct Caller<'a>(BorrowedFd<'a>);

impl Caller<'_> {
    /// Says how the work went.
    pub fn tell(self, result: &Result<()>) {
        let mut text = [0; limits::MESSAGE];
        let message = result.as_ref().map_or_else(|error| error.text(&mut text).as_bytes(), |()| DONE);
        // It may be gone; then nobody wants to know.
        let _ = send_message(self.0, message, &[], None);
        close_copy(self.0);
    }
}

/// Starts a process that does `work` and ends with its status. Returns what that
/// tells; waits for the end too, unless it `stays` when all went well.
///
/// # Errors
/// The work's, or that of starting it; no process is left then.
pub fn start(stays: bool, work: &mut dyn FnMut(Caller<'_>) -> i32) -> Result<()> {
    let cannot = |errno| fail!(errno => "cannot start a process of our own");
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC).map_err(cannot)?;
    match clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None }).map_err(cannot)? {
        Child::Myself => {
            // What the caller has open and blocks is the caller's alone.
            let _ = close_all_but(3, &[theirs.as_raw_fd().unsigned_abs()]);
            let _ = signal_mask(SignalSet::NONE);
            exit(work(Caller(theirs.as_fd())))
        }
        Child::Created { pidfd, .. } => {
            drop(theirs);
            let mut said = [0; limits::MESSAGE];
            let length = receive_message(ours.as_fd(), &mut said).map_or(0, |(length, _)| length);
            let said = said.get(..length).unwrap_or(&[]);
            if said != DONE || !stays {
                let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            }
            match said {
                DONE => Ok(()),
                [] => Err(fail!("a process of our own ended without a word")),
                _ => Err(fail!("{}", Lossy(said))),
            }
        }
    }
}
