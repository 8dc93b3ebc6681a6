//! `maskedPaths` and `readonlyPaths`, carried out inside the root.

use core::ffi::CStr;

use crate::error::Result;
use crate::json::{PathBuffer, Text};
use crate::spec::linux::Paths;
use crate::sys::fs::{CWD, FileType, OFlags, fstat, makedev};
use crate::sys::mounts::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use crate::sys::{BorrowedFd, Errno};
use crate::{fail, limits};

use super::check::is_at;
use super::descriptor::{self, Fd, attach, clone_tree};
use super::devices::is_device;
use super::enter::make_root_read_only;
use super::failure::{cannot, cannot_own};
use super::known::{Known, Mounted};
use super::resolve::{self, Links};
use crate::word_list;
use crate::word_list::WordList;

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

    fn attach(&mut self, place: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        if !self.attached {
            attach(self.original, place, name)?;
            self.attached = true;
            return Ok(());
        }
        let clone = match self.spare.take() {
            Some(clone) => clone,
            None => clone_tree(self.original, c"", false)?,
        };
        let result = attach(clone.as_fd(), place, name);
        match result {
            Ok(()) => clone.done(),
            Err(_) => self.spare = Some(clone),
        }
        result
    }
}

/// What engines hide or protect of the kernel's own files: none is a link, nor is
/// one on the way, so that they may go by name. First folders, then files.
const FOLDERS: WordList =
    word_list!("/proc/acpi /proc/asound /proc/scsi /proc/bus /proc/fs /proc/irq /proc/sys /sys/firmware");
const FILES: WordList = word_list!(
    "/proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats \
    /proc/sched_debug /proc/interrupts /proc/sysrq-trigger"
);

/// The file system that `path` is one of those in, its name there, and whether
/// it is a folder.
fn by_name<'a>(path: &'a CStr, known: &'a Known) -> Option<(BorrowedFd<'a>, &'a CStr, bool)> {
    let is_folder = FOLDERS.find(path.to_bytes()).is_some();
    if !is_folder && FILES.find(path.to_bytes()).is_none() {
        return None;
    }
    let (mounted, name) = beneath(path, known)?;
    mounted.untouched.then_some((mounted.fd.as_fd(), name, is_folder))
}

/// The mount that `path` leads into, and the rest of it from there. Not where a `..`
/// could lead out of it again.
fn beneath<'a>(path: &'a CStr, known: &'a Known) -> Option<(&'a Mounted, &'a CStr)> {
    let (mounted, start) = match path.to_bytes() {
        path if path.windows(3).any(|part| part == b"/..") => return None,
        path if path.starts_with(b"/proc/") => (&known.proc, "/proc/".len()),
        path if path.starts_with(b"/sys/") => (&known.sys, "/sys/".len()),
        _ => return None,
    };
    Some((mounted.as_ref()?, resolve::c_str(path.to_bytes_with_nul(), start)))
}

/// Makes each of `paths` unreadable: an empty folder over a folder, /dev/null
/// over anything else. What is not there is no secret.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn mask(paths: Paths<'_>, null: &NullDevice, known: &Known, label: Option<Text<'_>>) -> Result<()> {
    let mut null = Cover::of(&null.0);
    let mut empty = Empty { tree: None, label };
    let mut buffer: PathBuffer = [0; limits::PATH];
    for path in paths.iter() {
        let result = match by_name(path.c_str(&mut buffer)?, known) {
            Some((folder, name, true)) => empty.attach(folder, name),
            Some((file, name, false)) => null.attach(file, name),
            None => {
                let Some(place) = open_if_there(path, known, "mask")? else { continue };
                // move_mount(2) says EINVAL for a file on a folder.
                match null.attach(place.as_fd(), c"") {
                    Err(Errno::INVAL) => empty.attach(place.as_fd(), c""),
                    result => result,
                }
            }
        };
        match result {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(cannot("mask", path, errno)),
        }
    }
    Ok(())
}

/// What is at `path`; `what` is to be done to it, for an error.
#[inline(never)]
fn open_if_there(path: Text<'_>, known: &Known, what: &'static str) -> Result<Option<Fd>> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let name = path.c_str(&mut buffer)?;
    // Into what is mounted there even while somebody renames the folder under it.
    let (holder, name) = beneath(name, known).map_or((CWD, name), |(mounted, name)| (mounted.fd.as_fd(), name));
    match resolve::open(holder, name, OFlags::PATH, Links::Follow) {
        Ok(place) => Ok(Some(place)),
        // ENOTDIR: a file where a folder on the way should be.
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(cannot(what, path, errno)),
    }
}

/// The same for folders: made when it is first needed.
struct Empty<'a> {
    tree: Option<(Fd, bool)>,
    label: Option<Text<'a>>,
}

impl Empty<'_> {
    fn attach(&mut self, place: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let (tree, attached) = match self.tree.take() {
            Some(one) => one,
            None => (empty_folder(self.label)?, false),
        };
        let cover = match attached {
            true => Some(clone_tree(tree.as_fd(), c"", false)?),
            false => None,
        };
        let result = attach(cover.as_ref().unwrap_or(&tree).as_fd(), place, name);
        self.tree = Some((tree, attached || result.is_ok()));
        result
    }
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

/// Makes each of `paths` read-only, with all that is mounted below it; of the root
/// only itself, as `root.readonly` does. What is not there is left alone.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn make_read_only(paths: Paths<'_>, known: &Known) -> Result<()> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    for path in paths.iter() {
        if is_at(path, "") {
            // What is mounted over it would not be what the process sees.
            make_root_read_only()?;
            continue;
        }
        let made = match by_name(path.c_str(&mut buffer)?, known) {
            Some((folder, name, _)) => make_one_read_only(folder, name),
            None => match open_if_there(path, known, "make read-only")? {
                Some(place) => make_one_read_only(place.as_fd(), c""),
                None => continue,
            },
        };
        match made {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(cannot("make read-only", path, errno)),
        }
    }
    Ok(())
}

fn make_one_read_only(place: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let tree = clone_tree(place, name, true)?;
    descriptor::make_read_only(tree.as_fd(), true)?;
    attach(tree.as_fd(), place, name)?;
    tree.done();
    Ok(())
}
