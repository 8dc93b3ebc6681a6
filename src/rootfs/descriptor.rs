//! Descriptors that have done their work, and the short names of a few calls.

use core::ffi::CStr;

use crate::sys::mounts::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use crate::sys::{AsRawFd, BorrowedFd, Errno, OwnedFd};

/// Numbers from here on are given back at once.
const KEPT: i32 = 200;

/// Lets go of a descriptor.
///
/// All of them are closed by one close_range(2) before the user's process is
/// executed, and by execve(2) in any case. Closing each on its own would be a
/// fifth of this folder's system calls, so it is done only once so many are
/// open that the process could run out (RLIMIT_NOFILE is seldom below 1024).
pub fn done_with(fd: OwnedFd) {
    if fd.as_raw_fd() < KEPT {
        core::mem::forget(fd);
    }
}

/// A detached copy of what is mounted at `path`, with what is mounted below it
/// if `recursive`. Before Linux 6.15 the original must be attached, in this
/// mount namespace.
pub fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    open_tree(dir, path, flags)
}

/// Attaches a detached mount on top of what `target` refers to.
pub fn attach_at(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}
