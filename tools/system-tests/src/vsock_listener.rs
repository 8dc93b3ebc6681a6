//! Who listens on vsock(7) in a guest, and prints each line that comes.
//!
//! A guest's own loopback is where ocinit is told to connect, before any unit
//! runs. So the kernel starts the listener: it runs `/sbin/modprobe` for the first
//! socket of a family that it does not know.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept, bind, listen as listen_at, socket,
};

use crate::boot_image::Image;
use crate::guest;

/// Where the listener says that it does.
const READY: &str = "/listening";

const MODPROBE: &str = r#"#!/bin/busybox sh
b=/bin/busybox
case "$*" in *net-pf-40)
    $b insmod /modules/vsock.ko
    $b insmod /modules/vmw_vsock_virtio_transport_common.ko
    $b insmod /modules/vsock_loopback.ko
    $b mkdir -p /dev
    [ -c /dev/console ] || $b mknod /dev/console c 5 1
    [ -c /dev/null ] || $b mknod /dev/null c 1 3
    /listener --helper vsock -- 5000:stream 5001:stream 5002:seqpacket </dev/null >/dev/console 2>&1 &
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -e /listening ] || $b sleep 0.5; done;;
esac
"#;

/// Puts the listener into an image.
pub fn add(image: &Image<'_>) -> Result<()> {
    for module in ["vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback"] {
        let from = image.kernel.modules.join(format!("kernel/net/vmw_vsock/{module}.ko"));
        image.file(&format!("modules/{module}.ko"), std::fs::read(from).context("the kernel has no vsock")?)?;
    }
    image.program("/bin/busybox", "bin/busybox")?;
    image.file("sbin/modprobe", MODPROBE)?;
    image.executable("sbin/modprobe")?;
    guest::add(&image.tree, &std::env::current_exe()?, "listener")
}

/// Listens at each of PORT:TYPE, for ever.
pub fn listen(ports: &[OsString]) -> Result<()> {
    let mut threads = Vec::new();
    for word in ports {
        let (port, kind) = word.to_str().and_then(|word| word.split_once(':')).context("no PORT:TYPE")?;
        let port: u32 = port.parse()?;
        let kind = if kind == "stream" { SockType::Stream } else { SockType::SeqPacket };
        let socket =
            socket(AddressFamily::Vsock, kind, SockFlag::SOCK_CLOEXEC, None).context("cannot make a socket")?;
        bind(socket.as_raw_fd(), &VsockAddr::new(u32::MAX, port)).context("cannot bind")?;
        listen_at(&socket, Backlog::new(8)?).context("cannot listen")?;
        threads.push(std::thread::spawn(move || serve(&socket, port)));
    }
    File::create(READY)?;
    threads.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

fn serve(socket: &OwnedFd, port: u32) {
    for number in 1.. {
        let Ok(fd) = accept(socket.as_raw_fd()) else { return };
        // SAFETY: accept(2) has just made it.
        #[allow(unsafe_code, reason = "nix gives a number")]
        let mut connection = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = connection.read(&mut bytes) {
            for line in String::from_utf8_lossy(&bytes[..length]).lines() {
                println!("\r\nVSOCK {port} {number} {line}\r");
            }
        }
    }
}
