//! The conversation with the kernel about devices, addresses and routes
//! (rtnetlink(7)): each request is answered before the next.

use core::cell::Cell;
use core::fmt;

use crate::bytes::Printed;
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::limits;
use crate::sys::net::{AddressFamily, SocketFlags, SocketType, socket};
use crate::sys::{AsFd, Errno, OwnedFd, io, set_socket_option, socket_namespace};

use super::address::Ip;
use super::netlink::{ACK, CREATE, DONE, ERROR, Incoming, Message, Messages, REPLACE, word};

/// `RTM_*`: types of requests.
pub const NEWLINK: u16 = 16;
pub const GETLINK: u16 = 18;
pub const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
pub const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const DELROUTE: u16 = 25;

/// A time without end, in the kernel's seconds and in DHCP's.
pub const FOR_EVER: u32 = u32::MAX;

/// A socket of the network namespace that it was opened in.
pub struct Rtnetlink {
    socket: OwnedFd,
    sequence: Cell<u32>,
    /// What the kernel last said no with, in its own words.
    said: Cell<Said>,
}

type Said = Printed<128>;

/// An address of a device's.
pub struct DeviceAddress {
    pub ip: Ip,
    /// Bits of it that name the network.
    pub prefix: u8,
    /// Seconds that it holds, or [`FOR_EVER`].
    pub lifetime: u32,
}

/// Where packets go.
pub struct Route {
    pub to: Ip,
    pub prefix: u8,
    pub gateway: Option<Ip>,
    /// The device's index; 0: the one that has the gateway's network. Of a device that is
    /// named the gateway is a neighbour, whatever its address (RTNH_F_ONLINK).
    pub device: u32,
}

impl Rtnetlink {
    /// Of the caller's network namespace.
    ///
    /// # Errors
    /// The kernel has no netlink.
    pub fn open() -> Result<Rtnetlink> {
        const SOL_NETLINK: u32 = 270;
        const NETLINK_CAP_ACK: u32 = 10;
        const NETLINK_EXT_ACK: u32 = 11;
        // NETLINK_ROUTE is protocol 0.
        let socket = socket(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC)
            .map_err(|errno| fail!(errno => "cannot open a netlink socket"))?;
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
            // Without them errors have fewer words.
            let _ = set_socket_option(socket.as_fd(), SOL_NETLINK, option, &1u32.to_ne_bytes());
        }
        Ok(Rtnetlink { socket, sequence: Cell::new(0), said: Cell::default() })
    }

    /// A descriptor of the network namespace that it is of.
    pub fn namespace(&self) -> Result<OwnedFd, Errno> {
        socket_namespace(self.socket.as_fd())
    }

    /// The sentence `what`, and why the last request was refused.
    #[cold]
    #[inline(never)]
    pub fn error(&self, errno: Errno, what: fmt::Arguments<'_>) -> Error {
        let said = self.said.take();
        fail!(errno => "{what}{}{}", if said.as_bytes().is_empty() { "" } else { ": " }, said.as_str())
    }

    /// Carries out `message`, which asks for no answer.
    #[inline(never)]
    pub fn carry_out(&self, mut message: Message) -> Result<(), Errno> {
        let mut answers = Answers::of(self);
        answers.ask(&mut message)?;
        while answers.next()?.is_some() {}
        Ok(())
    }

    /// Brings the device up; with its largest packet's size, where there is one.
    pub fn set_up(&self, device: u32, mtu: Option<u32>) -> Result<(), Errno> {
        const IFF_UP: u32 = 1;
        const IFLA_MTU: u16 = 4;
        let mut message = Message::new(NEWLINK, ACK, &link_body(device, IFF_UP));
        if let Some(mtu) = mtu {
            message.number(IFLA_MTU, mtu);
        }
        self.carry_out(message)
    }

    /// Gives the device the address, or changes how long it has it.
    pub fn add_address(&self, device: u32, address: &DeviceAddress) -> Result<(), Errno> {
        const IFA_BROADCAST: u16 = 4;
        const IFA_CACHEINFO: u16 = 6;
        let mut message = address_message(NEWADDR, ACK | CREATE | REPLACE, device, address);
        if let Some(broadcast) = address.ip.broadcast(address.prefix) {
            message.attribute(IFA_BROADCAST, broadcast.octets());
        }
        // `struct ifa_cacheinfo`: preferred and valid; two that the kernel fills.
        let lifetime = address.lifetime.to_ne_bytes();
        message.attribute(IFA_CACHEINFO, [lifetime, lifetime, [0; 4], [0; 4]].as_flattened());
        self.carry_out(message)
    }

    /// Takes the address from the device.
    pub fn remove_address(&self, device: u32, address: &DeviceAddress) -> Result<(), Errno> {
        self.carry_out(address_message(DELADDR, ACK, device, address))
    }

    /// Adds the route, in the place of one to the same.
    pub fn add_route(&self, route: &Route) -> Result<(), Errno> {
        self.change_route(NEWROUTE, ACK | CREATE | REPLACE, route)
    }

    /// Takes the route away, if it is there as it was added.
    pub fn remove_route(&self, route: &Route) -> Result<(), Errno> {
        self.change_route(DELROUTE, ACK, route)
    }

    #[inline(never)]
    fn change_route(&self, kind: u16, flags: u16, route: &Route) -> Result<(), Errno> {
        const RTA_DST: u16 = 1;
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        /// The main table; as an administrator does it; unicast.
        const TABLE: u8 = 254;
        const RTPROT_STATIC: u8 = 4;
        const RTN_UNICAST: u8 = 1;
        const RT_SCOPE_LINK: u8 = 253;
        /// The gateway need not be in a network of the device's.
        const RTNH_F_ONLINK: u8 = 4;
        let scope = if route.gateway.is_none() { RT_SCOPE_LINK } else { 0 };
        let onlink = if route.gateway.is_some() && route.device != 0 { RTNH_F_ONLINK } else { 0 };
        // `struct rtmsg`; the flags are 32 bits of this machine's order.
        let [a, b, c, d] = u32::from(onlink).to_ne_bytes();
        let body = [route.to.family(), route.prefix, 0, 0, TABLE, RTPROT_STATIC, scope, RTN_UNICAST, a, b, c, d];
        let mut message = Message::new(kind, flags, &body);
        if route.prefix > 0 {
            message.attribute(RTA_DST, route.to.octets());
        }
        if let Some(gateway) = &route.gateway {
            message.attribute(RTA_GATEWAY, gateway.octets());
        }
        if route.device != 0 {
            message.number(RTA_OIF, route.device);
        }
        self.carry_out(message)
    }
}

