//! Paths inside a root file system whose contents nobody vouches for.
//!
//! Links are followed as the container would follow them: its root is the end
//! of all `..` and the start of absolute ones. What comes out is a descriptor;
//! the path is not used again.

use core::ffi::CStr;

use crate::json::PathBuffer;
use crate::limits;
use crate::sys::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, openat2, readlinkat_raw};
use crate::sys::{BorrowedFd, Errno};

use super::descriptor::Fd;

/// Whether links may be followed on the way, and at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Follow,
    Refuse,
}

/// What to make where there is nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Folder,
    File,
}

/// Opens `path`, absolute or not, inside `root`.
///
/// # Errors
/// ELOOP: a link where none may be, or one of procfs that leads anywhere
/// (`/proc/PID/root` and its like). EAGAIN: somebody kept on moving the folders
/// on the way about.
pub fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, links: Links) -> Result<Fd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    for _ in 0..limits::RESOLVE_RETRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // openat2(2): a rename or a mount anywhere while `..` was looked at.
            Err(Errno::AGAIN) => {}
            result => return result.map(Fd::new),
        }
    }
    Err(Errno::AGAIN)
}

/// A place inside the root, by descriptor.
pub struct Place {
    pub fd: Fd,
    /// A link led here, so the path's own words do not tell where "here" is.
    pub by_link: bool,
    /// Nothing had to be made.
    pub existed: bool,
}

/// Finds what is at `path` inside `root`.
///
/// # Errors
/// ENOENT: nothing is there; see [`create`]. Else as [`open`].
pub fn find(root: BorrowedFd<'_>, path: &CStr, links: Links) -> Result<Place, Errno> {
    match open(root, path, OFlags::PATH, Links::Refuse) {
        Ok(fd) => Ok(Place { fd, by_link: false, existed: true }),
        Err(Errno::LOOP) if links == Links::Follow => {
            Ok(Place { fd: open(root, path, OFlags::PATH, Links::Follow)?, by_link: true, existed: true })
        }
        Err(errno) => Err(errno),
    }
}

/// As [`find`], making a folder.
pub fn find_or_create(root: BorrowedFd<'_>, path: &CStr, links: Links) -> Result<Place, Errno> {
    match find(root, path, links) {
        Err(Errno::NOENT) => {
            create(root, path, Missing::Folder, links)?;
            find(root, path, links)
        }
        result => result,
    }
}

/// Makes the folder `path` where it is missing. To be called in the root itself.
///
/// # Errors
/// As [`create`].
pub fn make_folder(path: &CStr) -> Result<(), Errno> {
    find_or_create(CWD, path, Links::Follow).map(|place| place.fd.done())
}

/// Makes what is missing at `path` inside `root`: folders on the way and, last,
/// what `missing` says. A link to nowhere is not an obstacle: what it points to
/// is made, inside the root.
///
/// # Errors
/// What mkdir(2) and mknod(2) give; ELOOP: more than 40 links, or one where
/// none may be.
#[cold]
#[inline(never)]
pub fn create(root: BorrowedFd<'_>, path: &CStr, missing: Missing, links: Links) -> Result<(), Errno> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let mut links_left = 40u8; // the kernel's own bound
    loop {
        let mut path_left = buffer.as_mut_slice();
        path_left.get_mut(..=path.count_bytes()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path.to_bytes_with_nul());
        let mut kind = missing;
        let mut complete = true;
        while let Some(link) = create_along(root, path_left, kind, links)? {
            // What it points to is made first; then it is no link to nowhere.
            links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
            complete = false;
            path_left = path_left.get_mut(link.start..).unwrap_or_default();
            kind = if link.is_last { kind } else { Missing::Folder };
        }
        if complete {
            return Ok(());
        }
    }
}

/// A link to nowhere, met on the way.
struct Link {
    /// Where the buffer has the path that the link stands for.
    start: usize,
    /// Nothing was to follow.
    is_last: bool,
}

/// Makes what is missing along the path in `buffer`, up to the first link to
/// nowhere, whose path then replaces it.
fn create_along(
    root: BorrowedFd<'_>,
    buffer: &mut [u8],
    missing: Missing,
    links: Links,
) -> Result<Option<Link>, Errno> {
    let mut parent: Option<Fd> = None;
    let mut end = 0;
    loop {
        let start = end + count(buffer, end, |byte| byte == b'/');
        end = start + count(buffer, start, |byte| !matches!(byte, b'/' | 0));
        if start == end {
            return Ok(None);
        }
        let is_last = buffer.get(end + count(buffer, end, |byte| byte == b'/')) == Some(&0);
        // The path ends here for now.
        let byte_after = core::mem::replace(buffer.get_mut(end).ok_or(Errno::NAMETOOLONG)?, 0);
        let here = match open(root, c_str(buffer, 0), OFlags::PATH, links) {
            Err(Errno::NOENT) => {
                let parent = parent.as_ref().map_or(root, |fd| fd.as_fd());
                let name = c_str(buffer, start);
                let made = make(parent, name, if is_last { missing } else { Missing::Folder });
                let fd = open_name(parent, name)?;
                match made {
                    Ok(()) => {}
                    Err(Errno::EXIST) => {
                        if let Some(length) = read_link(fd.as_fd(), buffer.get_mut(start..).unwrap_or_default())? {
                            end = start + length;
                            *buffer.get_mut(end).ok_or(Errno::NAMETOOLONG)? = 0;
                            let absolute = buffer.get(start) == Some(&b'/');
                            return Ok(Some(Link { start: if absolute { start } else { 0 }, is_last }));
                        }
                        // Somebody else has just made it.
                    }
                    Err(errno) => return Err(errno),
                }
                fd
            }
            result => result?,
        };
        if let Some(place) = buffer.get_mut(end) {
            *place = byte_after;
        }
        if let Some(above) = parent.replace(here) {
            above.done();
        }
    }
}

/// How many bytes from `start` on are such.
fn count(buffer: &[u8], start: usize, such: impl Fn(u8) -> bool) -> usize {
    buffer.get(start..).unwrap_or_default().iter().take_while(|byte| such(**byte)).count()
}

/// The path, or what is left of it, from `start` on.
pub fn c_str(buffer: &[u8], start: usize) -> &CStr {
    CStr::from_bytes_until_nul(buffer.get(start..).unwrap_or_default()).unwrap_or(c"")
}

/// The length of a link's text, `None` if `fd` is none.
fn read_link(fd: BorrowedFd<'_>, text: &mut [u8]) -> Result<Option<usize>, Errno> {
    match readlinkat_raw(fd, c"", text) {
        Ok(length) => Ok(Some(length)),
        // readlinkat(2) with an empty path: not a link.
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens one component and follows no link: this cannot leave `parent`.
fn open_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<Fd, Errno> {
    openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).map(Fd::new)
}

/// Makes the one file `name` in `parent` (mkdir(2), mknod(2)).
///
/// # Errors
/// EEXIST: something has that name, be it a link.
pub fn make(parent: BorrowedFd<'_>, name: &CStr, missing: Missing) -> Result<(), Errno> {
    match missing {
        // With the mode that runc gives it.
        Missing::File => mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o755), 0),
        Missing::Folder => mkdirat(parent, name, Mode::from_raw_mode(0o755)),
    }
}

/// Where in a path the folder ends, which is the root if that is 0, and where
/// the name in it begins; `None`: it ends in something that is no name.
pub fn split(path: &[u8]) -> Option<(usize, usize)> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let start = slash.map_or(0, |at| at + 1);
    match path.get(start..)? {
        b"" | b"." | b".." => None,
        _ => Some((slash.unwrap_or(0), start)),
    }
}
