//! What a process that attends to a unit tells process 1: over one socket, which
//! all of them share.

use super::outcome::{Ending, Sentence};
use crate::error::{Lossy, Result};
use crate::sys::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use crate::sys::{AsFd, BorrowedFd, OwnedFd, boot_time, receive_message, send_message};
use crate::{fail, limits};

/// What is told.
#[derive(Clone, Copy)]
pub enum What {
    /// What is done once for the unit is done.
    Prepared,
    /// The program of the unit was executed.
    Started,
    /// The container's process has ended, and files of it are still to be copied.
    Exited(Ending),
    /// Nothing is left to be done. `Exited` may have come before.
    Ended(Ending),
}

/// A report, received.
pub struct Report {
    pub unit: usize,
    pub what: What,
    /// Microseconds since the kernel's start.
    pub us: u64,
    /// Of an error.
    pub sentence: Sentence,
}

/// Both ends: messages arrive whole.
pub struct Reports {
    pub ours: OwnedFd,
    pub theirs: OwnedFd,
}

const HEAD: usize = 12;

impl Reports {
    pub fn new() -> Result<Reports> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC)
            .map_err(|errno| fail!(errno => "cannot make a socket pair"))?;
        Ok(Reports { ours, theirs })
    }

    /// The next report. To be called when there is one.
    pub fn receive(&self) -> Option<Report> {
        let mut buffer = [0; HEAD + limits::MESSAGE];
        let (length, _) = receive_message(self.ours.as_fd(), &mut buffer).ok()?;
        let (head, text) = buffer.get(..length)?.split_first_chunk::<HEAD>()?;
        let [unit, what, kind, number, us @ ..] = *head;
        let what = match what {
            3 => What::Exited(Ending::decode([kind, number])),
            2 => What::Prepared,
            1 => What::Started,
            _ => What::Ended(Ending::decode([kind, number])),
        };
        Some(Report {
            unit: unit.into(),
            what,
            us: u64::from_le_bytes(us),
            sentence: Sentence::of(format_args!("{}", Lossy(text))),
        })
    }
}

/// Tells process 1, which reads it in time.
pub fn tell(to: BorrowedFd<'_>, unit: u8, what: What, sentence: &str) {
    let (what, [kind, number]) = match what {
        What::Exited(ending) => (3, ending.encode()),
        What::Prepared => (2, [0, 0]),
        What::Started => (1, [0, 0]),
        What::Ended(ending) => (0, ending.encode()),
    };
    let mut head = [0; HEAD];
    let (fixed, us) = head.split_at_mut(4);
    fixed.copy_from_slice(&[unit, what, kind, number]);
    us.copy_from_slice(&boot_time().to_le_bytes());
    // Where that fails process 1 sees the process end without a word.
    let _ = send_message(to, &head, sentence.as_bytes(), None);
}
