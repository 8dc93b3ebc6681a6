//! Descriptors that this program owns, and the calls that make them.
//!
//! rustix has an `OwnedFd` for programs without std; but each look at it goes
//! through a check for -1 that is a call of its own. This one is made from what
//! the kernel returned, and needs none. The types of flags are rustix's.

use core::ffi::CStr;
use core::mem::{forget, size_of, transmute};

use linux_raw_sys::general::open_how;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, OpenTreeFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags};
use rustix::pty::OpenptFlags;

use super::raw::syscall;

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

/// What a call returned that makes a descriptor.
fn made(returned: Result<usize, Errno>) -> Result<OwnedFd, Errno> {
    returned.map(|fd| OwnedFd(fd as RawFd))
}

/// `int open(const char *pathname, int flags, mode_t mode);` open(2)
pub fn open(path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    openat(CWD, path, flags, mode)
}

/// `int openat(int dirfd, const char *pathname, int flags, mode_t mode);` open(2)
#[inline]
pub fn openat(folder: impl AsFd, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    #[inline(never)]
    fn call(folder: BorrowedFd<'_>, path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        // SAFETY: a C string that is read during the call.
        made(unsafe { syscall!(__NR_openat, folder.as_raw_fd(), path.as_ptr(), flags.bits(), mode.bits()) })
    }
    call(folder.as_fd(), path, flags, mode)
}

/// `long syscall(SYS_openat2, int dirfd, const char *pathname, struct open_how *how, size_t size);`
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
    fn call(folder: BorrowedFd<'_>, path: &CStr, how: open_how) -> Result<OwnedFd, Errno> {
        // SAFETY: a C string and an open_how of the size given, which are read
        // during the call.
        made(unsafe {
            syscall!(__NR_openat2, folder.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<open_how>())
        })
    }
    let how = open_how { flags: flags.bits().into(), mode: mode.bits().into(), resolve: resolve.bits() };
    call(folder.as_fd(), path, how)
}

/// `int memfd_create(const char *name, unsigned int flags);` memfd_create(2)
pub fn memfd_create(name: &CStr, flags: MemfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string that is read during the call.
    made(unsafe { syscall!(__NR_memfd_create, name.as_ptr(), flags.bits()) })
}

/// `int fsopen(const char *fsname, unsigned int flags);` fsopen(2)
pub fn fsopen(name: &CStr, flags: FsOpenFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string that is read during the call.
    made(unsafe { syscall!(__NR_fsopen, name.as_ptr(), flags.bits()) })
}

/// `int fsmount(int fsfd, unsigned int flags, unsigned int attr_flags);` fsmount(2)
pub fn fsmount(context: impl AsFd, flags: FsMountFlags, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers.
    made(unsafe { syscall!(__NR_fsmount, context.as_fd().as_raw_fd(), flags.bits(), attributes.bits()) })
}

/// `int fspick(int dirfd, const char *path, unsigned int flags);` fspick(2)
pub fn fspick(folder: BorrowedFd<'_>, path: &CStr, flags: FsPickFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string that is read during the call.
    made(unsafe { syscall!(__NR_fspick, folder.as_raw_fd(), path.as_ptr(), flags.bits()) })
}

/// `int open_tree(int dirfd, const char *path, unsigned int flags);` open_tree(2)
pub fn open_tree(folder: BorrowedFd<'_>, path: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string that is read during the call.
    made(unsafe { syscall!(__NR_open_tree, folder.as_raw_fd(), path.as_ptr(), flags.bits()) })
}

/// `int socket(int domain, int type, int protocol);` socket(2); the protocol is
/// the family's own.
pub fn socket(family: AddressFamily, kind: SocketType, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers.
    made(unsafe { syscall!(__NR_socket, family.as_raw(), kind.as_raw() | flags.bits(), 0) })
}

/// `int socketpair(int domain, int type, int protocol, int sv[2]);` socketpair(2)
pub fn socketpair(family: AddressFamily, kind: SocketType, flags: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut both: [RawFd; 2] = [0; 2];
    // SAFETY: the kernel writes two descriptors, for which there is room.
    unsafe { syscall!(__NR_socketpair, family.as_raw(), kind.as_raw() | flags.bits(), 0, both.as_mut_ptr()) }?;
    let [one, two] = both;
    Ok((OwnedFd(one), OwnedFd(two)))
}

/// `int pipe2(int pipefd[2], O_CLOEXEC);` pipe(2): the end to read from, and the
/// one to write to.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut both: [RawFd; 2] = [0; 2];
    // SAFETY: the kernel writes two descriptors, for which there is room.
    unsafe { syscall!(__NR_pipe2, both.as_mut_ptr(), OFlags::CLOEXEC.bits()) }?;
    let [read, write] = both;
    Ok((OwnedFd(read), OwnedFd(write)))
}

/// `int accept4(int sockfd, NULL, NULL, int flags);` accept(2)
pub fn accept(socket: impl AsFd, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers, and two NULLs: no address is asked for.
    made(unsafe { syscall!(__NR_accept4, socket.as_fd().as_raw_fd(), 0, 0, flags.bits()) })
}

/// `int pidfd_open(pid_t pid, unsigned int flags);` pidfd_open(2)
pub fn pidfd_open(pid: Pid, flags: PidfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers.
    made(unsafe { syscall!(__NR_pidfd_open, pid.as_raw_nonzero().get(), flags.bits()) })
}

/// `ioctl(fd, TIOCGPTPEER, int flags)`, ioctl_tty(2)
pub fn ioctl_tiocgptpeer(master: impl AsFd, flags: OpenptFlags) -> Result<OwnedFd, Errno> {
    const TIOCGPTPEER: usize = 0x5441;
    // SAFETY: only integers.
    made(unsafe { syscall!(__NR_ioctl, master.as_fd().as_raw_fd(), TIOCGPTPEER, flags.bits()) })
}
