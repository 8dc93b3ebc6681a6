//! Signal masks, dispositions and signalfd(2).

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

/// Signals by number (signal(7)): the same on all architectures that we build
/// for.
pub const SIGINT: u32 = 2;
pub const SIGKILL: u32 = 9;
pub const SIGUSR1: u32 = 10;
pub const SIGUSR2: u32 = 12;
pub const SIGPIPE: u32 = 13;
pub const SIGTERM: u32 = 15;
pub const SIGCHLD: u32 = 17;
pub const SIGCONT: u32 = 18;
pub const SIGTSTP: u32 = 20;
pub const SIGTTIN: u32 = 21;
pub const SIGTTOU: u32 = 22;
pub const SIGURG: u32 = 23;
pub const SIGWINCH: u32 = 28;
pub const SIGPWR: u32 = 30;

/// A set of signals: bit n-1 is signal n, as the kernel's `sigset_t`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    pub const ALL: SignalSet = SignalSet(u64::MAX);
    pub const NONE: SignalSet = SignalSet(0);

    /// Those of the set that are signal number `signal`, 1 to 64.
    pub const fn only(self, signal: u32) -> SignalSet {
        SignalSet(self.0 & 1 << (signal - 1))
    }

    /// Whether signal number `signal` is in the set.
    pub fn has(self, signal: u32) -> bool {
        (1..=64).contains(&signal) && self.0 & 1 << (signal - 1) != 0
    }
}

/// `int rt_sigprocmask(SIG_SETMASK, …);` sigprocmask(2): blocks exactly `set`.
pub fn signal_mask(set: SignalSet) -> Result<(), Errno> {
    const SIG_SETMASK: usize = 2;
    // SAFETY: the set is eight bytes, as the size says; no old set is asked for.
    unsafe { syscall!(__NR_rt_sigprocmask, SIG_SETMASK, &raw const set.0, 0, size_of::<u64>()) }?;
    Ok(())
}

/// `int rt_sigaction(signum, SIG_DFL);` sigaction(2), for each signal of `ignored`.
///
/// A disposition of SIG_IGN is the one thing about signals that survives
/// execve(2); engines ignore SIGPIPE.
pub fn ignored_to_default(ignored: SignalSet) -> Result<(), Errno> {
    /// The kernel's `struct sigaction` of all architectures that we build for.
    #[repr(C)]
    struct Action {
        handler: usize,
        flags: usize,
        restorer: usize,
        mask: u64,
    }
    let default = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };
    for signal in (1..=64).filter(|signal| ignored.has(*signal)) {
        // SAFETY: `default` is a kernel sigaction (handler SIG_DFL, so no code
        // of ours is named), and the old one is not asked for.
        unsafe { syscall!(__NR_rt_sigaction, signal, &raw const default, 0, size_of::<u64>()) }?;
    }
    Ok(())
}

/// `int signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);` signalfd(2)
pub fn signalfd(set: SignalSet) -> Result<OwnedFd, Errno> {
    const SFD_CLOEXEC: usize = 0o200_0000;
    const SFD_NONBLOCK: usize = 0o4000;
    // SAFETY: the set is eight bytes, as the size says.
    let fd =
        unsafe { syscall!(__NR_signalfd4, -1isize, &raw const set.0, size_of::<u64>(), SFD_CLOEXEC | SFD_NONBLOCK) }?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The next signal waiting in a signalfd, if there is one.
pub fn read_signal(signalfd: BorrowedFd<'_>) -> Result<Option<u32>, Errno> {
    // `struct signalfd_siginfo` has 128 bytes and begins with the number.
    let mut info = [0u32; 32];
    // SAFETY: the buffer has the size given.
    match unsafe { syscall!(__NR_read, signalfd.as_raw_fd(), info.as_mut_ptr(), size_of::<[u32; 32]>()) } {
        Ok(_) => Ok(info.first().copied()),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// `int kill(-1, sig);` kill(2): to every process but the caller, and process 1.
///
/// # Errors
/// ESRCH: there is none.
pub fn kill_everybody(signal: u32) -> Result<(), Errno> {
    // SAFETY: only integers.
    unsafe { syscall!(__NR_kill, -1isize, signal) }?;
    Ok(())
}

/// `int pidfd_send_signal(int pidfd, int sig, NULL, 0);` pidfd_send_signal(2)
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: u32) -> Result<(), Errno> {
    // SAFETY: only integers, and a NULL siginfo.
    unsafe { syscall!(__NR_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0, 0) }?;
    Ok(())
}
