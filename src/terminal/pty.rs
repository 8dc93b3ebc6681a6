//! Pseudo-terminals (pty(7)), made by the process that is to live in one.

use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::sys::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fchown, fstat, fstatfs, openat2};
use crate::sys::process::{Uid, ioctl_tiocsctty};
use crate::sys::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use crate::sys::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use crate::sys::termios::{Winsize, tcsetwinsize};
use crate::sys::{AsFd, BorrowedFd, OwnedFd, pty_number};

/// Both sides of a pseudo-terminal, close-on-exec.
pub struct Pair {
    /// The side of whoever watches.
    pub master: OwnedFd,
    /// The side of the process.
    pub peer: OwnedFd,
    /// N of the device's path /dev/pts/N.
    pub number: u32,
}

/// `f_type` of a devpts (statfs(2)).
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Makes a pseudo-terminal on the devpts at /dev/pts of the caller's own root,
/// so that its path is true inside. `size`: rows and columns, where they are
/// configured.
///
/// Called after pivot_root. Whatever the root file system has put at /dev/pts,
/// nothing is opened by name except in a folder that is verified to be a devpts,
/// and within it only ptmx itself: not a link, not a file mounted over it.
///
/// # Errors
/// Where there is no devpts, and those of the kernel.
pub fn open_pair(size: Option<Winsize>) -> Result<Pair> {
    let folder = openat2(
        CWD,
        c"/dev/pts",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(|errno| fail!(errno => "cannot open /dev/pts for a terminal"))?;
    let found = fstatfs(&folder).map_err(|errno| fail!(errno => "cannot examine /dev/pts"))?;
    if found.f_type as u64 != DEVPTS_SUPER_MAGIC {
        return Err(fail!("a terminal is wanted, but no file system of type devpts is mounted on /dev/pts"));
    }
    let master = openat2(
        &folder,
        c"ptmx",
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
    )
    .map_err(|errno| fail!(errno => "cannot open /dev/pts/ptmx"))?;
    let number = pty_number(master.as_fd()).map_err(|errno| fail!(errno => "/dev/pts/ptmx gives no terminal"))?;
    unlockpt(&master).map_err(|errno| fail!(errno => "cannot unlock the new terminal"))?;
    // Not by its path: this way it is the peer whatever stands in /dev/pts.
    let peer = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .map_err(|errno| fail!(errno => "cannot open the new terminal"))?;
    if let Some(size) = size {
        tcsetwinsize(&master, size).map_err(|errno| fail!(errno => "cannot set the size of the new terminal"))?;
    }
    Ok(Pair { master, peer, number })
}

impl Pair {
    /// The peer's path as the process sees it: `/dev/pts/N`.
    pub fn name(&self) -> Printed<24> {
        // "/dev/pts/" and ten digits: it fits.
        Printed::of(format_args!("/dev/pts/{}", self.number))
    }
}

/// Makes `peer` the controlling terminal of this session and its descriptors 0,
/// 1 and 2, and gives it to the user `uid`; the group stays what the devpts was
/// mounted with.
///
/// The caller leads a session of its own (setsid(2)) that has no terminal yet.
///
/// # Errors
/// Those of the kernel, and a `peer` that is no character device.
pub fn take_as_controlling(peer: BorrowedFd<'_>, uid: u32) -> Result<()> {
    let stat = fstat(peer).map_err(|errno| fail!(errno => "cannot examine the terminal"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return Err(fail!("what was given as a terminal is none"));
    }
    if stat.st_uid != uid {
        fchown(peer, Some(Uid::from_raw(uid)), None)
            .map_err(|errno| fail!(errno => "cannot give the terminal to user {uid}"))?;
    }
    ioctl_tiocsctty(peer).map_err(|errno| fail!(errno => "cannot make the terminal the session's own"))?;
    dup2_stdin(peer)
        .and_then(|()| dup2_stdout(peer))
        .and_then(|()| dup2_stderr(peer))
        .map_err(|errno| fail!(errno => "cannot put the terminal on descriptors 0 to 2"))
}
