//! The pid file: digits only, no newline (containerd parses it untrimmed),
//! written beside its place and moved there.

use core::ffi::CStr;

use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::json::PathBuffer;
use crate::sys::fs::{CWD, Mode, OFlags, openat, rename, unlink};
use crate::sys::{Errno, io};

/// Writes `pid`, as our pid namespace has it, to `path`.
#[inline(never)]
pub fn write(path: &CStr, pid: i32) -> Result<()> {
    let failed = |errno: Errno| fail!(errno => "cannot write the pid file {}", Lossy(path.to_bytes()));
    let mut buffer: PathBuffer = [0; _];
    let slash = path.to_bytes().iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.to_bytes().split_at_checked(slash).unwrap_or((b"", b""));
    let beside = bytes::join(&mut buffer, &[folder, b".", name]).ok_or_else(|| failed(Errno::NAMETOOLONG))?;
    let digits = Printed::<16>::of(format_args!("{pid}")); // a pid has seven digits at most
    // Never what is there already: in a folder of others' it could be a link. A
    // runtime that was killed may have left one.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = match openat(CWD, beside, flags, mode) {
        Err(Errno::EXIST) => unlink(beside).and_then(|()| openat(CWD, beside, flags, mode)),
        file => file,
    };
    let file = file.map_err(failed)?;
    let written = io::write(&file, digits.as_bytes()).map_err(failed)?;
    if written != digits.as_bytes().len() {
        return Err(failed(Errno::NOSPC));
    }
    rename(beside, path).map_err(failed)
}
