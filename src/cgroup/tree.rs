//! The hierarchy of cgroups: finding and making one, and asking and telling it
//! through the files in its folder.
//!
//! A cgroup is held by a descriptor of its folder and known again by its inode
//! (64 bits, never used twice while the system runs): a name says nothing about
//! who made what is called so.

use core::ffi::CStr;

use heapless::Vec;

use super::path::CgroupPath;
use crate::bytes;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{self, FsWord, Mode, OFlags, ResolveFlags};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io, monotonic};

/// The mount of cgroup version 2.
pub struct Hierarchy {
    root: OwnedFd,
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
                return Ok(Hierarchy { root });
            }
        }
        Err(fail!("no cgroup2 file system is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified"))
    }

    /// The cgroup at `path`, if it exists.
    ///
    /// # Errors
    /// The kernel's, with the path.
    pub fn lookup(&self, path: &CgroupPath) -> Result<Option<Cgroup>> {
        match self.open_below(path.as_c_str()).and_then(Cgroup::new) {
            Ok(cgroup) => Ok(Some(cgroup)),
            // ENODEV: removed between the look-up and the opening.
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(fail!(errno => "cannot open cgroup {}", Lossy(path.as_bytes()))),
        }
    }

    /// How many components of `path` exist already, from the mount down.
    ///
    /// Asked before [`Hierarchy::create`] and recorded, it tells
    /// [`Hierarchy::remove_parents`] where to stop.
    pub fn existing(&self, path: &CgroupPath) -> Result<usize> {
        let mut depth = 0;
        self.walk_down(path, &mut |folder, name| match open_folder(folder, name, OFlags::PATH) {
            Ok(next) => {
                depth += 1;
                Ok(Some(next))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        })?;
        Ok(depth)
    }

    /// Makes the cgroup at `path`, and those above it that do not exist yet.
    ///
    /// # Errors
    /// The kernel's; or the cgroup exists and is not an empty, thawed one
    /// without cgroups below it.
    pub fn create(&self, path: &CgroupPath) -> Result<Created> {
        let count = path.components().count();
        let mut depth = 0;
        let mut made = false;
        let mut leaf = None;
        self.walk_down(path, &mut |folder, name| {
            depth += 1;
            made = match fs::mkdirat(folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(errno) => return Err(errno),
            };
            let next = open_folder(folder, name, if depth == count { OFlags::empty() } else { OFlags::PATH })?;
            if depth < count {
                return Ok(Some(next));
            }
            leaf = Some(next);
            Ok(None)
        })?;
        let failed = |errno: Errno| fail!(errno => "cannot open cgroup {}", Lossy(path.as_bytes()));
        let cgroup = Cgroup::new(leaf.ok_or_else(|| failed(Errno::NOENT))?).map_err(failed)?;
        if !made {
            cgroup.must_be_unused(path)?;
        }
        Ok(Created { cgroup, made })
    }

    /// Removes the cgroups above `path`, upwards, as long as they are empty:
    /// those below the first `existing` components, which were there before.
    ///
    /// Best effort: one that is in use by now stays, as does all above it.
    pub fn remove_parents(&self, path: &CgroupPath, existing: usize) {
        let mut path = path.clone();
        let mut count = path.components().count();
        while count > existing.saturating_add(1) {
            let Ok(parent) = CgroupPath::from_bytes(path.split().0) else { return };
            path = parent;
            count -= 1;
            if !matches!(self.unlink(&path), Ok(()) | Err(Errno::NOENT)) {
                return;
            }
        }
    }

    /// Removes the one folder (rmdir(2)).
    ///
    /// # Errors
    /// EBUSY: processes or cgroups are in it.
    pub fn unlink(&self, path: &CgroupPath) -> Result<(), Errno> {
        let (parent, name) = path.split();
        let name = name_buffer(name)?;
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?;
        match CgroupPath::from_bytes(parent) {
            Ok(parent) => fs::unlinkat(self.open_below(parent.as_c_str())?, name, fs::AtFlags::REMOVEDIR),
            Err(_) => fs::unlinkat(&self.root, name, fs::AtFlags::REMOVEDIR), // directly below the mount
        }
    }

    fn open_below(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        // Cgroup file systems have no symbolic links of their own; anything
        // that would lead elsewhere was put there to mislead.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        fs::openat2(&self.root, path, FOLDER, Mode::empty(), resolve)
    }

    /// Visits the components of `path`: `step` gets the folder and the name in
    /// it, and gives the next folder, or nothing to end.
    fn walk_down(&self, path: &CgroupPath, step: &mut Step<'_>) -> Result<()> {
        let mut folder: Option<OwnedFd> = None;
        for name in path.components() {
            let from = folder.as_ref().map_or(self.root.as_fd(), |fd| fd.as_fd());
            let next = name_buffer(name)
                .and_then(|name| step(from, CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?))
                .map_err(
                    |errno| fail!(errno => "cannot make cgroup {} (at \"{}\")", Lossy(path.as_bytes()), Lossy(name)),
                )?;
            match next {
                Some(next) => folder = Some(next),
                None => break,
            }
        }
        Ok(())
    }
}

