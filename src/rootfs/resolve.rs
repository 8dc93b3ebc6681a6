//! Paths inside a root file system whose contents nobody vouches for.
//!
//! Links are followed as the container would follow them: its root is the end
//! of all `..` and the start of absolute ones. What comes out is a descriptor;
//! the path is not used again.

use core::ffi::CStr;

use heapless::Vec;

use crate::limits;
use crate::sys::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, mknodat, openat, openat2, readlinkat_raw};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd};

use super::descriptor::done_with;

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
pub fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut result = Err(Errno::AGAIN);
    for _ in 0..limits::RESOLVE_RETRIES {
        result = openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
        // openat2(2): a rename or a mount anywhere while `..` was looked at.
        if !matches!(result, Err(Errno::AGAIN)) {
            break;
        }
    }
    result
}

/// A place inside the root, by descriptor.
pub struct Place {
    pub fd: OwnedFd,
    /// A link led here, so the path's own words do not tell where "here" is.
    pub by_link: bool,
}

/// Finds what is at `path` inside `root`.
///
/// # Errors
/// ENOENT: nothing is there; see [`create`]. Else as [`open`].
pub fn find(root: BorrowedFd<'_>, path: &CStr, links: Links) -> Result<Place, Errno> {
    match open(root, path, OFlags::PATH, Links::Refuse) {
        Ok(fd) => Ok(Place { fd, by_link: false }),
        Err(Errno::LOOP) if links == Links::Follow => {
            Ok(Place { fd: open(root, path, OFlags::PATH, Links::Follow)?, by_link: true })
        }
        Err(errno) => Err(errno),
    }
}

/// As [`find`], making a folder.
pub fn find_or_create(root: BorrowedFd<'_>, path: &CStr, links: Links) -> Result<Place, Errno> {
    match find(root, path, links) {
        Err(Errno::NOENT) => create(root, path, Missing::Folder, links),
        result => result,
    }
}

/// Makes what is missing at `path` inside `root`: folders on the way and, last,
/// what `missing` says. A link to nowhere is not an obstacle: what it points to
/// is made, inside the root.
///
/// # Errors
/// What mkdir(2) and mknod(2) give; ELOOP: more than 40 links, or one where
/// none may be; EBUSY: the root itself.
pub fn create(root: BorrowedFd<'_>, path: &CStr, missing: Missing, links: Links) -> Result<Place, Errno> {
    // Nearly always one folder is missing in one that is there, without a link
    // on the way.
    let mut buffer = [0u8; limits::PATH];
    let copy = buffer.get_mut(..=path.count_bytes()).ok_or(Errno::NAMETOOLONG)?;
    copy.copy_from_slice(path.to_bytes_with_nul());
    if let Some((folder, name)) = split(copy)
        && let Ok(parent) = open(root, folder, OFlags::PATH | OFlags::DIRECTORY, Links::Refuse)
        && make(parent.as_fd(), name, missing).is_ok()
    {
        let fd = open_name(parent.as_fd(), name)?;
        done_with(parent);
        return Ok(Place { fd, by_link: false });
    }
    create_all(root, path, missing, links)
}

