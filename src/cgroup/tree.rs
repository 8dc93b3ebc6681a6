//! The hierarchy of cgroups: finding and making one, and asking and telling it
//! through the files in its folder.
//!
//! A cgroup is held by a descriptor of its folder and known again by its inode
//! (64 bits, never used twice while the system runs): a name says nothing about
//! who made what is called so.

use core::ffi::CStr;

use super::path::{CgroupPath, in_proc_file};
use super::walk::{Name, next_folder};
use crate::error::{Error, Lossy, Result};
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{self, FsWord, Mode, OFlags, ResolveFlags};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, done, io, keep, kept_done, monotonic, read_file};
use crate::{bytes, fail, limits};

/// The mount of cgroup version 2.
pub struct Hierarchy {
    root: BorrowedFd<'static>,
}

/// One cgroup.
pub struct Cgroup {
    fd: OwnedFd,
    inode: u64,
}

/// What [`Hierarchy::create`] found.
pub struct Created {
    pub cgroup: Cgroup,
    /// Whether the call made it. Otherwise it was there, empty, and is not
    /// ours: never to be killed or removed.
    pub made: bool,
}

/// CGROUP2_SUPER_MAGIC of linux/magic.h.
const CGROUP2: FsWord = 0x6367_7270;

/// A descriptor to look paths up from, or to read the folder's names with.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Drop for Hierarchy {
    fn drop(&mut self) {
        kept_done(self.root);
    }
}

/// Which cgroup the caller is in, as /proc/self/cgroup has it, with a slash before.
///
/// # Errors
/// The file cannot be read, or tells of no cgroup of version 2.
pub fn own_path(buffer: &mut [u8]) -> Result<&[u8]> {
    let failed = |errno: Errno| fail!(errno => "cannot read /proc/self/cgroup");
    in_proc_file(read_file(fs::CWD, c"/proc/self/cgroup", buffer).map_err(failed)?).ok_or_else(|| failed(Errno::NOENT))
}

impl Hierarchy {
    /// Finds the mount: at /sys/fs/cgroup, or on a host that also has version 1
    /// at /sys/fs/cgroup/unified.
    ///
    /// # Errors
    /// There is none.
    pub fn open() -> Result<Hierarchy> {
        for path in [c"/sys/fs/cgroup", c"/sys/fs/cgroup/unified"] {
            let Ok(root) = fs::open(path, OFlags::PATH | FOLDER, Mode::empty()) else { continue };
            if fs::fstatfs(&root).is_ok_and(|statfs| statfs.f_type == CGROUP2) {
                return Ok(Hierarchy { root: keep(root) });
            }
        }
        Err(fail!("no cgroup2 file system is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified"))
    }

    /// The cgroup at `path`, if it exists.
    ///
    /// # Errors
    /// The kernel's, with the path.
    pub fn lookup(&self, path: &CgroupPath<'_>) -> Result<Option<Cgroup>> {
        match self.open_below(path, OFlags::empty()).and_then(Cgroup::new) {
            Ok(cgroup) => Ok(Some(cgroup)),
            // ENODEV: removed between the look-up and the opening.
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(cannot_open(errno, path)),
        }
    }

    /// The cgroup that the caller is in, which may be the root of the mount.
    ///
    /// # Errors
    /// The kernel's; or it is not below the mount.
    #[inline(never)] // its buffer is not to be part of the caller's frame
    pub fn current(&self) -> Result<Option<Cgroup>> {
        let mut buffer = [0; 2 * limits::PATH];
        let path = own_path(&mut buffer)?;
        match bytes::after(path, "/").unwrap_or(path) {
            b"" => open_folder(self.root, c".", OFlags::PATH)
                .and_then(Cgroup::new)
                .map(Some)
                .map_err(|errno| fail!(errno => "cannot open the cgroup of the caller")),
            path => self.lookup(&CgroupPath::from_bytes(path)?),
        }
    }

    /// The inode of the cgroup at `path`, if it exists. Gives no descriptor.
    ///
    /// # Errors
    /// The kernel's, with the path.
    pub fn inode_at(&self, path: &CgroupPath<'_>) -> Result<Option<u64>> {
        let mut buffer = [0; limits::PATH];
        // A cgroup file system has no links.
        let stat = terminated(path.as_bytes(), &mut buffer)
            .and_then(|path| fs::statat(self.root, path, fs::AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) => Ok(Some(stat.st_ino)),
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(cannot_open(errno, path)),
        }
    }

    /// How many components of `path` exist already, from the mount down.
    ///
    /// Asked before [`Hierarchy::create`] and recorded, it tells
    /// [`Hierarchy::remove_parents`] where to stop.
    pub fn existing(&self, path: &CgroupPath<'_>) -> Result<usize> {
        let mut depth = path.depth();
        let mut next = Some(*path);
        while let Some(at) = next {
            match self.open_below(&at, OFlags::PATH) {
                Err(Errno::NOENT) => {}
                Ok(_) => break,
                Err(errno) => return Err(cannot_open(errno, path)),
            }
            next = at.split().0;
            depth = depth.saturating_sub(1);
        }
        Ok(depth)
    }

