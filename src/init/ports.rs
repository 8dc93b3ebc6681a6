//! The ways out of the machine that are files: the console and the virtio-serial
//! ports, which are known by the names that the host has given them.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::clock::{now, pause};
use super::command_line::Target;
use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::sys::fs::{CWD, Mode, OFlags, RawDir, ResolveFlags, open, openat2};
use crate::sys::{Errno, OwnedFd, read_file};
use crate::{fail, limits};

/// How long a port is awaited, in milliseconds: the kernel makes it known some
/// time after its driver is there.
const PATIENCE: u64 = 5000;

/// Opens `target`; `read` or else to write. It never blocks.
///
/// # Errors
/// There is no such port, or somebody has it open.
pub fn open_target(target: Target<'_>, read: bool) -> Result<OwnedFd> {
    let flags = if read { OFlags::RDONLY } else { OFlags::WRONLY };
    match target {
        // A system without a console loses what is written there.
        Target::Console => open_file(c"/dev/console", flags).or_else(|_| open_file(c"/dev/null", flags)),
        Target::Null => open_file(c"/dev/null", flags),
        Target::Kmsg => open_file(c"/dev/kmsg", flags),
        Target::File(path) => open_named(path, flags | OFlags::CREATE | OFlags::APPEND),
        Target::Virtio(name) => open_port(name, OFlags::RDWR),
    }
}

#[inline(never)] // most paths are at hand, and need no such buffer
fn open_named(path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let mut buffer = [0; limits::PATH];
    let name = bytes::join(&mut buffer, &[path]).ok_or_else(|| fail!("the path {} is too long", Lossy(path)))?;
    open_file(name, flags)
}

fn open_file(path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let shown = Lossy(path.to_bytes());
    let flags = flags | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = if flags.contains(OFlags::CREATE) { 0o644 } else { 0 }; // the kernel insists
    // A container that a folder is shared with may have put a link there, or in the
    // place of a folder on the way.
    openat2(CWD, path, flags, Mode::from_raw_mode(mode), ResolveFlags::NO_SYMLINKS).map_err(|errno| {
        let hint = if errno == Errno::LOOP { " (no symbolic link may be on its way)" } else { "" };
        fail!(errno => "cannot open {shown}{hint}")
    })
}

/// The virtio-serial port called `name`, awaited.
fn open_port(name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let end = now() + PATIENCE;
    loop {
        let mut path = Printed::<64>::new();
        match find(name, &mut path) {
            Ok(true) => match open_file(path.as_c_str(), flags) {
                Err(error) if error.is(Errno::NOENT) && now() < end => {} // devtmpfs comes a moment later
                opened => return opened,
            },
            Err(errno) if errno != Errno::NOENT => return Err(fail!(errno => "cannot read /sys/class/virtio-ports")),
            _ if now() >= end => return Err(fail!("there is no virtio-serial port called {}", Lossy(name))),
            _ => {}
        }
        pause(2);
    }
}

/// Puts the device of the port called `name` into `path`; whether there is one.
fn find(name: &[u8], path: &mut Printed<64>) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(c"/sys/class/virtio-ports", flags, Mode::empty())?;
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(device) = entry.file_name().to_str() else { continue };
        let file = Printed::<128>::of(format_args!("/sys/class/virtio-ports/{device}/name"));
        let mut text = [0; 256];
        if read_file(CWD, file.as_c_str(), &mut text).is_ok_and(|text| text.trim_ascii_end() == name) {
            return Ok(path.add(format_args!("/dev/{device}")));
        }
    }
    Ok(false)
}
