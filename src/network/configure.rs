//! A network as the kernel's command line describes it: addresses, a gateway,
//! name servers.

use core::ffi::CStr;

use crate::bytes::{Printed, cut, split};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{CWD, Mode, OFlags, mkdirat, open};
use crate::sys::{AsFd, Errno, kernel_log, write_all};

use super::address::{Ip, with_prefix};
use super::link::Link;
use super::rtnetlink::{DeviceAddress, FOR_EVER, Route, Rtnetlink};

/// Gives a device an address: `DEVICE,ADDRESS/PREFIX`. It is up afterwards.
///
/// # Errors
/// The value has another form, there is no such device, or the kernel refuses.
pub fn address(value: &[u8]) -> Result<()> {
    let (name, rest) = cut(value, b',');
    let Some((ip, prefix)) = rest.and_then(with_prefix) else {
        return Err(fail!("\"{}\" is not DEVICE,ADDRESS/PREFIX", Lossy(value)));
    };
    let rtnetlink = Rtnetlink::open()?;
    let link = Link::find(&rtnetlink, name)?;
    rtnetlink
        .set_up(link.index, None)
        .and_then(|()| rtnetlink.add_address(link.index, &DeviceAddress { ip, prefix, lifetime: FOR_EVER }))
        .map_err(|errno| {
            rtnetlink.error(errno, format_args!("cannot give a network device its address {}", Lossy(value)))
        })
}

/// Sets the default route of an address's family: `[DEVICE,]ADDRESS`. Without a device the
/// address is in the network of one of its addresses; with one, which is up afterwards, it
/// need not be, and can be an IPv6 address of that link alone.
///
/// # Errors
/// The value has another form, there is no such device, or the kernel refuses.
pub fn gateway(value: &[u8]) -> Result<()> {
    let (name, address) = match cut(value, b',') {
        (name, Some(address)) => (Some(name), address),
        (address, None) => (None, address),
    };
    let gateway = parse(address)?;
    let rtnetlink = Rtnetlink::open()?;
    let device = match name {
        Some(name) => Link::find(&rtnetlink, name)?.index,
        None => 0,
    };
    let route = Route { to: gateway, prefix: 0, gateway: Some(gateway), device };
    let up = if device == 0 { Ok(()) } else { rtnetlink.set_up(device, None) };
    up.and_then(|()| rtnetlink.add_route(&route))
        .map_err(|errno| rtnetlink.error(errno, format_args!("cannot set the default gateway {}", Lossy(value))))
}

/// Writes the name servers into resolv.conf(5): `ADDRESS[,ADDRESS…]`.
///
/// # Errors
/// One is no address, or no file can be written.
pub fn dns(value: &[u8]) -> Result<()> {
    let mut text = ResolvConf::new();
    for server in split(value, b',') {
        parse(server)?;
        if !text.add(format_args!("nameserver {}\n", Lossy(server))) {
            return Err(fail!("more name servers than resolv.conf has room for"));
        }
    }
    write_resolv_conf(&text)
}

fn parse(value: &[u8]) -> Result<Ip> {
    Ip::parse(value).ok_or_else(|| fail!("\"{}\" is not an IPv4 or IPv6 address", Lossy(value)))
}

/// resolv.conf(5): a resolver uses three servers, and search lists of 256 bytes.
pub type ResolvConf = Printed<512>;

/// Writes /etc/resolv.conf; where that cannot be, /run/resolv.conf, which the
/// kernel's log tells.
///
/// # Errors
/// Neither can be written.
pub fn write_resolv_conf(text: &ResolvConf) -> Result<()> {
    let Err(errno) = write(c"/etc", c"/etc/resolv.conf", text) else { return Ok(()) };
    write(c"/run", c"/run/resolv.conf", text)
        .map_err(|errno| fail!(errno => "cannot write /etc/resolv.conf, nor /run/resolv.conf"))?;
    let why = fail!(errno => "cannot write /etc/resolv.conf");
    kernel_log(format_args!("{why}; the name servers stand in /run/resolv.conf"));
    Ok(())
}

fn write(folder: &CStr, path: &CStr, text: &ResolvConf) -> Result<(), Errno> {
    // An image's root may have neither.
    let _ = mkdirat(CWD, folder, Mode::from_raw_mode(0o755));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::from_raw_mode(0o644))?;
    write_all(file.as_fd(), text.as_bytes())
}
