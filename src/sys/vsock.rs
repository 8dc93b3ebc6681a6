//! Sockets to the host of a virtual machine (vsock(7)).

use core::mem::size_of;

use rustix::fd::{AsRawFd, FromRawFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

/// `SOCK_STREAM`, `SOCK_DGRAM` and `SOCK_SEQPACKET`.
pub const VSOCK_STREAM: u32 = 1;
pub const VSOCK_DGRAM: u32 = 2;
pub const VSOCK_SEQPACKET: u32 = 5;

/// A socket of the type `kind`, connected to the port of the machine `cid`.
/// socket(2), connect(2); the kernel gives up after two seconds.
pub fn connect_vsock(cid: u32, port: u32, kind: u32) -> Result<OwnedFd, Errno> {
    const AF_VSOCK: u16 = 40;
    const SOCK_CLOEXEC: u32 = 0o200_0000;
    /// `struct sockaddr_vm` of linux/vm_sockets.h.
    #[repr(C)]
    struct Address {
        family: u16,
        reserved: u16,
        port: u32,
        cid: u32,
        flags: u32,
    }
    let address = Address { family: AF_VSOCK, reserved: 0, port, cid, flags: 0 };
    // SAFETY: only integers.
    let fd = unsafe { syscall!(__NR_socket, AF_VSOCK, kind | SOCK_CLOEXEC, 0) }?;
    // SAFETY: the kernel has just made this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: an address of the size given, which is only read.
    unsafe { syscall!(__NR_connect, socket.as_raw_fd(), &raw const address, size_of::<Address>()) }?;
    Ok(socket)
}
