//! Messages of DHCP (RFC 2131, section 2; options: RFC 2132), written and read.
//!
//! What is read comes from whoever is on the network: each length is looked at,
//! and what does not fit is as if it were not there.

use crate::bytes::Printed;
use crate::limits;

use crate::network::address::prefix_of;
use crate::network::netlink::{Writer, array};

/// Message types (RFC 2132, 9.6).
pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;

/// Options, by number.
const PAD: u8 = 0;
const SUBNET_MASK: u8 = 1;
pub const ROUTER: u8 = 3;
const NAME_SERVERS: u8 = 6;
const HOST_NAME: u8 = 12;
const DOMAIN: u8 = 15;
const MTU: u8 = 26;
const REQUESTED_ADDRESS: u8 = 50;
pub const LEASE_TIME: u8 = 51;
const OVERLOAD: u8 = 52;
const KIND: u8 = 53;
pub const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const LONGEST: u8 = 57;
pub const RENEWAL_TIME: u8 = 58;
pub const REBINDING_TIME: u8 = 59;
const CLASSLESS_ROUTES: u8 = 121;
const END: u8 = 255;

/// The fixed part, whose last four bytes say that options follow.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// A request is padded to what BOOTP had: some relays drop shorter ones.
const SHORTEST: usize = 300;

/// What a client says.
pub struct Request<'a> {
    pub kind: u8,
    /// By which answers are known.
    pub transaction: u32,
    /// Since it began to look for an address.
    pub seconds: u16,
    pub hardware: [u8; 6],
    /// The address that it has and uses, or zeros.
    pub current: [u8; 4],
    /// The address that it was offered, before it has it.
    pub requested: Option<[u8; 4]>,
    /// The server that it has chosen.
    pub server: Option<[u8; 4]>,
    /// Its name, or empty.
    pub hostname: &'a [u8],
}

/// Its bytes, for which there is room whatever they are: a name has at most 64
/// that count.
pub type Written = Writer<400>;

impl Request<'_> {
    /// Writes it.
    pub fn write(&self) -> Written {
        let mut out = Written::new();
        // Answers must be broadcast until there is an address: there is nothing
        // that could take others.
        let broadcast = if self.current == [0; 4] { 0x80 } else { 0 };
        let [late, seconds] = self.seconds.to_be_bytes();
        // BOOTREQUEST, Ethernet, six bytes, no hops.
        out.put(&[1, 1, 6, 0]);
        out.put(&self.transaction.to_be_bytes());
        out.put(&[late, seconds, broadcast, 0]);
        out.put(&self.current);
        out.length = 28;
        out.put(&self.hardware);
        out.length = FIXED - COOKIE.len();
        out.put(&COOKIE);
        // As long as an Ethernet frame takes, without IP's and UDP's headers.
        const MOST: [u8; 2] = (limits::DHCP_MESSAGE as u16 - 28).to_be_bytes();
        out.put(&[KIND, 1, self.kind, LONGEST, 2, MOST[0], MOST[1]]);
        for (option, address) in [(REQUESTED_ADDRESS, &self.requested), (SERVER, &self.server)] {
            if let Some(address) = address {
                out.put(&[option, 4]);
                out.put(address);
            }
        }
        // RFC 3442: the classless routes are asked for before the router.
        out.put(&[PARAMETERS, 6, SUBNET_MASK, CLASSLESS_ROUTES, ROUTER, NAME_SERVERS, DOMAIN, MTU]);
        let hostname = self.hostname.get(..limits::HOSTNAME).unwrap_or(self.hostname);
        if !hostname.is_empty() {
            out.put(&[HOST_NAME, hostname.len() as u8]); // at most 64
            out.put(hostname);
        }
        out.put(&[END]);
        out.length = out.length.max(SHORTEST);
        out
    }
}

impl Written {
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

/// What a server says: its message as it came.
#[derive(Clone, Copy)]
pub struct Reply<'a>(&'a [u8]);

/// Room for the value of an option.
pub type Value = [u8; limits::DHCP_MESSAGE];

impl<'a> Reply<'a> {
    /// The answer to the transaction of this device.
    pub fn read(message: &'a [u8], transaction: u32, hardware: [u8; 6]) -> Option<Reply<'a>> {
        // BOOTREPLY, Ethernet, six bytes.
        let expected = message.get(..3)? == [2, 1, 6]
            && array(message, 4) == Some(transaction.to_be_bytes())
            && array(message, 28) == Some(hardware)
            && array(message, FIXED - 4) == Some(COOKIE);
        expected.then_some(Reply(message))
    }

    /// One that was read at an earlier time. An empty one says nothing.
    pub fn again(message: &'a [u8]) -> Reply<'a> {
        Reply(message)
    }

    /// The value of an option. One that is there several times is what all of them
    /// have, one behind the other: a value may be longer than an option can be (RFC 3396).
    #[inline(never)]
    fn option<'v>(&self, wanted: u8, value: &'v mut Value) -> Option<&'v [u8]> {
        let options = self.0.get(FIXED..)?;
        // Two fields of BOOTP may hold options as well (RFC 2132, 9.3).
        let overload = Options(options).find(|(code, _)| *code == OVERLOAD).and_then(|(_, value)| value.first());
        let overload = overload.copied().unwrap_or(0);
        let field = |bit, place| if overload & bit == 0 { None } else { self.0.get(place) };
        let fields = [Some(options), field(1, 108..236), field(2, 44..108)];
        let (mut length, mut found) = (0, false);
        for (_, part) in fields.into_iter().flatten().flat_map(Options).filter(|(code, _)| *code == wanted) {
            let end = length + part.len(); // no more than the message has
            value.get_mut(length..end)?.copy_from_slice(part);
            (length, found) = (end, true);
        }
        value.get(..length).filter(|_| found)
    }

