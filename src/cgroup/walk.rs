//! Finding the cgroups below a cgroup.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use heapless::Vec;

use crate::sys::fs::{FileType, RawDir, SeekFrom, seek};
use crate::sys::{BorrowedFd, Errno};

/// Room for a file's name.
pub(super) struct Name {
    bytes: Vec<u8, 256>,
}

impl Name {
    pub(super) fn new() -> Name {
        Name { bytes: Vec::new() }
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

/// Finds the next folder in the one that `fd` has open, from where its file
/// position is, and leaves the position behind it. `false`: no more.
///
/// The position is all that a walk has to remember, and the kernel keeps it.
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
        name.bytes.clear();
        name.bytes.extend_from_slice(entry.file_name().to_bytes_with_nul()).map_err(|_| Errno::NAMETOOLONG)?;
        seek(fd, SeekFrom::Start(entry.next_entry_cookie()))?;
        return Ok(true);
    }
    Ok(false)
}
