//! Files of the image, or of the kernel's: whatever stands in their place must not hold up
//! process 1.

use core::ffi::CStr;

use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{AsFd, Errno, OwnedFd, read_all};

/// Opens a file to read it. A pipe that is in its place has nobody who writes, and is
/// not waited for.
///
/// # Errors
/// As open(2).
pub fn open_to_read(path: &CStr) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

/// All that is in a file; `None` where there is none. `room` has one byte more than may
/// be in it.
///
/// # Errors
/// It cannot be read, or is larger.
#[inline(never)]
pub fn read<'b>(path: &CStr, room: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
    let shown = Lossy(path.to_bytes());
    let failed = |errno: Errno| fail!(errno => "cannot read {shown}");
    let most = room.len().saturating_sub(1);
    let file = match open_to_read(path) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed(errno)),
    };
    let text = read_all(file.as_fd(), room).map_err(failed)?;
    if text.len() > most { Err(fail!("{shown} is larger than the limit of {most} bytes")) } else { Ok(Some(text)) }
}
