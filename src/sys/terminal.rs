//! Terminal ioctls.

use core::mem::zeroed;

use linux_raw_sys::general::{
    BRKINT, CS8, CSIZE, ECHO, ECHONL, ICANON, ICRNL, IEXTEN, IGNBRK, IGNCR, INLCR, ISIG, ISTRIP, IXON, OPOST, PARENB,
    PARMRK, VEOF, VMIN, VTIME, termios2,
};
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

/// `struct termios2` (ioctl_tty(2)): the modes of a terminal.
#[derive(Clone, Copy)]
pub struct Modes(termios2);

impl Modes {
    /// The same as changed by cfmakeraw(3): bytes go through as they come.
    pub fn raw(mut self) -> Modes {
        let modes = &mut self.0;
        modes.c_iflag &= !(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        modes.c_oflag &= !OPOST;
        modes.c_lflag &= !(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        modes.c_cflag = modes.c_cflag & !(CSIZE | PARENB) | CS8;
        modes.c_cc[VMIN as usize] = 1;
        modes.c_cc[VTIME as usize] = 0;
        self
    }

    /// The same, but that output goes through as it comes.
    pub fn verbatim(mut self) -> Modes {
        self.0.c_oflag &= !OPOST;
        self
    }

    /// The key that ends the input, where it has that meaning: in canonical mode.
    pub fn end_of_file(&self) -> Option<u8> {
        (self.0.c_lflag & ICANON != 0).then_some(self.0.c_cc[VEOF as usize])
    }
}

/// `ioctl(fd, TCGETS2, struct termios2 *)`, ioctl_tty(2).
///
/// # Errors
/// ENOTTY where `terminal` is none.
pub fn terminal_modes(terminal: BorrowedFd<'_>) -> Result<Modes, Errno> {
    const TCGETS2: usize = 0x802c_542a;
    // SAFETY: all zeros is a valid termios2, whose fields are integers.
    let mut modes: termios2 = unsafe { zeroed() };
    // SAFETY: the kernel writes one termios2, which `modes` is.
    unsafe { syscall!(__NR_ioctl, terminal.as_raw_fd(), TCGETS2, &raw mut modes) }?;
    Ok(Modes(modes))
}

/// `ioctl(fd, TCSETS2, const struct termios2 *)`, ioctl_tty(2); with `drained`
/// TCSETSW2: after all output has been sent.
pub fn set_terminal_modes(terminal: BorrowedFd<'_>, modes: &Modes, drained: bool) -> Result<(), Errno> {
    const TCSETS2: usize = 0x402c_542b;
    const TCSETSW2: usize = 0x402c_542c;
    let request = if drained { TCSETSW2 } else { TCSETS2 };
    // SAFETY: the kernel reads one termios2.
    unsafe { syscall!(__NR_ioctl, terminal.as_raw_fd(), request, &raw const modes.0) }?;
    Ok(())
}