    /// Makes the cgroup at `path`, and those above it that do not exist yet.
    ///
    /// # Errors
    /// The kernel's; or the cgroup exists and is not an empty, thawed one
    /// without cgroups below it.
    pub fn create(&self, path: &CgroupPath<'_>) -> Result<Created> {
        let mut made = false;
        for part in (1..=path.as_bytes().len()).filter_map(|length| path.prefix(length)) {
            made = match self.change(&part, true) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => {
                    let (path, name) = (Lossy(path.as_bytes()), Lossy(part.split().1));
                    return Err(fail!(errno => "cannot make cgroup {path} (at \"{name}\")"));
                }
            };
        }
        let cgroup = self.lookup(path)?.ok_or_else(|| cannot_open(Errno::NOENT, path))?;
        if !made {
            cgroup.must_be_unused(path)?;
        }
        Ok(Created { cgroup, made })
    }

    /// Removes the cgroups above `path`, upwards, as long as they are empty:
    /// those below the first `existing` components, which were there before.
    ///
    /// Best effort: one that is in use by now stays, as does all above it.
    pub fn remove_parents(&self, path: &CgroupPath<'_>, existing: usize) {
        let mut path = *path;
        for _ in existing.saturating_add(1)..path.depth() {
            let Some(parent) = path.split().0 else { return };
            path = parent;
            if !matches!(self.unlink(&path), Ok(()) | Err(Errno::NOENT)) {
                return;
            }
        }
    }

    /// Removes the one folder (rmdir(2)).
    ///
    /// # Errors
    /// EBUSY: processes or cgroups are in it.
    pub fn unlink(&self, path: &CgroupPath<'_>) -> Result<(), Errno> {
        self.change(path, false)
    }

    /// Makes or removes the one folder.
    #[inline(never)]
    fn change(&self, path: &CgroupPath<'_>, make: bool) -> Result<(), Errno> {
        let (parent, name) = path.split();
        let mut buffer: Name = [0; _];
        let name = terminated(name, &mut buffer)?;
        let opened = match parent {
            Some(parent) => Some(self.open_below(&parent, OFlags::PATH)?),
            None => None, // directly below the mount
        };
        let folder = opened.as_ref().map_or(self.root, |fd| fd.as_fd());
        match make {
            true => fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)),
            false => fs::unlinkat(folder, name, fs::AtFlags::REMOVEDIR),
        }
    }

    /// The folder of the mount itself.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    #[inline(never)] // its buffer is gone from the stack before anything deeper
    pub(super) fn open_below(&self, path: &CgroupPath<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut buffer = [0; limits::PATH];
        let path = terminated(path.as_bytes(), &mut buffer)?;
        // Cgroup file systems have no symbolic links of their own; anything
        // that would lead elsewhere was put there to mislead.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        fs::openat2(self.root, path, FOLDER | flags, Mode::empty(), resolve)
    }
}

/// `text` as a C string, in `buffer`.
#[inline(never)]
pub(super) fn terminated<'b>(text: &[u8], buffer: &'b mut [u8]) -> Result<&'b CStr, Errno> {
    let place = buffer.get_mut(..=text.len()).ok_or(Errno::NAMETOOLONG)?;
    for (index, to) in place.iter_mut().enumerate() {
        *to = text.get(index).copied().unwrap_or(0);
    }
    CStr::from_bytes_until_nul(place).map_err(|_| Errno::INVAL)
}

#[cold]
fn cannot_open(errno: Errno, path: &CgroupPath<'_>) -> Error {
    fail!(errno => "cannot open cgroup {}", Lossy(path.as_bytes()))
}

#[cold]
#[inline(never)]
pub(super) fn cannot(errno: Errno, what: &str) -> Error {
    fail!(errno => "cannot {what}")
}

pub(super) fn open_folder(folder: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(folder, name, FOLDER | OFlags::NOFOLLOW | flags, Mode::empty())
}

impl Cgroup {
    fn new(fd: OwnedFd) -> Result<Cgroup, Errno> {
        let inode = fs::fstat(&fd)?.st_ino;
        Ok(Cgroup { fd, inode })
    }

    /// The folder: for clone3(2), bpf(2) and to open files below.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Lets go of it, see [`done`].
    pub fn done(self) {
        done(self.fd);
    }

    /// What it is known again by.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether a live process is in it or below it.
    pub fn populated(&self) -> Result<bool> {
        self.event("populated ").map_err(|errno| cannot(errno, "read cgroup.events"))
    }

    /// Whether it is frozen, in fact.
    pub fn frozen(&self) -> Result<bool> {
        self.event("frozen ").map_err(|errno| cannot(errno, "read cgroup.events"))
    }

