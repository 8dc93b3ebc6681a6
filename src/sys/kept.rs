//! Descriptors that nobody owns: they live until the process ends or executes
//! another program, unless they are closed here.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};

use super::owned::OwnedFd;

/// Nobody closes it from here on, but who gives it to [`kept_done`].
#[inline(never)]
pub fn keep(fd: OwnedFd) -> BorrowedFd<'static> {
    // SAFETY: it was owned, and is now without an owner who would close it.
    unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }
}

/// Numbers from here on are given back at once.
const KEPT: i32 = 200;

/// Lets go of a descriptor that is not used any more.
///
/// All that a process still has open is closed by one close_range(2) before a
/// user's program is executed, or by its end: closing each on its own would be a
/// tenth of all system calls. So it is done only once so many are open that the
/// process could run out (RLIMIT_NOFILE is seldom below 1024), as in a loop over
/// what there may be thousands of. But for a process that lives on, see
/// [`close_at_once`].
#[inline(never)]
pub fn done(fd: OwnedFd) {
    if fd.as_raw_fd() < KEPT && !CLOSES.load(Relaxed) {
        let _ = fd.into_raw_fd();
    }
}

static CLOSES: AtomicBool = AtomicBool::new(false);

/// From here on [`done`] closes at once: for process 1, whose descriptors nobody
/// else ever closes, and would keep what they refer to from being unmounted.
pub fn close_at_once() {
    CLOSES.store(true, Relaxed);
}

/// As [`done`], of one that is kept.
#[inline(never)]
pub fn kept_done(fd: BorrowedFd<'static>) {
    // SAFETY: the caller has the last copy; a number that is used again would
    // only make calls refer to another file of this process's own.
    done(unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) });
}

/// `int close(int fd);` close(2): in the child of clone3, of a descriptor whose
/// owner is in a frame of the parent's.
pub fn close_copy(fd: BorrowedFd<'_>) {
    // SAFETY: the child has its own table of descriptors, and it never returns
    // to the frame of the owner, who would close the number again.
    unsafe { rustix::io::close(fd.as_raw_fd()) };
}
