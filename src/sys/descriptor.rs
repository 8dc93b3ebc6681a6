//! A descriptor known only by its number.

use rustix::fd::{BorrowedFd, FromRawFd, RawFd};
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

/// A descriptor that the caller passed us, by its number. Nothing of ours can
/// have that number: only what was open at the start is named so.
pub fn borrow_raw(number: u32) -> BorrowedFd<'static> {
    // SAFETY: a number that is not open only makes calls fail; -1 is no valid
    // number, and i32::MAX stands in for those that do not fit.
    unsafe { BorrowedFd::borrow_raw(i32::try_from(number).unwrap_or(i32::MAX)) }
}
