//! The security labels of the process: AppArmor's profile (apparmor(7)) and
//! SELinux's context (selinux(8)), by the files that proc_pid_attr(5) describes.

use core::ffi::CStr;

use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::sys::fs::OFlags;
use crate::sys::{Errno, Procfs, io};

/// What a label is for.
#[derive(Clone, Copy)]
pub enum Label {
    /// The AppArmor profile of the next program.
    AppArmor,
    /// The SELinux context of the next program.
    SeLinux,
    /// The SELinux context of new keyrings; an empty one is the default again.
    Keys,
}

/// Sets the caller's label.
///
/// # Errors
/// The kernel lacks what it is for, has no such label, or does not let the caller
/// have it.
pub fn set_label(procfs: &Procfs, which: Label, label: &CStr) -> Result<()> {
    // folder, file, what the label is written behind, and what it is
    let (folder, file, prefix, what) = match which {
        Label::AppArmor => ("apparmor/", "exec", b"exec ".as_slice(), "AppArmor profile"),
        Label::SeLinux => ("", "exec", b"".as_slice(), "SELinux label"),
        Label::Keys => ("", "keycreate", b"".as_slice(), "SELinux label"),
    };
    let shown = Lossy(label.to_bytes());
    let path = |file| Printed::<64>::of(format_args!("self/attr/{folder}{file}")); // they fit
    // Without the module the file is not there, or cannot be read.
    let current = procfs.open_file(path("current").as_c_str(), OFlags::RDONLY);
    let mut buffer = [0; limits::PATH];
    let read = current.and_then(|file| io::read(&file, &mut buffer[..]));
    if let Err(Errno::NOENT | Errno::INVAL | Errno::OPNOTSUPP) = read {
        return Err(fail!("cannot apply the {what} \"{shown}\": the kernel does not have it, or it is not enabled"));
    }
    let text = bytes::join(&mut buffer, &[prefix, label.to_bytes()]).unwrap_or(c"").to_bytes();
    procfs
        .write_file(path(file).as_c_str(), text)
        .map_err(|errno| fail!(errno => "cannot apply the {what} \"{shown}\""))
}
