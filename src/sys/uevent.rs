//! What the kernel says of devices that come and go (netlink(7),
//! NETLINK_KOBJECT_UEVENT), to wait for one without looking again and again.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::net::AddressFamily;
use rustix::time::Timespec;

use super::clock::Deadline;
use super::owned::OwnedFd;
use super::socket::{bind, datagram_socket};

/// Made before the first look at what is there, so that nothing is missed
/// between the look and the wait. Without it (a kernel without netlink) the
/// waits are short ones.
pub struct Uevents(Option<OwnedFd>);

impl Uevents {
    /// Listens from now on.
    pub fn listen() -> Uevents {
        const NETLINK_KOBJECT_UEVENT: u32 = 15;
        /// `struct sockaddr_nl` of a little-endian machine: AF_NETLINK, no port
        /// chosen, the group that the kernel speaks to.
        const ADDRESS: [u8; 12] = [16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        let socket = datagram_socket(AddressFamily::NETLINK, NETLINK_KOBJECT_UEVENT);
        Uevents(socket.ok().filter(|socket| bind(socket.as_fd(), &ADDRESS).is_ok()))
    }

    /// Waits until something has changed; `false`: the deadline has passed.
    pub fn wait(&self, deadline: Deadline) -> bool {
        /// Where there is nothing to wait for.
        const SHORT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let Some(left) = deadline.left() else { return false };
        let mut message = [0u8; 4096]; // what is longer is cut, and nobody reads it
        match &self.0 {
            Some(socket) => {
                // Any answer, an error as well, is a reason to look again.
                if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) == Ok(1) {
                    let _ = rustix::io::read(socket.as_fd(), &mut message);
                }
            }
            None => drop(poll(&mut [], Some(&SHORT.min(left)))),
        }
        true
    }
}
