//! Standard output, in few and whole writes.

use core::fmt;

use crate::error::Result;
use crate::fail;
use crate::limits;
use crate::sys::{self, AsFd, BorrowedFd, Errno, io};

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
            Some(errno) => Err(fail!(errno => "cannot write the output")),
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

/// `write(2)` until all bytes are written.
///
/// # Errors
/// The kernel's; EIO where it takes nothing and says nothing.
pub fn write_all(to: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    let to = to.as_fd();
    while !bytes.is_empty() {
        match io::write(to, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
