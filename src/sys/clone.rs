//! clone3(2).

use core::mem::{size_of, zeroed};

use linux_raw_sys::general::clone_args;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd};
use rustix::io::Errno;
use rustix::process::Pid;

use super::owned::OwnedFd;
use super::raw::syscall;
use super::signal::SIGCHLD;

bitflags::bitflags! {
    /// The `CLONE_` flags that this program uses, with the kernel's values.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        const NEWTIME = 0x80;
        const PARENT = 0x8000;
        const NEWNS = 0x2_0000;
        const NEWCGROUP = 0x200_0000;
        const NEWUTS = 0x400_0000;
        const NEWIPC = 0x800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
    }
}

/// What to create.
pub struct CloneRequest<'a> {
    /// New namespaces, and whose child it is to be.
    pub flags: CloneFlags,
    /// The cgroup to be born in: a descriptor of its folder.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Who returned from [`clone3`].
pub enum Child {
    /// The new process.
    Myself,
    /// The caller: its child, by pid in the caller's namespace and by descriptor.
    Created { pid: Pid, pidfd: OwnedFd },
}

/// `long syscall(SYS_clone3, struct clone_args *cl_args, size_t size);` clone(2)
///
/// Without `CLONE_VM`: as with fork(2), the child has a copy of everything, so
/// returning twice is sound. Its exit signal is SIGCHLD.
pub fn clone3(request: &CloneRequest<'_>) -> Result<Child, Errno> {
    const CLONE_PIDFD: u64 = 0x1000;
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: i32 = -1;
    // SAFETY: all zeros is a valid clone_args, whose fields are integers.
    let mut arguments: clone_args = unsafe { zeroed() };
    arguments.flags = request.flags.bits() | CLONE_PIDFD;
    arguments.pidfd = &raw mut pidfd as u64;
    // CLONE_PARENT takes the exit signal of the caller and refuses another.
    arguments.exit_signal = if request.flags.contains(CloneFlags::PARENT) { 0 } else { SIGCHLD.into() };
    if let Some(cgroup) = request.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: the arguments are a clone_args of the size given, and `pidfd` is
    // an int that outlives the call. No flag shares memory with the child.
    match unsafe { syscall!(__NR_clone3, &raw mut arguments, size_of::<clone_args>()) }? {
        0 => Ok(Child::Myself),
        // SAFETY: in the parent the kernel has stored a new descriptor in `pidfd`.
        pid => match (Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) }) {
            (Some(pid), pidfd) => Ok(Child::Created { pid, pidfd }),
            (None, _) => Err(Errno::INVAL), // not reached: a pid is positive
        },
    }
}

/// `int unshare(int flags);` unshare(2)
pub fn unshare(flags: CloneFlags) -> Result<(), Errno> {
    // SAFETY: namespaces only; nothing of this program depends on which it is in.
    unsafe { syscall!(__NR_unshare, flags.bits()) }?;
    Ok(())
}
