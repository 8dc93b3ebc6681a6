//! Single attributes of the process and of its UTS namespace.

use core::ffi::CStr;

use crate::bytes::Printed;
use crate::error::Result;
use crate::json::Text;
use crate::sys::fs::Mode;
use crate::sys::{Errno, Procfs, process, system};
use crate::{fail, limits};

/// Sets how readily process `pid` is killed when memory runs out: -1000 (never)
/// to 1000 (proc(5), oom_score_adj). The process is a child that the caller has
/// not reaped, so that its pid is its own.
///
/// # Errors
/// The kernel's: lowering it takes CAP_SYS_RESOURCE.
pub fn set_oom_score_adj(procfs: &Procfs, pid: i32, score: i32) -> Result<()> {
    let path = Printed::<64>::of(format_args!("{pid}/oom_score_adj")); // it fits
    write_oom_score_adj(procfs, path.as_c_str(), score)
}

/// The same of the process itself.
///
/// # Errors
/// As [`set_oom_score_adj`].
pub fn set_own_oom_score_adj(procfs: &Procfs, score: i32) -> Result<()> {
    write_oom_score_adj(procfs, c"self/oom_score_adj", score)
}

fn write_oom_score_adj(procfs: &Procfs, path: &CStr, score: i32) -> Result<()> {
    let text = Printed::<16>::of(format_args!("{score}")); // it fits
    procfs.write_file(path, text.as_bytes()).map_err(|errno| fail!(errno => "cannot set oom_score_adj to {score}"))
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
    set(bytes).map_err(|errno| name.value().os_error(errno, format_args!("cannot set the {what} name to \"{name}\"")))
}

/// Sets the file mode creation mask (umask(2)).
pub fn set_umask(mask: u32) {
    process::umask(Mode::from_raw_mode(mask));
}
