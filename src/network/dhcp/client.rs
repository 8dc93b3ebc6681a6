//! The client's states (RFC 2131, 4.4): what is sent when, and what comes of it.

use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::network::address::{Ip, V4};
use crate::network::configure::{ResolvConf, write_resolv_conf};
use crate::network::link::Link;
use crate::network::rtnetlink::{DeviceAddress, FOR_EVER, Route, Rtnetlink};
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::net::AddressFamily;
use crate::sys::{
    AsFd, Deadline, Errno, OwnedFd, Uevents, bind, datagram_socket, io, monotonic, random, send_to, set_socket_option,
};

use super::message::{
    ACK, DISCOVER, LEASE_TIME, NAK, OFFER, REBINDING_TIME, RENEWAL_TIME, REQUEST, Reply, Request, SERVER,
};

/// UDP ports (RFC 2131, 4.1).
const SERVER_PORT: u8 = 67;
const CLIENT_PORT: u8 = 68;
const ALL: [u8; 4] = [255; 4];
/// Seconds before a message is sent again: at first, and at most. RFC 2131 has
/// 4 for the first; a machine that waits for its network is served better by
/// less. Each is twice the one before it.
const FIRST_PATIENCE: u32 = 1;
const LAST_PATIENCE: u32 = 64;
/// REQUESTs after an OFFER, before the search begins anew.
const REQUESTS: u32 = 4;
/// Seconds between renewals, at least (RFC 2131, 4.4.5).
const RENEWAL_PATIENCE: u32 = 60;

/// A device on its way to an address, or with one.
pub struct Client<'a> {
    rtnetlink: Rtnetlink,
    link: Link,
    hardware: [u8; 6],
    socket: OwnedFd,
    hostname: &'a [u8],
    transaction: u32,
    /// Seconds on the clock when the search began.
    since: i64,
    /// The last message that came, and its length.
    answer: [u8; limits::DHCP_MESSAGE],
    length: usize,
    lease: Option<Lease>,
    /// The message that gave it, and its length: which routes are there for it.
    given: [u8; limits::DHCP_MESSAGE],
    given_length: usize,
    /// What was last written.
    resolv_conf: ResolvConf,
}

/// What was given.
#[derive(Clone, Copy)]
struct Lease {
    address: [u8; 4],
    prefix: u8,
    server: [u8; 4],
    /// When to renew, to rebind, and when it ends.
    times: [Deadline; 3],
    /// Seconds that it holds from when it was asked for.
    seconds: u32,
}

/// What came of a request.
enum Answer {
    /// Offered or given, by what was asked for.
    Given(Lease),
    Refused,
}

impl<'a> Client<'a> {
    /// Waits for the device and brings it up.
    pub fn new(device: &[u8], hostname: &'a [u8], deadline: Deadline) -> Result<Client<'a>> {
        let rtnetlink = Rtnetlink::open()?;
        let link = awaited(&rtnetlink, device, deadline)?;
        let name = link.name.as_str();
        let hardware = link.ethernet.ok_or_else(|| fail!("cannot use DHCP on {name}: it is no Ethernet device"))?;
        rtnetlink
            .set_up(link.index, None)
            .map_err(|errno| rtnetlink.error(errno, format_args!("cannot bring up {name}")))?;
        let socket =
            socket_of(name).map_err(|errno| fail!(errno => "cannot open a socket for DHCP on the device {name}"))?;
        Ok(Client {
            rtnetlink,
            link,
            hardware,
            socket,
            hostname,
            transaction: 0,
            since: 0,
            answer: [0; _],
            length: 0,
            lease: None,
            given: [0; _],
            given_length: 0,
            resolv_conf: ResolvConf::new(),
        })
    }

    /// From nothing to a lease that is configured.
    ///
    /// # Errors
    /// No server gave one until the `deadline`, or the kernel refuses.
    pub fn acquire(&mut self, deadline: Deadline) -> Result<()> {
        self.since = monotonic().unwrap_or_default().0;
        // The same all the while: a server may look whether an address is free
        // before it offers that, and its answer comes late.
        self.transaction = random().unwrap_or(self.since as u32);
        let mut patience = FIRST_PATIENCE;
        let mut offered = None;
        while deadline.left().is_some() {
            let until = Deadline::after(jitter()).later(patience).min(deadline);
            patience = patience.saturating_mul(2).min(LAST_PATIENCE);
            // Several may come: the first that can be used is taken.
            let request = self.request(DISCOVER);
            let Some(Answer::Given(offer)) = self.exchange(&request, ALL, until, OFFER) else { continue };
            offered = Some(offer.server);
            let mut patience = FIRST_PATIENCE;
            for _ in 0..REQUESTS {
                let request =
                    Request { requested: Some(offer.address), server: Some(offer.server), ..self.request(REQUEST) };
                let until = Deadline::after(jitter()).later(patience).min(deadline);
                patience = patience.saturating_mul(2);
                match self.exchange(&request, ALL, until, ACK) {
                    Some(Answer::Given(lease)) => return self.configure(lease),
                    Some(Answer::Refused) => {
                        // Somebody else has it by now. Not at once again.
                        Deadline::after(0).later(FIRST_PATIENCE).min(deadline).sleep();
                        break;
                    }
                    None => {}
                }
            }
        }
        let name = self.link.name.as_str();
        Err(match offered {
            None => fail!("no DHCP server answered on the device {name} in time"),
            Some(server) => fail!(
                "the DHCP server {} offered an address to the device {name}, but did not give it in time",
                V4(server)
            ),
        })
    }

    /// Keeps the lease until it is renewed or another has taken its place.
    ///
    /// # Errors
    /// Something that the kernel's log should tell; go on.
    pub fn keep(&mut self) -> Result<()> {
        let Some(lease) = self.lease else { return self.acquire(Deadline::NEVER) };
        let [renew, rebind, end] = lease.times;
        renew.sleep();
        self.since = monotonic().unwrap_or_default().0;
        self.transaction = random().unwrap_or(self.transaction);
        for (until, server) in [(rebind, lease.server), (end, ALL)] {
            while let Some(left) = until.left() {
                let patience = u32::try_from(left.tv_sec / 2).unwrap_or(FOR_EVER).max(RENEWAL_PATIENCE);
                let request = Request { current: lease.address, ..self.request(REQUEST) };
                match self.exchange(&request, server, Deadline::after(0).later(patience).min(until), ACK) {
                    Some(Answer::Given(lease)) => return self.configure(lease),
                    Some(Answer::Refused) => return self.lose("was taken back"),
                    None => {}
                }
            }
        }
        self.lose("has ended: no DHCP server renewed it")
    }

    /// The lease is no more.
    fn lose(&mut self, why: &str) -> Result<()> {
        let Some(lease) = self.lease.take() else { return Ok(()) };
        self.remove_routes(None);
        self.given_length = 0;
        // Where its time has passed, the kernel has removed it already.
        let _ = self.rtnetlink.remove_address(self.link.index, &lease.address());
        Err(fail!("the address {} of the device {} {why}", V4(lease.address), self.link.name.as_str()))
    }

    fn request(&self, kind: u8) -> Request<'a> {
        let seconds = monotonic().unwrap_or_default().0.saturating_sub(self.since);
        Request {
            kind,
            transaction: self.transaction,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
            hardware: self.hardware,
            current: [0; 4],
            requested: None,
            server: None,
            hostname: self.hostname,
        }
    }

