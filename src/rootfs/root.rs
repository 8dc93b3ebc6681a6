//! The folder that is to become `/`, mounted on itself.

use core::ffi::CStr;

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::sys::fs::{CWD, Mode, OFlags, open, openat};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd};

use super::descriptor::{Fd, attach_at, change, clone_tree};
use super::failure::cannot_own;
use super::option_words::{PRIVATE, SHARED, SLAVE, UNBINDABLE};
use super::options::{self, Change};

/// The root file system, attached in this mount namespace.
pub struct Root {
    pub(super) fd: Fd,
    /// Mounts here may take part in another namespace's, so that what is done
    /// to them could be done there too.
    pub(super) shared: bool,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Mounts a clone of the folder `path`, and of all that is mounted below it, on
/// top of that folder. `propagation` is the configuration's `rootfsPropagation`;
/// `open_otherwise` gives the folder where this process may not open it.
///
/// For the process's own, new mount namespace only: it changes how mounts
/// travel in all of it.
///
/// # Errors
/// The folder cannot be opened, or the kernel refuses.
#[inline(never)]
pub fn attach(
    path: &CStr,
    propagation: Option<Text<'_>>,
    open_otherwise: &dyn Fn() -> Result<Option<OwnedFd>>,
) -> Result<Root> {
    let asked = options::propagation(propagation);
    // What must hold before the clone is made. A shared root is shared last of
    // all (`set_propagation`); one that is unbindable could not be cloned.
    let before = match asked {
        None => Some((SLAVE, true)),
        Some((SHARED, _)) => None,
        Some((UNBINDABLE, recursive)) => Some((PRIVATE, recursive)),
        other => other,
    };
    let mut doing = "";
    let folder = match open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::ACCESS) => open_otherwise()?.ok_or(Errno::ACCESS),
        result => result,
    }
    .map_err(|errno| cannot_own("open the root file system ", path, errno))?;
    attach_as(Fd::new(folder), before, &mut doing).map_err(|errno| cannot_own(doing, path, errno))
}

fn attach_as(folder: Fd, before: Option<(u32, bool)>, doing: &mut &'static str) -> Result<Root, Errno> {
    if let Some((kind, recursive)) = before {
        *doing = "set the propagation of the new mount namespace for ";
        change_propagation(CWD, c"/", kind, recursive)?;
    }
    let shared = !before.is_some_and(|(_, recursive)| recursive);
    if shared {
        // pivot_root(2) refuses a root whose parent is shared, and the clone
        // would be a peer of the original.
        let kind = if before.is_some_and(|(kind, _)| kind == SLAVE) { SLAVE } else { PRIVATE };
        *doing = "make private the mount that holds ";
        unshare_mount_of(folder.as_fd(), kind)?;
    }
    *doing = "clone the root file system ";
    let fd = clone_tree(folder.as_fd(), c"", true)?;
    *doing = "mount on itself the root file system ";
    attach_at(fd.as_fd(), folder.as_fd())?;
    folder.done();
    Ok(Root { fd, shared })
}

/// Changes only how mount events travel.
pub fn change_propagation(dir: BorrowedFd<'_>, path: &CStr, kind: u32, recursive: bool) -> Result<(), Errno> {
    change(dir, path, recursive, Change::default(), kind)
}

/// Sets the propagation of the mount that `folder` lies in: the root of that
/// mount is the first folder on the way up of which mount_setattr(2) does not
/// say EINVAL.
fn unshare_mount_of(folder: BorrowedFd<'_>, kind: u32) -> Result<(), Errno> {
    let mut above: Option<Fd> = None;
    for _ in 0..limits::PATH / 2 {
        let here = above.as_ref().map_or(folder, |fd| fd.as_fd());
        match change_propagation(here, c"", kind, false) {
            Err(Errno::INVAL) => {}
            result => return result,
        }
        let next = openat(here, c"..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if let Some(below) = above.replace(Fd::new(next)) {
            below.done();
        }
    }
    Err(Errno::INVAL) // the process's `/` is not the root of a mount
}
