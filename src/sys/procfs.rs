//! procfs, as the kernel mounted it and nobody has put anything over.

use core::ffi::CStr;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;

/// A procfs whose files are what they seem.
pub struct Procfs {
    root: OwnedFd,
}

impl Procfs {
    /// Opens it.
    pub fn open() -> Result<Procfs, Errno> {
        Ok(Procfs { root: open(c"/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Opens a file below it: `self/attr/current`, `1234/uid_map`.
    pub fn open_file(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat2(self.root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH)
    }
}
