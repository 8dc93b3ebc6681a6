//! A descriptor known only by its number.

use rustix::fd::{FromRawFd, RawFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

/// `int fcntl(number, F_DUPFD_CLOEXEC, 3);` fcntl(2): a descriptor of our own
/// for the file that `number` refers to.
///
/// # Errors
/// EBADF where it refers to none.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    const F_DUPFD_CLOEXEC: usize = 1030;
    // SAFETY: only integers.
    let fd = unsafe { syscall!(__NR_fcntl, number, F_DUPFD_CLOEXEC, 3) }?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