    /// Sends the request and waits `until` then for an answer of the kind
    /// `wanted`, or for a refusal.
    fn exchange(&mut self, request: &Request<'_>, server: [u8; 4], until: Deadline, wanted: u8) -> Option<Answer> {
        let asked = Deadline::after(0);
        // A device whose cable is out says ENETDOWN and its like: as if nobody
        // had answered.
        let _ = send_to(self.socket.as_fd(), request.write().as_bytes(), &socket_address(server, SERVER_PORT));
        while let Some(left) = until.left() {
            if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) != Ok(1) {
                continue;
            }
            self.length = io::read(&self.socket, &mut self.answer).unwrap_or(0);
            let Some(reply) = self.reply() else { continue };
            // Where one server was chosen, the others are not asked any more.
            if request.server.is_some_and(|server| reply.address(SERVER) != Some(server)) {
                continue;
            }
            // An address that was asked for is the one that is given.
            let asked_for = request.requested.or((request.current != [0; 4]).then_some(request.current));
            match (reply.kind(), Lease::of(&reply, asked)) {
                (NAK, _) if wanted == ACK => return Some(Answer::Refused),
                (kind, Some(lease)) if kind == wanted && asked_for.is_none_or(|address| address == lease.address) => {
                    return Some(Answer::Given(lease));
                }
                _ => {}
            }
        }
        None
    }

    /// The last message, if it is an answer to the present transaction.
    fn reply(&self) -> Option<Reply<'_>> {
        Reply::read(self.answer.get(..self.length)?, self.transaction, self.hardware)
    }

    /// Gives the device what the last answer says.
    fn configure(&mut self, lease: Lease) -> Result<()> {
        if let Some(old) = self.lease.filter(|old| (old.address, old.prefix) != (lease.address, lease.prefix)) {
            let _ = self.rtnetlink.remove_address(self.link.index, &old.address());
        }
        let Some(reply) = self.reply() else { return Ok(()) }; // there is: it gave the lease
        self.apply(lease, &reply).map_err(|errno| {
            let (address, name) = (V4(lease.address), self.link.name.as_str());
            self.rtnetlink
                .error(errno, format_args!("cannot configure {name} as the DHCP server says (address {address})"))
        })?;
        self.remove_routes(Some(&reply));
        let (text, has_servers) = resolv_conf(&reply);
        self.lease = Some(lease);
        (self.given, self.given_length) = (self.answer, self.length);
        // What somebody else has written since then stays.
        if has_servers && text.as_bytes() != self.resolv_conf.as_bytes() {
            write_resolv_conf(&text)?;
            self.resolv_conf = text;
        }
        Ok(())
    }

    #[inline(never)] // an option's room is on the stack alone
    fn apply(&self, lease: Lease, reply: &Reply<'_>) -> Result<(), Errno> {
        let device = self.link.index;
        if let Some(mtu) = reply.mtu() {
            // Not every device can have every size: it then keeps its own.
            let _ = self.rtnetlink.set_up(device, Some(mtu));
        }
        self.rtnetlink.add_address(device, &lease.address())?;
        for route in reply.routes(&mut [0; _]) {
            self.rtnetlink.add_route(&self.route(route))?;
        }
        Ok(())
    }

    fn route(&self, (network, prefix, gateway): ([u8; 4], u8, [u8; 4])) -> Route {
        let gateway = (gateway != [0; 4]).then_some(Ip::v4(gateway));
        Route { to: Ip::v4(network), prefix, gateway, device: self.link.index }
    }

    /// Takes away the routes of the lease so far that are none of `new`'s.
    #[inline(never)]
    fn remove_routes(&self, new: Option<&Reply<'_>>) {
        let old = Reply::again(self.given.get(..self.given_length).unwrap_or(&[]));
        let mut value = [0; _];
        let mut index = 0;
        while let Some(route) = old.routes(&mut value).nth(index) {
            index += 1;
            if !new.is_some_and(|new| new.routes(&mut value).any(|same| same == route)) {
                // Where its address is gone, the kernel has done so already.
                let _ = self.rtnetlink.remove_route(&self.route(route));
            }
        }
    }
}

