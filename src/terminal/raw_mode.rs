//! Raw mode for our own terminal while another one is relayed to it: keys are
//! passed on as they come, and the inner terminal echoes and edits.

use crate::error::Result;
use crate::fail;
use crate::sys::{BorrowedFd, Errno, Modes, set_terminal_modes, terminal_modes};

/// A terminal in raw mode. Dropping it brings back the mode it had.
#[must_use = "dropping it ends raw mode"]
pub struct RawMode<'a> {
    terminal: BorrowedFd<'a>,
    saved: Modes,
}

impl<'a> RawMode<'a> {
    /// Puts `terminal` into raw mode (cfmakeraw(3)). `None` where it is no
    /// terminal: there is nothing to put, then.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn enter(terminal: BorrowedFd<'a>) -> Result<Option<RawMode<'a>>> {
        let failed = |errno: Errno| fail!(errno => "cannot put the terminal into raw mode");
        let saved = match terminal_modes(terminal) {
            Ok(saved) => saved,
            Err(Errno::NOTTY | Errno::INVAL | Errno::IO) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        // Now, and not after what is typed ahead has been thrown away.
        set_terminal_modes(terminal, &saved.raw(), false).map_err(failed)?;
        Ok(Some(RawMode { terminal, saved }))
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        // After the last output; where it fails the terminal is gone.
        let _ = set_terminal_modes(self.terminal, &self.saved, true);
    }
}
