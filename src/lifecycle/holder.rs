//! User namespaces that nobody lives in: a process is born in one, what is opened of it
//! keeps it, and it is ended.

use super::birth::open_procfs;
use super::container::Process;
use super::delete::end_child;
use super::handshake::{Channel, Message};
use super::proc::ProcPath;
use super::process::die_with_parent;
use crate::error::Result;
use crate::fail;
use crate::namespace::{self, IdMap};
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{self, Child, CloneFlags, CloneRequest, Errno, OwnedFd};

/// A new one with these maps, of user and of group ids.
///
/// # Errors
/// The kernel's.
pub fn make(uids: &IdMap, gids: &IdMap) -> Result<OwnedFd> {
    let (channel, end) = Channel::pair()?;
    let request = CloneRequest { flags: CloneFlags::NEWUSER, cgroup: None };
    let holder = match sys::clone3(&request).map_err(cannot)? {
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
    let opened = open_procfs()
        .and_then(|procfs| namespace::write_maps(&procfs, holder.number().unsigned_abs(), uids, gids))
        .and_then(|()| open_of(&holder));
    end_child(&holder);
    opened
}

/// The one that a process is in.
pub fn open_of(process: &Process) -> Result<OwnedFd> {
    let path = ProcPath::new(process.number(), "ns/user");
    open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(cannot)
}

#[cold]
fn cannot(errno: Errno) -> crate::error::Error {
    fail!(errno => "cannot make or open a user namespace")
}
