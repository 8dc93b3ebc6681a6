//! Where the state of containers is kept, unless the command line says it.

use core::ffi::CStr;

use super::commands::Flag;
use super::{Invocation, variable};
use crate::bytes;
use crate::error::Result;
use crate::json::PathBuffer;
use crate::lifecycle::in_user_namespace;
use crate::sys;
use crate::{fail, limits};

/// The path of the state directory, in `buffer`: `--root`; without it
/// /run/ocinit, and for an ordinary user the folder `ocinit` in
/// $XDG_RUNTIME_DIR. So also for one who is root of a user namespace (as runc does
/// it, unless $USER says root).
///
/// # Errors
/// An ordinary user has no such folder, or the path is too long.
pub fn state_root<'b>(
    invocation: &Invocation,
    environment: sys::Vector,
    buffer: &'b mut PathBuffer,
) -> Result<&'b CStr> {
    let folder = variable(environment, "XDG_RUNTIME_DIR=").filter(|folder| !folder.is_empty());
    let is_root = || {
        let is_host_root = folder.is_none() || variable(environment, "USER=") == Some(b"root");
        sys::process::geteuid().is_root() && (is_host_root || !in_user_namespace())
    };
    let parts: [&[u8]; 2] = match invocation.path(Flag::Root) {
        Some(root) => [root.to_bytes(), b""],
        None if is_root() => [b"/run/ocinit", b""],
        None => [
            folder.ok_or_else(|| fail!("XDG_RUNTIME_DIR is not set: say with --root where to keep state"))?,
            b"/ocinit",
        ],
    };
    bytes::join(buffer, &parts).ok_or_else(|| fail!("--root: longer than the limit of {} bytes", limits::PATH))
}
