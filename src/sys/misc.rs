//! Single calls that belong to no family here.

use core::ffi::CStr;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::clone::CloneFlags;
use super::raw::syscall;

/// Closes all descriptors from `first` on but for `kept`, by `int
/// close_range(unsigned first, unsigned last, 0);` close_range(2).
///
/// To be called in a child that never returns to the owners of the others.
pub fn close_all_but(first: u32, kept: &[u32]) -> Result<(), Errno> {
    let mut from = first;
    loop {
        let stop = kept.iter().copied().filter(|fd| *fd >= from).min();
        let last = stop.map_or(u32::MAX, |stop| stop.saturating_sub(1));
        if stop != Some(from) {
            // SAFETY: only integers; nobody is left who would use or close one
            // of these numbers, by the function's contract.
            unsafe { syscall!(__NR_close_range, from, last, 0) }?;
        }
        match stop {
            Some(stop) => from = stop.saturating_add(1),
            None => return Ok(()),
        }
    }
}

/// `int close_range(unsigned first, ~0U, CLOSE_RANGE_CLOEXEC);` close_range(2):
/// all descriptors from `first` on will close at the next execve(2).
pub fn close_range_on_exec(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    // SAFETY: only integers; no descriptor changes before execve.
    unsafe { syscall!(__NR_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }?;
    Ok(())
}

/// `getcwd`, getcwd(2): whether the working directory lies under the root. The
/// kernel writes "(unreachable)" before a path that does not.
pub fn cwd_is_reachable() -> Result<bool, Errno> {
    let mut path = [0u8; 4096 + 16];
    // SAFETY: the buffer has the size given.
    unsafe { syscall!(__NR_getcwd, path.as_mut_ptr(), path.len()) }?;
    Ok(path.first() == Some(&b'/'))
}

/// `void exit_group(int status);` _exit(2)
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: does not return, and takes an integer.
        let _ = unsafe { syscall!(__NR_exit_group, status) };
    }
}

/// `keyctl(KEYCTL_JOIN_SESSION_KEYRING, name);` keyctl(2): a new session
/// keyring of that name.
pub fn keyctl_join_session_keyring(name: &CStr) -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: a C string that is read during the call.
    unsafe { syscall!(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }?;
    Ok(())
}

/// `ioctl(fd, NS_GET_NSTYPE)`, ioctl_ns(2): of which type the namespace is
/// that `fd` refers to.
///
/// # Errors
/// ENOTTY where it is no namespace.
pub fn namespace_type(fd: BorrowedFd<'_>) -> Result<CloneFlags, Errno> {
    const NS_GET_NSTYPE: usize = 0xb703;
    // SAFETY: the request takes no argument.
    let flag = unsafe { syscall!(__NR_ioctl, fd.as_raw_fd(), NS_GET_NSTYPE) }?;
    CloneFlags::from_bits(flag as u64).ok_or(Errno::INVAL)
}
