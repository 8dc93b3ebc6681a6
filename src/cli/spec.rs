//! `ocinit spec`: writes a config.json to start from.

use core::ffi::CStr;

use super::spec_document;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{AtFlags, Mode, OFlags, openat, unlinkat};
use crate::sys::process::{getegid, geteuid};
use crate::sys::{AsFd, Errno, fs, write_all};

const NAME: &CStr = c"config.json";

/// Writes config.json into the folder `bundle`, or the current one. `rootless`: for a
/// container of the user's own, whoever that is.
///
/// # Errors
/// Where there is one already: it is never overwritten.
pub fn write(bundle: Option<&CStr>, rootless: bool) -> Result<()> {
    let bundle = bundle.unwrap_or(c".");
    let folder = openat(fs::CWD, bundle, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the bundle {}", Lossy(bundle.to_bytes())))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = match openat(&folder, NAME, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => file,
        Err(Errno::EXIST) => return Err(fail!("File config.json exists. Remove it first")),
        Err(errno) => return Err(fail!(errno => "cannot create {}/config.json", Lossy(bundle.to_bytes()))),
    };
    let ids = rootless.then(|| (geteuid().as_raw(), getegid().as_raw()));
    spec_document::write(ids, &mut |piece| write_all(file.as_fd(), piece.as_bytes())).map_err(|errno| {
        // Half a document would be in the way of the next attempt; if even this
        // fails, the error below is what matters.
        let _ = unlinkat(&folder, NAME, AtFlags::empty());
        fail!(errno => "cannot write {}/config.json", Lossy(bundle.to_bytes()))
    })
}
