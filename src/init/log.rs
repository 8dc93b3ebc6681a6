//! Our own messages: to the console, the kernel's log or a virtio-serial port.
//!
//! Whoever reads them may be slow or gone: a message that is not taken within a
//! moment is lost, and nobody waits for it.

use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::clock::{now, until};
use crate::bytes::Printed;
use crate::error::Error;
use crate::limits;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::{AsRawFd, BorrowedFd, Errno, borrow_raw, io};

/// The descriptor's number, doubled, and one more for the kernel's log: for
/// whoever has nothing else at hand, as the panic handler.
static OPEN: AtomicI32 = AtomicI32::new(2 * 2);

/// How long a message may take, in milliseconds.
const PATIENCE: u64 = 1000;

/// The log goes to `to` from here on; `kmsg`: that is /dev/kmsg.
pub fn set(to: BorrowedFd<'static>, kmsg: bool) {
    OPEN.store(to.as_raw_fd() * 2 + i32::from(kmsg), Relaxed);
}

/// Something was not as it should be, or not as asked for.
pub fn warning(error: &Error) {
    write("4", "warning: ", error);
}

/// Something has failed.
pub fn error(error: &Error) {
    write("3", "", error);
}

/// Something has happened.
pub fn info(message: &Error) {
    write("6", "", message);
}

#[inline(never)]
fn write(level: &str, word: &str, message: &Error) {
    let open = OPEN.load(Relaxed);
    // A sentence fits, with what stands around it.
    let mut line = Printed::<{ limits::MESSAGE + 32 }>::new();
    if open % 2 == 1 {
        line.add(format_args!("<{level}>ocinit: {word}{message}\n"));
    } else {
        // The console passes bytes on as they come.
        line.add(format_args!("ocinit: {word}{message}\r\n"));
    }
    write_within(borrow_raw(open.unsigned_abs() / 2), line.as_bytes(), PATIENCE);
}

/// Writes all of `bytes` where it is possible within so many milliseconds. `to`
/// does not block.
#[must_use = "what could not be written is lost"]
pub fn try_write(to: BorrowedFd<'_>, mut bytes: &[u8], milliseconds: u64) -> bool {
    let end = now() + milliseconds;
    while !bytes.is_empty() {
        match io::write(to, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut wanted = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                if !matches!(poll(&mut wanted, Some(&until(end))), Ok(1))
                    || !wanted[0].revents().contains(PollFlags::OUT)
                {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

/// As [`try_write`], where nothing depends on it.
pub fn write_within(to: BorrowedFd<'_>, bytes: &[u8], milliseconds: u64) {
    let _ = try_write(to, bytes, milliseconds);
}
