//! mkdir -p.

use core::ffi::CStr;

use crate::json::PathBuffer;
use crate::sys::Errno;
use crate::sys::fs::{CWD, Mode, mkdirat};

/// Makes every folder on the way to `path`, and that, where they are missing.
///
/// # Errors
/// As mkdir(2); ENAMETOOLONG beyond PATH_MAX.
#[inline(never)]
pub fn make_folders(path: &CStr, mode: Mode) -> Result<(), Errno> {
    let mut part: PathBuffer = [0; _];
    let mut before = 0;
    for (index, byte) in path.to_bytes_with_nul().iter().copied().enumerate() {
        if matches!(byte, b'/' | 0) && !matches!(before, b'/' | 0) {
            // A NUL stands behind what is copied so far: nothing else was there.
            let folder = CStr::from_bytes_until_nul(&part).map_err(|_| Errno::NAMETOOLONG)?;
            match mkdirat(CWD, folder, mode) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        *part.get_mut(index).ok_or(Errno::NAMETOOLONG)? = byte;
        before = byte;
    }
    Ok(())
}
