//! Removing a cgroup that we made, with those that its processes made in it.

use super::path::CgroupPath;
use super::tree::{Cgroup, Hierarchy, now, open_folder};
use super::walk::{Name, as_c_str, next_folder};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{AtFlags, OFlags, unlinkat};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, Errno, OwnedFd, thread};

/// How long an emptied cgroup may stay busy, in milliseconds: the last of its
/// processes is counted a little longer than it can be seen.
const PATIENCE: u64 = 1000;

/// How long all of it may take, in milliseconds: thousands of nested cgroups
/// are removed in that time, but somebody who makes new ones is not outlasted.
const LONGEST: u64 = 10_000;

impl Cgroup {
    /// Removes it and every cgroup below it. Kills nothing: it must be empty of
    /// processes. What is at `path` is only removed if it still is this cgroup.
    ///
    /// # Errors
    /// The kernel's: EBUSY where a process is left after a second in which
    /// nothing could be removed.
    pub fn remove(&self, hierarchy: &Hierarchy, path: &CgroupPath<'_>) -> Result<()> {
        let end = now() + LONGEST;
        let mut busy_until = now() + PATIENCE;
        let mut pause = 1;
        loop {
            let Some(found) = hierarchy.lookup(path)?.filter(|found| found.inode() == self.inode()) else {
                return Ok(()); // gone; what has its name now is not ours
            };
            let mut removed = false;
            let emptied = remove_below(&found, end, &mut removed);
            if removed {
                busy_until = now() + PATIENCE;
            }
            match emptied.and_then(|()| hierarchy.unlink(path)) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // ENOTEMPTY does not come from this file system, but means the same.
                Err(Errno::BUSY | Errno::NOTEMPTY) if now() < busy_until.min(end) => {
                    let _ = thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: pause * 1_000_000 });
                    pause = (pause * 2).min(50);
                }
                Err(errno) => return Err(fail!(errno => "cannot remove cgroup {}", Lossy(path.as_bytes()))),
            }
        }
    }
}

/// Removes the cgroups below `top`, the deepest first.
///
/// Goes down from `top` anew for each, so that however deep they are nested it
/// takes three descriptors and no stack. `removed`: whether any was.
fn remove_below(top: &Cgroup, end: u64, removed: &mut bool) -> Result<(), Errno> {
    let mut name: Name = [0; _];
    let mut below: Name = [0; _];
    loop {
        // A descriptor of its own, for its position.
        let mut folder: OwnedFd = open_folder(top.fd(), c".", OFlags::empty())?;
        if !next_folder(folder.as_fd(), &mut name)? {
            return Ok(());
        }
        loop {
            let next = match open_folder(folder.as_fd(), as_c_str(&name), OFlags::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT | Errno::NODEV) => break, // somebody else removed it
                Err(errno) => return Err(errno),
            };
            if !next_folder(next.as_fd(), &mut below)? {
                match unlinkat(&folder, as_c_str(&name), AtFlags::REMOVEDIR) {
                    Ok(()) => *removed = true,
                    Err(Errno::NOENT) => {}
                    Err(errno) => return Err(errno),
                }
                break;
            }
            name = below;
            folder = next;
        }
        if now() >= end {
            return Err(Errno::BUSY); // they are made faster than they are removed
        }
    }
}
