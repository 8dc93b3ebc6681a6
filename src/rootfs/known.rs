//! What later steps need to know of what was mounted, by descriptor.

use core::ffi::CStr;

use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};
use crate::sys::{BorrowedFd, Errno};

use super::descriptor::Fd;
use super::failure::cannot_own;
use super::resolve::{self, Links};

/// What is mounted at places that later steps go to. By descriptor, since whoever can
/// write to the folder of the root file system can also rename what is mounted on.
#[derive(Default)]
pub struct Known {
    /// A tmpfs that was made here, at /dev, with nothing but the kernel's own in it: the
    /// places of later mounts are often there, and missing.
    pub dev: Option<Fd>,
    pub proc: Option<Mounted>,
    pub sys: Option<Mounted>,
}

/// A mount at its place.
pub struct Mounted {
    pub fd: Fd,
    /// A file system that was made here, whole, with nothing but the kernel's own in it
    /// (but a cgroup2 in sysfs): no link can be on the way to what is in it, and nobody
    /// but us can change it as yet. Of /proc: it can be written to.
    pub untouched: bool,
}

impl Known {
    /// The procfs at /proc, if it is one that can be trusted.
    pub fn own_proc(&self) -> Option<BorrowedFd<'static>> {
        self.proc.as_ref().filter(|mounted| mounted.untouched).map(|mounted| mounted.fd.as_fd())
    }

    /// Others may have mounted or made anything anywhere.
    pub fn touched(&mut self) {
        self.dev = None;
        for mounted in [&mut self.proc, &mut self.sys].into_iter().flatten() {
            mounted.untouched = false;
        }
    }

    /// After others' work: whether what is known is still what its name leads to. To be
    /// called inside the root.
    ///
    /// # Errors
    /// It is not: what is covered there would not be what the container sees.
    pub fn check_places(&self) -> Result<()> {
        for (mounted, name) in [(&self.proc, c"/proc"), (&self.sys, c"/sys")] {
            let Some(mounted) = mounted.as_ref().filter(|mounted| !mounted.untouched) else { continue };
            match is_same_mount(mounted.fd.as_fd(), name) {
                Ok(true) => {}
                Ok(false) => return Err(fail!("what was mounted at {} is not there any more", Lossy(name.to_bytes()))),
                Err(errno) => return Err(cannot_own("find what was mounted at ", name, errno)),
            }
        }
        Ok(())
    }
}

/// Whether `name` leads to this mount, and to nothing upon it.
fn is_same_mount(mount: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    let place = resolve::open(CWD, name, OFlags::PATH, Links::Follow)?;
    let number = |fd: BorrowedFd<'_>| statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|it| it.stx_mnt_id);
    let same = number(place.as_fd())? == number(mount)?;
    place.done();
    Ok(same)
}
