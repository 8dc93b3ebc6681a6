//! Descriptors that nobody owns: they live until the process ends or executes
//! another program, unless they are closed here.

use rustix::fd::{AsRawFd, BorrowedFd, IntoRawFd};

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
    unsafe { rustix::io::close(fd.as_raw_fd()) };
}

/// `int close(int fd);` close(2): in the child of clone3, of a descriptor whose
/// owner is in a frame of the parent's.
pub fn close_copy(fd: BorrowedFd<'_>) {
    // SAFETY: the child has its own table of descriptors, and it never returns
    // to the frame of the owner, who would close the number again.
    unsafe { rustix::io::close(fd.as_raw_fd()) };
}
