//! `tmpcopyup`: a tmpfs begins with a copy of the folder that it covers.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::error::{Lossy, Result};
use crate::sys::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid, chownat, fstat, futimens, mkdirat,
    mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat,
};
use crate::sys::fs::{fchmod, fchown};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd};
use crate::{fail, limits};

/// Copies what is in the folder `from` into the folder `to`, with owners, modes
/// and times. The folder's own are the new file system's business.
///
/// # Errors
/// What the kernel says of one file, or folders nested deeper than the limit.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    // The new one is only a place so far: this opens it.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | FLAGS;
    let to = openat(to, c".", flags, Mode::empty()).map_err(|errno| fail!(errno => "cannot open the new tmpfs"))?;
    copy_entries(open_folder(from, c".")?.as_fd(), to.as_fd(), limits::COPY_UP_DEPTH)
}

fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | FLAGS, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the folder {}", Lossy(name.to_bytes())))
}

fn copy_entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(fail!("folders are nested deeper than the limit of {}", limits::COPY_UP_DEPTH));
    };
    let mut buffer = [MaybeUninit::uninit(); 1024]; // a name takes up to 280 bytes
    let mut entries = RawDir::new(from, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| fail!(errno => "cannot read a folder"))?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from, name, to, depth)?;
        }
    }
    Ok(())
}

/// No link is followed, no device waited for.
const FLAGS: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

fn copy_entry(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, depth: usize) -> Result<()> {
    let fail = |errno: Errno| fail!(errno => "cannot copy {}", Lossy(name.to_bytes()));
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU).map_err(fail)?;
            let folder = open_folder(to, name)?;
            copy_entries(open_folder(from, name)?.as_fd(), folder.as_fd(), depth)?;
            finish(folder.as_fd(), &stat).map_err(fail)
        }
        FileType::RegularFile => copy_file(from, name, to).map_err(fail),
        FileType::Symlink => copy_link(from, name, to, &stat).map_err(fail),
        _ => {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            mknodat(to, name, kind, mode, stat.st_rdev)
                .and_then(|()| chownat(to, name, owner(&stat).0, owner(&stat).1, AtFlags::SYMLINK_NOFOLLOW))
                .map_err(fail)
        }
    }
}

fn copy_file(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let source = openat(from, name, OFlags::RDONLY | FLAGS, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FLAGS;
    let target: OwnedFd = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    // The most that one call takes (sendfile(2)).
    while sendfile(&target, &source, None, 0x7fff_f000)? > 0 {}
    finish(target.as_fd(), &fstat(&source)?)
}

fn copy_link(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, stat: &Stat) -> Result<(), Errno> {
    let mut buffer = [0u8; limits::PATH];
    let length = readlinkat_raw(from, name, &mut buffer[..])?;
    // It fits with its NUL, or it is no path.
    let text = buffer.get(..length.saturating_add(1)).ok_or(Errno::NAMETOOLONG)?;
    let text = CStr::from_bytes_until_nul(text).map_err(|_| Errno::NAMETOOLONG)?;
    symlinkat(text, to, name)?;
    chownat(to, name, owner(stat).0, owner(stat).1, AtFlags::SYMLINK_NOFOLLOW)
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
