//! `maskedPaths` and `readonlyPaths`, carried out inside the root.

use core::ffi::CStr;

use crate::error::Result;
use crate::fail;
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::record::List;
use crate::sys::fs::{CWD, FileType, OFlags, fstat, makedev};
use crate::sys::mounts::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use crate::sys::{AsFd, Attributes, BorrowedFd, Errno, OwnedFd, mount_setattr};

use super::descriptor::{attach_at, clone_tree, done_with};
use super::devices::is_device;
use super::options::RDONLY;
use super::resolve::{self, Links};

/// /dev/null of the root, whose contents are not ours: seen to be it.
pub struct NullDevice(OwnedFd);

impl NullDevice {
    /// Opens it. To be called inside the root.
    ///
    /// # Errors
    /// It is missing, behind a link, or something else.
    pub fn open() -> Result<NullDevice> {
        let fail = |errno: Errno| fail!(errno => "cannot use /dev/null of the root file system");
        let null = resolve::open(CWD, c"/dev/null", OFlags::PATH, Links::Refuse).map_err(fail)?;
        if !is_device(&fstat(&null).map_err(fail)?, FileType::CharacterDevice, makedev(1, 3)) {
            return Err(fail!("/dev/null of the root file system is not the null device"));
        }
        Ok(NullDevice(null))
    }
}

/// What is mounted over secrets.
struct Covers<'a> {
    /// For anything but a folder.
    null: &'a NullDevice,
    /// An empty folder, made when first needed: attached there, then cloned for
    /// the others, since before Linux 6.15 only what is attached can be cloned.
    empty: Option<OwnedFd>,
}

/// Makes each of `paths` unreadable: an empty folder over a folder, /dev/null
/// over anything else. What is not there is no secret.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn mask(paths: List<'_, Text<'static>>, null: &NullDevice) -> Result<()> {
    let mut covers = Covers { null, empty: None };
    for path in paths.iter() {
        let mut buffer: PathBuffer = [0; limits::PATH];
        covers
            .mask(path.c_str(&mut buffer)?)
            .map_err(|errno| path.value().os_error(errno.raw_os_error(), format_args!("cannot mask {path}")))?;
    }
    if let Some(empty) = covers.empty {
        done_with(empty);
    }
    Ok(())
}

impl Covers<'_> {
    fn mask(&mut self, path: &CStr) -> Result<(), Errno> {
        // Whether it is a folder is said by whether it opens as one.
        let place = match resolve::open(CWD, path, OFlags::PATH | OFlags::DIRECTORY, Links::Follow) {
            Ok(folder) => {
                self.hide_folder(folder.as_fd())?;
                folder
            }
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR) => match resolve::open(CWD, path, OFlags::PATH, Links::Follow) {
                Ok(file) => {
                    self.hide_file(file.as_fd())?;
                    file
                }
                // A file where a folder on the way should be: nothing is there.
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
                Err(errno) => return Err(errno),
            },
            Err(errno) => return Err(errno),
        };
        done_with(place);
        Ok(())
    }

    fn hide_folder(&mut self, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        let Some(empty) = &self.empty else {
            let empty = empty_folder()?;
            attach_at(empty.as_fd(), folder)?;
            self.empty = Some(empty);
            return Ok(());
        };
        let clone = clone_tree(empty.as_fd(), c"", false)?;
        attach_at(clone.as_fd(), folder)?;
        done_with(clone);
        Ok(())
    }

    fn hide_file(&mut self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        let clone = clone_tree(self.null.0.as_fd(), c"", false)?;
        attach_at(clone.as_fd(), file)?;
        done_with(clone);
        Ok(())
    }
}

/// A detached tmpfs that nobody can write to.
fn empty_folder() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"source", c"tmpfs")?;
    fsconfig_set_flag(&context, c"ro")?;
    fsconfig_create(&context)?;
    let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    done_with(context);
    Ok(tree)
}

/// Makes each of `paths` read-only, with all that is mounted below it. What is
/// not there is left alone.
///
/// # Errors
/// What the kernel says, with the place in the configuration.
pub fn make_read_only(paths: List<'_, Text<'static>>) -> Result<()> {
    for path in paths.iter() {
        make_one_read_only(path).map_err(|errno| {
            path.value().os_error(errno.raw_os_error(), format_args!("cannot make {path} read-only"))
        })?;
    }
    Ok(())
}

fn make_one_read_only(path: Text<'_>) -> Result<(), Errno> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let path = path.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?;
    let place = match resolve::open(CWD, path, OFlags::PATH, Links::Follow) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        result => result?,
    };
    let tree = clone_tree(place.as_fd(), c"", true)?;
    mount_setattr(tree.as_fd(), c"", true, Attributes { set: RDONLY, ..Attributes::default() })?;
    attach_at(tree.as_fd(), place.as_fd())?;
    done_with(tree);
    done_with(place);
    Ok(())
}
