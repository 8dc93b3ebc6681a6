//! The attached root becomes `/`.

use core::ffi::CStr;

use crate::error::Result;
use crate::json::Text;
use crate::sys::fs::{CWD, Mode, OFlags, open};
use crate::sys::mounts::{MountFlags, UnmountFlags, mount, unmount};
use crate::sys::process::{chdir, chroot, fchdir, pivot_root};
use crate::sys::{AsFd, Errno};

use super::descriptor::{Fd, attach, change};
use super::failure::cannot_own;
use super::option_words::{PRIVATE, RDONLY, SLAVE};
use super::options::{self, Change};
use super::root::{Root, change_propagation};

/// Makes `root` the root and the working directory of this process; what was
/// `/` before is gone from the mount namespace.
///
/// With `no_pivot`, for an initial root file system that cannot be exchanged,
/// it is mounted over the old root, which stays beneath.
///
/// # Errors
/// The kernel refuses.
#[inline(never)]
pub fn enter(root: Root, no_pivot: bool) -> Result<()> {
    let mut doing = "enter the root file system";
    fchdir(root.as_fd())
        .and_then(|()| if no_pivot { move_over(&root, &mut doing) } else { pivot(&root, &mut doing) })
        .map_err(|errno| cannot_own(doing, c"", errno))?;
    root.fd.done();
    Ok(())
}

/// Without a mount namespace of its own: the folder `path` becomes the root of
/// this process alone (chroot(2)).
///
/// # Errors
/// The kernel refuses.
pub fn enter_by_chroot(path: &CStr) -> Result<()> {
    chdir(path).and_then(|()| chroot(c".")).map_err(|errno| cannot_own("make the root of ", path, errno))
}

/// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top of
/// the new one, from where it is taken away. The working directory stays what
/// it was: the new root.
fn pivot(root: &Root, doing: &mut &'static str) -> Result<(), Errno> {
    let mut old = None;
    if root.shared {
        *doing = "open the old root";
        old = Some(Fd::new(open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?));
    }
    *doing = "make the root file system the root (pivot_root)";
    pivot_root(c".", c".")?;
    if let Some(old) = old {
        // Or unmounting it would unmount it for the host too.
        *doing = CUT_OFF;
        change_propagation(old.as_fd(), c"", SLAVE, true)?;
        old.done();
    }
    *doing = "unmount the old root";
    unmount(c".", UnmountFlags::DETACH)
}

const CUT_OFF: &str = "cut the old root off from the host's mounts";

fn move_over(root: &Root, doing: &mut &'static str) -> Result<(), Errno> {
    if root.shared {
        *doing = CUT_OFF;
        change_propagation(CWD, c"/", SLAVE, true)?;
    }
    // The old root stays reachable for the kernel, which allows a new proc or
    // sysfs in a user namespace as long as one is fully visible somewhere in the
    // mount namespace: the host's must not be what lets the container have one.
    *doing = "take the host's /proc and /sys away";
    hide(c"/proc")?;
    hide(c"/sys")?;
    *doing = "make the root file system the root (without pivot_root)";
    attach(root.as_fd(), CWD, c"/")?;
    chroot(c".")?;
    chdir(c"/")
}

/// Unmounts `place`, or covers it where the kernel has locked it.
#[inline(never)]
fn hide(place: &CStr) -> Result<(), Errno> {
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
            .map_err(|errno| cannot_own("set the propagation of the root file system", c"", errno)),
    }
}

/// Makes `/` read-only, but not what is mounted below it.
///
/// # Errors
/// The kernel refuses.
pub fn make_root_read_only() -> Result<()> {
    change(CWD, c"/", false, Change { set: RDONLY, clear: 0 }, 0)
        .map_err(|errno| cannot_own("make the root file system read-only", c"", errno))
}
