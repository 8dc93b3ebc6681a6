//! Finding a network device.

use crate::bytes::{Printed, join};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::sys::Errno;
use crate::sys::fs::{Access, access};

use super::netlink::{ACK, DUMP, Incoming, Message};
use super::rtnetlink::{Answers, GETLINK, Rtnetlink, link_body, link_index};

const IFLA_ADDRESS: u16 = 1;
pub const IFLA_IFNAME: u16 = 3;
/// `struct ifinfomsg`, before the attributes.
const FIXED: usize = 16;

/// A network device.
pub struct Link {
    /// By which the kernel knows it.
    pub index: u32,
    /// Its name, which may be changed by others.
    pub name: Printed<{ limits::DEVICE_NAME + 1 }>,
    /// Its address on an Ethernet; `None`: it is none.
    pub ethernet: Option<[u8; 6]>,
}

impl Link {
    fn of(link: &Incoming<'_>) -> Option<Link> {
        const ARPHRD_ETHER: [u8; 2] = 1u16.to_ne_bytes();
        let index = link_index(link)?;
        let name = link.attribute(FIXED, IFLA_IFNAME).and_then(<[u8]>::split_last).map_or(&b""[..], |(_, name)| name);
        let ethernet = link.attribute(FIXED, IFLA_ADDRESS).and_then(|address| address.try_into().ok());
        let is_ethernet = link.body.get(2..4) == Some(&ARPHRD_ETHER);
        let name = Printed::of(format_args!("{}", Lossy(name)));
        Some(Link { index, name, ethernet: ethernet.filter(|_| is_ethernet) })
    }

    /// The device of that name.
    ///
    /// # Errors
    /// ENODEV: there is none.
    #[inline(never)]
    pub fn named(rtnetlink: &Rtnetlink, name: &[u8]) -> Result<Link, Errno> {
        if name.is_empty() || name.len() > limits::DEVICE_NAME {
            return Err(Errno::NODEV);
        }
        let mut message = Message::new(GETLINK, ACK, &link_body(0, 0));
        let mut terminated = [0; limits::DEVICE_NAME + 1];
        let name = join(&mut terminated, &[name]).ok_or(Errno::NODEV)?;
        message.attribute(IFLA_IFNAME, name.to_bytes_with_nul());
        let mut found = None;
        let mut answers = Answers::of(rtnetlink);
        answers.ask(&mut message)?;
        while let Some(link) = answers.next()? {
            found = Link::of(&link);
        }
        found.ok_or(Errno::NODEV)
    }

    /// The first Ethernet device behind which there is hardware: not a bridge, a
    /// dummy, or an end of a pair.
    ///
    /// # Errors
    /// ENODEV: there is none.
    #[inline(never)]
    pub fn first_ethernet(rtnetlink: &Rtnetlink) -> Result<Link, Errno> {
        let mut found: Option<Link> = None;
        let mut answers = Answers::of(rtnetlink);
        answers.ask(&mut Message::new(GETLINK, DUMP, &link_body(0, 0)))?;
        while let Some(link) = answers.next()? {
            if let Some(link) = Link::of(&link)
                && link.ethernet.is_some()
                && found.as_ref().is_none_or(|found| found.index > link.index)
                && access(
                    Printed::<64>::of(format_args!("/sys/class/net/{}/device", link.name.as_str())).as_c_str(),
                    Access::EXISTS,
                )
                .is_ok()
            {
                found = Some(link);
            }
        }
        found.ok_or(Errno::NODEV)
    }

    /// As [`Link::named`], with a sentence.
    ///
    /// # Errors
    /// There is no such device.
    pub fn find(rtnetlink: &Rtnetlink, name: &[u8]) -> Result<Link> {
        Link::named(rtnetlink, name).map_err(|errno| fail!(errno => "cannot find the network device {}", Lossy(name)))
    }
}
