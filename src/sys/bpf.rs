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
    prog_name: ProgramName,
}

/// What a program is called, with zeros behind: letters, digits, `_` and `.`.
pub type ProgramName = [u8; 16];

/// The start of `union bpf_attr`, as BPF_PROG_ATTACH and BPF_PROG_DETACH read it.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

const BPF_CGROUP_DEVICE: u32 = 6;

impl AttachAttributes {
    fn of(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> AttachAttributes {
        const BPF_F_ALLOW_MULTI: u32 = 2;
        AttachAttributes {
            target_fd: cgroup.as_raw_fd() as u32,
            attach_bpf_fd: program.as_raw_fd() as u32,
            attach_type: BPF_CGROUP_DEVICE,
            attach_flags: BPF_F_ALLOW_MULTI,
            replace_bpf_fd: 0,
        }
    }
}

/// `bpf(BPF_PROG_LOAD)` of a BPF_PROG_TYPE_CGROUP_DEVICE program, each
/// instruction a `struct bpf_insn` of linux/bpf.h. bpf(2)
pub fn bpf_cgroup_device_load(program: &[u64], name: &ProgramName) -> Result<OwnedFd, Errno> {
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
        prog_name: *name,
    };
    // SAFETY: the attributes are of the size given; the program and the licence
    // they point to outlive the call, which only reads them.
    let fd = unsafe { syscall!(__NR_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<LoadAttributes>()) }?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `bpf(BPF_PROG_ATTACH)` of a device program to a cgroup's folder: in the place of
/// `old`, at once, or beside others that it may have. bpf(2)
pub fn bpf_cgroup_device_attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: usize = 8;
    const BPF_F_REPLACE: u32 = 4;
    let mut attributes = AttachAttributes::of(cgroup, program);
    if let Some(old) = old {
        attributes.attach_flags |= BPF_F_REPLACE;
        attributes.replace_bpf_fd = old.as_raw_fd() as u32;
    }
    // SAFETY: the attributes are of the size given and hold only integers.
    unsafe { syscall!(__NR_bpf, BPF_PROG_ATTACH, &raw const attributes, size_of::<AttachAttributes>()) }?;
    Ok(())
}

/// The most device programs that a cgroup can have (the kernel's BPF_CGROUP_MAX_PROGS).
pub const CGROUP_PROGRAMS: usize = 64;

/// `bpf(BPF_PROG_QUERY)`: the numbers of the device programs that are attached to a
/// cgroup's folder, in their order. bpf(2)
pub fn bpf_cgroup_device_programs<'b>(
    cgroup: BorrowedFd<'_>,
    ids: &'b mut [u32; CGROUP_PROGRAMS],
) -> Result<&'b [u32], Errno> {
    const BPF_PROG_QUERY: usize = 16;
    /// The start of `union bpf_attr`, as this command reads it.
    #[repr(C)]
    struct Attributes {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        unused: u32,
    }
    // Those above count in only where asked for.
    let mut attributes = Attributes {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: ids.len() as u32,
        unused: 0,
    };
    // SAFETY: the attributes are of the size given; the kernel writes no more than
    // `prog_cnt` numbers to `prog_ids`, which outlives the call.
    unsafe { syscall!(__NR_bpf, BPF_PROG_QUERY, &raw mut attributes, size_of::<Attributes>()) }?;
    Ok(ids.get(..attributes.prog_cnt as usize).unwrap_or(&[]))
}

/// `bpf(BPF_PROG_DETACH)` of what [`bpf_cgroup_device_attach`] attached. bpf(2)
pub fn bpf_cgroup_device_detach(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    const BPF_PROG_DETACH: usize = 9;
    let attributes = AttachAttributes { attach_flags: 0, ..AttachAttributes::of(cgroup, program) };
    // SAFETY: as above.
    unsafe { syscall!(__NR_bpf, BPF_PROG_DETACH, &raw const attributes, size_of::<AttachAttributes>()) }?;
    Ok(())
}

/// What the kernel knows of a program: the start of `struct bpf_prog_info`, in which
/// what asks for more is zero.
#[repr(C)]
#[derive(Default)]
pub struct ProgramInfo {
    prog_type: u32,
    /// What it is known by as long as it is attached.
    pub id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    instructions: [u64; 2],
    load_time: u64,
    created_by_uid: u32,
    nr_map_ids: u32,
    map_ids: u64,
    pub name: ProgramName,
}

/// `bpf(BPF_OBJ_GET_INFO_BY_FD)` of a program. bpf(2)
pub fn bpf_program_info(program: BorrowedFd<'_>) -> Result<ProgramInfo, Errno> {
    const BPF_OBJ_GET_INFO_BY_FD: usize = 15;
    /// The start of `union bpf_attr`, as this command reads it.
    #[repr(C)]
    struct Attributes {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut info = ProgramInfo::default();
    let mut attributes = Attributes {
        bpf_fd: program.as_raw_fd() as u32,
        info_len: size_of::<ProgramInfo>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: the attributes are of the size given; the kernel writes no more than
    // `info_len` bytes to `info`, which outlives the call and may hold any; it has no
    // room for more to point to.
    unsafe { syscall!(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut attributes, size_of::<Attributes>()) }?;
    Ok(info)
}

/// `bpf(BPF_PROG_GET_FD_BY_ID)`: the program of that number. bpf(2)
///
/// # Errors
/// ENOENT: there is none.
pub fn bpf_program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    const BPF_PROG_GET_FD_BY_ID: usize = 13;
    // The start of `union bpf_attr`: the id, and what is of no use here.
    let attributes = [id, 0, 0];
    // SAFETY: the attributes are of the size given and hold only integers.
    let fd = unsafe { syscall!(__NR_bpf, BPF_PROG_GET_FD_BY_ID, &raw const attributes, size_of::<[u32; 3]>()) }?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
