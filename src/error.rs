//! An error is a sentence for a person: what was being done, to what, and what
//! the kernel said; for a mistake in a document, where it stands.
//!
//! `Error` itself is one byte that is never zero: a receipt for a sentence kept
//! in one of a few static slots, so that a `Result` fits a register and `?` costs
//! a compare. A slot is claimed when the error is made and freed when it is
//! dropped.
//!
//! Knows nothing of what the program does.

use core::fmt::{self, Write};
use core::num::NonZeroU8;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use rustix::io::Errno;

use crate::{bytes, limits};

/// What every fallible function of the program returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// A failure, described. `Display` gives the sentence, without a final stop.
#[must_use = "an error that nobody reports or returns is lost"]
pub struct Error {
    /// Index into `SLOTS` plus one, or `OVERFLOW`. Never zero, so that a
    /// `Result<()>` is one byte too.
    slot: NonZeroU8,
}

// Host tests fail on many threads at once.
const SLOTS_NUMBER: usize = if cfg!(test) { 256 - 2 } else { limits::ERRORS };
const OVERFLOW: NonZeroU8 = NonZeroU8::MAX;

/// The text is kept in atomics because that is what a shared static may hold
/// without `unsafe`; whoever claimed the slot is its only user.
struct Slot {
    used: AtomicBool,
    errno: AtomicI32,
    length: AtomicUsize,
    text: [AtomicU8; limits::MESSAGE],
}

static SLOTS: [Slot; SLOTS_NUMBER] = [const {
    Slot {
        used: AtomicBool::new(false),
        errno: AtomicI32::new(0),
        length: AtomicUsize::new(0),
        text: [const { AtomicU8::new(0) }; limits::MESSAGE],
    }
}; SLOTS_NUMBER];

impl Error {
    /// The sentence `message`. Use it through [`fail!`](crate::fail).
    #[cold]
    #[inline(never)]
    pub fn new(message: fmt::Arguments<'_>) -> Error {
        Error::with_errno(0, message)
    }

    /// The sentence `message`, then what the kernel said: `errno` in words.
    #[cold]
    #[inline(never)]
    pub fn os(errno: Errno, message: fmt::Arguments<'_>) -> Error {
        let error = Error::with_errno(errno.raw_os_error(), message);
        error.append(format_args!(": {}", Words(errno.raw_os_error())));
        error
    }

    fn with_errno(errno: i32, message: fmt::Arguments<'_>) -> Error {
        for (index, slot) in SLOTS.iter().enumerate() {
            if slot.used.compare_exchange(false, true, Acquire, Relaxed).is_ok() {
                slot.length.store(0, Relaxed);
                slot.errno.store(errno, Relaxed);
                let error = Error { slot: NonZeroU8::MIN.saturating_add(index as u8) };
                error.append(message);
                return error;
            }
        }
        Error { slot: OVERFLOW }
    }

    /// Whether the kernel said this.
    pub fn is(&self, errno: Errno) -> bool {
        self.slot().is_some_and(|slot| slot.errno.load(Relaxed) == errno.raw_os_error())
    }

    /// The sentence, in `buffer`.
    pub fn text<'b>(&self, buffer: &'b mut [u8; limits::MESSAGE]) -> &'b str {
        let Some(slot) = self.slot() else {
            return "more errors at once than the limit allows";
        };
        for (to, from) in buffer.iter_mut().zip(&slot.text) {
            *to = from.load(Relaxed);
        }
        let length = slot.length.load(Relaxed);
        core::str::from_utf8(buffer.get(..length).unwrap_or(&[])).unwrap_or("?")
    }

    fn slot(&self) -> Option<&'static Slot> {
        SLOTS.get(usize::from(self.slot.get()) - 1)
    }

    fn append(&self, message: fmt::Arguments<'_>) {
        if let Some(slot) = self.slot() {
            // The writer itself never fails: it marks where it had to stop.
            let _ = SlotWriter(slot).write_fmt(message);
        }
    }
}

impl Drop for Error {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        if let Some(slot) = self.slot() {
            slot.used.store(false, Release);
        }
    }
}

