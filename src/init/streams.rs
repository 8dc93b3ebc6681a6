//! Standard input, output and error of a unit: pipes, or a terminal, between it
//! and the console, a virtio-serial port, a file or nothing.

use super::command_line::Target;
use super::log;
use super::ports::open_target;
use super::pump::{Pump, Room};
use crate::error::Result;
use crate::fail;
use crate::sys::event::PollFd;
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use crate::sys::{self, AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd};
use crate::terminal::raw_mode::RawMode;
use crate::terminal::relay::Relay;

/// How long a reader of a unit's last output may take nothing, in milliseconds.
const PATIENCE: i64 = 10_000;

/// Where the three go.
#[derive(Clone, Copy)]
pub struct Targets {
    pub stdin: Target<'static>,
    pub stdout: Target<'static>,
    pub stderr: Target<'static>,
}

/// Our ends, opened before the container is made.
pub struct Streams {
    /// To the unit; from it, its output and its errors. Empty with a terminal.
    pumps: heapless::Vec<Pump, 3>,
    /// With a terminal: where its input comes from and its output goes.
    ends: Option<(OwnedFd, OwnedFd)>,
}

impl Streams {
    /// Opens them, and puts the unit's ends on our descriptors 0, 1 and 2, from
    /// which the container's process has them.
    ///
    /// # Errors
    /// With the stream.
    #[inline(never)]
    pub fn open(targets: &Targets, terminal: bool, rooms: &'static mut [Room; 3]) -> Result<Streams> {
        let failed = |errno: Errno| fail!(errno => "cannot prepare standard input and output");
        let input = open_target(targets.stdin, true)?;
        let duplicate = |fd: &OwnedFd| sys::duplicate(fd.as_raw_fd()).map_err(failed);
        let output = match targets.stdout {
            // A port can be opened once only.
            Target::Virtio(_) if targets.stdout == targets.stdin => duplicate(&input),
            target => open_target(target, false),
        }?;
        if terminal {
            let_go().map_err(failed)?;
            return Ok(Streams { pumps: heapless::Vec::new(), ends: Some((input, output)) });
        }
        let errors = match targets.stderr {
            target if target == targets.stdout => duplicate(&output),
            target => open_target(target, false),
        }?;
        let mut pumps = heapless::Vec::new();
        let mut rooms = rooms.iter_mut();
        let mut add = |from, to| match rooms.next() {
            Some(room) => Pump::new(from, to, room).map(|pump| drop(pumps.push(pump))),
            None => Ok(()), // there are three
        };
        let connect = || {
            let (read, write) = sys::pipe()?;
            dup2_stdin(&read)?;
            add(input, write)?;
            let (read, write) = sys::pipe()?;
            dup2_stdout(&write)?;
            add(read, output)?;
            let (read, write) = sys::pipe()?;
            dup2_stderr(&write)?;
            add(read, errors)
        };
        connect().map_err(failed)?;
        Ok(Streams { pumps, ends: None })
    }

    /// The relay to the terminal, where the unit has one; and the console in raw
    /// mode meanwhile.
    ///
    /// # Errors
    /// The kernel's.
    pub fn relay<'a>(&'a self, master: Option<&'a OwnedFd>) -> Result<(Option<Relay<'a>>, Option<RawMode<'a>>)> {
        let (Some(master), Some((input, output))) = (master, &self.ends) else { return Ok((None, None)) };
        let raw = RawMode::enter(input.as_fd())?;
        Ok((Some(Relay::new(input.as_fd(), output.as_fd(), master.as_fd())?), raw))
    }
}

/// The pumps alone, which are turned while the rest is borrowed.
pub struct Pumps(heapless::Vec<Pump, 3>);

impl Streams {
    /// Takes the pumps out.
    pub fn take_pumps(&mut self) -> Pumps {
        Pumps(core::mem::take(&mut self.pumps))
    }
}

impl Pumps {
    /// What to wait for.
    pub fn want<'a, const N: usize>(&'a self, wanted: &mut heapless::Vec<PollFd<'a>, N>) {
        for (fd, events) in self.0.iter().filter_map(Pump::wanted) {
            let _ = wanted.push(PollFd::from_borrowed_fd(fd, events)); // the caller has room for three
        }
    }

    /// Does what has become possible, by what [`Pumps::want`] has been answered.
    pub fn turn(&mut self, polled: &[(i32, crate::sys::event::PollFlags)]) {
        for pump in &mut self.0 {
            let number = pump.wanted().map(|(fd, _)| fd.as_raw_fd());
            if let Some((_, events)) = polled.iter().find(|(fd, _)| Some(*fd) == number) {
                pump.turn(*events);
            }
        }
    }

    /// Once the unit has ended: passes on what it has still written.
    pub fn drain(&mut self) {
        for pump in self.0.iter_mut().skip(1) {
            if !pump.drain(PATIENCE) {
                log::warning(&fail!("a part of the last output was not taken in time, and is lost"));
            }
        }
    }
}

/// Our descriptors 0, 1 and 2 become /dev/null: the container's process has its
/// own of what was there, and sees the end once nobody else has them.
pub fn let_go() -> Result<(), Errno> {
    let null = open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    put(null.as_fd())
}

/// Puts `fd` on 0, 1 and 2.
pub fn put(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    dup2_stdin(fd)?;
    dup2_stdout(fd)?;
    dup2_stderr(fd)
}
