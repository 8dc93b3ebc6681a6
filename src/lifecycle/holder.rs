//! Namespaces that nobody lives in: a process is born in them, what is opened of it
//! keeps them, and it is ended.

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

/// New namespaces; gives the one that `file` (`ns/user`) names in /proc/PID, once a user
/// namespace among them has its `maps`, of user and of group ids.
///
/// # Errors
/// The kernel's.
pub fn make(flags: CloneFlags, file: &str, maps: Option<(&IdMap, &IdMap)>) -> Result<OwnedFd> {
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
    let opened = match maps {
        Some(maps) => map(&holder, maps),
        None => Ok(()),
    }
    .and_then(|()| open_of(&holder, file));
    end_child(&holder);
    opened
}

fn map(holder: &Process, (uids, gids): (&IdMap, &IdMap)) -> Result<()> {
    namespace::write_maps(&open_procfs()?, holder.number().unsigned_abs(), uids, gids)
}

/// The namespace of a process that `file` names.
pub fn open_of(process: &Process, file: &str) -> Result<OwnedFd> {
    let path = ProcPath::new(process.number(), file);
    open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| cannot(errno, file))
}

#[cold]
fn cannot(errno: Errno, file: &str) -> crate::error::Error {
    fail!(errno => "cannot make or open a namespace ({file})")
}
