//! The ports of a PC's I/O space.

use rustix::io::Errno;

/// Writes one byte to an I/O port (ioperm(2), outb(2)).
///
/// # Errors
/// ENOSYS on machines without such ports; else as ioperm(2).
#[cfg(target_arch = "x86_64")]
pub fn write_io_port(port: u16, byte: u8) -> Result<(), Errno> {
    // SAFETY: only integers: it allows this process the one port.
    unsafe { super::raw::syscall!(__NR_ioperm, port, 1, 1) }?;
    // SAFETY: the instruction touches neither memory nor flags, and the process
    // may use the port, by the call above. What the device does is the caller's wish.
    unsafe { core::arch::asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) };
    Ok(())
}

/// As on x86_64.
///
/// # Errors
/// ENOSYS: there are no such ports.
#[cfg(not(target_arch = "x86_64"))]
pub fn write_io_port(_port: u16, _byte: u8) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}
