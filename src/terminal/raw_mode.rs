//! Raw mode for our own terminal while another one is relayed to it: keys are
//! passed on as they come, and the inner terminal echoes and edits.

use crate::error::Result;
use crate::fail;
use crate::sys::BorrowedFd;
use crate::sys::Errno;
use crate::sys::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal in raw mode. Dropping it brings back the mode it had.
#[must_use = "dropping it ends raw mode"]
pub struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    saved: Termios,
}

impl<'a> RawMode<'a> {
    /// Puts `terminal` into raw mode (cfmakeraw(3)). `None` where it is no
    /// terminal: there is nothing to put, then.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn enter(terminal: BorrowedFd<'a>) -> Result<Option<RawMode<'a>>> {
        let failed = |errno: Errno| fail!(errno => "cannot put the terminal into raw mode");
        let saved = match tcgetattr(terminal) {
            Ok(saved) => saved,
            Err(Errno::NOTTY | Errno::INVAL | Errno::IO) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let mut raw = saved.clone();
        raw.make_raw();
        // Now, and not after what is typed ahead has been thrown away.
        tcsetattr(terminal, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(RawMode { terminal, saved }))
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // After the last output; where it fails the terminal is gone.
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.saved);
    }
}