    /// The first bytes of an option.
    fn start<const N: usize>(&self, option: u8) -> Option<[u8; N]> {
        array(self.option(option, &mut [0; _])?, 0)
    }

    /// The message's type.
    pub fn kind(&self) -> u8 {
        self.start(KIND).map_or(0, |[kind]| kind)
    }

    /// An option of one address, or the first of several.
    pub fn address(&self, option: u8) -> Option<[u8; 4]> {
        self.start(option)
    }

    /// An option of 32 bits: seconds.
    pub fn seconds(&self, option: u8) -> Option<u32> {
        self.address(option).map(u32::from_be_bytes)
    }

    /// The address that is offered or given.
    pub fn yours(&self) -> Option<[u8; 4]> {
        // Not what no device may have: zeros, loopback, multicast and above.
        array::<4>(self.0, 16).filter(|[first, ..]| !matches!(first, 0 | 127) && *first < 224)
    }

    /// The bits of it that name the network; without a mask as its class has it.
    pub fn prefix(&self) -> Option<u8> {
        match self.address(SUBNET_MASK) {
            Some(mask) => prefix_of(mask).filter(|prefix| *prefix > 0),
            None => self.yours().map(|[first, ..]| match first {
                ..128 => 8,
                128..192 => 16,
                _ => 24,
            }),
        }
    }

    /// The largest packet, where it is one that IPv4 must be able to carry.
    pub fn mtu(&self) -> Option<u32> {
        let mtu = u16::from_be_bytes(self.start(MTU)?);
        (mtu >= 576).then_some(mtu.into())
    }

    /// The name servers; a resolver uses three.
    pub fn name_servers<'v>(&self, value: &'v mut Value) -> impl Iterator<Item = [u8; 4]> + use<'v> {
        self.option(NAME_SERVERS, value).unwrap_or(&[]).as_chunks().0.iter().copied().take(3)
    }

    /// The domain, if it is the name of one: it goes into a file.
    pub fn domain(&self) -> Option<Printed<256>> {
        let mut value = [0; _];
        // Some servers count a NUL.
        let name = self.option(DOMAIN, &mut value)?.split(|byte| *byte == 0).next()?;
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let name = core::str::from_utf8(name).ok().filter(|name| !name.is_empty() && name.bytes().all(|b| fits(&b)))?;
        let mut domain = Printed::new();
        domain.push(name).then_some(domain)
    }

    /// The routes: network, prefix and gateway (zeros: the device's own
    /// network). RFC 3442: where there are classless ones, the router does not count.
    pub fn routes<'v>(&self, value: &'v mut Value) -> Routes<'v> {
        match self.option(CLASSLESS_ROUTES, value) {
            Some(rest) => Routes { router: None, rest },
            None => Routes { router: self.address(ROUTER), rest: &[] },
        }
    }
}

/// See [`Reply::routes`].
pub struct Routes<'a> {
    router: Option<[u8; 4]>,
    rest: &'a [u8],
}

impl Iterator for Routes<'_> {
    type Item = ([u8; 4], u8, [u8; 4]);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(router) = self.router.take() {
            return Some(([0; 4], 0, router));
        }
        let (prefix, rest) = self.rest.split_first()?;
        // Of the network only the bytes that count.
        let (significant, rest) = rest.split_at_checked(usize::from(*prefix).div_ceil(8)).filter(|_| *prefix <= 32)?;
        let mut network = [0; 4];
        for (place, byte) in network.iter_mut().zip(significant) {
            *place = *byte;
        }
        // Bits behind the prefix are to be zero; the kernel insists.
        let mask = u32::MAX.checked_shl(32u32.saturating_sub((*prefix).into())).unwrap_or(0);
        let network = (u32::from_be_bytes(network) & mask).to_be_bytes();
        let (gateway, rest) = rest.split_first_chunk()?;
        self.rest = rest;
        Some((network, *prefix, *gateway))
    }
}

/// The options of a list of them, and their values.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (code, rest) = self.0.split_first()?;
            match *code {
                PAD => self.0 = rest,
                END => return None,
                code => {
                    let (length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked((*length).into())?;
                    self.0 = rest;
                    return Some((code, value));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
