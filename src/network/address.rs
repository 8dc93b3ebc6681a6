//! Addresses as people write them: IPv4 in four decimal numbers, IPv6 in the
//! forms of RFC 4291, section 2.2.

use core::fmt;

use crate::bytes;

/// An address of either family.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ip {
    bytes: [u8; 16],
    /// Bytes that count: 4 or 16.
    length: usize,
}

impl Ip {
    pub fn v4([a, b, c, d]: [u8; 4]) -> Ip {
        let mut bytes = [0; 16];
        [bytes[0], bytes[1], bytes[2], bytes[3]] = [a, b, c, d];
        Ip { bytes, length: 4 }
    }

    /// Of 4 or 16 bytes.
    pub fn of(octets: &[u8]) -> Option<Ip> {
        let mut bytes = [0; 16];
        bytes.get_mut(..octets.len())?.copy_from_slice(octets);
        matches!(octets.len(), 4 | 16).then_some(Ip { bytes, length: octets.len() })
    }

    /// The address that `text` is, and nothing else.
    pub fn parse(text: &[u8]) -> Option<Ip> {
        match v4(text) {
            Some(octets) => Some(Ip::v4(octets)),
            None => v6(text).map(|bytes| Ip { bytes, length: 16 }),
        }
    }

    /// In the network's order.
    pub fn octets(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// `AF_INET` or `AF_INET6`.
    pub fn family(&self) -> u8 {
        if self.length == 4 { 2 } else { 10 }
    }

    /// The address with all bits set behind the first `prefix`: in IPv4 the
    /// network's broadcast address, where there is one.
    pub fn broadcast(&self, prefix: u8) -> Option<Ip> {
        let address = u32::from_be_bytes(*self.bytes.first_chunk()?);
        (self.length == 4 && prefix < 31)
            .then(|| Ip::v4((address | u32::MAX.checked_shr(prefix.into()).unwrap_or(0)).to_be_bytes()))
    }
}

/// An IPv4 address, for a person.
pub struct V4(pub [u8; 4]);

impl fmt::Display for V4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// ADDRESS/PREFIX: a prefix is at most as long as the address.
pub fn with_prefix(text: &[u8]) -> Option<(Ip, u8)> {
    let (address, prefix) = bytes::cut(text, b'/');
    let address = Ip::parse(address)?;
    let prefix = bytes::decimal(prefix?).filter(|prefix| *prefix <= address.length as u64 * 8)?;
    Some((address, u8::try_from(prefix).ok()?))
}

/// The length of the prefix that an IPv4 mask stands for.
pub fn prefix_of(mask: [u8; 4]) -> Option<u8> {
    let mask = u32::from_be_bytes(mask);
    let ones = mask.leading_ones();
    (ones == mask.count_ones()).then_some(ones as u8)
}

fn v4(text: &[u8]) -> Option<[u8; 4]> {
    let mut parts = bytes::split(text, b'.');
    let mut octets = [0; 4];
    for octet in &mut octets {
        // Without zeros before it, which some take for octal.
        let part = parts.next().filter(|part| part.len() == 1 || part.first() != Some(&b'0'))?;
        *octet = u8::try_from(bytes::decimal(part)?).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

fn v6(text: &[u8]) -> Option<[u8; 16]> {
    let mut all = [0; 16];
    let Some(gap) = text.windows(2).position(|pair| pair == b"::") else {
        return (groups(text, true, &mut all)? == 16).then_some(all);
    };
    let (before, after) = (text.get(..gap)?, text.get(gap.checked_add(2)?..)?);
    let length = if before.is_empty() { 0 } else { groups(before, false, &mut all)? };
    let mut tail = [0; 16];
    let tail_length = if after.is_empty() { 0 } else { groups(after, true, &mut tail)? };
    // It stands for at least one group.
    let start = 16usize.checked_sub(tail_length).filter(|start| *start >= length.saturating_add(2))?;
    for (place, byte) in all.iter_mut().skip(start).zip(tail) {
        *place = byte;
    }
    Some(all)
}

/// Groups of hexadecimal digits between colons, how many bytes they make. If
/// `last`, the last two of them may be an IPv4 address.
fn groups(text: &[u8], last: bool, all: &mut [u8; 16]) -> Option<usize> {
    let mut length = 0;
    let mut parts = bytes::split(text, b':').peekable();
    while let Some(part) = parts.next() {
        let number;
        let v4 = if last && parts.peek().is_none() { v4(part) } else { None };
        let octets: &[u8] = match &v4 {
            Some(octets) => octets,
            None => {
                let group = bytes::hexadecimal(part).filter(|_| part.len() <= 4)?;
                number = u16::try_from(group).ok()?.to_be_bytes();
                &number
            }
        };
        let end = octets.len().checked_add(length)?;
        all.get_mut(length..end)?.copy_from_slice(octets);
        length = end;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::string::ToString;

    #[test]
    fn the_same_as_cores() {
        for text in [
            "1.2.3.4",
            "0.0.0.0",
            "255.255.255.255",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1..2.3",
            "1.2.3.",
            "",
            ".",
            "1.2.3.a",
            "-1.2.3.4",
            " 1.2.3.4",
            "::",
            ":::",
            "::1",
            "1::",
            "1::2",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "1::2::3",
            "2001:db8::FFFF",
            "12345::",
            "::g",
            "::ffff:1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "::1.2.3.4:5",
            "1.2.3.4::",
            "1:",
            ":1",
            "1:::2",
            "::1.2.3",
            "fe80::1%eth0",
            "0000:0::00a0",
        ] {
            let octets = |ip: &Ip| ip.octets().to_vec();
            let expected = text.parse::<Ipv4Addr>().map(|ip| ip.octets().to_vec()).ok();
            let expected = expected.or_else(|| text.parse::<Ipv6Addr>().map(|ip| ip.octets().to_vec()).ok());
            assert_eq!(Ip::parse(text.as_bytes()).as_ref().map(octets), expected, "{text}");
        }
    }

    #[test]
    fn prefixes() {
        let read = |text: &str| with_prefix(text.as_bytes()).map(|(ip, prefix)| (ip.octets().len(), prefix));
        for (text, read_as) in [("1.2.3.4/0", (4, 0)), ("1.2.3.4/32", (4, 32)), ("::1/128", (16, 128))] {
            assert_eq!(read(text), Some(read_as));
        }
        for text in ["1.2.3.4/33", "::1/129", "::1/", "::1", "/8", "1.2.3.4/-1", "1.2.3.4/8/8", "1.2.3.4/256"] {
            assert_eq!(read(text), None, "{text}");
        }
        for (mask, prefix) in [
            ([255, 255, 255, 0], Some(24)),
            ([0; 4], Some(0)),
            ([255; 4], Some(32)),
            ([255, 0, 255, 0], None),
            ([0, 0, 0, 1], None),
        ] {
            assert_eq!(prefix_of(mask), prefix);
        }
    }

    #[test]
    fn of_bytes() {
        for length in 0..20 {
            assert_eq!(Ip::of(&[1; 20][..length]).is_some(), length == 4 || length == 16, "{length}");
        }
    }

    #[test]
    fn broadcasts() {
        let broadcast = |text: &str| {
            let (ip, prefix) = with_prefix(text.as_bytes()).unwrap();
            ip.broadcast(prefix).map(|ip| V4(*ip.octets().first_chunk().unwrap()).to_string())
        };
        assert_eq!(broadcast("10.0.2.15/24").as_deref(), Some("10.0.2.255"));
        assert_eq!(broadcast("10.0.2.15/0").as_deref(), Some("255.255.255.255"));
        assert_eq!(broadcast("10.0.2.15/30").as_deref(), Some("10.0.2.15"));
        assert_eq!(broadcast("10.0.2.15/31"), None);
        assert_eq!(broadcast("::1/64"), None);
    }
}
