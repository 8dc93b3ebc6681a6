//! The relay between our own standard input and output and the master side of
//! a terminal, one step at a time.
//!
//! The caller owns the loop, since it waits for signals and for the process as
//! well: it polls what [`Relay::poll_fds`] names, for at most
//! [`Relay::timeout`], hands the answer to [`Relay::ready`], and calls
//! [`Relay::drain`] once the process has ended. SIGPIPE is blocked or ignored.
//!
//! Standard input and output may be shared with other programs and are therefore
//! never made non-blocking: they are read and written only when poll(2) says so.

use crate::error::Result;
use crate::fail;
use crate::limits;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use crate::sys::termios::{tcgetwinsize, tcsetwinsize};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, AsRawFd, BorrowedFd, Errno, io, terminal_modes};

/// See the module.
pub struct Relay<'a> {
    input: BorrowedFd<'a>,
    output: BorrowedFd<'a>,
    master: BorrowedFd<'a>,
    to_master: Pending,
    to_output: Pending,
    /// More may come from `input`.
    input_open: bool,
    /// Whether the last byte from `input` ended a line.
    line_ended: bool,
    /// Nobody has the peer open. That may pass: a process can open it again.
    hung_up: bool,
    /// Why nothing more is written to `output`.
    output_failed: Option<Errno>,
}

/// Bytes read and not yet written.
struct Pending {
    bytes: [u8; limits::RELAY],
    start: usize,
    end: usize,
}

impl Pending {
    const fn new() -> Self {
        Pending { bytes: [0; limits::RELAY], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or(&[])
    }

    /// Reads once, in place of what was there. 0 is the end.
    fn read(&mut self, from: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.clear();
        self.end = io::read(from, &mut self.bytes)?;
        Ok(self.end)
    }

    /// Writes once.
    fn write(&mut self, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let written = io::write(to, self.get())?;
        self.start = self.start.saturating_add(written);
        Ok(())
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.end) {
            *place = byte;
            self.end = self.end.saturating_add(1);
        }
    }
}

/// "Not now" is no failure: poll(2) will say when.
fn later(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::INTR)
}

/// Gives the terminal behind `master` the size of ours. Where ours is none, or the
/// other one is gone, there is nothing to do.
pub fn give_size(input: BorrowedFd<'_>, output: BorrowedFd<'_>, master: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(input).or_else(|_| tcgetwinsize(output)) {
        let _ = tcsetwinsize(master, size);
    }
}

