//! `tmpcopyup`: a tmpfs begins with a copy of the folder that it covers.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use heapless::Vec;

use crate::error::Result;
use crate::sys::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Stat, Timespec, Timestamps, Uid, chownat, fstat, futimens,
    mkdirat, mknodat, openat, readlinkat_raw, seek, sendfile, statat, symlinkat,
};
use crate::sys::fs::{fchmod, fchown};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd};
use crate::{fail, limits};

use super::failure::cannot_own;

/// Copies what is in the folder `from` into the folder `to`, with owners, modes
/// and times. The folder's own are the new file system's business.
///
/// # Errors
/// What the kernel says of one file, or folders nested deeper than the limit.
#[cold]
#[inline(never)]
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    // Both are only places so far: this opens them.
    let mut here = Pair::open(from, to, c".")?;
    let mut above: Vec<Pair, { limits::COPY_UP_DEPTH }> = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 1024]; // a name takes up to 280 bytes
    loop {
        match here.copy_entries(&mut buffer)? {
            Some(below) => {
                let limit = |_| fail!("folders are nested deeper than the limit of {}", limits::COPY_UP_DEPTH);
                above.push(core::mem::replace(&mut here, below)).map_err(limit)?;
            }
            None => {
                let Some(next) = above.pop() else { return Ok(()) };
                let done = core::mem::replace(&mut here, next);
                fstat(&done.from)
                    .and_then(|stat| finish(done.to.as_fd(), &stat))
                    .map_err(|errno| cannot_own("copy a folder", c"", errno))?;
            }
        }
    }
}

/// A folder and its copy.
struct Pair {
    from: OwnedFd,
    to: OwnedFd,
}

impl Pair {
    fn open(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<Pair> {
        let open = |parent| {
            openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | FLAGS, Mode::empty())
                .map_err(|errno| cannot_own("open the folder ", name, errno))
        };
        Ok(Pair { from: open(from)?, to: open(to)? })
    }

    /// Copies entries up to the next folder, from where it goes on another time.
    fn copy_entries(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<Pair>> {
        let mut entries = RawDir::new(&self.from, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| cannot_own("read a folder", c"", errno))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let failed = |errno| cannot_own("copy ", name, errno);
            if self.copy_entry(name).map_err(failed)? {
                // The rest of the buffer is read again later.
                seek(&self.from, SeekFrom::Start(entry.next_entry_cookie())).map_err(failed)?;
                return Pair::open(self.from.as_fd(), self.to.as_fd(), name).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether it is a folder, of which only an empty one is made.
    fn copy_entry(&self, name: &CStr) -> Result<bool, Errno> {
        let (from, to) = (self.from.as_fd(), self.to.as_fd());
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return mkdirat(to, name, Mode::RWXU).map(|()| true),
            FileType::RegularFile => return copy_file(from, name, to).map(|()| false),
            FileType::Symlink => copy_link(from, name, to)?,
            kind => mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode & 0o7777), stat.st_rdev)?,
        }
        chownat(to, name, owner(&stat).0, owner(&stat).1, AtFlags::SYMLINK_NOFOLLOW).map(|()| false)
    }
}

/// No link is followed, no device waited for.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn copy_file(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let source = openat(from, name, OFlags::RDONLY | FLAGS, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FLAGS;
    let target: OwnedFd = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    // The most that one call takes (sendfile(2)).
    while sendfile(&target, &source, None, 0x7fff_f000)? > 0 {}
    finish(target.as_fd(), &fstat(&source)?)
}

#[inline(never)]
fn copy_link(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buffer = [0u8; limits::PATH];
    let length = readlinkat_raw(from, name, &mut buffer[..])?;
    // It fits with its NUL, or it is no path.
    let text = buffer.get(..length.saturating_add(1)).ok_or(Errno::NAMETOOLONG)?;
    let text = CStr::from_bytes_until_nul(text).map_err(|_| Errno::NAMETOOLONG)?;
    symlinkat(text, to, name)
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// Owner first: changing it takes set-id bits away.
fn finish(fd: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    fchown(fd, owner(stat).0, owner(stat).1)?;
    fchmod(fd, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    futimens(
        fd,
        &Timestamps {
            last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as i64 },
            last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as i64 },
        },
    )
}
