//! The start gate: where a created container's first process waits for `start`.
//!
//! A SEQPACKET socket in the state directory. `start` connects and says `Go`;
//! the connection then tells it how execve(2) went: on success the kernel closes
//! the process's end, on failure the process says why. Both ends are here.
//!
//! (A FIFO would tell the process to go, but not `start` how it went.)

use super::handshake::{Buffer, Channel, Message};
use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{Mode, fchmod};
use crate::sys::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, listen, socket};
use crate::sys::{
    self, AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
    SignalSet,
};

/// The process's end.
pub struct Gate(OwnedFd);

impl Gate {
    /// Puts the gate into the state directory `folder`.
    pub fn open(folder: BorrowedFd<'_>) -> Result<Gate> {
        let failed = |errno: Errno| fail!(errno => "cannot make the start gate");
        let socket = new_socket()?;
        // Its mode becomes that of the file.
        fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        bind(&socket, &address(folder, "start.sock")?).map_err(failed)?;
        listen(&socket, 1).map_err(failed)?;
        Ok(Gate(socket))
    }

    /// The socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Waits for `start`, all signals being blocked.
    ///
    /// Until then the process has no program that could handle a signal, and as
    /// PID 1 of its namespace the kernel would let it ignore them: it has to end
    /// itself when a signal comes whose default is to terminate. The error says
    /// which one came.
    pub fn wait(&self) -> Result<Channel, WaitError> {
        let failed = |_: Errno| WaitError::Failed;
        let signals = sys::signalfd(SignalSet::ALL).map_err(failed)?;
        loop {
            let mut both = [&self.0, &signals].map(|fd| PollFd::new(fd, PollFlags::IN));
            match poll(&mut both, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            let [gate, signal] = both.map(|fd| !fd.revents().is_empty());
            if signal
                && let Some(signal) = sys::read_signal(signals.as_fd()).map_err(failed)?
                && terminates(signal)
            {
                return Err(WaitError::Signal(signal));
            }
            if gate && let Some(connection) = self.admit().map_err(|_| WaitError::Failed)? {
                return Ok(connection);
            }
        }
    }

    /// Who has come to the gate, if it is a `start`: one that connects and dies
    /// is not.
    fn admit(&self) -> Result<Option<Channel>> {
        let connection = match accept(&self.0, SocketFlags::CLOEXEC) {
            Ok(connection) => Channel::over(connection),
            Err(Errno::INTR | Errno::CONNABORTED) => return Ok(None),
            Err(errno) => return Err(fail!(errno => "cannot open the start gate")),
        };
        let mut buffer: Buffer = [0; _];
        let received = connection.receive(&mut buffer)?;
        Ok(received.is_some_and(|received| received.message == Message::Go).then_some(connection))
    }
}

/// Why a wait ended without a `Go`.
pub enum WaitError {
    /// A signal, to die of.
    Signal(u32),
    /// The other side is gone, or the kernel refuses: nobody is left to be told
    /// which.
    Failed,
}

/// Whether the default action of a signal ends the process (signal(7)).
fn terminates(signal: u32) -> bool {
    !matches!(signal, SIGCHLD | SIGCONT | SIGTSTP | SIGTTIN | SIGTTOU | SIGURG | SIGWINCH)
}

/// The side of `start`: the connection to the process that waits at the gate in
/// `folder`; `None` where none waits.
pub fn knock(folder: BorrowedFd<'_>) -> Result<Option<Channel>> {
    let socket = new_socket()?;
    match connect(&socket, &address(folder, "start.sock")?) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        Err(errno) => return Err(fail!(errno => "cannot reach the start gate")),
    }
    let connection = Channel::over(socket);
    connection.send(Message::Go)?;
    Ok(Some(connection))
}

fn new_socket() -> Result<OwnedFd> {
    socket(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC)
        .map_err(|errno| fail!(errno => "cannot make a socket"))
}

/// A socket's path has 107 bytes at most (unix(7)), so the folder goes by its
/// descriptor.
pub fn address(folder: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix> {
    let path = Printed::<64>::of(format_args!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
    SocketAddrUnix::new(path.as_c_str()).map_err(|errno| fail!(errno => "cannot name {name}"))
}
