//! Which controllers a cgroup has, and handing them down to it.
//!
//! A controller is in a cgroup once `cgroup.subtree_control` of every one above
//! has it (cgroup-v2.rst, "Enabling and Disabling").

use super::convert::Line;
use super::path::CgroupPath;
use super::tree::{Cgroup, Hierarchy, cannot};
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::sys::fs::{CWD, Mode, OFlags, openat};
use crate::sys::{AsFd, BorrowedFd, Errno, io, read_file};

/// Room for the names of all controllers: the kernel has about fifteen.
pub(super) type Names = [u8; 512];

/// Whether `names` has the controller `name`; every cgroup has its own files.
pub(super) fn has(names: &[u8], name: &[u8]) -> bool {
    name == b"cgroup" || bytes::split(names.trim_ascii(), b' ').any(|known| known == name)
}

/// A cgroup that did not hand a controller down.
pub(super) struct Refusal {
    errno: Errno,
    /// Of the cgroup's path.
    length: usize,
}

impl Cgroup {
    pub(super) fn controllers<'b>(&self, names: &'b mut Names) -> Result<&'b [u8]> {
        controllers_of(self.fd(), names).map_err(|errno| cannot(errno, "read cgroup.controllers"))
    }
}

impl Hierarchy {
    /// What there is to be handed down, at the mount.
    pub(super) fn controllers<'b>(&self, names: &'b mut Names) -> Result<&'b [u8], Errno> {
        controllers_of(self.root(), names)
    }

    /// Has every cgroup above `path` hand down all that it has, from the mount
    /// on, which has those that are `available`. One that does not is no error yet: it may be somebody else's, who has
    /// done so already. The last is given: those above it have done what it takes
    /// for it to be asked.
    pub(super) fn hand_down(&self, path: &CgroupPath<'_>, available: Result<&[u8], Errno>) -> Result<Option<Refusal>> {
        let handed = available.and_then(|available| hand_down_in(self.root(), available));
        let mut refusal = handed.err().map(|errno| Refusal { errno, length: 0 });
        for above in (1..path.as_bytes().len()).filter_map(|length| path.prefix(length)) {
            let length = above.as_bytes().len();
            let failed = |errno| fail!(errno => "cannot open cgroup {}", Lossy(above.as_bytes()));
            let folder = self.open_below(&above, OFlags::PATH).map_err(failed)?;
            let mut names: Names = [0; _];
            let handed = controllers_of(folder.as_fd(), &mut names);
            if let Err(errno) = handed.and_then(|names| hand_down_in(folder.as_fd(), names)) {
                refusal = Some(Refusal { errno, length });
            }
        }
        Ok(refusal)
    }
}

fn controllers_of<'b>(folder: BorrowedFd<'_>, names: &'b mut Names) -> Result<&'b [u8], Errno> {
    read_file(folder, c"cgroup.controllers", names)
}

/// Hands `names` down: all at once; where that is refused, each by itself, unless it is for the
/// processes: the few that could be had all the same would make the cgroup a
/// threaded domain, in which ours is of no use. The error is that of the last
/// which was refused.
fn hand_down_in(folder: BorrowedFd<'_>, names: &[u8]) -> Result<(), Errno> {
    let mut all = Printed::<1024>::new();
    for name in bytes::split(names.trim_ascii(), b' ').filter(|name| !name.is_empty()) {
        all.add(format_args!("+{} ", Lossy(name))); // it fits: one more byte for each name
    }
    if all.as_bytes().is_empty() {
        return Ok(());
    }
    let file = openat(folder, c"cgroup.subtree_control", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut result = Ok(());
    match io::write(&file, all.as_bytes()) {
        Ok(_) => return Ok(()),
        Err(errno @ (Errno::BUSY | Errno::OPNOTSUPP)) => return Err(errno),
        Err(_) => {}
    }
    for one in bytes::split(all.as_bytes().trim_ascii(), b' ') {
        if let Err(errno) = io::write(&file, one) {
            result = Err(errno);
        }
    }
    result
}

/// Why a cgroup has not the controller that `line` needs.
#[cold]
#[inline(never)]
pub(super) fn missing(line: &Line<'_>, name: &[u8], path: &CgroupPath<'_>, refusal: Option<&Refusal>) -> Error {
    let name = Lossy(name);
    let mut table = [0; 2048];
    let hierarchy = Printed::<64>::of(format_args!("{name}\t"));
    let table = read_file(CWD, c"/proc/cgroups", &mut table).unwrap_or(&[]);
    if bytes::field(table, hierarchy.as_str()).is_some_and(|rest| !rest.starts_with(b"0")) {
        return line.place.error(format_args!("controller {name} is mounted as cgroup version 1 here"));
    }
    let above = |length| Lossy(path.as_bytes().get(..length).unwrap_or(&[]));
    match refusal {
        Some(Refusal { errno: Errno::BUSY, length }) => line.place.error(format_args!(
            "controller {name} cannot be enabled: cgroup /{} has processes of its own, which must be moved into one \
             below it; or choose another \"linux.cgroupsPath\"",
            above(*length)
        )),
        // ENOTSUPP, which is the kernel's own, means the same here.
        Some(Refusal { errno, length }) if *errno == Errno::OPNOTSUPP || errno.raw_os_error() == 524 => {
            line.place.error(format_args!(
                "controller {name} cannot be enabled: cgroup /{} is in a threaded domain; choose another \
                 \"linux.cgroupsPath\"",
                above(*length)
            ))
        }
        Some(Refusal { errno, length }) => line.place.os_error(
            *errno,
            format_args!("controller {name} cannot be enabled: cgroup /{} does not hand it down", above(*length)),
        ),
        None => line.place.error(format_args!("controller {name} is not available here")),
    }
}
