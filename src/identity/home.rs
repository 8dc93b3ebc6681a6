//! HOME, where the configuration does not set it (R8's one exception: read
//! from the root file system, by number, after pivot_root).

use core::ffi::CStr;

use super::passwd::Search;
use crate::json::PathBuffer;
use crate::limits;
use crate::sys::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use crate::sys::{Errno, done, io};

/// The home folder of `uid` in the caller's /etc/passwd, in `buffer`; `/` where
/// there is none, or no such file, or one that is not fit to be read.
///
/// Of a user who stands there twice, the first line counts, as in getpwuid(3).
pub fn home_of(uid: u32, buffer: &mut PathBuffer) -> &CStr {
    match find(&mut Search::new(uid, buffer)) {
        Ok(true) => CStr::from_bytes_until_nul(buffer).unwrap_or(c"/"),
        Ok(false) | Err(_) => c"/",
    }
}

#[inline(never)] // its buffer is gone from the stack before anything deeper
fn find(search: &mut Search<'_>) -> Result<bool, Errno> {
    // Not a FIFO to wait for, not a device, nothing that /proc leads to.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat2(CWD, c"/etc/passwd", flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let mut buffer = [0; 4096];
    let mut total = 0;
    while total < limits::PASSWD {
        let length = match io::read(&file, &mut buffer[..]) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        // The last line may lack its end.
        let text = if length == 0 { b"\n" } else { buffer.get(..length).unwrap_or(&[]) };
        for byte in text {
            if search.take(*byte) {
                done(file);
                return Ok(true);
            }
        }
        if length == 0 {
            break;
        }
        total += length;
    }
    Ok(false)
}
