//! The sockets that engines listen on for a descriptor of ours: the master side
//! of a terminal (`--console-socket`), or a pidfd (`--pidfd-socket`).

use core::ffi::CStr;

use crate::bytes::Printed;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect as connect_socket, socket};
use crate::sys::{AsRawFd, BorrowedFd, Errno, OwnedFd, send_message};

/// Connects to the UNIX stream socket at `path`; `what` it is, for an error.
///
/// Done before anything is created: an engine that does not listen is an error
/// of the caller's.
///
/// # Errors
/// Those of the kernel.
pub fn connect(what: &str, path: &CStr) -> Result<OwnedFd> {
    connect_to(path).map_err(|errno| fail!(errno => "cannot connect to the {what} {}", Lossy(path.to_bytes())))
}

fn connect_to(path: &CStr) -> Result<OwnedFd, Errno> {
    if path.is_empty() {
        // To the kernel this would be an abstract address.
        return Err(Errno::NOENT);
    }
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC)?;
    let address = match SocketAddrUnix::new(path) {
        // sun_path has 108 bytes (unix(7)). A descriptor of the socket's file
        // has a shorter name.
        Err(Errno::NAMETOOLONG) => {
            let file = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            // "/proc/self/fd/" and at most ten digits: it fits.
            let name = Printed::<32>::of(format_args!("/proc/self/fd/{}", file.as_raw_fd()));
            let address = SocketAddrUnix::new(name.as_c_str())?;
            return connect_socket(&socket, &address).map(|()| socket);
        }
        address => address?,
    };
    connect_socket(&socket, &address).map(|()| socket)
}

/// What a message with a pidfd says, as runc has it: for a container's first
/// process, and for one of `exec`.
pub const PIDFD_OF_INIT: &[u8] = b"standard";
pub const PIDFD_OF_EXEC: &[u8] = b"setns";

/// Sends `descriptor` over `socket` (SCM_RIGHTS, unix(7)) with `data` as the
/// message: for a terminal its path inside the container.
///
/// # Errors
/// Those of the kernel. EPIPE where the other end has gone; no signal is raised.
pub fn send(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>, data: &[u8]) -> Result<()> {
    match send_message(socket, data, b"", Some(descriptor)) {
        Ok(bytes) if bytes == data.len() => Ok(()),
        Ok(_) => Err(fail!("a descriptor was sent over the socket only in part")),
        Err(errno) => Err(fail!(errno => "cannot send a descriptor over the socket")),
    }
}
