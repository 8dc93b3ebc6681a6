//! Answers what a seccomp filter asks (seccomp_unotify(2)).
#![allow(unsafe_code, reason = "no crate wraps these requests of ioctl safely")]

use std::io::{Error, Result};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of linux/seccomp.h.
const RECEIVE: libc::Ioctl = 0xc050_2100u32 as libc::Ioctl;
const SEND: libc::Ioctl = 0xc018_2101u32 as libc::Ioctl;

/// Waits for one call and lets it fail with `errno`. Gives the call's number.
pub fn refuse_one(listener: BorrowedFd<'_>, errno: i32) -> Result<i32> {
    // SAFETY: a structure of integers, which the kernel wants to be zeros.
    let mut asked: libc::seccomp_notif = unsafe { zeroed() };
    // SAFETY: the request takes such a structure, which outlives the call.
    if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut asked) } != 0 {
        return Err(Error::last_os_error());
    }
    let answer = libc::seccomp_notif_resp { id: asked.id, val: 0, error: -errno, flags: 0 };
    // SAFETY: as above.
    match unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const answer) } {
        0 => Ok(asked.data.nr),
        _ => Err(Error::last_os_error()),
    }
}
