//! Signals while the runtime makes something. They are blocked, so that nothing is
//! left behind; but what it waits for, a hook or a file system that does not answer,
//! may never come. Then the wait ends with an error, as if that had failed, and what
//! was made is undone.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::{self, AsFd, BorrowedFd, Errno, SignalSet};

/// HUP, INT, QUIT and TERM: by which a person, or an engine, ends a program.
const ASKING: SignalSet = SignalSet(1 << 0 | 1 << 1 | 1 << 2 | 1 << 14);

/// Those of them that end a wait; none, as long as nobody says so.
static ENDING: AtomicU64 = AtomicU64::new(0);

/// Blocks all signals but those that ask for an end: as long as nothing is made, they
/// end the program. Later they may end a wait, unless the caller ignores them.
///
/// # Errors
/// The kernel's.
pub fn allow(ignored: SignalSet) -> Result<()> {
    ENDING.store(ASKING.0 & !ignored.0, Relaxed);
    block(SignalSet(!ASKING.0))
}

/// Blocks all signals, before something is made.
///
/// # Errors
/// The kernel's.
pub fn hold() -> Result<()> {
    block(SignalSet::ALL)
}

fn block(signals: SignalSet) -> Result<()> {
    sys::signal_mask(signals).map_err(|errno| fail!(errno => "cannot block signals"))
}

/// Waits until one of `fds`, two at most, can be read or is at its end. Gives the
/// index of the first of them.
///
/// # Errors
/// A signal comes before that.
pub fn wait(fds: &[BorrowedFd<'_>]) -> Result<usize> {
    let failed = |errno: Errno| fail!(errno => "cannot wait");
    let signals = sys::signalfd(SignalSet(ENDING.load(Relaxed))).map_err(failed)?;
    loop {
        let mut all = heapless::Vec::<PollFd<'_>, 3>::new();
        all.extend(
            fds.iter().copied().take(2).chain([signals.as_fd()]).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        match poll(&mut all, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match all.iter().position(|fd| !fd.revents().is_empty()) {
            Some(index) if index < fds.len() => return Ok(index),
            Some(_) => {
                if let Some(signal) = sys::read_signal(signals.as_fd()).map_err(failed)? {
                    return Err(fail!("interrupted by signal {signal}"));
                }
            }
            None => {}
        }
    }
}
