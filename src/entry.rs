//! The first instructions, in the one language that can say them.

// The kernel enters here with the stack pointer at argc (execve(2), the ABI's
// "Process Initialization"). The stack is aligned as calls expect it, and the
// frame chain ends here.
#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym crate::start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "b {start}",
    start = sym crate::start,
);

#[cfg(target_arch = "riscv64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    ".option push",
    ".option norelax",
    "lla gp, __global_pointer$",
    ".option pop",
    "mv fp, zero",
    "mv a0, sp",
    "andi sp, sp, -16",
    "tail {start}",
    start = sym crate::start,
);
