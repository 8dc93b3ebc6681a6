//! Messages over a UNIX socket, with a descriptor where one goes along (unix(7),
//! SCM_RIGHTS).

use core::mem::size_of;
use core::ptr::null_mut;

use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET, msghdr};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use rustix::io::Errno;

use super::owned::OwnedFd;
use super::raw::syscall;

/// `struct iovec` (readv(2)).
#[repr(C)]
struct Part {
    start: *const u8,
    length: usize,
}

/// A `struct cmsghdr` with one descriptor behind it (cmsg(3)).
#[repr(C)]
struct Control {
    length: usize,
    level: u32,
    kind: u32,
    descriptor: RawFd,
}

/// CMSG_LEN(sizeof(int)). Room for no more: the kernel closes any further
/// descriptor that it is sent.
const CONTROL_LENGTH: usize = size_of::<usize>() + 3 * size_of::<u32>();

fn header(parts: &mut [Part], control: Option<&mut Control>) -> msghdr {
    msghdr {
        msg_name: null_mut(),
        msg_namelen: 0,
        msg_iov: parts.as_mut_ptr().cast(),
        msg_iovlen: parts.len(),
        msg_controllen: if control.is_some() { CONTROL_LENGTH } else { 0 },
        msg_control: control.map_or(null_mut(), |control| (&raw mut *control).cast()),
        msg_flags: 0,
    }
}

/// `ssize_t sendmsg(int sockfd, const struct msghdr *msg, MSG_NOSIGNAL);` send(2)
///
/// One message of `head` and `rest`, with `descriptor`. Done again when a signal
/// comes. The number of bytes sent.
///
/// # Errors
/// EPIPE where the other end has gone; no signal is raised.
pub fn send_message(
    socket: BorrowedFd<'_>,
    head: &[u8],
    rest: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<usize, Errno> {
    let mut parts = [head, rest].map(|part| Part { start: part.as_ptr(), length: part.len() });
    let mut control = descriptor.map(|descriptor| Control {
        length: CONTROL_LENGTH,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        descriptor: descriptor.as_raw_fd(),
    });
    let header = header(&mut parts, control.as_mut());
    loop {
        // SAFETY: the header, the parts and the control message that it points to
        // outlive the call, which only reads them.
        match unsafe { syscall!(__NR_sendmsg, socket.as_raw_fd(), &raw const header, MSG_NOSIGNAL) } {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// `ssize_t recvmsg(int sockfd, struct msghdr *msg, MSG_CMSG_CLOEXEC);` recv(2)
///
/// One message into `buffer`: the number of bytes, 0 at the end, and the
/// descriptor that came along. Done again when a signal comes.
///
/// # Errors
/// ECONNRESET where the other end has gone with messages of ours unread.
pub fn receive_message(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut parts = [Part { start: buffer.as_mut_ptr(), length: buffer.len() }];
    let mut control = Control { length: 0, level: 0, kind: 0, descriptor: -1 };
    loop {
        let mut header = header(&mut parts, Some(&mut control));
        // SAFETY: the kernel writes into `buffer`, which is borrowed mutably, the
        // control message and the header, each within the length that is given.
        match unsafe { syscall!(__NR_recvmsg, socket.as_raw_fd(), &raw mut header, MSG_CMSG_CLOEXEC) } {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(length) => {
                let came = header.msg_controllen >= CONTROL_LENGTH
                    && control.length == CONTROL_LENGTH
                    && control.kind == SCM_RIGHTS;
                // SAFETY: the kernel has just made this descriptor.
                return Ok((length, came.then(|| unsafe { OwnedFd::from_raw_fd(control.descriptor) })));
            }
        }
    }
}
