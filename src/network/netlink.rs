//! Messages of netlink (netlink(7), rtnetlink(7)) as bytes: put together, and
//! taken apart.
//!
//! A message that has no room for something is marked as such, and no length is
//! ever narrowed: what comes out is whole, or nothing. What comes in may be cut
//! off at any byte.

use crate::limits;

/// `struct nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// `struct nlattr`: length and type.
const ATTRIBUTE: usize = 4;

/// `NLM_F_*`: what is asked of the kernel.
pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const REPLACE: u16 = 0x100;
pub const CREATE: u16 = 0x400;
/// Types of messages that any family has.
pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;

/// Bytes put one behind the other, as far as there is room.
pub struct Writer<const N: usize> {
    pub bytes: [u8; N],
    pub length: usize,
    /// Something had no room.
    pub full: bool,
}

impl<const N: usize> Writer<N> {
    pub fn new() -> Self {
        Writer { bytes: [0; N], length: 0, full: false }
    }

    /// Puts `bytes` behind what is there: all, or none of them.
    pub fn put(&mut self, bytes: &[u8]) {
        self.full |= !put(&mut self.bytes, &mut self.length, bytes);
    }
}

#[inline(never)]
fn put(room: &mut [u8], length: &mut usize, bytes: &[u8]) -> bool {
    let end = length.saturating_add(bytes.len());
    let Some(room) = room.get_mut(*length..end) else { return false };
    room.copy_from_slice(bytes);
    *length = end;
    true
}

/// One request, being put together.
pub struct Message(Writer<{ limits::NETLINK_REQUEST }>);

impl Message {
    /// A request of type `kind` with the flags `flags`, that begins with `body`:
    /// the fixed part that the type has.
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Message {
        let mut message = Message(Writer::new());
        let [low, high] = kind.to_ne_bytes();
        let [flags_low, flags_high] = (flags | REQUEST).to_ne_bytes();
        // Without the length and the sequence number (see `finish`), and the port,
        // which is the kernel's.
        message.0.put(&[0, 0, 0, 0, low, high, flags_low, flags_high, 0, 0, 0, 0, 0, 0, 0, 0]);
        message.0.put(body);
        message
    }

    /// Puts the attribute `kind` at the end.
    #[inline(never)]
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len().saturating_add(ATTRIBUTE)) else {
            self.0.full = true;
            return;
        };
        let [a, b] = length.to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        // Each begins at a multiple of four.
        let over = self.0.length.wrapping_neg() % 4;
        self.0.put([0; 4].get(..over).unwrap_or(&[]));
        self.0.put(&[a, b, c, d]);
        self.0.put(value);
    }

    /// An attribute of 32 bits in this machine's order.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// The message, numbered `sequence`; `None`: it had no room for all.
    pub fn finish(&mut self, sequence: u32) -> Option<&[u8]> {
        let Writer { bytes, length, full } = &mut self.0;
        let total = u32::try_from(*length).ok().filter(|_| !*full)?;
        put(bytes, &mut 0, &total.to_ne_bytes());
        put(bytes, &mut 8, &sequence.to_ne_bytes());
        bytes.get(..*length)
    }
}

/// The `N` bytes of `text` from `at` on.
pub fn array<const N: usize>(text: &[u8], at: usize) -> Option<[u8; N]> {
    text.get(at..)?.first_chunk().copied()
}

fn half(text: &[u8], at: usize) -> Option<u16> {
    array(text, at).map(u16::from_ne_bytes)
}

/// 32 bits of `text` in this machine's order, from `at` on.
#[inline(never)]
pub fn word(text: &[u8], at: usize) -> Option<u32> {
    array(text, at).map(u32::from_ne_bytes)
}

/// A message that came.
pub struct Incoming<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// What is behind the header.
    pub body: &'a [u8],
}

/// The messages of one datagram, up to where it is broken.
pub struct Messages<'a>(pub &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Incoming<'a>;

    fn next(&mut self) -> Option<Incoming<'a>> {
        let text = self.0;
        let length = word(text, 0)? as usize;
        let body = text.get(HEADER..length)?;
        self.0 = text.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Incoming { kind: half(text, 4)?, flags: half(text, 6)?, sequence: word(text, 8)?, body })
    }
}

