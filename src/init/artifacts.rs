//! Files of the container, copied out once its process has ended: one cpio archive,
//! to a virtio-serial port.
//!
//! They are read in the container's mount namespace, which is its view of the world
//! and no more: no link in it leads out.

use core::cell::Cell;
use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::clock::{now, until};
use super::command_line::Target;
use super::cpio::{HEADER, Header, TRAILER, padding};
use super::log;
use super::ports::open_target;
use crate::error::{Lossy, Result};
use crate::json::PathBuffer;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{
    CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fcntl_getfl, fcntl_setfl, fstat, openat2, readlinkat_raw,
};
use crate::sys::process::{Signal, WaitId, WaitIdOptions, set_parent_process_death_signal, waitid};
use crate::sys::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use crate::sys::{self, AsFd, BorrowedFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd, SIGKILL, io, write_all};
use crate::{bytes, fail, limits};

/// The archive, on its way.
struct Archive {
    to: OwnedFd,
    /// The pipe on which whoever waits is told that it goes on.
    alive: OwnedFd,
    /// When that was told last, in milliseconds.
    told: Cell<u64>,
    /// Files so far.
    number: u32,
}

/// Sends the files of `paths`, each ended by a NUL, to the port called `port`.
/// What is missing or goes wrong is a warning.
///
/// A child does it: whoever has entered the container's mount namespace finds
/// there whatever the container has put at a path, and is to do nothing else.
///
/// # Errors
/// The child cannot be made, is killed, or does not get on for
/// [`limits::ARTIFACT_PATIENCE`].
#[inline(never)]
pub fn send(mounts: BorrowedFd<'_>, paths: &[u8], port: &'static [u8]) -> Result<()> {
    let failed = |errno: Errno| fail!(errno => "cannot make a process that copies the artifacts");
    let (progress, alive) = sys::pipe().map_err(failed)?;
    let pidfd = match sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None }).map_err(failed)? {
        Child::Created { pidfd, .. } => pidfd,
        Child::Myself => {
            // Best effort: at the system's end it is killed with all others.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
            if let Err(error) = copy(mounts, paths, port, alive) {
                log::warning(&error);
            }
            sys::exit(0)
        }
    };
    // Our own copy of `alive` keeps the pipe from its end: the child's is told by its pidfd.
    if !stay_with(pidfd.as_fd(), progress.as_fd()).map_err(failed)? {
        // Not waited for: what holds it up may be the kernel.
        let _ = sys::pidfd_send_signal(pidfd.as_fd(), SIGKILL);
        let seconds = limits::ARTIFACT_PATIENCE / 1000;
        return Err(fail!(
            "the artifacts are given up: for {seconds} s nothing of them was read, or taken by the port"
        ));
    }
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).map_err(failed)? {
        Some(status) if status.exit_status() == Some(0) => Ok(()),
        _ => Err(fail!("the process that copies the artifacts was killed")),
    }
}

/// Until the child has ended; false where nothing is heard of it for too long.
///
/// # Errors
/// As poll(2).
fn stay_with(pidfd: BorrowedFd<'_>, progress: BorrowedFd<'_>) -> Result<bool, Errno> {
    loop {
        let mut wanted = [pidfd, progress].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        match poll(&mut wanted, Some(&until(now() + limits::ARTIFACT_PATIENCE))) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let [ended, goes_on] = wanted.map(|fd| !fd.revents().is_empty());
        if ended {
            return Ok(true);
        }
        if goes_on {
            let _ = io::read(progress, &mut [0; 64]);
        }
    }
}

/// The child's work.
///
/// # Errors
/// The port cannot be opened or written to; or the kernel's.
fn copy(mounts: BorrowedFd<'_>, paths: &[u8], port: &'static [u8], alive: OwnedFd) -> Result<()> {
    let to = open_target(Target::Virtio(port), false)?;
    // From here on it takes as long as the reader takes.
    let failed = |errno: Errno| fail!(errno => "cannot write the artifacts to the port {}", Lossy(port));
    fcntl_getfl(&to).and_then(|flags| fcntl_setfl(&to, flags.difference(OFlags::NONBLOCK))).map_err(failed)?;
    move_into_thread_name_spaces(mounts, ThreadNameSpaceType::MOUNT)
        .map_err(|errno| fail!(errno => "cannot enter the container's mount namespace"))?;
    let mut archive = Archive { to, alive, told: Cell::new(0), number: 0 };
    let mut name: PathBuffer = [0; _];
    for path in bytes::split(paths, 0).filter(|path| !path.is_empty()) {
        let from = match bytes::join(&mut name, &[b"/", path.strip_prefix(b"/").unwrap_or(path)]) {
            Some(from) => from.count_bytes(),
            None => {
                log::warning(&fail!("artifact {}: the path is too long", Lossy(path)));
                continue;
            }
        };
        archive.add(&mut name, from, limits::ARTIFACT_DEPTH).map_err(failed)?;
    }
    archive.end().map_err(failed)
}

