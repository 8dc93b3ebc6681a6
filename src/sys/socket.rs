//! Sockets whose addresses rustix has no types for, or large ones: an address is
//! the bytes of its `struct sockaddr_…`.

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd};
use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::owned::OwnedFd;
use super::raw::syscall;

/// `int socket(int domain, SOCK_DGRAM | SOCK_CLOEXEC, int protocol);` socket(2)
pub fn datagram_socket(family: AddressFamily, protocol: u32) -> Result<OwnedFd, Errno> {
    const SOCK_DGRAM: u32 = 2;
    const SOCK_CLOEXEC: u32 = 0o200_0000;
    // SAFETY: only integers.
    let fd = unsafe { syscall!(__NR_socket, family.as_raw(), SOCK_DGRAM | SOCK_CLOEXEC, protocol) }?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `int bind(int sockfd, const struct sockaddr *addr, socklen_t addrlen);` bind(2)
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the address is of the length given, and read during the call.
    unsafe { syscall!(__NR_bind, socket.as_raw_fd(), address.as_ptr(), address.len()) }?;
    Ok(())
}

/// `int setsockopt(int sockfd, int level, int optname, const void *optval, socklen_t optlen);`
/// setsockopt(2)
pub fn set_socket_option(socket: BorrowedFd<'_>, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the value is of the length given, and read during the call.
    unsafe { syscall!(__NR_setsockopt, socket.as_raw_fd(), level, name, value.as_ptr(), value.len()) }?;
    Ok(())
}

/// `ssize_t sendto(int sockfd, const void *buf, size_t len, 0, const struct sockaddr *dest_addr, socklen_t addrlen);`
/// send(2)
pub fn send_to(socket: BorrowedFd<'_>, bytes: &[u8], address: &[u8]) -> Result<(), Errno> {
    // SAFETY: bytes and address are of the lengths given, and read during the call.
    unsafe {
        syscall!(__NR_sendto, socket.as_raw_fd(), bytes.as_ptr(), bytes.len(), 0, address.as_ptr(), address.len())
    }?;
    Ok(())
}

/// `ioctl(sockfd, SIOCGSKNS)` (the kernel's sockios.h): a descriptor of the network
/// namespace that the socket was opened in.
pub fn socket_namespace(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    const SIOCGSKNS: usize = 0x894c;
    // SAFETY: the request takes no argument.
    let fd = unsafe { syscall!(__NR_ioctl, socket.as_raw_fd(), SIOCGSKNS) }?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `ssize_t getrandom(void *buf, size_t buflen, GRND_INSECURE);` getrandom(2):
/// numbers that differ from machine to machine, and no secrets.
pub fn random() -> Result<u32, Errno> {
    const GRND_INSECURE: u32 = 4;
    let mut number = 0u32;
    // SAFETY: the buffer is of the size given.
    unsafe { syscall!(__NR_getrandom, &raw mut number, size_of::<u32>(), GRND_INSECURE) }?;
    Ok(number)
}