impl<'a> Incoming<'a> {
    /// The value of the attribute `kind`; `fixed`: bytes of the part before the
    /// attributes.
    #[inline(never)]
    pub fn attribute(&self, fixed: usize, kind: u16) -> Option<&'a [u8]> {
        /// The upper two bits of a type say something of its value.
        const TYPE: u16 = 0x3fff;
        let mut rest = self.body.get(fixed..)?;
        loop {
            let length = usize::from(half(rest, 0)?);
            let value = rest.get(ATTRIBUTE..length)?;
            if half(rest, 2)? & TYPE == kind {
                return Some(value);
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }

    /// Of an [`ERROR`]: the errno, which is 0 where all is well, and what the
    /// kernel says besides (netlink(7), NETLINK_EXT_ACK).
    pub fn outcome(&self) -> Option<(i32, &'a [u8])> {
        /// NLM_F_CAPPED, NLM_F_ACK_TLVS.
        const CAPPED: u16 = 0x100;
        const ACK_TLVS: u16 = 0x200;
        const NLMSGERR_ATTR_MSG: u16 = 1;
        let errno = array(self.body, 0).map(i32::from_ne_bytes)?;
        // The request stands behind the errno: its header, or all of it.
        let request = if self.flags & CAPPED == 0 { word(self.body, 4)? as usize } else { HEADER };
        let fixed = request.next_multiple_of(4).saturating_add(4);
        let said = self.attribute(fixed, NLMSGERR_ATTR_MSG).filter(|_| self.flags & ACK_TLVS != 0);
        let said = said.and_then(|said| said.split_last()).map_or(&b""[..], |(_, said)| said);
        Some((errno.checked_neg()?, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn a_request_as_the_kernel_reads_it() {
        let mut message = Message::new(0x1234, ACK, &[1, 2, 3, 4]);
        message.attribute(7, b"abcde");
        message.number(8, 0x0102_0304);
        let bytes = message.finish(9).unwrap();
        let expected = [
            &40u32.to_ne_bytes()[..],
            &0x1234u16.to_ne_bytes(),
            &5u16.to_ne_bytes(),
            &9u32.to_ne_bytes(),
            &[0; 4],
            &[1, 2, 3, 4],
            &9u16.to_ne_bytes(),
            &7u16.to_ne_bytes(),
            b"abcde\0\0\0",
            &8u16.to_ne_bytes(),
            &8u16.to_ne_bytes(),
            &0x0102_0304u32.to_ne_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
        let incoming = Messages(bytes).next().unwrap();
        assert_eq!((incoming.kind, incoming.flags, incoming.sequence), (0x1234, 5, 9));
        assert_eq!(incoming.attribute(4, 7), Some(&b"abcde"[..]));
        assert_eq!(incoming.attribute(4, 8), Some(&0x0102_0304u32.to_ne_bytes()[..]));
        assert_eq!(incoming.attribute(4, 9), None);
    }

    #[test]
    fn what_has_no_room_is_no_message() {
        for length in [limits::NETLINK_REQUEST, 65_531, 65_532, 65_536, 70_000] {
            let mut message = Message::new(1, 0, &[]);
            message.attribute(1, &vec![0; length]);
            assert!(message.finish(1).is_none(), "{length}");
        }
        let mut message = Message::new(1, 0, &[]);
        for _ in 0..limits::NETLINK_REQUEST {
            message.number(1, 1);
        }
        assert!(message.finish(1).is_none());
        let mut message = Message::new(1, 0, &[]);
        message.attribute(1, &vec![0; limits::NETLINK_REQUEST - HEADER - ATTRIBUTE]);
        assert_eq!(message.finish(1).unwrap().len(), limits::NETLINK_REQUEST);
    }

    /// An answer with an errno, the request's header, and the kernel's words.
    fn answer(flags: u16) -> Vec<u8> {
        let request_length = if flags & 0x100 == 0 { 24u32 } else { 16 };
        let body = [
            &(-17i32).to_ne_bytes()[..],
            &24u32.to_ne_bytes(),
            &vec![0; request_length as usize - 4],
            &8u16.to_ne_bytes(),
            &2u16.to_ne_bytes(),
            &[0; 4],
            &9u16.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            b"No b\0",
        ]
        .concat();
        let length = (body.len() + HEADER) as u32;
        [&length.to_ne_bytes()[..], &ERROR.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], &body].concat()
    }

    #[test]
    fn the_kernels_words() {
        for (flags, said) in [(0x300, &b"No b"[..]), (0x200, b"No b"), (0, b""), (0x100, b"")] {
            let bytes = answer(flags);
            assert_eq!(Messages(&bytes).next().unwrap().outcome(), Some((17, said)), "{flags:x}");
        }
    }

    #[test]
    fn cut_off_at_every_byte() {
        let bytes = answer(0x300);
        for end in 0..bytes.len() {
            assert!(Messages(&bytes[..end]).next().is_none(), "{end}");
            // The same with a length that is true.
            let mut cut = bytes[..end].to_vec();
            if let Some(head) = cut.first_chunk_mut() {
                *head = (end as u32).to_ne_bytes();
            }
            if let Some(message) = Messages(&cut).next() {
                message.outcome();
                for fixed in [0, 4, 16, 1000] {
                    message.attribute(fixed, 1);
                }
            }
        }
        // Lengths of nothing must not make it go round for ever.
        for length in [0u32, 1, 15, 16, 17, u32::MAX] {
            let mut bytes = bytes.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(Messages(&bytes).count() <= 4, "{length}");
        }
        let zeros = Incoming { kind: 0, flags: 0, sequence: 0, body: &[0; 64] };
        assert_eq!(zeros.attribute(0, 1), None);
    }
}