#[cold]
fn create_all(root: BorrowedFd<'_>, path: &CStr, missing: Missing, links: Links) -> Result<Place, Errno> {
    let mut walk = Walk { done: Vec::new(), left: Vec::new() };
    walk.prepend(path.to_bytes())?;
    let mut here: Option<OwnedFd> = None; // `done`, opened; the root where it is empty
    let mut by_link = false;
    // The kernel's own bound on links; a loop also ends that way.
    let (mut links_left, mut tries_left) = (40u8, limits::RESOLVE_RETRIES);

    while let Some(name) = walk.next()? {
        if name.to_bytes() == b".." {
            here = walk.up(root)?;
            continue;
        }
        let parent = here.as_ref().map_or(root, |fd| fd.as_fd());
        match open_name(parent, name.as_c_str()) {
            Ok(fd) if walk.take_link(fd.as_fd())? => {
                links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                if links == Links::Refuse {
                    return Err(Errno::LOOP);
                }
                by_link = true;
                if walk.done.is_empty() {
                    here = None;
                }
            }
            Ok(fd) => {
                walk.down(name.to_bytes())?;
                here = Some(fd);
            }
            Err(Errno::NOENT) => {
                tries_left = tries_left.checked_sub(1).ok_or(Errno::AGAIN)?;
                match make(parent, name.as_c_str(), if walk.is_last() { missing } else { Missing::Folder }) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                // Whatever is there now is looked at as if it always had been.
                walk.prepend(name.to_bytes())?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(Place { fd: here.ok_or(Errno::BUSY)?, by_link })
}

/// Opens one component and follows no link: this cannot leave `parent`.
pub fn open_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn make(parent: BorrowedFd<'_>, name: &CStr, missing: Missing) -> Result<(), Errno> {
    match missing {
        Missing::File => make_file(parent, name),
        Missing::Folder => mkdirat(parent, name, Mode::from_raw_mode(0o755)),
    }
}

/// A path, with its NUL, as the folder and the name in it; `None`: it ends in
/// something that is no name.
pub fn split(path: &mut [u8]) -> Option<(&CStr, &CStr)> {
    let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
        let name = CStr::from_bytes_until_nul(path).ok().filter(|name| is_name(name))?;
        return Some((c"/", name));
    };
    *path.get_mut(slash)? = 0;
    let (folder, name) = path.split_at_checked(slash + 1)?;
    let name = CStr::from_bytes_until_nul(name).ok().filter(|name| is_name(name))?;
    let folder = CStr::from_bytes_until_nul(folder).ok()?;
    Some((if folder.is_empty() { c"/" } else { folder }, name))
}

fn is_name(name: &CStr) -> bool {
    !matches!(name.to_bytes(), b"" | b"." | b"..")
}

/// An empty file for something to be mounted on, with the mode that runc gives.
pub fn make_file(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    mknodat(parent, name, FileType::RegularFile, Mode::from_raw_mode(0o755), 0)
}

/// A path on its way from `left` to `done`.
struct Walk {
    /// `a/b`: where the walk has come, without links.
    done: Vec<u8, { limits::PATH }>,
    /// What is still to go.
    left: Vec<u8, { limits::PATH }>,
}

impl Walk {
    /// The next component, but for `.`.
    fn next(&mut self) -> Result<Option<Name>, Errno> {
        loop {
            let start = self.left.iter().position(|byte| *byte != b'/').unwrap_or(self.left.len());
            let rest = self.left.get(start..).unwrap_or(&[]);
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let name = Name::new(rest.get(..end).unwrap_or(&[]))?;
            let kept = rest.len() - end;
            self.left.rotate_left(start + end);
            self.left.truncate(kept);
            match name.to_bytes() {
                b"" => return Ok(None),
                b"." => {}
                _ => return Ok(Some(name)),
            }
        }
    }

    /// Whether nothing but slashes is left.
    fn is_last(&self) -> bool {
        self.left.iter().all(|byte| *byte == b'/')
    }

    /// Puts `path` before what is left.
    fn prepend(&mut self, path: &[u8]) -> Result<(), Errno> {
        self.left.extend_from_slice(b"/").map_err(|_| Errno::NAMETOOLONG)?;
        self.left.rotate_right(1);
        self.left.extend_from_slice(path).map_err(|_| Errno::NAMETOOLONG)?;
        self.left.rotate_right(path.len());
        Ok(())
    }

    /// If `fd` is a link, goes on with its text instead of its name.
    fn take_link(&mut self, fd: BorrowedFd<'_>) -> Result<bool, Errno> {
        let mut buffer = [0u8; limits::PATH];
        let length = match readlinkat_raw(fd, c"", &mut buffer[..]) {
            Ok(length) => length,
            // readlinkat(2) with an empty path: not a link.
            Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        let text = buffer.get(..length).filter(|text| text.len() < limits::PATH).ok_or(Errno::NAMETOOLONG)?;
        self.prepend(text)?;
        if text.first() == Some(&b'/') {
            self.done.clear();
        }
        Ok(true)
    }

    fn down(&mut self, name: &[u8]) -> Result<(), Errno> {
        self.done
            .extend_from_slice(b"/")
            .and_then(|()| self.done.extend_from_slice(name))
            .map_err(|_| Errno::NAMETOOLONG)
    }

    /// To the folder above, opened from the root anew: `..` of a folder that
    /// somebody has moved meanwhile could lie outside.
    fn up(&mut self, root: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
        let length = self.done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.done.truncate(length);
        if length == 0 {
            return Ok(None);
        }
        let mut path = self.done.clone();
        path.push(0).map_err(|_| Errno::NAMETOOLONG)?;
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::NAMETOOLONG)?;
        open(root, path, OFlags::PATH | OFlags::DIRECTORY, Links::Refuse).map(Some)
    }
}

/// One component of a path.
struct Name {
    /// NAME_MAX and the NUL.
    bytes: [u8; 256],
    length: usize,
}

impl Name {
    fn new(name: &[u8]) -> Result<Name, Errno> {
        let mut bytes = [0; 256];
        match bytes.get_mut(..name.len()) {
            Some(place) if name.len() < 256 => place.copy_from_slice(name),
            _ => return Err(Errno::NAMETOOLONG),
        }
        Ok(Name { bytes, length: name.len() })
    }

    fn to_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
