//! Finding the cgroups below a cgroup.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::tree::terminated;
use crate::sys::fs::{FileType, RawDir, SeekFrom, seek};
use crate::sys::{BorrowedFd, Errno};

/// Room for a file's name and its NUL.
pub(super) type Name = [u8; 256];

/// The name in it.
pub(super) fn as_c_str(name: &Name) -> &CStr {
    CStr::from_bytes_until_nul(name).unwrap_or(c"")
}

/// Finds the next folder in the one that `fd` has open, from where its file
/// position is, and leaves the position behind it. `false`: no more.
///
/// The position is all that a walk has to remember, and the kernel keeps it.
#[inline(never)] // its buffer is gone from the stack before anything deeper
pub(super) fn next_folder(fd: BorrowedFd<'_>, name: &mut Name) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    let mut entries = RawDir::new(fd, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            // The folder was removed while it was open.
            Err(Errno::NOENT | Errno::NODEV) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        if entry.file_type() != FileType::Directory || matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        terminated(entry.file_name().to_bytes(), name)?;
        seek(fd, SeekFrom::Start(entry.next_entry_cookie()))?;
        return Ok(true);
    }
    Ok(false)
}