/// The answers to one request.
pub struct Answers<'a> {
    rtnetlink: &'a Rtnetlink,
    buffer: [u8; limits::NETLINK_ANSWER],
    /// What of it has not been looked at.
    start: usize,
    end: usize,
}

impl<'a> Answers<'a> {
    /// Nothing is asked yet. (Made before it is, so that there is one buffer of them on
    /// the stack, not a second one in a `Result`.)
    #[inline]
    pub fn of(rtnetlink: &'a Rtnetlink) -> Answers<'a> {
        Answers { rtnetlink, buffer: [0; _], start: 0, end: 0 }
    }

    /// Sends `message`; what comes for an answer is to be walked to its end.
    ///
    /// # Errors
    /// EMSGSIZE: the message had no room for all. Else the kernel's.
    #[inline(never)]
    pub fn ask(&mut self, message: &mut Message) -> Result<(), Errno> {
        let sequence = self.rtnetlink.sequence.get().wrapping_add(1);
        self.rtnetlink.sequence.set(sequence);
        io::write(&self.rtnetlink.socket, message.finish(sequence).ok_or(Errno::MSGSIZE)?).map(drop)
    }

    /// The next; `None`: that was all, and all is well.
    ///
    /// # Errors
    /// The kernel's.
    #[inline(never)]
    pub fn next(&mut self) -> Result<Option<Incoming<'_>>, Errno> {
        loop {
            let mut messages = Messages(self.buffer.get(self.start..self.end).unwrap_or(&[]));
            let Some(answer) = messages.next() else {
                self.start = 0;
                self.end = io::read(&self.rtnetlink.socket, &mut self.buffer)?;
                continue;
            };
            let (start, left) = (self.start, messages.0.len());
            let ours = answer.sequence == self.rtnetlink.sequence.get();
            self.start = self.end.saturating_sub(left);
            match answer.kind {
                _ if !ours => {}
                DONE => return Ok(None),
                ERROR => {
                    let (errno, said) = answer.outcome().ok_or(Errno::BADMSG)?;
                    self.rtnetlink.said.set(Said::of(format_args!("{}", Lossy(said))));
                    return if errno == 0 { Ok(None) } else { Err(Errno::from_raw_os_error(errno)) };
                }
                // The same once more: the borrow of the first ends with the turn.
                _ => return Ok(Messages(self.buffer.get(start..self.end).unwrap_or(&[])).next()),
            }
        }
    }
}

/// `struct ifinfomsg`: the device, and flags that are to be set.
pub fn link_body(device: u32, flags: u32) -> [u8; 16] {
    let mut body = [0; 16];
    let words = [0, device, flags, flags].map(u32::to_ne_bytes);
    body.copy_from_slice(words.as_flattened());
    body
}

fn address_message(kind: u16, flags: u16, device: u32, address: &DeviceAddress) -> Message {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    /// IPv6: usable at once, without asking whether somebody else has it.
    const IFA_F_NODAD: u8 = 2;
    let ip = &address.ip;
    let nodad = if ip.octets().len() == 4 { 0 } else { IFA_F_NODAD };
    let [a, b, c, d] = device.to_ne_bytes();
    // `struct ifaddrmsg`, with the widest scope.
    let mut message = Message::new(kind, flags, &[ip.family(), address.prefix, nodad, 0, a, b, c, d]);
    message.attribute(IFA_LOCAL, ip.octets());
    message.attribute(IFA_ADDRESS, ip.octets());
    message
}

/// The index of the device that a link's message is about.
pub fn link_index(link: &Incoming<'_>) -> Option<u32> {
    word(link.body, 4).filter(|_| link.kind == NEWLINK)
}
