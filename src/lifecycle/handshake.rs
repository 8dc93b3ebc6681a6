//! What the runtime (the parent) and a process that it makes in a container (the
//! child) say to each other: each message once, in the order of the conversation.
//!
//! ```text
//! child (in its namespaces and cgroup)     parent
//!   Pid(text) + pidfd →                    of the child, from the helper that has made it (`birth`)
//!                     ←  Known             to the child: it may speak for itself
//!                     ←  IdsMapped         uid_map and gid_map are written (new user namespace only)
//!   Source(place)     →                    what the child may not open itself (`outside`)
//!                     ←  Done + descriptor, where the parent may
//!   MapIds(place) + mount →                likewise: the ids in it are mapped
//!                     ←  Done
//!   Rooted            →                    hooks prestart and createRuntime (where there are
//!                     ←  HooksDone         any hooks before pivot_root), then createContainer's
//!   Console + pty     →                    to the console socket, or kept
//!   Ready             →                    what the child may not do itself (`ready`);
//!                                          state.json says "created"
//!                     ←  Created           `create`: the word to go comes through the gate (`gate`)
//!   Disarmed          →                    the child no longer dies with the parent
//!                     ←  Go                `run` and `exec`: the child is disarmed and executes
//!   Hooks             →                    hooks startContainer begin, where there are any
//!   Listener          →                    a seccomp filter that asks: somebody is to be asked
//!                     ←  Known             and listens
//!   Listener + fd     →                    for whoever listens
//!   (execve closes the child's end: success)
//!   Warning(text)     →                    at any point
//!   Failed(text)      →                    at any point: the last word
//!   HookFailed(text)  →                    the same: the container is to be destroyed
//! ```
//!
//! Over one SEQPACKET socket pair: a message arrives whole or not at all, and
//! the death of one side is the end of file of the other.

use crate::error::{Error, Result};
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, receive_message, send_message};
use crate::{fail, limits};

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Message {
    /// The text is the pid, in the helper's pid namespace, of the process that
    /// it made in its place.
    Pid = 1,
    /// The parent has heard of that.
    Known,
    IdsMapped,
    /// The text is a place in the document: of a mount, or of the root.
    Source,
    /// The same, and the detached mount.
    MapIds,
    Done,
    /// All is mounted, and the root is about to be entered.
    Rooted,
    HooksDone,
    /// With the pty's master; the text is its path in the container.
    Console,
    Ready,
    Created,
    Disarmed,
    Go,
    /// The hooks that run before the program are about to.
    Hooks,
    /// The text is a sentence for the log.
    Warning,
    /// The text is the error.
    Failed,
    /// The text is the error, of a hook.
    HookFailed,
    /// With the descriptor of seccomp_unotify(2) the second time.
    Listener,
}

const ALL: [Message; 18] = [
    Message::Pid,
    Message::Known,
    Message::IdsMapped,
    Message::Source,
    Message::MapIds,
    Message::Done,
    Message::Rooted,
    Message::HooksDone,
    Message::Console,
    Message::Ready,
    Message::Created,
    Message::Disarmed,
    Message::Go,
    Message::Hooks,
    Message::Warning,
    Message::Failed,
    Message::HookFailed,
    Message::Listener,
];

/// One end.
pub struct Channel(OwnedFd);

/// What [`Channel::receive`] found.
pub struct Received<'b> {
    pub message: Message,
    pub text: &'b [u8],
    pub descriptor: Option<OwnedFd>,
}

/// Room for the longest message.
pub type Buffer = [u8; 1 + limits::MESSAGE];

impl Channel {
    /// Both ends: the parent's and the child's.
    pub fn pair() -> Result<(Channel, Channel)> {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC)
            .map(|(parent, child)| (Channel(parent), Channel(child)))
            .map_err(|errno| fail!(errno => "cannot make a socket pair"))
    }

    /// Over a connected SEQPACKET socket.
    pub fn over(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    /// The socket, to wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Whether the other side is gone.
    pub fn is_hung_up(&self) -> bool {
        let mut socket = [PollFd::from_borrowed_fd(self.fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut socket, Some(&now)).is_ok() && socket[0].revents().contains(PollFlags::HUP)
    }

    /// Says `message`.
    pub fn send(&self, message: Message) -> Result<()> {
        self.send_with(message, b"", None)
    }

    /// Says `message` with a text, which is cut to what an error may have, and
    /// a descriptor.
    pub fn send_with(&self, message: Message, text: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        let text = text.get(..limits::MESSAGE).unwrap_or(text);
        send_message(self.fd(), &[message as u8], text, descriptor)
            .map(|_| ())
            .map_err(|errno| fail!(errno => "cannot reach the other side of the handshake"))
    }

    /// The next message; `None` when the other side is gone.
    pub fn receive<'b>(&self, buffer: &'b mut Buffer) -> Result<Option<Received<'b>>> {
        let (length, descriptor) = match receive_message(self.fd(), buffer) {
            // The other side died with messages of ours unread.
            Err(Errno::CONNRESET) => (0, None),
            received => received.map_err(|errno| fail!(errno => "cannot listen to the other side of the handshake"))?,
        };
        let Some((tag, text)) = buffer.get(..length).and_then(|message| message.split_first()) else {
            return Ok(None);
        };
        match ALL.iter().find(|message| **message as u8 == *tag) {
            Some(message) => Ok(Some(Received { message: *message, text, descriptor })),
            None => Err(fail!("the other side of the handshake speaks another version")),
        }
    }

    /// The child's side: waits for `expected`. A parent that is gone, or says
    /// anything else, ends the child.
    pub fn await_parent(&self, expected: Message) -> Result<()> {
        let mut buffer: Buffer = [0; _];
        match self.receive(&mut buffer)? {
            Some(received) if received.message == expected => Ok(()),
            _ => Err(fail!("the runtime has died")),
        }
    }
}

impl Error {
    /// The error that the other side described.
    pub fn received(text: &[u8]) -> Error {
        fail!("{}", crate::error::Lossy(text))
    }
}