impl<'a> Relay<'a> {
    /// A relay from `input` to `master` and from `master` to `output`. The three
    /// have different numbers. `master` is nobody else's: it is made
    /// non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(input: BorrowedFd<'a>, output: BorrowedFd<'a>, master: BorrowedFd<'a>) -> Result<Relay<'a>> {
        fcntl_getfl(master)
            .and_then(|flags| fcntl_setfl(master, flags | OFlags::NONBLOCK))
            .map_err(|errno| fail!(errno => "cannot prepare the terminal for relaying"))?;
        Ok(Relay {
            input,
            output,
            master,
            to_master: Pending::new(),
            to_output: Pending::new(),
            input_open: true,
            line_ended: true,
            hung_up: false,
            output_failed: None,
        })
    }

    /// What to wait for. Only descriptors that something can be done about: the
    /// kernel reports a hang-up whether asked or not, and would make the loop
    /// spin.
    pub fn poll_fds(&self) -> heapless::Vec<PollFd<'a>, 3> {
        let mut wanted = heapless::Vec::new();
        let mut want = |fd: BorrowedFd<'a>, flags: PollFlags| {
            if !flags.is_empty() {
                // Three at most.
                let _ = wanted.push(PollFd::from_borrowed_fd(fd, flags));
            }
        };
        let mut of_master = PollFlags::empty();
        if !self.hung_up {
            of_master.set(PollFlags::IN, self.to_output.is_empty());
            of_master.set(PollFlags::OUT, !self.to_master.is_empty());
            if self.input_open && self.to_master.is_empty() {
                want(self.input, PollFlags::IN);
            }
        }
        want(self.master, of_master);
        if !self.to_output.is_empty() {
            want(self.output, PollFlags::OUT);
        }
        wanted
    }

    /// For how long to wait at most: a terminal that is hung up is looked at
    /// again now and then.
    pub fn timeout(&self) -> Option<Timespec> {
        self.hung_up.then_some(Timespec { tv_sec: 0, tv_nsec: 100_000_000 })
    }

    /// Does what has become possible. `polled` may hold other descriptors too.
    pub fn ready(&mut self, polled: &[PollFd<'_>]) {
        if self.hung_up && self.to_output.is_empty() {
            self.read_master();
        }
        for fd in polled {
            let events = fd.revents();
            if events.is_empty() {
                continue;
            }
            let number = fd.as_fd().as_raw_fd();
            if number == self.master.as_raw_fd() {
                if !self.to_master.is_empty() {
                    self.write_master();
                }
                if self.to_output.is_empty() {
                    self.read_master();
                }
            } else if number == self.input.as_raw_fd() && self.to_master.is_empty() {
                self.read_input();
            } else if number == self.output.as_raw_fd() && !self.to_output.is_empty() {
                self.write_output();
            }
        }
    }

    /// Gives the terminal the size of ours, at each SIGWINCH.
    pub fn resize(&self) {
        give_size(self.input, self.output, self.master);
    }

    /// Once the process has ended: passes on what it has still written.
    ///
    /// # Errors
    /// Where output of the process, at any time, could not be passed on.
    pub fn drain(&mut self) -> Result<()> {
        /// More than the kernel holds for one terminal (64 KiB and a line). Where
        /// other processes keep writing to it, this ends all the same.
        const MOST: usize = 256 * 1024;
        let mut passed = 0usize;
        loop {
            while !self.to_output.is_empty() {
                self.wait_for_output();
                self.write_output();
            }
            if passed >= MOST {
                break;
            }
            // The kernel brings everything written so far before it says that
            // there is nothing (EAGAIN) or nobody (EIO) any more.
            match self.to_output.read(self.master) {
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => break,
                Ok(bytes) => passed = passed.saturating_add(bytes),
            }
        }
        match self.output_failed {
            None => Ok(()),
            Some(errno) => Err(fail!(errno => "cannot pass on the output of the terminal")),
        }
    }

    fn wait_for_output(&self) {
        // Whatever it says, the write that follows has the last word.
        let _ = poll(&mut [PollFd::from_borrowed_fd(self.output, PollFlags::OUT)], None);
    }

    fn read_master(&mut self) {
        match self.to_output.read(self.master) {
            Ok(0) | Err(Errno::IO) => self.hung_up = true,
            Ok(_) => {
                self.hung_up = false;
                if self.output_failed.is_some() {
                    // Nowhere to put it; the process must not be held up by that.
                    self.to_output.clear();
                }
            }
            Err(errno) if later(errno) => self.hung_up = false,
            Err(_) => self.hung_up = true,
        }
    }

    fn write_master(&mut self) {
        match self.to_master.write(self.master) {
            Ok(()) => {}
            Err(errno) if later(errno) => {}
            // What is left stays for whoever opens the terminal next.
            Err(_) => self.hung_up = true,
        }
    }

    fn write_output(&mut self) {
        match self.to_output.write(self.output) {
            Ok(()) => {}
            Err(errno) if later(errno) => {}
            Err(errno) => {
                self.output_failed = Some(errno);
                self.to_output.clear();
            }
        }
    }

    fn read_input(&mut self) {
        match self.to_master.read(self.input) {
            Ok(0) => self.end_input(),
            Ok(_) => self.line_ended = self.to_master.get().last() == Some(&b'\n'),
            Err(errno) if later(errno) => {}
            // EIO: our terminal is gone, or we are in its background.
            Err(_) => self.end_input(),
        }
    }

    /// Passes the end of the input on, as the key would that means it (^D): a
    /// terminal has no other end. Only where the inner terminal gives that key
    /// its meaning.
    fn end_input(&mut self) {
        self.input_open = false;
        let Ok(modes) = terminal_modes(self.master) else { return };
        if let Some(key) = modes.end_of_file() {
            if !self.line_ended {
                // In the middle of a line the first one only ends that.
                self.to_master.push(key);
            }
            self.to_master.push(key);
        }
    }
}
