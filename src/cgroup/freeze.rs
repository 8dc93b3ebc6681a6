//! The freezer of a cgroup (cgroup-v2.rst, `cgroup.freeze`).

use super::tree::{Cgroup, cannot, event_in, now};
use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::OFlags;
use crate::sys::time::Timespec;
use crate::sys::{AsFd, Errno};

/// How long processes may take to freeze, in milliseconds: they do so on their
/// way back from the kernel, which some calls hold up.
const PATIENCE: u64 = 10_000;

impl Cgroup {
    /// Freezes all that lives in it and below it, or lets it go on, and waits
    /// until that is so. What does not freeze in time is let go again.
    ///
    /// # Errors
    /// The kernel's, or it takes too long.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        self.intend(frozen)?;
        let end = now().saturating_add(PATIENCE);
        let result = self.await_frozen(frozen, end);
        if frozen && result.is_err() {
            let _ = self.intend(false); // best effort: an error is under way
        }
        result
    }

    fn intend(&self, frozen: bool) -> Result<()> {
        let text: &[u8] = if frozen { b"1" } else { b"0" };
        self.write(c"cgroup.freeze", text).map_err(|errno| cannot(errno, "write cgroup.freeze"))
    }

    fn await_frozen(&self, frozen: bool, end: u64) -> Result<()> {
        let failed = |errno: Errno| cannot(errno, "watch cgroup.events");
        let events = self.open(c"cgroup.events", OFlags::RDONLY).map_err(failed)?;
        // Read before every wait: the kernel tells of changes since then.
        while event_in(events.as_fd(), "frozen ").map_err(failed)? != frozen {
            let left = end.saturating_sub(now());
            match (left, frozen) {
                (0, true) => return Err(fail!("not all of its processes freeze in {PATIENCE} ms: it goes on")),
                (0, false) => return Err(fail!("it stays frozen: a cgroup above its own is")),
                _ => {}
            }
            let timeout = Timespec { tv_sec: (left / 1000) as _, tv_nsec: (left % 1000 * 1_000_000) as _ };
            match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }
}
