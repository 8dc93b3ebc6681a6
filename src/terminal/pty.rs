//! Pseudo-terminals (pty(7)), made by the process that is to live in one.

use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::sys::fs::{CWD, DEVPTS_SUPER_MAGIC, FileType, Mode, OFlags, ResolveFlags, fchown, fstat, fstatfs, openat2};
use crate::sys::process::{Uid, ioctl_tiocsctty};
use crate::sys::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use crate::sys::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use crate::sys::termios::{Winsize, tcsetwinsize};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, pty_number};

/// Both sides of a pseudo-terminal, close-on-exec.
pub struct Pair {
    /// The side of whoever watches.
    pub master: OwnedFd,
    /// The side of the process.
    pub peer: OwnedFd,
    /// N of the device's path /dev/pts/N.
    pub number: u32,
}

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
    let mut doing = "";
    make_pair(size, &mut doing).map_err(|errno| match errno {
        NO_DEVPTS => fail!("a terminal is wanted, but no file system of type devpts is mounted on /dev/pts"),
        errno => fail!(errno => "cannot {doing}"),
    })
}

/// In place of an errno.
const NO_DEVPTS: Errno = Errno::CANCELED;

fn make_pair(size: Option<Winsize>, doing: &mut &'static str) -> Result<Pair, Errno> {
    *doing = "open /dev/pts for a terminal";
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat2(CWD, c"/dev/pts", flags, Mode::empty(), links)?;
    if fstatfs(&folder)?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(NO_DEVPTS);
    }
    *doing = "open /dev/pts/ptmx";
    let inside = links | ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat2(&folder, c"ptmx", flags, Mode::empty(), inside)?;
    *doing = "make a terminal of /dev/pts/ptmx";
    let number = pty_number(master.as_fd())?;
    unlockpt(&master)?;
    // Not by its path: this way it is the peer whatever stands in /dev/pts.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let peer = ioctl_tiocgptpeer(&master, flags)?;
    if let Some(size) = size {
        *doing = "set the size of the new terminal";
        tcsetwinsize(&master, size)?;
    }
    Ok(Pair { master, peer, number })
}

impl Pair {
    /// The peer's path as the process sees it: `/dev/pts/N`.
    pub fn name(&self) -> Printed<32> {
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
    let mut doing = "examine";
    take(peer, uid, &mut doing).map_err(|errno| fail!(errno => "cannot {doing} the terminal"))
}

fn take(peer: BorrowedFd<'_>, uid: u32, doing: &mut &'static str) -> Result<(), Errno> {
    let stat = fstat(peer)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return Err(Errno::NOTTY);
    }
    if stat.st_uid != uid {
        *doing = "give the user";
        fchown(peer, Some(Uid::from_raw(uid)), None)?;
    }
    *doing = "give the session";
    ioctl_tiocsctty(peer)?;
    *doing = "put on descriptors 0 to 2";
    dup2_stdin(peer)?;
    dup2_stdout(peer)?;
    dup2_stderr(peer)
}