type Step<'a> = dyn FnMut(BorrowedFd<'_>, &CStr) -> Result<Option<OwnedFd>, Errno> + 'a;

/// A component as a C string.
fn name_buffer(name: &[u8]) -> Result<Vec<u8, 256>, Errno> {
    let mut buffer = Vec::from_slice(name).map_err(|_| Errno::NAMETOOLONG)?;
    buffer.push(0).map_err(|_| Errno::NAMETOOLONG)?;
    Ok(buffer)
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

    /// What it is known again by.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether a live process is in it or below it.
    pub fn populated(&self) -> Result<bool> {
        self.event("populated").map_err(|errno| fail!(errno => "cannot read cgroup.events"))
    }

    /// Whether it is frozen, in fact.
    pub fn frozen(&self) -> Result<bool> {
        self.event("frozen").map_err(|errno| fail!(errno => "cannot read cgroup.events"))
    }

    /// Kills every process in it and below it, forks in the making included.
    /// The frozen ones too.
    pub fn kill(&self) -> Result<()> {
        self.write(c"cgroup.kill", b"1").map_err(|errno| fail!(errno => "cannot kill the processes of the cgroup"))
    }

    /// Asks for it to be frozen or thawed; [`Cgroup::frozen`] says when it is.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.write(c"cgroup.freeze", if frozen { b"1" } else { b"0" })
            .map_err(|errno| fail!(errno => "cannot {} the cgroup", if frozen { "freeze" } else { "thaw" }))
    }

    /// Kills everything in it and below it, and waits until nothing is left, at
    /// most `milliseconds`. A process that its parent has not reaped yet does
    /// not count.
    ///
    /// # Errors
    /// The kernel's, or processes are left when the time is over.
    pub fn kill_all_and_wait(&self, milliseconds: u32) -> Result<()> {
        let failed = |errno: Errno| fail!(errno => "cannot watch cgroup.events");
        let end = now().saturating_add(u64::from(milliseconds));
        let events = self.open(c"cgroup.events", OFlags::RDONLY).map_err(failed)?;
        loop {
            // Read before every wait: the kernel tells of changes since then.
            if !event_in(events.as_fd(), "populated").map_err(failed)? {
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
    fn must_be_unused(&self, path: &CgroupPath) -> Result<()> {
        let path = Lossy(path.as_bytes());
        if self.populated()? {
            return Err(fail!("cgroup {path} exists and has processes in it"));
        }
        // Frozen by intent: in an empty one `frozen` in cgroup.events lags.
        let mut buffer = [0; 16];
        if self.read(c"cgroup.freeze", &mut buffer).is_ok_and(|text| text.starts_with(b"1")) {
            return Err(fail!("cgroup {path} exists and is frozen"));
        }
        let mut name = super::walk::Name::new();
        match super::walk::next_folder(self.fd(), &mut name) {
            Ok(false) => Ok(()),
            Ok(true) => Err(fail!("cgroup {path} exists and has cgroups below it")),
            Err(errno) => Err(fail!(errno => "cannot read the folder of cgroup {path}")),
        }
    }

    fn event(&self, key: &str) -> Result<bool, Errno> {
        event_in(self.open(c"cgroup.events", OFlags::RDONLY)?.as_fd(), key)
    }

    fn open(&self, file: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        fs::openat(&self.fd, file, flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn read<'b>(&self, file: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let fd = self.open(file, OFlags::RDONLY)?;
        let length = io::read(&fd, &mut *buffer)?;
        Ok(buffer.get(..length).unwrap_or(&[]))
    }

    fn write(&self, file: &CStr, text: &[u8]) -> Result<(), Errno> {
        io::write(self.open(file, OFlags::WRONLY)?, text)?;
        Ok(())
    }
}

/// Whether cgroup.events, open as `file`, says `key 1`.
fn event_in(file: BorrowedFd<'_>, key: &str) -> Result<bool, Errno> {
    let mut buffer = [0; 256];
    let length = io::pread(file, &mut buffer[..], 0)?;
    let text = buffer.get(..length).unwrap_or(&[]);
    let value = bytes::split(text, b'\n').find_map(|line| bytes::after(bytes::after(line, key)?, " "));
    Ok(value == Some(b"1"))
}

/// Milliseconds of a clock that only goes forward.
pub(super) fn now() -> u64 {
    let (seconds, nanoseconds) = monotonic().unwrap_or((0, 0)); // this clock does not fail
    (seconds as u64).saturating_mul(1000).saturating_add(u64::from(nanoseconds) / 1_000_000)
}
