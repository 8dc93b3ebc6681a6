//! Descriptors that live until the process ends or executes another program.

use rustix::fd::{BorrowedFd, IntoRawFd};

use super::owned::OwnedFd;

/// Nobody closes it from here on, but who gives it to [`close_kept`].
#[inline(never)]
pub fn keep(fd: OwnedFd) -> BorrowedFd<'static> {
    // SAFETY: it was owned, and is now without an owner who would close it.
    unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }
}

/// `int close(int fd);` close(2), of one that is kept and not used any more.
#[cold]
#[inline(never)]
pub fn close_kept(fd: BorrowedFd<'static>) {
    // SAFETY: the caller has the last copy; a number that is used again would
    // only make calls refer to another file of this process's own.
    unsafe { rustix::io::close(rustix::fd::AsRawFd::as_raw_fd(&fd)) };
}
