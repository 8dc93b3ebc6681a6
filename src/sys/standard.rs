//! Descriptors 0, 1 and 2.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::owned::open;

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
