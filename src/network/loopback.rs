//! The loopback device of a new network namespace, which is born down.

use crate::error::Result;
use crate::fail;
use crate::sys::net::{AddressFamily, SocketFlags, SocketType, socket};
use crate::sys::{AsFd, Errno, done, set_interface_up};

/// Brings it up, in the caller's network namespace. The kernel gives it its
/// addresses by itself.
///
/// # Errors
/// The kernel's.
pub fn bring_up() -> Result<()> {
    // Any socket that speaks of interfaces will do; this family is always there.
    socket(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC)
        .and_then(|socket| {
            let result = set_interface_up(socket.as_fd(), b"lo");
            done(socket);
            result
        })
        .map_err(|errno: Errno| fail!(errno => "cannot bring up the loopback device"))
}
