//! Single attributes of the process and of its UTS namespace.

use core::ffi::CStr;
use core::fmt::Write;

use heapless::String;

use crate::error::Result;
use crate::json::Text;
use crate::sys::fs::{Mode, OFlags};
use crate::sys::{Errno, Procfs, io, process, system};
use crate::{fail, limits};

/// Sets how readily process `pid` is killed when memory runs out: -1000 (never)
/// to 1000 (proc(5), oom_score_adj). The process is a child that the caller has
/// not reaped, so that its pid is its own.
///
/// # Errors
/// The kernel's: lowering it takes CAP_SYS_RESOURCE.
pub fn set_oom_score_adj(procfs: &Procfs, pid: i32, score: i32) -> Result<()> {
    let mut text: String<16> = String::new();
    let mut path: String<40> = String::new();
    // Both fit.
    let _ = write!(text, "{score}").and_then(|()| write!(path, "{pid}/oom_score_adj\0"));
    let path = CStr::from_bytes_until_nul(path.as_bytes()).unwrap_or(c"");
    let file = procfs.open_file(path, OFlags::WRONLY);
    match file.and_then(|file| io::write(&file, text.as_bytes())) {
        Ok(_) => Ok(()),
        Err(errno) => Err(fail!(errno => "cannot set oom_score_adj to {score}")),
    }
}

/// Sets the host name of the process's UTS namespace (sethostname(2)).
///
/// # Errors
/// With the place: the kernel's.
pub fn set_hostname(name: Text<'_>) -> Result<()> {
    named(name, system::sethostname, "host")
}

/// Sets the NIS domain name of the process's UTS namespace (setdomainname(2)).
///
/// # Errors
/// With the place: the kernel's.
pub fn set_domainname(name: Text<'_>) -> Result<()> {
    named(name, system::setdomainname, "domain")
}

fn named(name: Text<'_>, set: fn(&[u8]) -> Result<(), Errno>, what: &str) -> Result<()> {
    let mut buffer = [0; limits::HOSTNAME + 1];
    let bytes = name.c_str(&mut buffer)?.to_bytes();
    set(bytes).map_err(|errno| {
        name.value().os_error(errno.raw_os_error(), format_args!("cannot set the {what} name to \"{name}\""))
    })
}

/// Sets the file mode creation mask (umask(2)).
pub fn set_umask(mask: u32) {
    process::umask(Mode::from_raw_mode(mask));
}
