//! Which file a command is, looked up as execve(2) will see it: by the process
//! itself, in its root, with its user and its working folder.
//!
//! The sentences are those that engines match (exit statuses 126 and 127).

use core::ffi::CStr;

use super::image;
use crate::error::{Lossy, Result};
use crate::json::PathBuffer;
use crate::sys::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, open, stat};
use crate::sys::{BorrowedFd, Errno, OwnedFd, done, io};
use crate::{bytes, fail, limits};

/// Which file it is, under whatever name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
}

impl FileIdentity {
    /// That of an open file.
    pub fn of(file: BorrowedFd<'_>) -> Result<FileIdentity, Errno> {
        fstat(file).map(FileIdentity::from)
    }

    fn from(stat: Stat) -> FileIdentity {
        FileIdentity { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// The file to execute for `name`: itself if there is a slash in it, else the
/// first in the folders of `path` that is a file and may be executed.
///
/// `own` are the files that this program runs from, which a container may not
/// execute: not as the command, not as its script's or program's interpreter
/// (CVE-2019-5736). An interpreter that does not exist is left to execve(2).
/// `looked_into` is a file of which [`look_into`] has seen that.
///
/// # Errors
/// It is not there, or not to be executed.
pub fn find<'b>(
    name: &CStr,
    path: Option<&CStr>,
    own: &[FileIdentity],
    looked_into: Option<FileIdentity>,
    buffer: &'b mut PathBuffer,
) -> Result<&'b CStr> {
    let found = locate(name, path, buffer)?;
    let file = CStr::from_bytes_until_nul(buffer).unwrap_or(c"");
    if looked_into != Some(found) {
        refuse_own(name, file, found, own)?;
    }
    Ok(file)
}

/// As root of the container, for a user who may execute what it may not read: the file
/// that [`find`] will probably find, unless that is not to be executed.
///
/// # Errors
/// It executes the runtime.
pub fn look_into(name: &CStr, path: Option<&CStr>, own: &[FileIdentity]) -> Result<Option<FileIdentity>> {
    let mut buffer = [0; limits::PATH];
    let Ok(found) = locate(name, path, &mut buffer) else { return Ok(None) };
    refuse_own(name, CStr::from_bytes_until_nul(&buffer).unwrap_or(c""), found, own)?;
    Ok(Some(found))
}

fn refuse_own(name: &CStr, file: &CStr, found: FileIdentity, own: &[FileIdentity]) -> Result<()> {
    if own.contains(&found) || runs_one_of(file, own) {
        let name = Lossy(name.to_bytes());
        return Err(fail!("exec: \"{name}\": permission denied: it would execute the runtime itself"));
    }
    Ok(())
}

/// The file for `name`, whose path is in `buffer` then.
fn locate(name: &CStr, path: Option<&CStr>, buffer: &mut PathBuffer) -> Result<FileIdentity> {
    let bytes = name.to_bytes();
    let failed = |errno: Errno, stat: bool| {
        let name = Lossy(bytes);
        // execve(2) says EACCES of a folder, which is what engines know 126 by.
        let denied = if errno == Errno::ISDIR { ": permission denied" } else { "" };
        if stat { fail!(errno => "exec: \"{name}\": stat {name}") } else { fail!(errno => "exec: \"{name}\"{denied}") }
    };
    if !bytes.contains(&b'/') {
        return in_folders(bytes, path.map_or(b"".as_slice(), CStr::to_bytes), buffer)
            .ok_or_else(|| fail!("exec: \"{}\": executable file not found in $PATH", Lossy(bytes)));
    }
    let file = join(b"", bytes, buffer).ok_or_else(|| failed(Errno::NAMETOOLONG, true))?;
    usable(file).map_err(|refusal| match refusal {
        Refusal::Missing(errno) => failed(errno, true),
        Refusal::Unfit(errno) => failed(errno, false),
    })
}

/// Looks through the folders of `path`; the file's path is in `buffer` then.
fn in_folders(name: &[u8], path: &[u8], buffer: &mut PathBuffer) -> Option<FileIdentity> {
    if name.is_empty() || path.is_empty() {
        return None;
    }
    bytes::split(path, b':').find_map(|folder| {
        // An empty entry is the working folder, by an old custom (environ(7)).
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        join(folder, name, buffer).and_then(|file| usable(file).ok())
    })
}

/// `folder/name`, or `name` alone.
#[inline(never)]
fn join<'b>(folder: &[u8], name: &[u8], buffer: &'b mut PathBuffer) -> Option<&'b CStr> {
    let slash: &[u8] = if folder.is_empty() || folder.ends_with(b"/") { b"" } else { b"/" };
    let mut places = buffer.iter_mut();
    for part in [folder, slash, name, b"\0"] {
        for byte in part {
            *places.next()? = *byte;
        }
    }
    CStr::from_bytes_until_nul(buffer).ok()
}

