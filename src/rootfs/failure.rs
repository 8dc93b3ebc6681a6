//! The sentences of this folder's errors, made out of line: most are of one
//! form.

use core::ffi::CStr;

use crate::error::{Error, Lossy};
use crate::fail;
use crate::json::Text;
use crate::sys::Errno;

/// "cannot `what` `path`", with the place in the configuration.
#[cold]
#[inline(never)]
pub fn cannot(what: &'static str, path: Text<'_>, errno: Errno) -> Error {
    path.value().os_error(errno, format_args!("cannot {what} {path}"))
}

/// The same of something that the configuration does not name.
#[cold]
#[inline(never)]
pub fn cannot_own(what: &'static str, path: &CStr, errno: Errno) -> Error {
    fail!(errno => "cannot {what}{}", Lossy(path.to_bytes()))
}
