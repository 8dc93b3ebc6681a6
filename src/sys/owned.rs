//! Descriptors that this program owns, and the calls that make them.
//!
//! rustix has an `OwnedFd` for programs without std; but each look at it goes
//! through a check for -1 that is a call of its own. This one is made from what
//! the kernel returned, and needs none. The functions are rustix's own
//! otherwise, each once and not once for every kind of argument.

use core::ffi::CStr;
use core::mem::{forget, transmute};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use rustix::fs::{self, MemfdFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{self, FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, OpenTreeFlags};
use rustix::net::{self, AddressFamily, Protocol, SocketFlags, SocketType};
use rustix::process::{self, Pid, PidfdFlags};
use rustix::pty::{self, OpenptFlags};

/// A descriptor that is closed when it is dropped.
#[repr(transparent)]
pub struct OwnedFd(RawFd);

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // SAFETY: it is ours alone, by the contract of `from_raw_fd`.
        unsafe { rustix::io::close(self.0) };
    }
}

impl AsFd for OwnedFd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `BorrowedFd` is documented as transparent over a descriptor
        // that is not -1, and the kernel returns no such one.
        unsafe { transmute::<RawFd, BorrowedFd<'_>>(self.0) }
    }
}

impl AsRawFd for OwnedFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl FromRawFd for OwnedFd {
    unsafe fn from_raw_fd(fd: RawFd) -> OwnedFd {
        OwnedFd(fd)
    }
}

impl IntoRawFd for OwnedFd {
    fn into_raw_fd(self) -> RawFd {
        let fd = self.0;
        forget(self);
        fd
    }
}

impl From<rustix::fd::OwnedFd> for OwnedFd {
    #[inline]
    fn from(theirs: rustix::fd::OwnedFd) -> OwnedFd {
        OwnedFd(theirs.into_raw_fd())
    }
}

fn ours(theirs: Result<rustix::fd::OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    theirs.map(OwnedFd::from)
}

/// open(2)
#[inline(never)]
pub fn open(path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    ours(fs::open(path, flags, mode))
}

/// openat(2)
#[inline]
pub fn openat(folder: impl AsFd, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[inline(never)]
    fn call(folder: BorrowedFd<'_>, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        ours(fs::openat(folder, path, flags, mode))
    }
    call(folder.as_fd(), path, flags, mode)
}

/// openat2(2)
#[inline]
pub fn openat2(
    folder: impl AsFd,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    #[inline(never)]
    fn call(
        folder: BorrowedFd<'_>,
        path: &CStr,
        flags: OFlags,
        mode: Mode,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        ours(fs::openat2(folder, path, flags, mode, resolve))
    }
    call(folder.as_fd(), path, flags, mode, resolve)
}

/// memfd_create(2)
pub fn memfd_create(name: &CStr, flags: MemfdFlags) -> Result<OwnedFd, Errno> {
    ours(fs::memfd_create(name, flags))
}

/// fsopen(2)
pub fn fsopen(name: &CStr, flags: FsOpenFlags) -> Result<OwnedFd, Errno> {
    ours(mount::fsopen(name, flags))
}

/// fsmount(2)
pub fn fsmount(context: impl AsFd, flags: FsMountFlags, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    ours(mount::fsmount(context.as_fd(), flags, attributes))
}

/// fspick(2)
pub fn fspick(folder: BorrowedFd<'_>, path: &CStr, flags: FsPickFlags) -> Result<OwnedFd, Errno> {
    ours(mount::fspick(folder, path, flags))
}

/// open_tree(2)
pub fn open_tree(folder: BorrowedFd<'_>, path: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    ours(mount::open_tree(folder, path, flags))
}

/// socket(2)
#[inline(never)]
pub fn socket_with(
    family: AddressFamily,
    kind: SocketType,
    flags: SocketFlags,
    protocol: Option<Protocol>,
) -> Result<OwnedFd, Errno> {
    ours(net::socket_with(family, kind, flags, protocol))
}

/// socketpair(2)
#[inline(never)]
pub fn socketpair(
    family: AddressFamily,
    kind: SocketType,
    flags: SocketFlags,
    protocol: Option<Protocol>,
) -> Result<(OwnedFd, OwnedFd), Errno> {
    net::socketpair(family, kind, flags, protocol).map(|(one, two)| (one.into(), two.into()))
}

/// accept4(2)
pub fn accept_with(socket: impl AsFd, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    ours(net::accept_with(socket, flags))
}

/// pidfd_open(2)
pub fn pidfd_open(pid: Pid, flags: PidfdFlags) -> Result<OwnedFd, Errno> {
    ours(process::pidfd_open(pid, flags))
}

/// `ioctl(TIOCGPTPEER)`, ioctl_tty(2)
pub fn ioctl_tiocgptpeer(master: impl AsFd, flags: OpenptFlags) -> Result<OwnedFd, Errno> {
    ours(pty::ioctl_tiocgptpeer(master, flags))
}
