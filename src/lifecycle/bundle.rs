//! The bundle: the folder with config.json and, usually, the root file system.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::arena::Arena;
use crate::bytes::Printed;
use crate::error::{Lossy, Result};
use crate::spec::config::Config;
use crate::sys::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, openat};
use crate::sys::{self, AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, read_all};
use crate::{fail, limits};

/// A bundle that exists.
pub struct Bundle {
    folder: OwnedFd,
    /// Absolute.
    pub path: &'static CStr,
}

/// Where the root file system is.
pub struct RootPath {
    /// As the configuration has it, for whoever is in the bundle.
    pub relative: &'static CStr,
    pub absolute: &'static CStr,
}

impl Bundle {
    /// Opens it.
    #[inline(never)]
    pub fn open(path: &CStr, arena: &mut Arena<'static>) -> Result<Bundle> {
        let failed = |errno: Errno| fail!(errno => "cannot open the bundle {}", Lossy(path.to_bytes()));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if is_plain(path.to_bytes())
            && let Ok(folder) = fs::openat2(fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        {
            return Ok(Bundle { folder, path: arena.join(&[path.to_bytes()])? });
        }
        let folder = fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let name = Printed::<32>::of(format_args!("/proc/self/fd/{}", folder.as_raw_fd())); // ten digits at most: it fits
        let mut buffer = [MaybeUninit::uninit(); limits::PATH];
        let (absolute, _) = fs::readlinkat_raw(fs::CWD, name.as_c_str(), &mut buffer).map_err(failed)?;
        Ok(Bundle { folder, path: arena.join(&[absolute])? })
    }

    /// Reads config.json, or the file that stands in for it.
    pub fn read<'b>(&self, instead: Option<&CStr>, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        match instead {
            Some(path) => read_document(fs::CWD, path, buffer),
            None => read_document(self.folder.as_fd(), c"config.json", buffer),
        }
    }

    /// The root file system that the configuration names.
    ///
    /// # Errors
    /// With the place: there is no such folder.
    pub fn root(&self, config: &Config<'_>, arena: &mut Arena<'static>) -> Result<RootPath> {
        let Some(path) = config.root().and_then(|root| root.path()) else {
            return Err(config.value().error(format_args!("\"root\" is missing")));
        };
        let relative = arena.text(path)?;
        let failed =
            |errno: Errno| path.value().os_error(errno, format_args!("cannot open the root file system \"{path}\""));
        let status = fs::statat(&self.folder, relative, AtFlags::empty()).map_err(failed)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            return Err(failed(Errno::NOTDIR));
        }
        let absolute = match relative.to_bytes().first() {
            Some(b'/') => relative,
            _ => arena.join(&[self.path.to_bytes(), b"/", relative.to_bytes()])?,
        };
        Ok(RootPath { relative, absolute })
    }
}

/// Whether it is an absolute path that certainly has no detours: without links on the way
/// it is what the kernel would say of what is there.
fn is_plain(path: &[u8]) -> bool {
    path.starts_with(b"/") && !path.ends_with(b"/") && !path.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

/// Reads a document of the configuration.
///
/// # Errors
/// It is missing, or larger than the limit, which is named.
pub fn read_document<'b>(folder: BorrowedFd<'_>, path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    let shown = Lossy(path.to_bytes());
    let failed = |errno: Errno| fail!(errno => "cannot read {shown}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(folder, path, flags, Mode::empty()).map_err(failed)?;
    let text = read_all(file.as_fd(), buffer).map_err(failed)?;
    if text.len() > limits::DOCUMENT {
        let size = fs::fstat(&file).map_err(failed)?.st_size;
        return Err(fail!("{shown} has {size} bytes, more than the limit of {} bytes", limits::DOCUMENT));
    }
    sys::done(file);
    Ok(text)
}
