//! The three things that no safe interface offers.
#![allow(unsafe_code)]

use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets a child keep these descriptors, at their numbers, and ends it with the
/// thread that starts it (PR_SET_PDEATHSIG, prctl(2)). The caller keeps them
/// open until it has been started.
pub fn inherit(command: &mut Command, descriptors: Vec<RawFd>) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        use rustix::io::{FdFlags, fcntl_setfd};
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            // It had died already.
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        for descriptor in &descriptors {
            // SAFETY: the caller holds it open until the child was started.
            let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(*descriptor) };
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec, `prepare` makes system calls only; it neither allocates nor locks.
    unsafe { command.pre_exec(prepare) };
}

/// From here on a terminal that belongs to another job does not stop this program: what it
/// would read from there is EIO instead (SIGTTIN and SIGTTOU, signal(7)).
pub fn ignore_job_control() {
    for signal in [libc::SIGTTIN, libc::SIGTTOU] {
        // SAFETY: SIG_IGN is no handler: nothing of ours is called.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The processor's time-stamp counter; 0 where there is none.
pub fn time_stamp() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: RDTSC is part of the architecture, and Linux lets every process use it.
    let counter = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    let counter = 0;
    counter
}
