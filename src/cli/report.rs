//! Where errors and warnings go.
//!
//! | | without `--log` | with `--log FILE` |
//! |---|---|---|
//! | error | standard error | FILE and standard error |
//! | warning | standard error | FILE |
//!
//! On standard error a line is `ocinit: …`, for a person; with `--log-format
//! json` and no FILE it is the JSON line. With a FILE, warnings stay away from
//! standard error: it is the container's own by then.
//!
//! podman reads a JSON log of a failed command as one object, so a failure must
//! leave exactly one line. Warnings are therefore held back in JSON until
//! [`Log::finish`], after a success; after a failure they are part of the
//! error's message. Only with `--debug`, which breaks that promise anyway, are
//! they written at once.

use core::ffi::CStr;
use core::fmt::{self, Display, Write};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::log_line::{Level, Line, compose, compose_for_a_person};
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::limits;
use crate::spec::time::rfc3339;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::{self, AsFd, AsRawFd, OwnedFd, write_all};

/// The number of the log's descriptor and whether it is JSON, as `number * 2 +
/// json`, for whoever has no [`Log`] at hand: the panic handler.
static OPEN: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;

/// The log, as the command line wants it.
pub struct Log {
    file: Option<OwnedFd>,
    json: bool,
    /// Warnings are not held back.
    debug: bool,
    /// Warnings held back, each with a newline behind it.
    held: Printed<{ limits::MESSAGE + 1 }>,
}

impl Log {
    /// To standard error only: until the command line is known.
    pub const fn stderr() -> Log {
        Log { file: None, json: false, debug: false, held: Printed::new() }
    }

    /// The log of `--log path`, `--log-format json` and `--debug`. The file is
    /// made where there is none, with mode 0644 as runc's, and appended to.
    ///
    /// # Errors
    /// A file that cannot be opened: a log that nobody could read is not begun.
    pub fn open(path: Option<&CStr>, json: bool, debug: bool) -> Result<Log> {
        let file = match path {
            None => None,
            Some(path) => {
                let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY;
                let file = open(path, flags, Mode::from_raw_mode(0o644));
                Some(file.map_err(|errno| fail!(errno => "cannot open the log {}", Lossy(path.to_bytes())))?)
            }
        };
        if let Some(file) = &file {
            OPEN.store(file.as_raw_fd().saturating_mul(2) | i32::from(json), Relaxed);
        }
        Ok(Log { file, json, debug, held: Printed::new() })
    }

    /// The log that is open, for a last word; standard error where none is.
    pub fn last_word() -> Log {
        let open = OPEN.load(Relaxed);
        let file = if open == NONE { None } else { sys::duplicate(open / 2).ok() };
        Log { json: file.is_some() && open % 2 == 1, file, debug: false, held: Printed::new() }
    }

    /// Reports the failure that ends the command.
    pub fn error(&mut self, error: &Error) {
        if self.file.is_some() {
            self.for_a_person(Level::Error, error);
        }
        match self.held.as_bytes().strip_suffix(b"\n") {
            None => self.write(Level::Error, error),
            Some(held) => self.write(Level::Error, &format_args!("{error} (before that: {})", Joined(held))),
        }
        self.held.clear();
    }

    /// Reports what was not as asked for, and did not stop the command.
    pub fn warning(&mut self, message: fmt::Arguments<'_>) {
        let hold = self.json && self.file.is_some() && !self.debug;
        let before = self.held.as_bytes().len();
        if hold && self.held.add(format_args!("{}\n", OneLine(message))) {
            return;
        }
        // Held back only in part: the room is used up. Better two lines than none.
        self.held.truncate(before);
        self.write(Level::Warning, &message);
    }

    /// Ends the log of a command that succeeded.
    pub fn finish(&mut self) {
        for warning in bytes::split(self.held.as_bytes(), b'\n').filter(|line| !line.is_empty()) {
            self.write(Level::Warning, &Lossy(warning));
        }
        self.held.clear();
    }

    fn write(&self, level: Level, message: &dyn Display) {
        if self.file.is_none() && !self.json {
            return self.for_a_person(level, message);
        }
        let (seconds, _) = sys::realtime().unwrap_or_default();
        let when = rfc3339(seconds, 0);
        let mut line = Line::new();
        compose(&mut line, self.json, level, when.as_str(), format_args!("{message}"));
        let to = self.file.as_ref().map_or(sys::stderr(), |file| file.as_fd());
        if let Err(errno) = write_all(to, line.as_bytes()) {
            // The message itself is for standard error then; an error is there already.
            if level != Level::Error {
                self.for_a_person(level, message);
            }
            self.for_a_person(Level::Warning, &fail!(errno => "cannot write to the log"));
        }
    }

    /// To standard error. Where that fails, nobody is left to tell.
    fn for_a_person(&self, level: Level, message: &dyn Display) {
        let mut line = Line::new();
        compose_for_a_person(&mut line, level, message);
        let _ = write_all(sys::stderr(), line.as_bytes());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // The number may be another file's from now on.
        OPEN.store(NONE, Relaxed);
    }
}

/// A message without line breaks: they separate those held back.
struct OneLine<'a>(fmt::Arguments<'a>);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Filter<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Filter<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.chars()
                    .try_for_each(|character| self.0.write_char(if character == '\n' { '?' } else { character }))
            }
        }
        Filter(f).write_fmt(self.0)
    }
}

/// Lines as a sentence has them.
struct Joined<'a>(&'a [u8]);

impl Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in bytes::split(self.0, b'\n').enumerate() {
            f.write_str(if index == 0 { "" } else { "; " })?;
            Lossy(line).fmt(f)?;
        }
        Ok(())
    }
}
