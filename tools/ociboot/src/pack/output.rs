//! A file that appears under its name when it is whole, and not before.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};
use tempfile::NamedTempFile;

use super::Written;
use crate::signals::Temporary;

/// Whether a file of this name can be written, as far as its folder says.
pub fn check(path: &Path) -> Result<()> {
    let place = if path.exists() { path } else { folder_of(path) };
    access(place, Access::WRITE_OK).with_context(|| format!("cannot write {}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub struct Output {
    file: NamedTempFile,
    _temporary: Temporary,
    path: PathBuf,
}

impl Output {
    /// A temporary file beside the one to be, which is gone again unless it is kept.
    pub fn new(path: &Path) -> Result<Output> {
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            bail!("{} is there already and is not an ordinary file: it is not replaced", path.display());
        }
        check(path)?;
        let make = || tempfile::Builder::new().prefix(".ociboot-").tempfile_in(folder_of(path));
        let made = Temporary::of(make, NamedTempFile::path);
        let (file, temporary) = made.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Output { _temporary: temporary, file, path: path.into() })
    }

    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Gives it its name, in the place of what has it.
    pub fn keep(self) -> Result<Written> {
        let shown = || format!("cannot write {}", self.path.display());
        // Temporary files are their maker's alone; this one is as any other.
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        rustix::process::umask(umask);
        let mode = 0o666 & !umask.as_raw_mode();
        std::fs::set_permissions(self.file.path(), Permissions::from_mode(mode)).with_context(shown)?;
        let size = std::fs::metadata(self.file.path()).with_context(shown)?.len();
        self.file.persist(&self.path).with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Written { path: self.path, size })
    }
}
