//! What there is to say of a mount that fails, beside the kernel's word.

use core::fmt;

use crate::json::Text;
use crate::spec::config::Mount;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{Errno, io};

/// "cannot mount WHAT at PLACE", and `more`.
pub struct FailedAt<'a> {
    pub source: Option<Text<'a>>,
    pub destination: Option<Text<'a>>,
    pub more: &'static str,
}

impl fmt::Display for FailedAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot mount ")?;
        if let Some(source) = self.source {
            fmt::Display::fmt(&source, f)?;
        }
        f.write_str(" at ")?;
        if let Some(destination) = self.destination {
            fmt::Display::fmt(&destination, f)?;
        }
        f.write_str(self.more)
    }
}

/// What is usually the matter where a file system cannot be made.
pub fn hint(mount: &Mount<'_>, user_namespace: bool, errno: Errno) -> &'static str {
    let is = |kind: &str| mount.kind().is_some_and(|text| text.is(kind));
    let denied = errno == Errno::PERM && user_namespace;
    match () {
        () if errno == Errno::NODEV => " (is the file system known to this kernel?)",
        () if errno == Errno::INVAL && is("virtiofs") || errno == Errno::NOENT && is("9p") => {
            " (is there a share of that tag?)"
        }
        () if errno == Errno::ACCESS => " (a read-only device needs the option ro)",
        () if denied && is("proc") => {
            " (it needs a pid namespace of its own, and the host's /proc without anything mounted over parts of it)"
        }
        () if denied && is("sysfs") => " (it needs a network namespace of its own; a bind of /sys does not)",
        () if denied && is("mqueue") => " (it needs an ipc namespace of its own)",
        () if denied => " (this user namespace may not)",
        () if errno == Errno::INVAL && user_namespace => {
            " (ids among its options must be mapped in this user namespace)"
        }
        () => "",
    }
}

/// Room for the place of a mount, as far as it is worth showing.
pub type Room = [u8; 128];

/// The first place inside /proc where something is mounted that may hide a part of
/// it: a user namespace may then have no proc of its own (mount_namespaces(7)).
#[cold]
#[inline(never)]
pub fn mask_of_proc(room: &mut Room) -> Option<&[u8]> {
    let file = open(c"/proc/self/mountinfo", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // The place is the fifth field of a line (proc_pid_mountinfo(5)).
    let (mut field, mut length) = (0, 0);
    loop {
        let mut buffer = [0; 512];
        let read = io::read(&file, &mut buffer[..]).ok().filter(|read| *read > 0)?;
        for byte in buffer.iter().take(read) {
            match byte {
                b'\n' => (field, length) = (0, 0),
                b' ' => {
                    let place = room.get(..length).filter(|_| field == 4).unwrap_or_default();
                    // This one is mounted on a folder that is always empty.
                    if place.starts_with(b"/proc/") && place != b"/proc/sys/fs/binfmt_misc" {
                        return room.get(..length);
                    }
                    field += 1;
                }
                _ if field == 4 => {
                    if let Some(to) = room.get_mut(length) {
                        *to = *byte;
                        length += 1;
                    }
                }
                _ => {}
            }
        }
    }
}
