//! Namespaces that nobody lives in: a process is born in them, what is opened of it
//! keeps them, and it is ended.

use super::container::Process;
use super::delete::end_child;
use super::handshake::{Channel, Message};
use super::proc::ProcPath;
use super::process::die_with_parent;
use crate::error::Result;
use crate::fail;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{self, Child, CloneFlags, CloneRequest, Errno, OwnedFd};

/// New namespaces; gives the one that `file` (`ns/user`) names in /proc/PID, once `prepare`
/// has done its work on them from outside.
///
/// # Errors
/// The kernel's, or those of `prepare`.
pub fn make(flags: CloneFlags, file: &str, prepare: &mut dyn FnMut(u32) -> Result<()>) -> Result<OwnedFd> {
    let (channel, end) = Channel::pair()?;
    let holder = match sys::clone3(&CloneRequest { flags, cgroup: None }).map_err(|errno| cannot(errno, file))? {
        Child::Created { pid, pidfd } => Process { pid, pidfd },
        Child::Myself => {
            // It lives until it is ended, or whoever has made it ends.
            drop(channel);
            let _ = die_with_parent(&end);
            let _ = end.await_parent(Message::Known);
            sys::exit(0)
        }
    };
    drop(end);
    let opened = prepare(holder.pid.as_raw_nonzero().get().unsigned_abs()).and_then(|()| open_of(&holder, file));
    end_child(&holder);
    opened
}

/// The namespace of a process that `file` names.
pub fn open_of(process: &Process, file: &str) -> Result<OwnedFd> {
    let path = ProcPath::new(process.pid.as_raw_nonzero().get(), file);
    open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| cannot(errno, file))
}

#[cold]
fn cannot(errno: Errno, file: &str) -> crate::error::Error {
    fail!(errno => "cannot make or open a namespace ({file})")
}
