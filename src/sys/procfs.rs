//! A procfs that can be trusted: one that nobody else has ever had in hand.

use core::ffi::CStr;

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create};

use super::owned::{OwnedFd, fsmount, fsopen, openat2};

/// The inode of a procfs's root (fs/proc).
const PROC_ROOT_INO: u64 = 1;

/// The root of a procfs.
pub struct Procfs(OwnedFd);

impl Procfs {
    /// A new mount, attached nowhere, of the pid namespace of this process: what
    /// is mounted over parts of /proc is not in it. Where that is not allowed,
    /// the mount at /proc, if it is procfs from its root.
    ///
    /// # Errors
    /// ENOTDIR: what is at /proc is something else. Else as fsopen(2).
    pub fn open() -> Result<Procfs, Errno> {
        match Procfs::new() {
            // In a user namespace whose mounts do not show all of one already.
            Err(Errno::PERM) => Procfs::mounted(),
            result => result,
        }
    }

    fn new() -> Result<Procfs, Errno> {
        let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        let attributes =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map(Procfs)
    }

    /// The mount at /proc, as above.
    ///
    /// # Errors
    /// As [`Procfs::open`].
    pub fn mounted() -> Result<Procfs, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat2(CWD, c"/proc", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
        let is_root = fstatfs(&root)?.f_type == PROC_SUPER_MAGIC && fstat(&root)?.st_ino == PROC_ROOT_INO;
        if is_root { Ok(Procfs(root)) } else { Err(Errno::NOTDIR) }
    }

    /// Opens `path`, relative to the root: `self/attr/exec`, `sys/net/…`.
    ///
    /// Inside a procfs only the kernel makes links, and those are `self` and its
    /// like: none of them leaves it. `flags` gain `O_CLOEXEC`.
    ///
    /// # Errors
    /// EXDEV: something is mounted over `path`. ELOOP: a link that leads to a
    /// file of elsewhere (`exe`, `root`, …). Else as openat2(2).
    pub fn open_file(&self, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Writes `text` into such a file by one write(2): a second would begin a
    /// new value.
    ///
    /// # Errors
    /// EIO: not all of it was taken. Else as [`Procfs::open_file`] and write(2).
    pub fn write_file(&self, path: &CStr, text: &[u8]) -> Result<(), Errno> {
        let file = self.open_file(path, OFlags::WRONLY)?;
        if rustix::io::write(&file, text)? == text.len() { Ok(()) } else { Err(Errno::IO) }
    }
}
