//! The attached root becomes `/`.

use core::ffi::CStr;

use crate::error::Result;
use crate::fail;
use crate::json::Text;
use crate::sys::fs::{CWD, Mode, OFlags, open};
use crate::sys::mounts::{MountFlags, MoveMountFlags, UnmountFlags, mount, move_mount, unmount};
use crate::sys::process::{chdir, chroot, fchdir, pivot_root};
use crate::sys::{AsFd, Attributes, Errno, mount_setattr};

use super::descriptor::Fd;
use super::options::{self, PRIVATE, RDONLY, SLAVE};
use super::root::{Root, change_propagation};

/// Makes `root` the root and the working directory of this process; what was
/// `/` before is gone from the mount namespace.
///
/// With `no_pivot`, for an initial root file system that cannot be exchanged,
/// it is mounted over the old root, which stays beneath.
///
/// # Errors
/// The kernel refuses.
pub fn enter(root: Root, no_pivot: bool) -> Result<()> {
    fchdir(root.as_fd()).map_err(|errno| fail!(errno => "cannot enter the root file system"))?;
    if no_pivot {
        move_over(&root)?;
    } else {
        pivot(&root)?;
    }
    root.fd.done();
    Ok(())
}

/// Without a mount namespace of its own: the folder `path` becomes the root of
/// this process alone (chroot(2)).
///
/// # Errors
/// The kernel refuses.
pub fn enter_by_chroot(path: &CStr) -> Result<()> {
    chdir(path)
        .and_then(|()| chroot(c"."))
        .map_err(|errno| fail!(errno => "cannot make {} the root", crate::error::Lossy(path.to_bytes())))
}

/// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top of
/// the new one, from where it is taken away. The working directory stays what
/// it was: the new root.
fn pivot(root: &Root) -> Result<()> {
    let old = match root.shared {
        false => None,
        true => Some(
            open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map(Fd::new)
                .map_err(|errno| fail!(errno => "cannot open the old root"))?,
        ),
    };
    pivot_root(c".", c".").map_err(|errno| fail!(errno => "cannot make the root file system the root (pivot_root)"))?;
    if let Some(old) = old {
        // Or unmounting it would unmount it for the host too.
        change_propagation(old.as_fd(), c"", SLAVE, true)
            .map_err(|errno| fail!(errno => "cannot cut the old root off from the host's mounts"))?;
        old.done();
    }
    unmount(c".", UnmountFlags::DETACH).map_err(|errno| fail!(errno => "cannot unmount the old root"))
}

fn move_over(root: &Root) -> Result<()> {
    if root.shared {
        change_propagation(CWD, c"/", SLAVE, true)
            .map_err(|errno| fail!(errno => "cannot cut the old root off from the host's mounts"))?;
    }
    // The old root stays reachable for the kernel, which allows a new proc or
    // sysfs in a user namespace as long as one is fully visible somewhere in the
    // mount namespace: the host's must not be what lets the container have one.
    for place in [c"/proc", c"/sys"] {
        hide(place).map_err(|errno| fail!(errno => "cannot take the host's /proc and /sys away"))?;
    }
    move_mount(root.as_fd(), c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .and_then(|()| chroot(c"."))
        .and_then(|()| chdir(c"/"))
        .map_err(|errno| fail!(errno => "cannot make the root file system the root (without pivot_root)"))
}

/// Unmounts `place`, or covers it where the kernel has locked it.
fn hide(place: &core::ffi::CStr) -> Result<(), Errno> {
    match unmount(place, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // EINVAL also: nothing is mounted there, and covering it does no harm.
        Err(Errno::PERM | Errno::INVAL) => mount(c"tmpfs", place, c"tmpfs", MountFlags::RDONLY, None),
        Err(errno) => Err(errno),
    }
}

/// Sets what `rootfsPropagation` asks for, on `/`, where `attach` has not done
/// so already: a root can be shared, or unbindable, only once it is entered.
///
/// # Errors
/// The kernel refuses.
pub fn set_propagation(propagation: Option<Text<'_>>) -> Result<()> {
    match options::propagation(propagation) {
        None | Some((PRIVATE | SLAVE, _)) => Ok(()),
        Some((kind, recursive)) => change_propagation(CWD, c"/", kind, recursive)
            .map_err(|errno| fail!(errno => "cannot set the propagation of the root file system")),
    }
}

/// Makes `/` read-only, but not what is mounted below it.
///
/// # Errors
/// The kernel refuses.
pub fn make_root_read_only() -> Result<()> {
    mount_setattr(CWD, c"/", false, Attributes { set: RDONLY, ..Attributes::default() })
        .map_err(|errno| fail!(errno => "cannot make the root file system read-only"))
}
