//! An address from a DHCP server (RFC 2131): a process of its own acquires it,
//! configures the device, and keeps it for as long as it runs.
//!
//! ```text
//! caller                client
//!  start   ──clone3──▶  waits for the device, brings it up
//!                       DISCOVER → OFFER, REQUEST → ACK
//!                       address, routes, resolv.conf
//!          ◀──socket──  done, or why not
//!                       from here on alone: renews, rebinds, begins anew
//! ```
//!
//! All goes over one UDP socket that belongs to the device, and whose answers
//! are asked for by broadcast until there is an address. No probe is made
//! whether somebody else uses it. What goes wrong later, the kernel's log tells.

mod client;
mod message;

use crate::error::Result;
use crate::sys::{Deadline, kernel_log, thread};
use crate::worker;

use client::Client;

/// Seconds after something went wrong: it may go wrong again at once.
const PAUSE: u32 = 2;

/// Starts the client for the network device `device`, or, if that is `any`, for
/// the first Ethernet device; returns once its first lease is configured. The
/// server is told `hostname`, unless it is empty.
///
/// # Errors
/// No such device appeared or no server answered until the `deadline`; or the
/// kernel refuses. No process is left then.
pub fn start(device: &[u8], hostname: &[u8], deadline: Deadline) -> Result<()> {
    worker::start(true, &mut |caller| {
        let _ = thread::set_name(c"ocinit-dhcp");
        let mut client = match Client::new(device, hostname, deadline) {
            Ok(client) => client,
            Err(error) => {
                caller.tell(&Err(error));
                return 1;
            }
        };
        if let Err(error) = client.acquire(deadline) {
            caller.tell(&Err(error));
            return 1;
        }
        caller.tell(&Ok(()));
        loop {
            if let Err(error) = client.keep() {
                kernel_log(format_args!("{error}"));
                Deadline::after(0).later(PAUSE).sleep();
            }
        }
    })
}
