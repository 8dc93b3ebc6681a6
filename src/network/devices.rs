//! Devices on their way into another network namespace (config-linux.md,
//! "Network Devices").

use heapless::Vec;

use crate::bytes::{Printed, join};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::spec::linux::NetDevice;
use crate::spec::record::Map;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use crate::sys::{AsFd, AsRawFd, BorrowedFd, Errno};

use super::address::Ip;
use super::link::{IFLA_IFNAME, Link};
use super::netlink::{ACK, DUMP, Message, word};
use super::rtnetlink::{Answers, DeviceAddress, FOR_EVER, GETADDR, NEWADDR, NEWLINK, Rtnetlink, link_body};

/// A device's name, and the NUL that the kernel wants behind it.
type Name = [u8; limits::DEVICE_NAME + 1];

type Addresses = Vec<DeviceAddress, { limits::DEVICE_ADDRESSES }>;

/// Moves `devices` to the network namespace of process `pid`, a child that the
/// caller has not reaped: it keeps its number.
///
/// # Errors
/// As [`move_to`], with the place.
#[inline(never)]
pub fn move_all(devices: Map<'_, NetDevice<'static>>, pid: i32) -> Result<()> {
    if devices.iter().next().is_none() {
        return Ok(());
    }
    let path = Printed::<32>::of(format_args!("/proc/{pid}/ns/net")); // it fits
    let namespace = open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the container's network namespace"))?;
    for (name, device) in devices.iter() {
        let (mut old, mut new) = ([0; limits::DEVICE_NAME + 1], [0; limits::DEVICE_NAME + 1]);
        let old = name.c_str(&mut old)?.to_bytes();
        let new = match device.name().filter(|name| !name.is_empty()) {
            Some(name) => name.c_str(&mut new)?.to_bytes(),
            None => old,
        };
        move_to(namespace.as_fd(), old, new).map_err(|error| name.error(format_args!("{error}")))?;
    }
    Ok(())
}

/// Moves the device `name` of this network namespace to `namespace`, where it is
/// to be called `new_name`; a `%d` in that stands for the first number that is
/// free. Its permanent addresses of global scope go with it, and it is up there.
/// The rest, as its hardware address and MTU, the kernel keeps.
///
/// # Errors
/// There is no such device, that name is taken there, or the kernel refuses.
pub fn move_to(namespace: BorrowedFd<'_>, name: &[u8], new_name: &[u8]) -> Result<()> {
    const IFLA_NET_NS_FD: u16 = 28;
    let here = Rtnetlink::open()?;
    let there = open_in(&here, namespace)?;
    let link = Link::find(&here, name)?;
    let addresses = addresses(&here, &link)?;
    let mut room = [0; _];
    let terminated = free_name(&there, new_name, &mut room)?;
    let mut message = Message::new(NEWLINK, ACK, &link_body(link.index, 0));
    message.number(IFLA_NET_NS_FD, namespace.as_raw_fd().unsigned_abs());
    message.attribute(IFLA_IFNAME, terminated);
    let (old, new) = (Lossy(name), Lossy(new_name));
    here.carry_out(message).map_err(|errno| {
        here.error(errno, format_args!("cannot move the network device {old} to the container as {new}"))
    })?;
    // It may have another number there.
    let name = terminated.strip_suffix(&[0]).unwrap_or(terminated);
    let link = Link::find(&there, name)?;
    let add = |address| there.add_address(link.index, address);
    addresses.iter().try_for_each(add).and_then(|()| there.set_up(link.index, None)).map_err(|errno| {
        there.error(errno, format_args!("cannot set up the network device {old} in the container, where it is {new}"))
    })
}

/// A socket of another network namespace: it stays there, we do not.
fn open_in(here: &Rtnetlink, namespace: BorrowedFd<'_>) -> Result<Rtnetlink> {
    let cannot = |errno| fail!(errno => "cannot enter the container's network namespace, and leave it");
    let own = here.namespace().map_err(cannot)?;
    let enter = |fd| move_into_thread_name_spaces(fd, ThreadNameSpaceType::NETWORK).map_err(cannot);
    enter(namespace)?;
    let socket = Rtnetlink::open();
    enter(own.as_fd())?;
    socket
}

/// The name that is free in the namespace of `there`, with its NUL.
fn free_name<'b>(there: &Rtnetlink, name: &[u8], room: &'b mut Name) -> Result<&'b [u8]> {
    let template = name.windows(2).position(|pair| pair == b"%d");
    let percents = name.iter().filter(|byte| **byte == b'%').count();
    // What the kernel would say no to only after it has moved the device.
    let refused = |byte: &u8| matches!(byte, 0 | b'/' | b':') || byte.is_ascii_whitespace();
    if matches!(name, b"" | b"." | b"..") || name.iter().any(refused) || percents != usize::from(template.is_some()) {
        return Err(fail!("no network device can be called \"{}\"", Lossy(name)));
    }
    // The kernel looks at as many.
    for number in 0..=u16::MAX / 2 {
        let digits = Printed::<16>::of(format_args!("{number}"));
        let parts: [&[u8]; 3] = match template.and_then(|at| name.split_at_checked(at)) {
            Some((before, after)) => [before, digits.as_bytes(), after.get(2..).unwrap_or(&[])],
            None => [name, &[], &[]],
        };
        let Some(candidate) = join(room, &parts) else { break };
        match Link::named(there, candidate.to_bytes()) {
            Err(Errno::NODEV) => {
                let length = candidate.count_bytes().saturating_add(1);
                return Ok(room.get(..length).unwrap_or(&[]));
            }
            Ok(_) if template.is_some() => {}
            Ok(_) => return Err(fail!("the container has a network device {} already", Lossy(name))),
            Err(errno) => return Err(fail!(errno => "cannot list the container's network devices")),
        }
    }
    Err(fail!("the name of a network device has no room, or none is free: {}", Lossy(name)))
}

/// The addresses that go with the device.
fn addresses(here: &Rtnetlink, link: &Link) -> Result<Addresses> {
    let mut all = Addresses::new();
    list(here, link, &mut all).map_err(|errno| {
        let name = link.name.as_str();
        here.error(errno, format_args!("cannot list the addresses of {name} (at most {})", limits::DEVICE_ADDRESSES))
    })?;
    Ok(all)
}

#[inline(never)]
fn list(here: &Rtnetlink, link: &Link, all: &mut Addresses) -> Result<(), Errno> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    const IFA_FLAGS: u16 = 8;
    const IFA_F_PERMANENT: u32 = 0x80;
    /// `struct ifaddrmsg`, before the attributes.
    const FIXED: usize = 8;
    let mut answers = Answers::of(here);
    answers.ask(&mut Message::new(GETADDR, DUMP, &[0; FIXED]))?;
    while let Some(answer) = answers.next()? {
        let flags = answer.attribute(FIXED, IFA_FLAGS).and_then(|flags| word(flags, 0)).unwrap_or(0);
        let Some([_, prefix, _, scope]) = answer.body.first_chunk() else { continue };
        let counts = answer.kind == NEWADDR
            && word(answer.body, 4) == Some(link.index)
            && *scope == 0
            && flags & IFA_F_PERMANENT != 0;
        let octets = answer.attribute(FIXED, IFA_LOCAL).or(answer.attribute(FIXED, IFA_ADDRESS));
        if let Some(ip) = octets.and_then(Ip::of).filter(|_| counts) {
            let address = DeviceAddress { ip, prefix: *prefix, lifetime: FOR_EVER };
            all.push(address).map_err(|_| Errno::TOOBIG)?;
        }
    }
    Ok(())
}
