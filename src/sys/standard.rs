//! Descriptors 0, 1 and 2.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::owned::{OwnedFd, open};

/// Standard input.
pub fn stdin() -> BorrowedFd<'static> {
    // SAFETY: `fill` has made sure that 0 is open; nobody closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Standard output.
pub fn stdout() -> BorrowedFd<'static> {
    // SAFETY: as for 0.
    unsafe { BorrowedFd::borrow_raw(1) }
}

/// Standard error.
pub fn stderr() -> BorrowedFd<'static> {
    // SAFETY: as for 0.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Opens /dev/null for those of the three that the caller left closed, so that
/// no file of ours is ever mistaken for one of them.
pub fn fill() -> Result<(), Errno> {
    let mut three = [stdin(), stdout(), stderr()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty()));
    poll(&mut three, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    // The lowest free number is given out, so this fills them in order.
    for _ in three.iter().filter(|fd| fd.revents().contains(PollFlags::NVAL)) {
        core::mem::forget(open(c"/dev/null", OFlags::RDWR, Mode::empty())?);
    }
    Ok(())
}

/// A descriptor that the caller passed us, by its number. Nothing of ours can
/// have that number: only what was open at the start is named so.
pub fn borrow_raw(number: u32) -> BorrowedFd<'static> {
    // SAFETY: a number that is not open only makes calls fail; -1 is no valid
    // number, and i32::MAX stands in for those that do not fit.
    unsafe { BorrowedFd::borrow_raw(i32::try_from(number).unwrap_or(i32::MAX)) }
}

/// Leaves a descriptor to the kernel to close, with the process: for one of a
/// process that lives for milliseconds. It is close-on-exec.
pub fn leave_open(fd: OwnedFd) {
    core::mem::forget(fd);
}

/// `int close(int fd);` close(2): in the child of clone3, of a descriptor whose
/// owner is in a frame of the parent's.
pub fn close_copy(fd: BorrowedFd<'_>) {
    // SAFETY: the child has its own table of descriptors, and it never returns
    // to the frame of the owner, who would close the number again.
    unsafe { rustix::io::close(rustix::fd::AsRawFd::as_raw_fd(&fd)) };
}