/// What a resolver is to know, and whether that is any server.
#[inline(never)]
fn resolv_conf(reply: &Reply<'_>) -> (ResolvConf, bool) {
    let (mut text, mut value) = (ResolvConf::new(), [0; _]);
    if let Some(domain) = reply.domain() {
        text.add(format_args!("search {}\n", domain.as_str()));
    }
    let domain_only = text.as_bytes().len();
    for server in reply.name_servers(&mut value) {
        text.add(format_args!("nameserver {}\n", V4(server)));
    }
    let has_servers = text.as_bytes().len() > domain_only;
    (text, has_servers)
}

impl Lease {
    /// What an OFFER or ACK gives, if it is all there.
    fn of(reply: &Reply<'_>, asked: Deadline) -> Option<Lease> {
        let seconds = reply.seconds(LEASE_TIME).filter(|seconds| *seconds > 0)?;
        // RFC 2131, 4.4.5: half of it, and seven eighths.
        let end = seconds;
        // A server that says at once would be asked without a pause.
        let said = |option| reply.seconds(option).filter(|seconds| *seconds > 0);
        let rebind = said(REBINDING_TIME).unwrap_or(end / 8 * 7).min(end);
        let renew = said(RENEWAL_TIME).unwrap_or(end / 2).min(rebind).max(1);
        let at = |time| if seconds == FOR_EVER { Deadline::NEVER } else { asked.later(time) };
        Some(Lease {
            address: reply.yours()?,
            prefix: reply.prefix()?,
            server: reply.address(SERVER)?,
            times: [at(renew), at(rebind), at(end)],
            seconds,
        })
    }

    fn address(&self) -> DeviceAddress {
        DeviceAddress { ip: Ip::v4(self.address), prefix: self.prefix, lifetime: self.seconds }
    }
}

/// The device of that name, or the first for `any`, once it is there.
fn awaited(rtnetlink: &Rtnetlink, device: &[u8], deadline: Deadline) -> Result<Link> {
    let events = Uevents::listen();
    loop {
        let link = match device {
            b"any" => Link::first_ethernet(rtnetlink),
            name => Link::named(rtnetlink, name),
        };
        match link {
            Err(Errno::NODEV) if events.wait(deadline) => {}
            result => {
                let device = if device == b"any" { b"that is an Ethernet's" } else { device };
                return result.map_err(|errno| {
                    rtnetlink.error(errno, format_args!("cannot find a network device {}", Lossy(device)))
                });
            }
        }
    }
}

/// A UDP socket that sends and receives on the device alone, with an address or
/// without.
fn socket_of(device: &str) -> Result<OwnedFd, Errno> {
    const SOL_SOCKET: u32 = 1;
    const SO_BROADCAST: u32 = 6;
    const SO_BINDTODEVICE: u32 = 25;
    let socket = datagram_socket(AddressFamily::INET, 0)?;
    set_socket_option(socket.as_fd(), SOL_SOCKET, SO_BROADCAST, &1u32.to_ne_bytes())?;
    set_socket_option(socket.as_fd(), SOL_SOCKET, SO_BINDTODEVICE, device.as_bytes())?;
    bind(socket.as_fd(), &socket_address([0; 4], CLIENT_PORT))?;
    Ok(socket)
}

/// `struct sockaddr_in` of a little-endian machine (ip(7)).
fn socket_address([a, b, c, d]: [u8; 4], port: u8) -> [u8; 16] {
    [2, 0, 0, port, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Nanoseconds, half a second at most: machines that were started together are
/// not to ask together.
fn jitter() -> u64 {
    u64::from(random().unwrap_or(0) >> 3)
}