    /// Kills every process in it and below it, forks in the making included.
    /// The frozen ones too.
    pub fn kill(&self) -> Result<()> {
        self.write(c"cgroup.kill", b"1").map_err(|errno| cannot(errno, "kill the processes of the cgroup"))
    }

    /// Kills everything in it and below it, and waits until nothing is left, at
    /// most `milliseconds`. A process that its parent has not reaped yet does
    /// not count.
    ///
    /// # Errors
    /// The kernel's, or processes are left when the time is over.
    pub fn kill_all_and_wait(&self, milliseconds: u32) -> Result<()> {
        let failed = |errno: Errno| cannot(errno, "watch cgroup.events");
        let end = now().saturating_add(u64::from(milliseconds));
        let events = self.open(c"cgroup.events", OFlags::RDONLY).map_err(failed)?;
        loop {
            // Read before every wait: the kernel tells of changes since then.
            if !event_in(events.as_fd(), "populated ").map_err(failed)? {
                return Ok(());
            }
            let left = end.saturating_sub(now());
            if left == 0 {
                return Err(fail!("processes are left in the cgroup {milliseconds} ms after they were killed"));
            }
            // Again each time: others may have been moved in meanwhile.
            self.kill()?;
            let slice = left.min(100);
            let timeout = Timespec { tv_sec: 0, tv_nsec: (slice * 1_000_000) as _ };
            match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
    }

    /// A cgroup that somebody else made must be as good as new (R14).
    fn must_be_unused(&self, path: &CgroupPath<'_>) -> Result<()> {
        let mut name: Name = [0; _];
        let why = if self.populated()? {
            "has processes in it"
        // Frozen by intent: in an empty one `frozen` in cgroup.events lags.
        } else if self.read(c"cgroup.freeze", &mut name).is_ok_and(|text| text.starts_with(b"1")) {
            "is frozen"
        } else if next_folder(self.fd(), &mut name).map_err(|errno| cannot_open(errno, path))? {
            "has cgroups below it"
        } else {
            return Ok(());
        };
        Err(fail!("cgroup {} exists and {why}", Lossy(path.as_bytes())))
    }

    /// Gives the cgroup to the user `uid`, to make others below it: its folder, and of
    /// its files those that the kernel lists for that (cgroups(7), "Cgroup delegation";
    /// config-linux.md, "Cgroup ownership").
    ///
    /// # Errors
    /// The kernel's. EPERM: the caller may not give files away.
    pub fn give_to(&self, uid: u32) -> Result<()> {
        let mut buffer = [0; limits::DELEGATE];
        // Kernels before 4.15 have no list.
        let names = read_file(fs::CWD, c"/sys/kernel/cgroup/delegate", &mut buffer)
            .unwrap_or(b"cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
        let uid = Some(fs::Uid::from_raw(uid));
        let failed = |errno: Errno| cannot(errno, "give the cgroup to the container's user");
        fs::fchown(&self.fd, uid, None).map_err(failed)?;
        // Behind the last line break there is nothing, or of a longer list a part of a name.
        let end = names.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        for name in bytes::split(names.get(..end).unwrap_or(&[]), b'\n') {
            let mut buffer: Name = [0; _];
            let given = terminated(name, &mut buffer)
                .and_then(|name| fs::chownat(&self.fd, name, uid, None, fs::AtFlags::SYMLINK_NOFOLLOW));
            match given {
                Ok(()) | Err(Errno::NOENT) => {} // of a controller that it has not
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    fn event(&self, key: &str) -> Result<bool, Errno> {
        event_in(self.open(c"cgroup.events", OFlags::RDONLY)?.as_fd(), key)
    }

    pub(super) fn open(&self, file: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        fs::openat(&self.fd, file, flags | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn read<'b>(&self, file: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let fd = self.open(file, OFlags::RDONLY)?;
        let length = io::read(&fd, &mut *buffer)?;
        Ok(buffer.get(..length).unwrap_or(&[]))
    }

    pub(super) fn write(&self, file: &CStr, text: &[u8]) -> Result<(), Errno> {
        io::write(self.open(file, OFlags::WRONLY)?, text)?;
        Ok(())
    }
}

/// Whether cgroup.events, open as `file`, says 1 for `key`, which ends in a blank.
pub(super) fn event_in(file: BorrowedFd<'_>, key: &str) -> Result<bool, Errno> {
    let mut buffer = [0; 256];
    let length = io::pread(file, &mut buffer[..], 0)?;
    Ok(bytes::field(buffer.get(..length).unwrap_or(&[]), key) == Some(b"1"))
}

/// Milliseconds of a clock that only goes forward.
pub(super) fn now() -> u64 {
    let (seconds, nanoseconds) = monotonic().unwrap_or((0, 0)); // this clock does not fail
    (seconds as u64).saturating_mul(1000).saturating_add(u64::from(nanoseconds) / 1_000_000)
}
