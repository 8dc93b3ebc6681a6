//! What whoever called us wants to be told or given: the pid file, the terminal
//! over a console socket, a pidfd over another; and the descriptors that it
//! passes on.

use core::ffi::CStr;

use super::container::Process;
use super::pid_file;
use super::ready::Terminal;
use crate::error::Result;
use crate::fail;
use crate::sys::io::{FdFlags, fcntl_getfd};
use crate::sys::{AsFd, OwnedFd, borrow_raw};
use crate::terminal::console_socket::{self, connect};

/// As the command line has it.
#[derive(Clone, Copy)]
pub struct Wishes {
    pub console_socket: Option<&'static CStr>,
    pub pidfd_socket: Option<&'static CStr>,
    pub pid_file: Option<&'static CStr>,
    /// Descriptors from 3 on to pass to the process; behind `listen_fds` sockets
    /// that it is to be told of (sd_listen_fds(3)).
    pub preserve_fds: u32,
    pub listen_fds: u32,
    /// Nobody stays to relay a terminal: it must go over a console socket.
    pub detached: bool,
}

impl Wishes {
    /// How many descriptors from 3 on the process gets.
    pub fn all_fds(&self) -> u32 {
        self.preserve_fds.saturating_add(self.listen_fds)
    }
}

/// The sockets, connected: an engine that does not listen is noticed before
/// anything is made.
pub struct Caller {
    wishes: Wishes,
    console: Option<OwnedFd>,
    pidfd: Option<OwnedFd>,
}

impl Caller {
    /// `terminal`: whether the process is to have one.
    ///
    /// # Errors
    /// runc's rule: a detached process has a terminal exactly when there is
    /// somebody to take it; or a socket cannot be reached, or a descriptor to be
    /// passed on is not open.
    pub fn new(wishes: Wishes, terminal: bool) -> Result<Caller> {
        match (wishes.detached, terminal, wishes.console_socket) {
            (true, true, None) => {
                return Err(fail!(
                    "cannot allocate tty if runtime will detach without setting console socket: give --console-socket"
                ));
            }
            (_, false, Some(_)) => {
                return Err(fail!("cannot use console socket if process.terminal is false"));
            }
            (false, true, Some(_)) => return Err(fail!("cannot use console socket if runtime will not detach")),
            _ => {}
        }
        for number in 3..wishes.all_fds().saturating_add(3) {
            // Ours are close-on-exec; one that was passed to us is not.
            match fcntl_getfd(borrow_raw(number)) {
                Ok(flags) if !flags.contains(FdFlags::CLOEXEC) => {}
                _ => {
                    return Err(fail!(
                        "cannot pass on descriptor {number}: it is not open (--preserve-fds, LISTEN_FDS)"
                    ));
                }
            }
        }
        Ok(Caller {
            wishes,
            console: wishes.console_socket.map(|path| connect("console socket", path)).transpose()?,
            pidfd: wishes.pidfd_socket.map(|path| connect("pidfd socket", path)).transpose()?,
        })
    }

    /// Sends the terminal where it is wanted; gives it back where it is not.
    pub fn take_terminal(&self, terminal: Option<Terminal>) -> Result<Option<OwnedFd>> {
        let Some(terminal) = terminal else { return Ok(None) };
        match &self.console {
            None => Ok(Some(terminal.master)),
            Some(socket) => {
                console_socket::send(socket.as_fd(), terminal.master.as_fd(), &terminal.path).map(|()| None)
            }
        }
    }

    /// Tells of the process, which exists and is ready.
    pub fn tell(&self, process: &Process, kind: &[u8]) -> Result<()> {
        if let Some(socket) = &self.pidfd {
            console_socket::send(socket.as_fd(), process.pidfd.as_fd(), kind)?;
        }
        match self.wishes.pid_file {
            Some(path) => pid_file::write(path, process.number()),
            None => Ok(()),
        }
    }
}
