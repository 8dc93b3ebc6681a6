//! Whether it was for want of memory that a unit's first process was killed.
//!
//! The kernel counts the processes of a cgroup that it kills so (`oom_kill` of
//! memory.events), right before the signal, but does not say which they were. One
//! that it has killed does not live on: where the first process neither has ended
//! nor is about to a moment after the count has changed, it was another's turn.

use super::clock::now;
use crate::cgroup::OutOfMemory;
use crate::lifecycle::{self, Created, ProcPath, stat_field};
use crate::sys::fs::CWD;
use crate::sys::{BorrowedFd, read_file};

/// Milliseconds between the count's change and the look at the process: the kernel
/// sends the signal within microseconds, and tells of changes 10 ms apart.
const MOMENT: u64 = 100;

/// What is known of it.
pub struct Shortage {
    /// Nothing where the kernel does not count.
    kills: Option<OutOfMemory>,
    /// A process was killed, perhaps the first: when to look whether that lives on;
    /// never where it does not.
    look_at: Option<u64>,
}

impl Shortage {
    /// Whether it has to be watched for before the program is started: in a cgroup that
    /// was there already, others may have been killed.
    pub fn comes_first(created: &Created) -> bool {
        !created.made.record.cgroup_made
    }

    /// Begins to watch the container's cgroup.
    pub fn of(created: &Created) -> Shortage {
        let cgroup = lifecycle::cgroup_of(&created.made.record).ok().flatten();
        let kills = cgroup.and_then(|cgroup| OutOfMemory::of_new(&cgroup).ok().flatten());
        let mut shortage = Shortage { kills, look_at: None };
        if Shortage::comes_first(created) {
            shortage.count(); // those of others
        }
        shortage
    }

    /// To poll for POLLPRI.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.kills.as_ref().and_then(OutOfMemory::fd)
    }

    /// When [`Shortage::turn`] has something to do.
    pub fn due(&self) -> Option<u64> {
        self.look_at.filter(|at| *at != u64::MAX)
    }

    /// Looks at the count, if `polled` says that it has changed; or at process `pid`,
    /// once that is due.
    pub fn turn(&mut self, polled: bool, pid: i32) {
        let is_due = self.due().is_some_and(|at| now() >= at);
        if (polled || is_due) && self.count() {
            self.look_at = Some(now() + MOMENT);
        } else if is_due {
            self.look_at = is_ending(pid).then_some(u64::MAX);
        }
    }

    /// Of the process, which was killed: whether it was for want of memory.
    pub fn has_killed(&mut self) -> bool {
        self.count() || self.look_at.is_some()
    }

    /// Whether there were more kills since the last look.
    fn count(&mut self) -> bool {
        self.kills.as_mut().is_some_and(|kills| kills.has_killed().unwrap_or(false))
    }
}

/// Whether the process has been killed, and is at most on its way out.
fn is_ending(pid: i32) -> bool {
    /// PF_EXITING and PF_SIGNALED of the kernel's sched.h.
    const ENDING: u64 = 0x404;
    const KILL: u64 = 1 << 8;
    let mut buffer = [0; 1024];
    let Ok(stat) = read_file(CWD, ProcPath::new(pid, "stat").as_c_str(), &mut buffer) else { return true };
    let has = |field, bits| stat_field(stat, field).is_some_and(|flags| flags & bits != 0);
    has(9, ENDING) || has(31, KILL) // its flags, and the signals that it has not taken yet
}
