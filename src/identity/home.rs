//! HOME, where the configuration does not set it (R8's one exception: read
//! from the root file system, by number, after pivot_root).

use core::ffi::CStr;

use super::passwd::home_in;
use crate::json::PathBuffer;
use crate::limits;
use crate::sys::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use crate::sys::{Errno, io};

/// The home folder of `uid` in the caller's /etc/passwd, in `buffer`; `/` where
/// there is none, or no such file, or one that is not fit to be read.
///
/// Of a user who stands there twice, the first line counts, as in getpwuid(3).
pub fn home_of(uid: u32, buffer: &mut PathBuffer) -> &CStr {
    let length = match find(uid, buffer) {
        Ok(Some(length)) => length,
        Ok(None) | Err(_) => {
            if let Some(first) = buffer.first_mut() {
                *first = b'/';
            }
            1
        }
    };
    if let Some(end) = buffer.get_mut(length) {
        *end = 0;
    }
    CStr::from_bytes_until_nul(buffer).unwrap_or(c"/")
}

/// Puts it at the start of `buffer`, which also holds the lines on the way.
fn find(uid: u32, buffer: &mut PathBuffer) -> Result<Option<usize>, Errno> {
    // Not a FIFO to wait for, not a device, nothing that /proc leads to.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat2(CWD, c"/etc/passwd", flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let mut filled = 0; // bytes of the buffer that hold text
    let mut overlong = false; // the line at its start has lost its beginning
    let mut total = 0;
    while total < limits::PASSWD {
        let room = buffer.get_mut(filled..).unwrap_or(&mut []);
        let count = match io::read(&file, room) {
            Err(Errno::INTR) => continue,
            count => count?,
        };
        total += count;
        filled += count;
        let mut start = 0;
        loop {
            let text = buffer.get(start..filled).unwrap_or(&[]);
            let Some(length) = text.iter().position(|byte| *byte == b'\n').or((count == 0).then_some(text.len()))
            else {
                break; // the rest of the line is still in the file
            };
            let line = text.get(..length).unwrap_or(&[]);
            if !overlong && let Some(home) = home_in(line, uid) {
                // A subslice of `text`, so the difference is its place there.
                let at = start + (home.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
                let length = home.len();
                if length + 1 >= limits::PATH {
                    return Ok(None);
                }
                buffer.copy_within(at..at + length, 0);
                return Ok(Some(length));
            }
            overlong = false;
            start += length + 1;
            if start >= filled {
                break;
            }
        }
        if count == 0 {
            return Ok(None);
        }
        if start == 0 && filled == buffer.len() {
            // A line longer than any path: not one to be used.
            overlong = true;
            start = filled;
        }
        let start = start.min(filled);
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
    Ok(None)
}