enum Refusal {
    /// stat(2) says so.
    Missing(Errno),
    /// It is there, but nothing to execute.
    Unfit(Errno),
}

fn usable(file: &CStr) -> Result<FileIdentity, Refusal> {
    let stat = stat(file).map_err(Refusal::Missing)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Refusal::Unfit(Errno::ISDIR)),
        _ => return Err(Refusal::Unfit(Errno::ACCESS)),
    }
    // With the effective ids, as execve(2); it knows of noexec mounts too.
    accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).map_err(Refusal::Unfit)?;
    Ok(FileIdentity::from(stat))
}

/// Whether executing `file`, which is none of `own`, executes one of them.
#[inline(never)] // its buffers are gone from the stack before anything deeper
fn runs_one_of(file: &CStr, own: &[FileIdentity]) -> bool {
    let mut path = [0; limits::PATH];
    if join(b"", file.to_bytes(), &mut path).is_none() {
        return false;
    }
    // The kernel follows five scripts (BINPRM_MAX_RECURSION) and then a
    // program's interpreter.
    for step in 0..7 {
        let Ok(file) = CStr::from_bytes_until_nul(&path) else { return false };
        // What may be executed but not read is looked into as root (`look_into`).
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(opened) = open(file, flags, Mode::empty()) else { return is_one_of(stat(file), own) };
        if step > 0 && is_one_of(fstat(&opened), own) {
            return true;
        }
        let found = interpreter(&opened, &mut path);
        done(opened);
        if found.is_none() {
            return false;
        }
    }
    false
}

fn is_one_of(stat: Result<Stat, Errno>, own: &[FileIdentity]) -> bool {
    stat.is_ok_and(|stat| own.contains(&FileIdentity::from(stat)))
}

/// Puts the path of what executes `file` into `buffer`, and a NUL.
#[inline(never)]
fn interpreter(file: &OwnedFd, buffer: &mut PathBuffer) -> Option<()> {
    let mut head = [0; image::HEAD];
    let length = io::pread(file, &mut head[..], 0).ok()?;
    let head = head.get(..length)?;
    if let Some(path) = image::script_interpreter(head) {
        return join(b"", path, buffer).map(|_| ());
    }
    let headers = image::program_headers(head)?;
    let mut header = [0; 64];
    for index in 0..headers.count {
        let at = headers.offset.checked_add(index.checked_mul(headers.size)?)?;
        let header = read_at(file, head, at, &mut header)?;
        let Some((at, size)) = headers.interpreter(header) else { continue };
        let room = buffer.get_mut(..usize::try_from(size).ok()?.min(limits::PATH - 1))?;
        let length = io::pread(file, room, at).ok()?;
        return buffer.get(..length)?.contains(&0).then_some(());
    }
    None
}

/// As many bytes as `buffer` has, from the place `at` of a file whose start is
/// `head`.
fn read_at<'b>(file: &OwnedFd, head: &'b [u8], at: u64, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let start = usize::try_from(at).ok()?;
    if let Some(known) = head.get(start..start.checked_add(buffer.len())?) {
        return Some(known);
    }
    let length = io::pread(file, &mut *buffer, at).ok()?;
    buffer.get(..length)
}
