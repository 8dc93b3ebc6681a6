//! Standard output, in few and whole writes.

use core::fmt;

use crate::error::{Error, Result};
use crate::fail;
use crate::limits;
use crate::sys::{self, BorrowedFd, Errno, write_all};

/// Text on its way to a descriptor. Nothing is lost silently: [`Output::finish`]
/// gives the error of any write that failed.
pub struct Output<'a> {
    to: BorrowedFd<'a>,
    buffer: heapless::Vec<u8, { limits::OUTPUT }>,
    failed: Option<Errno>,
}

impl Output<'static> {
    /// To standard output.
    pub fn stdout() -> Self {
        Output::to(sys::stdout())
    }
}

impl<'a> Output<'a> {
    /// To the descriptor `to`.
    pub fn to(to: BorrowedFd<'a>) -> Self {
        Output { to, buffer: heapless::Vec::new(), failed: None }
    }

    fn flush(&mut self) {
        if self.failed.is_none() {
            self.failed = write_all(self.to, &self.buffer).err();
        }
        self.buffer.clear();
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// That of the first write that failed.
    pub fn finish(mut self) -> Result<()> {
        self.flush();
        match self.failed {
            None => Ok(()),
            Some(errno) => Err(cannot_write(errno)),
        }
    }
}

impl fmt::Write for Output<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.buffer.push(byte).is_err() {
                self.flush();
                // There is room now.
                let _ = self.buffer.push(byte);
            }
        }
        if self.failed.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Bytes to standard output, at once.
///
/// # Errors
/// The kernel's.
pub fn print(bytes: &[u8]) -> Result<()> {
    write_all(sys::stdout(), bytes).map_err(cannot_write)
}

#[cold]
fn cannot_write(errno: Errno) -> Error {
    fail!(errno => "cannot write the output")
}
