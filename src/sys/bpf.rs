//! bpf(2), as far as a device program needs it.

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

/// The start of `union bpf_attr`, as BPF_PROG_LOAD reads it.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The start of `union bpf_attr`, as BPF_PROG_ATTACH reads it.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// `bpf(BPF_PROG_LOAD)` of a BPF_PROG_TYPE_CGROUP_DEVICE program, each
/// instruction a `struct bpf_insn` of linux/bpf.h. bpf(2)
pub fn bpf_cgroup_device_load(program: &[u64]) -> Result<OwnedFd, Errno> {
    const BPF_PROG_LOAD: usize = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let attributes = LoadAttributes {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        insns: program.as_ptr() as u64,
        // No helper is called, so the licence decides nothing; it must be a string.
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: the attributes are of the size given; the program and the licence
    // they point to outlive the call, which only reads them.
    let fd = unsafe { syscall!(__NR_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>()) }?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `bpf(BPF_PROG_ATTACH)` of a device program to a cgroup's folder; with
/// `replace` in the place of that one, in one step. bpf(2)
pub fn bpf_cgroup_device_attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replace: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: usize = 8;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    const BPF_F_REPLACE: u32 = 4;
    let attributes = AttachAttributes {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | if replace.is_some() { BPF_F_REPLACE } else { 0 },
        replace_bpf_fd: replace.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: the attributes are of the size given and hold only integers.
    unsafe { syscall!(__NR_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<AttachAttributes>()) }?;
    Ok(())
}
