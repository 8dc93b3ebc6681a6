//! A mount namespace whose mounts are locked.

use core::ffi::CStr;
use core::mem::{size_of, zeroed};

use linux_raw_sys::general::{__NR_clone3, __NR_exit, __NR_openat, O_CLOEXEC, clone_args};
use rustix::fd::FromRawFd;
use rustix::io::Errno;

use super::clone::CloneFlags;
use super::owned::OwnedFd;
use super::raw::{result, syscall};
use super::signal::SIGCHLD;

/// A copy of the caller's mount namespace that belongs to a new user namespace in which
/// nobody is anybody: the kernel locks all mounts in it (mount_namespaces(7),
/// "Restrictions on mount namespaces").
///
/// It takes a process to make one. It shares our memory, which a copy of would be the
/// most of the work, and our descriptors, and opens its namespace among them; we are
/// stopped until it has ended (CLONE_VFORK).
///
/// # Errors
/// The kernel's. EINVAL: it has no user namespaces; ENOENT: /proc is not mounted.
pub fn locked_mount_namespace() -> Result<OwnedFd, Errno> {
    const CLONE_VM: u64 = 0x100;
    const CLONE_FILES: u64 = 0x400;
    const CLONE_VFORK: u64 = 0x4000;
    // SAFETY: all zeros is a valid clone_args, whose fields are integers.
    let mut arguments: clone_args = unsafe { zeroed() };
    arguments.flags = CLONE_VM | CLONE_FILES | CLONE_VFORK | CloneFlags::NEWUSER.bits() | CloneFlags::NEWNS.bits();
    arguments.exit_signal = SIGCHLD.into();
    let mut opened = usize::MAX;
    // SAFETY: the arguments are a clone_args, and `opened` outlives the call.
    let pid = result(unsafe { clone_and_open(&arguments, c"/proc/self/ns/mnt", &mut opened) })?;
    // SAFETY: wait4(2) with nothing to be stored.
    unsafe { syscall!(__NR_wait4, pid, 0, 0, 0) }?;
    let opened = result(opened)?;
    // SAFETY: the process has opened it among our descriptors, and nobody knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened as i32) })
}

/// clone3(2) with `arguments`. The new process opens `path`, stores what openat(2) has
/// returned in `opened`, and ends. Gives what clone3 has returned to the caller.
///
/// All in one piece: the new process runs on our stack, of which it must not use any, and
/// there is no returning into the program's code from it.
///
/// # Safety
/// `arguments` say that the process shares our memory and that we wait for its end.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_and_open(arguments: &clone_args, path: &CStr, opened: &mut usize) -> usize {
    let pid;
    // SAFETY: the process writes to `opened` alone, while we are stopped; what it does
    // to its registers is not seen by us, and it ends in here.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, {openat}",
            "mov edi, -100", // AT_FDCWD
            "mov rsi, r12",
            "mov edx, {flags}",
            "xor r10d, r10d",
            "syscall",
            "mov [r13], rax",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "2:",
            openat = const __NR_openat,
            flags = const O_CLOEXEC,
            exit = const __NR_exit,
            inlateout("rax") __NR_clone3 as usize => pid,
            in("rdi") arguments,
            in("rsi") size_of::<clone_args>(),
            in("r12") path.as_ptr(),
            in("r13") opened,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    pid
}

/// As on x86_64.
///
/// # Safety
/// As on x86_64.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_and_open(arguments: &clone_args, path: &CStr, opened: &mut usize) -> usize {
    let pid;
    // SAFETY: as on x86_64.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x8, {openat}",
            "mov x0, -100",
            "mov x1, x20",
            "mov x2, {flags}",
            "mov x3, 0",
            "svc 0",
            "str x0, [x21]",
            "mov x8, {exit}",
            "mov x0, 0",
            "svc 0",
            "2:",
            openat = const __NR_openat,
            flags = const O_CLOEXEC,
            exit = const __NR_exit,
            in("x8") __NR_clone3 as usize,
            inlateout("x0") arguments as *const clone_args as usize => pid,
            in("x1") size_of::<clone_args>(),
            in("x20") path.as_ptr(),
            in("x21") opened,
        );
    }
    pid
}

/// As on x86_64.
///
/// # Safety
/// As on x86_64.
#[cfg(target_arch = "riscv64")]
unsafe fn clone_and_open(arguments: &clone_args, path: &CStr, opened: &mut usize) -> usize {
    let pid;
    // SAFETY: as on x86_64.
    unsafe {
        core::arch::asm!(
            "ecall",
            "bnez a0, 2f",
            "li a7, {openat}",
            "li a0, -100",
            "mv a1, s2",
            "li a2, {flags}",
            "li a3, 0",
            "ecall",
            "sd a0, 0(s3)",
            "li a7, {exit}",
            "li a0, 0",
            "ecall",
            "2:",
            openat = const __NR_openat,
            flags = const O_CLOEXEC,
            exit = const __NR_exit,
            in("a7") __NR_clone3 as usize,
            inlateout("a0") arguments as *const clone_args as usize => pid,
            in("a1") size_of::<clone_args>(),
            in("s2") path.as_ptr(),
            in("s3") opened,
        );
    }
    pid
}
