//! seccomp(2).

use core::ptr::null;

use rustix::fd::FromRawFd;
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

const SECCOMP_SET_MODE_FILTER: usize = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u32 = 8;

/// `struct sock_fprog` of linux/filter.h.
#[repr(C)]
struct Program {
    length: u16,
    filter: *const u64,
}

/// `int seccomp(SECCOMP_SET_MODE_FILTER, unsigned int flags, struct sock_fprog *);`
/// seccomp(2): puts a filter on the calling thread, each instruction a `struct
/// sock_filter` of linux/filter.h. Gives the listener that NEW_LISTENER asks for.
pub fn seccomp_set_mode_filter(flags: u32, filter: &[u64]) -> Result<Option<OwnedFd>, Errno> {
    let length = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    let program = Program { length, filter: filter.as_ptr() };
    // SAFETY: the program and the instructions outlive the call, which copies them.
    let fd = unsafe { syscall!(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) }?;
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just made this descriptor (close-on-exec).
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

/// The same without a program, which nothing comes of: EFAULT where the kernel
/// knows the flags, EINVAL where it does not.
pub fn seccomp_takes_flags(flags: u32) -> Errno {
    // SAFETY: a null pointer, which the kernel refuses to read.
    match unsafe { syscall!(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, null::<Program>()) } {
        Ok(_) => Errno::INVAL,
        Err(errno) => errno,
    }
}
