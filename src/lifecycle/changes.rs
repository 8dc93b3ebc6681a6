//! What is changed of the process that the configuration describes: by the
//! command line of `exec`, or by the kernel's.

use core::ffi::CStr;

use super::process_plan::ProcessPlan;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::termios::Winsize;

/// The changes. Nothing by default.
#[derive(Clone, Copy, Default)]
pub struct Changes {
    /// In the place of the arguments: strings each ended by a NUL.
    pub arguments: Option<&'static [u8]>,
    /// Variables in addition, in the same form.
    pub environment: &'static [u8],
    pub cwd: Option<&'static CStr>,
    /// User and, where it is given, group.
    pub user: Option<(u32, Option<u32>)>,
    /// The process gets a terminal.
    pub terminal: bool,
    /// Rows and columns of it.
    pub console_size: Option<(u16, u16)>,
}

impl ProcessPlan<'_> {
    /// Applies them.
    ///
    /// # Errors
    /// Too many strings, or a working directory that is no absolute path.
    pub fn change(&mut self, changes: &Changes) -> Result<()> {
        if let Some(arguments) = changes.arguments {
            self.clear_arguments();
            each_string(arguments, |argument| self.add_argument(argument))?;
        }
        each_string(changes.environment, |variable| self.add_variable(variable))?;
        self.set_cwd(changes.cwd)?;
        self.set_user(changes.user);
        self.terminal |= changes.terminal;
        let size = |(rows, columns)| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.console_size = changes.console_size.map(size).or(self.console_size);
        Ok(())
    }

    /// The working directory, where one is given.
    ///
    /// # Errors
    /// It is no absolute path.
    pub fn set_cwd(&mut self, cwd: Option<&'static CStr>) -> Result<()> {
        let Some(cwd) = cwd else { return Ok(()) };
        if !cwd.to_bytes().starts_with(b"/") {
            return Err(fail!("the working directory {} is not an absolute path", Lossy(cwd.to_bytes())));
        }
        self.cwd = cwd;
        Ok(())
    }

    /// The user and the group, where they are given.
    pub fn set_user(&mut self, user: Option<(u32, Option<u32>)>) {
        if let Some((uid, gid)) = user {
            self.uid = uid;
            self.gid = gid.unwrap_or(self.gid);
        }
    }
}

/// Calls `each` with every string of `strings`; one without a NUL behind it is
/// none.
fn each_string(mut strings: &'static [u8], mut each: impl FnMut(&'static CStr) -> Result<()>) -> Result<()> {
    while let Ok(string) = CStr::from_bytes_until_nul(strings) {
        each(string)?;
        strings = strings.get(string.count_bytes() + 1..).unwrap_or(&[]);
    }
    Ok(())
}
