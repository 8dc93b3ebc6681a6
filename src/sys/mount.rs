//! mount_setattr(2).

use core::ffi::CStr;
use core::mem::size_of;

use linux_raw_sys::general::mount_attr;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::raw::syscall;

/// What to change on a mount: bits of `MOUNT_ATTR_*` and `MS_*` propagation,
/// with the kernel's values.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` or 0.
    pub propagation: u64,
}

/// `int mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *attr, size_t size);`
/// mount_setattr(2)
///
/// With an empty `path` it is the mount of `fd` itself. `recursive`: and all
/// mounts below.
pub fn mount_setattr(fd: BorrowedFd<'_>, path: &CStr, recursive: bool, attributes: Attributes) -> Result<(), Errno> {
    let Attributes { set: attr_set, clear: attr_clr, propagation } = attributes;
    call(fd, path, recursive, mount_attr { attr_set, attr_clr, propagation, userns_fd: 0 })
}

/// The same with `MOUNT_ATTR_IDMAP`: the detached mount of `fd` shows its files'
/// ids through the map of `user_namespace`.
///
/// # Errors
/// EINVAL: the file system or the kernel cannot; EPERM: the file system is not the
/// caller's to decide about, or its ids are mapped already.
pub fn mount_map_ids(fd: BorrowedFd<'_>, recursive: bool, user_namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
    let userns_fd = user_namespace.as_raw_fd() as u64;
    call(fd, c"", recursive, mount_attr { attr_set: MOUNT_ATTR_IDMAP, attr_clr: 0, propagation: 0, userns_fd })
}

#[inline(never)]
fn call(fd: BorrowedFd<'_>, path: &CStr, recursive: bool, attr: mount_attr) -> Result<(), Errno> {
    const AT_EMPTY_PATH: u32 = 0x1000;
    const AT_RECURSIVE: u32 = 0x8000;
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and `attr` a mount_attr of the size given;
    // the kernel reads both during the call only.
    unsafe {
        syscall!(__NR_mount_setattr, fd.as_raw_fd(), path.as_ptr(), flags, &raw const attr, size_of::<mount_attr>())
    }?;
    Ok(())
}
