//! `maskedPaths` and `readonlyPaths`, carried out inside the root.

use crate::error::Result;
use crate::fail;
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::linux::Paths;
use crate::sys::fs::{CWD, FileType, OFlags, fstat, makedev};
use crate::sys::mounts::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use crate::sys::{BorrowedFd, Errno};

use super::descriptor::{self, Fd, attach_at, clone_tree};
use super::devices::is_device;
use super::failure::{cannot, cannot_own};
use super::resolve::{self, Links};

/// A mount of the root's /dev/null, whose contents are not ours: seen to be it.
pub struct NullDevice(Fd);

impl NullDevice {
    /// Takes it. To be called inside the root.
    ///
    /// # Errors
    /// It is missing, or something else.
    pub fn open() -> Result<NullDevice> {
        let fail = |errno: Errno| cannot_own("use /dev/null of the root file system", c"", errno);
        // What counts is what has been taken, not by which name.
        let null = clone_tree(CWD, c"/dev/null", false).map_err(fail)?;
        if !is_device(&fstat(null.as_fd()).map_err(fail)?, FileType::CharacterDevice, makedev(1, 3)) {
            return Err(fail!("/dev/null of the root file system is not the null device"));
        }
        Ok(NullDevice(null))
    }
}

/// What is mounted over secrets: a mount that is attached where it is first
/// needed, then cloned for the others, since before Linux 6.15 only what is
/// attached can be cloned.
struct Cover<'a> {
    original: BorrowedFd<'a>,
    attached: bool,
    /// A clone that fitted nowhere yet.
    spare: Option<Fd>,
}

impl<'a> Cover<'a> {
    fn of(tree: &'a Fd) -> Cover<'a> {
        Cover { original: tree.as_fd(), attached: false, spare: None }
    }

    fn attach(&mut self, place: BorrowedFd<'_>) -> Result<(), Errno> {
        if !self.attached {
            attach_at(self.original, place)?;
            self.attached = true;
            return Ok(());
        }
        let clone = match self.spare.take() {
            Some(clone) => clone,
            None => clone_tree(self.original, c"", false)?,
        };
        let result = attach_at(clone.as_fd(), place);
        match result {
            Ok(()) => clone.done(),
            Err(_) => self.spare = Some(clone),
        }
        result
    }
}

/// Makes each of `paths` unreadable: an empty folder over a folder, /dev/null
/// over anything else. What is not there is no secret.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn mask(paths: Paths<'_>, null: &NullDevice, label: Option<Text<'_>>) -> Result<()> {
    let mut null = Cover::of(&null.0);
    let mut empty = None;
    for path in paths.iter() {
        let Some(place) = open_if_there(path, "mask")? else { continue };
        // move_mount(2) says EINVAL for a file on a folder.
        let result = match null.attach(place.as_fd()) {
            Err(Errno::INVAL) => hide_folder(&mut empty, place.as_fd(), label),
            result => result,
        };
        result.map_err(|errno| cannot("mask", path, errno))?;
        place.done();
    }
    Ok(())
}

/// What is at `path`; `what` is to be done to it, for an error.
#[inline(never)]
fn open_if_there(path: Text<'_>, what: &'static str) -> Result<Option<Fd>> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    match resolve::open(CWD, path.c_str(&mut buffer)?, OFlags::PATH, Links::Follow) {
        Ok(place) => Ok(Some(place)),
        // ENOTDIR: a file where a folder on the way should be.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(cannot(what, path, errno)),
    }
}

fn hide_folder(empty: &mut Option<Fd>, folder: BorrowedFd<'_>, label: Option<Text<'_>>) -> Result<(), Errno> {
    if let Some(original) = empty {
        let clone = clone_tree(original.as_fd(), c"", false)?;
        attach_at(clone.as_fd(), folder)?;
        clone.done();
        return Ok(());
    }
    let original = empty_folder(label)?;
    attach_at(original.as_fd(), folder)?;
    *empty = Some(original);
    Ok(())
}

/// A detached tmpfs that nobody can write to.
fn empty_folder(label: Option<Text<'_>>) -> Result<Fd, Errno> {
    let context = Fd::new(fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?);
    if let Some(label) = label.filter(|label| !label.is_empty()) {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let label = label.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?;
        fsconfig_set_string(context.as_fd(), c"context", label)?;
    }
    fsconfig_set_string(context.as_fd(), c"source", c"tmpfs")?;
    fsconfig_set_flag(context.as_fd(), c"ro")?;
    fsconfig_create(context.as_fd())?;
    let tree = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    context.done();
    Ok(Fd::new(tree))
}

/// Makes each of `paths` read-only, with all that is mounted below it. What is
/// not there is left alone.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn make_read_only(paths: Paths<'_>) -> Result<()> {
    for path in paths.iter() {
        if let Some(place) = open_if_there(path, "make read-only")? {
            make_one_read_only(place.as_fd()).map_err(|errno| cannot("make read-only", path, errno))?;
            place.done();
        }
    }
    Ok(())
}

fn make_one_read_only(place: BorrowedFd<'_>) -> Result<(), Errno> {
    let tree = clone_tree(place, c"", true)?;
    descriptor::make_read_only(tree.as_fd(), true)?;
    attach_at(tree.as_fd(), place)?;
    tree.done();
    Ok(())
}
