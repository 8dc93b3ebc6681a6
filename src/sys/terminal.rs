//! Terminal ioctls.

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::raw::syscall;

/// `ioctl(fd, TIOCGPTN, unsigned int *)`, ioctl_tty(2): the number N of the
/// device /dev/pts/N whose master side `master` is.
///
/// # Errors
/// ENOTTY where it is no master.
pub fn pty_number(master: BorrowedFd<'_>) -> Result<u32, Errno> {
    const TIOCGPTN: usize = 0x8004_5430;
    let mut number = 0u32;
    // SAFETY: the kernel writes one unsigned int, which `number` is.
    unsafe { syscall!(__NR_ioctl, master.as_raw_fd(), TIOCGPTN, &raw mut number) }?;
    Ok(number)
}
