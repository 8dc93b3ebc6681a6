//! Network interfaces by ioctl (netdevice(7)).

use core::mem::size_of;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::raw::syscall;

/// `ioctl(fd, SIOCSIFFLAGS, {name, IFF_UP | IFF_RUNNING})`, netdevice(7), on any
/// socket of the network namespace.
pub fn set_interface_up(socket: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: i16 = 0x1;
    const IFF_RUNNING: i16 = 0x40;
    /// `struct ifreq`: a name, and a union whose largest member is `struct ifmap`.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }
    const { assert!(size_of::<Request>() == 40) };
    let mut request = Request { name: [0; 16], flags: IFF_UP | IFF_RUNNING, rest: [0; 22] };
    // One byte stays: the kernel wants a NUL behind the name.
    for (place, byte) in request.name.iter_mut().take(15).zip(name) {
        *place = *byte;
    }
    // SAFETY: the request is a `struct ifreq`, which the kernel only reads.
    unsafe { syscall!(__NR_ioctl, socket.as_raw_fd(), SIOCSIFFLAGS, &raw mut request) }?;
    Ok(())
}
