//! The user's terminal while a guest has it: raw, and as it was again however
//! we end.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::process::getpgrp;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

/// Puts a terminal back when dropped: at a return, an error or a panic.
pub struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    pub fn new(terminal: impl AsFd) -> Result<Raw> {
        let terminal = terminal.as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw).context("cannot set the terminal")?;
        Ok(Raw { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Rows and columns, where standard input and output are both a terminal, and it is ours:
/// a job in the background must not change what another one reads from.
pub fn size() -> Option<(u16, u16)> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    if !isatty(&input) || !isatty(&output) {
        return None;
    }
    // Where it is not the terminal of our session nobody else's job has it either.
    if tcgetpgrp(&input).is_ok_and(|foreground| foreground != getpgrp()) {
        return None;
    }
    let size = tcgetwinsize(&output).ok()?;
    Some(if size.ws_row == 0 || size.ws_col == 0 { (24, 80) } else { (size.ws_row, size.ws_col) })
}

/// Three times this key (Ctrl-]) ends the guest: the rest are the guest's.
const ESCAPE: u8 = 0x1d;

/// Watches for the escape in what is typed.
#[derive(Default)]
pub struct Escape {
    count: u8,
}

impl Escape {
    /// Whether it is complete with these bytes.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.count = if *byte == ESCAPE { self.count + 1 } else { 0 };
            if self.count == 3 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut escape = Escape::default();
        assert!(!escape.take(b"\x1d\x1dx\x1d"));
        assert!(!escape.take(b"\x1d"));
        assert!(escape.take(b"\x1d"));
    }

    #[test]
    fn a_terminal_is_as_before() {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).expect("a terminal");
        rustix::pty::grantpt(&master).expect("granted");
        rustix::pty::unlockpt(&master).expect("unlocked");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("a name");
        let slave = std::fs::File::options().read(true).write(true).open(name.to_str().expect("UTF-8")).expect("open");
        let local = |file: &std::fs::File| tcgetattr(file).expect("settings").local_modes;
        let before = local(&slave);
        let result = std::panic::catch_unwind(|| {
            let _raw = Raw::new(&slave).expect("raw");
            assert_ne!(local(&slave), before);
            panic!("on purpose");
        });
        assert!(result.is_err());
        assert_eq!(local(&slave), before);
    }
}
