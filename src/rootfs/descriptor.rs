//! Descriptors that have done their work, and the short names of a few calls.

use core::ffi::CStr;

use crate::sys::mounts::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use crate::sys::{Attributes, BorrowedFd, Errno, OwnedFd, keep, kept_done, mount_setattr};

use super::option_words::RDONLY;
use super::options::Change;

/// A descriptor that going out of scope does not close.
///
/// All of them are closed by one close_range(2) before the user's process is
/// executed, and by execve(2) in any case; where an error ends this folder's
/// work, it ends the process.
pub struct Fd(BorrowedFd<'static>);

impl Fd {
    /// Takes it from its owner, who would close it.
    pub fn new(fd: OwnedFd) -> Fd {
        Fd(keep(fd))
    }

    pub fn as_fd(&self) -> BorrowedFd<'static> {
        self.0
    }

    /// Lets go of it, see [`kept_done`].
    pub fn done(self) {
        kept_done(self.0);
    }
}

/// A detached copy of what is mounted at `path`, with what is mounted below it
/// if `recursive`. Before Linux 6.15 the original must be attached, in this
/// mount namespace.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<Fd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags).map(Fd::new)
}

/// Attaches a detached mount on top of what `target` refers to.
pub fn attach_at(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    attach(mount, target, c"")
}

/// Attaches a detached mount on top of `name` in `folder`, or of `folder` if
/// `name` is empty. A link of that name is not followed, so that this cannot
/// leave the folder: the kernel says EINVAL if the mount is one of a folder.
pub fn attach(mount: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", folder, name, flags)
}

/// Changes attributes of the mount at `path`, which is `fd`'s own if that is
/// empty, with those below it if `recursive`; and, unless it is 0, how mount
/// events travel.
#[inline(never)]
pub fn change(
    fd: BorrowedFd<'_>,
    path: &CStr,
    recursive: bool,
    Change { set, clear }: Change,
    propagation: u32,
) -> Result<(), Errno> {
    let attributes = Attributes { set: set.into(), clear: clear.into(), propagation: propagation.into() };
    mount_setattr(fd, path, recursive, attributes)
}

/// Makes the mount of `fd` read-only.
pub fn make_read_only(fd: BorrowedFd<'_>, recursive: bool) -> Result<(), Errno> {
    change(fd, c"", recursive, Change { set: RDONLY, clear: 0 }, 0)
}
