//! Bytes on their way from one descriptor to another, as they come, one step at a
//! time. Neither of the two blocks.

use crate::limits;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io};

/// Room for bytes on their way.
pub type Room = [u8; limits::RELAY];

/// One way.
pub struct Pump {
    /// None once it has ended.
    from: Option<OwnedFd>,
    /// None where nobody takes it any more: what comes is thrown away, so that
    /// whoever writes is not held up.
    to: Option<OwnedFd>,
    bytes: &'static mut Room,
    start: usize,
    end: usize,
}

impl Pump {
    /// From `from` to `to`.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(from: OwnedFd, to: OwnedFd, bytes: &'static mut Room) -> Result<Pump, Errno> {
        for fd in [&from, &to] {
            fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
        }
        Ok(Pump { from: Some(from), to: Some(to), bytes, start: 0, end: 0 })
    }

    /// What to wait for; nothing once all is over.
    pub fn wanted(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.is_empty() {
            self.from.as_ref().map(|from| (from.as_fd(), PollFlags::IN))
        } else {
            self.to.as_ref().map(|to| (to.as_fd(), PollFlags::OUT))
        }
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Does what has become possible, as poll(2) says by `events`. Whether
    /// something was done.
    pub fn turn(&mut self, events: PollFlags) -> bool {
        if events.is_empty() {
            return false;
        }
        if self.is_empty() { self.read() } else { self.write(events) }
    }

    fn read(&mut self) -> bool {
        let Some(from) = &self.from else { return false };
        match io::read(from, &mut self.bytes[..]) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(length) if length > 0 => {
                (self.start, self.end) = (0, if self.to.is_some() { length } else { 0 });
                true
            }
            // The end: of the other side too.
            Ok(_) | Err(_) => {
                (self.from, self.to) = (None, None);
                false
            }
        }
    }

    fn write(&mut self, events: PollFlags) -> bool {
        let Some(to) = &self.to else { return false };
        // A port that nobody has open on the host's side only says that.
        if events.contains(PollFlags::OUT) {
            match io::write(to, self.bytes.get(self.start..self.end).unwrap_or(&[])) {
                Ok(written) => {
                    self.start += written;
                    return true;
                }
                Err(Errno::AGAIN | Errno::INTR) => return false,
                Err(_) => {}
            }
        }
        (self.to, self.start, self.end) = (None, 0, 0);
        true
    }

    /// Passes on what is there still, once the writer has ended. Whether all of
    /// it was taken: a reader that takes nothing for so many milliseconds is not
    /// waited for any longer.
    pub fn drain(&mut self, milliseconds: i64) -> bool {
        /// More than a pipe holds (fcntl(2), F_SETPIPE_SZ): others may go on writing.
        const MOST: usize = 1 << 21;
        let timeout = Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
        let mut passed = 0;
        while passed < MOST {
            if self.is_empty() {
                if !self.read() {
                    return true;
                }
                passed += self.end;
                continue;
            }
            let Some((to, wanted)) = self.wanted() else { return false };
            let mut fd = [PollFd::from_borrowed_fd(to, wanted)];
            match poll(&mut fd, Some(&timeout)) {
                Ok(0) => return false,
                _ => {
                    let events = fd[0].revents();
                    self.turn(events);
                }
            }
        }
        true
    }
}