/// Opens what is at a path itself, no link at its end followed; nor is on its way
/// one of /proc's, which leads wherever a process is.
fn open(name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(CWD, name, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
}

/// Says that a file is not in the archive, or not all of it; the rest goes on.
#[cold]
#[inline(never)]
fn incomplete(name: &CStr, why: Errno) -> Result<(), Errno> {
    log::warning(&fail!(why => "artifact {}: it is not there as a whole", Lossy(name.to_bytes())));
    Ok(())
}

impl Archive {
    /// Adds the file whose absolute path are the first `length` bytes of `path`, and
    /// what is in it.
    ///
    /// # Errors
    /// Only those of writing to the port.
    fn add(&mut self, path: &mut PathBuffer, length: usize, depth: usize) -> Result<(), Errno> {
        let Ok(name) = CStr::from_bytes_until_nul(path) else { return Ok(()) };
        let looked = open(name, OFlags::PATH).and_then(|file| Ok((fstat(&file)?, file)));
        let (status, place) = match looked {
            Ok(looked) => looked,
            Err(errno) => return incomplete(name, errno),
        };
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => self.file(name, &status),
            FileType::Symlink => self.link(name, place.as_fd(), &status),
            FileType::Directory if depth == 0 => incomplete(name, Errno::NAMETOOLONG),
            FileType::Directory => {
                self.head(name.to_bytes(), &status, 0)?;
                self.folder(path, length, depth)
            }
            // Devices and their like hold nothing that could be copied.
            _ => Ok(()),
        }
    }

    #[inline(never)] // its buffer is not to be on the stack for each folder
    fn link(&mut self, name: &CStr, link: BorrowedFd<'_>, status: &Stat) -> Result<(), Errno> {
        let mut target = [MaybeUninit::uninit(); limits::PATH];
        let target = match readlinkat_raw(link, c"", &mut target) {
            Ok((target, _)) => target,
            Err(errno) => return incomplete(name, errno),
        };
        self.head(name.to_bytes(), status, target.len())?;
        self.body(target)?;
        self.pad(target.len())
    }

    #[inline(never)]
    fn folder(&mut self, path: &mut PathBuffer, length: usize, depth: usize) -> Result<(), Errno> {
        let Ok(name) = CStr::from_bytes_until_nul(path) else { return Ok(()) };
        let folder = match open(name, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(folder) => folder,
            Err(errno) => return incomplete(name, errno),
        };
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut entries = RawDir::new(folder, &mut buffer);
        let mut end_of_all = Ok(());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    end_of_all = Err(errno);
                    break;
                }
            };
            let entry = entry.file_name().to_bytes();
            if matches!(entry, b"." | b"..") {
                continue;
            }
            let end = length + 1 + entry.len();
            // Behind it stand zeros, or what a longer path has left there.
            let Some(place) = path.get_mut(length..=end) else {
                end_of_all = Err(Errno::NAMETOOLONG);
                continue;
            };
            for (to, from) in place.iter_mut().zip([&b"/"[..], entry, &[0]].into_iter().flatten()) {
                *to = *from;
            }
            self.add(path, end, depth - 1)?;
        }
        if let Some(place) = path.get_mut(length) {
            *place = 0;
        }
        match (end_of_all, CStr::from_bytes_until_nul(path)) {
            (Err(errno), Ok(name)) => incomplete(name, errno),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn file(&mut self, name: &CStr, status: &Stat) -> Result<(), Errno> {
        let file = match open(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(file) if u32::try_from(status.st_size).is_ok() => file,
            Ok(_) => return incomplete(name, Errno::FBIG), // the format has 32 bits for the size
            Err(errno) => return incomplete(name, errno),
        };
        // So many bytes it is, whatever becomes of the file meanwhile.
        let size = status.st_size as usize;
        self.head(name.to_bytes(), status, size)?;
        let mut left = size;
        let mut whole = Ok(());
        let mut buffer = [0; limits::OUTPUT];
        while left > 0 {
            let wanted = left.min(buffer.len());
            let place = buffer.get_mut(..wanted).unwrap_or(&mut []);
            let length = match io::read(&file, &mut *place) {
                Ok(length @ 1..) => length,
                ended => {
                    whole = Err(ended.err().unwrap_or(Errno::NODATA));
                    place.fill(0);
                    wanted
                }
            };
            self.body(buffer.get(..length).unwrap_or(&[]))?;
            left -= length;
        }
        whole.or_else(|errno| incomplete(name, errno))?;
        self.pad(size)
    }

    fn head(&mut self, path: &[u8], status: &Stat, size: usize) -> Result<(), Errno> {
        let name = path.strip_prefix(b"/").unwrap_or(path);
        self.number += 1;
        let header = Header {
            number: self.number,
            mode: status.st_mode,
            uid: status.st_uid,
            gid: status.st_gid,
            mtime: status.st_mtime as u32,
            size: size as u32,
            name: name.len(),
        };
        self.entry(&header, name)
    }

    fn entry(&mut self, header: &Header, name: &[u8]) -> Result<(), Errno> {
        self.body(header.text().as_bytes())?;
        self.body(name)?;
        self.body(&[0])?;
        self.pad(HEADER + name.len() + 1)
    }

    fn end(&mut self) -> Result<(), Errno> {
        let header = Header { number: 0, mode: 0, uid: 0, gid: 0, mtime: 0, size: 0, name: TRAILER.len() };
        self.entry(&header, TRAILER)
    }

    fn body(&self, bytes: &[u8]) -> Result<(), Errno> {
        write_all(self.to.as_fd(), bytes)?;
        // Once a second is enough, and never so often that the pipe could be full.
        let now = now();
        if now >= self.told.get() + 1000 {
            self.told.set(now);
            let _ = io::write(&self.alive, &[0]);
        }
        Ok(())
    }

    fn pad(&self, length: usize) -> Result<(), Errno> {
        self.body(padding(length))
    }
}