struct SlotWriter(&'static Slot);

impl Write for SlotWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const ELLIPSIS: &str = "…";
        let room = limits::MESSAGE - ELLIPSIS.len();
        let mut length = self.0.length.load(Relaxed);
        for character in text.chars() {
            if length > room {
                break; // "…" was written
            }
            let mut utf8 = [0; 4];
            // One line on a terminal and in a log, whatever a file name holds.
            let character = if character.is_control() { '?' } else { character };
            let encoded = character.encode_utf8(&mut utf8);
            // A sentence may have an ellipsis of its own, which ends nothing.
            let full = length + encoded.len() > room;
            let encoded = if full { ELLIPSIS } else { encoded };
            for byte in encoded.bytes() {
                if let Some(place) = self.0.text.get(length) {
                    place.store(byte, Relaxed);
                    length += 1;
                }
            }
            if full {
                length = length.max(room + 1);
            }
        }
        self.0.length.store(length, Relaxed);
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; limits::MESSAGE]))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes an [`Error`] from a sentence: `fail!("no such command: {name}")`, or
/// with what the kernel said: `fail!(errno => "cannot open {path}")`.
#[macro_export]
macro_rules! fail {
    ($errno:expr => $($message:tt)+) => {
        $crate::error::Error::os($errno, format_args!($($message)+))
    };
    ($($message:tt)+) => {
        $crate::error::Error::new(format_args!($($message)+))
    };
}

/// Bytes of a path or a name, for a message: what is not UTF-8 or not
/// printable shows as `?`.
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

/// An errno in the words that engines match in runc's messages (errno(3), in
/// lower case as Go prints them).
struct Words(i32);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = bytes::split(WORDS.as_bytes(), b'\n').find_map(|line| {
            let (number, words) = bytes::cut(line, b' ');
            if bytes::decimal(number)? == u64::try_from(self.0).ok()? { words } else { None }
        });
        match known {
            Some(words) => write!(f, "{}", Lossy(words)),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// Those errnos that the system calls of this program are documented to give:
/// number and words, one a line.
const WORDS: &str = "\
1 operation not permitted
2 no such file or directory
3 no such process
4 interrupted system call
5 input/output error
6 no such device or address
7 argument list too long
8 exec format error
9 bad file descriptor
10 no child processes
11 resource temporarily unavailable
12 cannot allocate memory
13 permission denied
14 bad address
16 device or resource busy
17 file exists
18 invalid cross-device link
19 no such device
20 not a directory
21 is a directory
22 invalid argument
23 too many open files in system
24 too many open files
25 inappropriate ioctl for device
26 text file busy
27 file too large
28 no space left on device
29 illegal seek
30 read-only file system
31 too many links
32 broken pipe
34 numerical result out of range
36 file name too long
38 function not implemented
39 directory not empty
40 too many levels of symbolic links
61 no data available
75 value too large for defined data type
87 too many users
90 message too long
95 operation not supported
97 address family not supported by protocol
98 address already in use
99 cannot assign requested address
100 network is down
101 network is unreachable
103 software caused connection abort
104 connection reset by peer
105 no buffer space available
107 transport endpoint is not connected
110 connection timed out
111 connection refused
113 no route to host
116 stale file handle
122 disk quota exceeded
126 required key not available
";

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn a_sentence_with_what_the_kernel_said() {
        let error = Error::os(Errno::NOENT, format_args!("cannot open {}", "/x"));
        assert_eq!(error.to_string(), "cannot open /x: no such file or directory");
        assert!(error.is(Errno::NOENT) && !error.is(Errno::PERM));
    }

    #[test]
    fn an_unknown_errno_keeps_its_number() {
        assert_eq!(Error::os(Errno::from_raw_os_error(4000), format_args!("x")).to_string(), "x: errno 4000");
    }

    #[test]
    fn a_long_sentence_ends_in_an_ellipsis() {
        for text in ["x", "é", "€"] {
            let long: String = text.repeat(2000);
            let said = fail!("{long}").to_string();
            assert!(said.ends_with('…') && said.len() <= limits::MESSAGE && said.len() > limits::MESSAGE - 8);
        }
    }

    #[test]
    fn an_ellipsis_in_a_sentence_is_a_character() {
        assert_eq!(fail!("{}c", "a…b…").to_string(), "a…b…c");
    }

    #[test]
    fn a_sentence_is_one_line() {
        assert_eq!(fail!("a\nb\x1b[c").to_string(), "a?b?[c");
    }

    #[test]
    fn a_dropped_error_frees_its_slot() {
        for _ in 0..10 * SLOTS_NUMBER {
            assert_eq!(fail!("one").to_string(), "one");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_show_as_question_marks() {
        assert_eq!(Lossy(b"a\xffb").to_string(), "a?b");
    }
}
