//! The clock.

use rustix::event::poll;
use rustix::io::Errno;
use rustix::time::Timespec;

use super::raw::syscall;

/// `int clock_gettime(CLOCK_REALTIME, …);` clock_gettime(2): seconds and
/// nanoseconds since 1970 began, in UTC. rustix's own looks the call up in the
/// vDSO, which costs more than it saves a program that asks once or twice.
///
/// # Errors
/// None that is documented for this clock.
pub fn realtime() -> Result<(i64, u32), Errno> {
    const CLOCK_REALTIME: usize = 0;
    clock(CLOCK_REALTIME)
}

/// `int clock_gettime(CLOCK_MONOTONIC, …);` clock_gettime(2): as [`realtime`],
/// but since some time in the past, and never set back.
///
/// # Errors
/// None that is documented for this clock.
pub fn monotonic() -> Result<(i64, u32), Errno> {
    const CLOCK_MONOTONIC: usize = 1;
    clock(CLOCK_MONOTONIC)
}

/// `int clock_gettime(CLOCK_BOOTTIME, …);` clock_gettime(2): microseconds since
/// the kernel has started.
pub fn boot_time() -> u64 {
    const CLOCK_BOOTTIME: usize = 7;
    let (seconds, nanoseconds) = clock(CLOCK_BOOTTIME).unwrap_or((0, 0)); // this clock does not fail
    seconds.unsigned_abs().saturating_mul(1_000_000).saturating_add(u64::from(nanoseconds) / 1000)
}

fn clock(which: usize) -> Result<(i64, u32), Errno> {
    let mut time = [0i64; 2];
    // SAFETY: `struct timespec` is two 64-bit integers on all architectures that
    // we build for.
    unsafe { syscall!(__NR_clock_gettime, which, time.as_mut_ptr()) }?;
    let [seconds, nanoseconds] = time;
    Ok((seconds, nanoseconds.clamp(0, 999_999_999) as u32))
}

/// A point in time on the clock that is never set back: until when something is
/// waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// Nanoseconds of CLOCK_MONOTONIC.
    at: u64,
}

impl Deadline {
    /// As good as never: 500 years after the start.
    pub const NEVER: Deadline = Deadline { at: u64::MAX };

    /// So many nanoseconds from now.
    pub fn after(nanoseconds: u64) -> Deadline {
        Deadline { at: now().saturating_add(nanoseconds) }
    }

    /// So many seconds later than this.
    pub fn later(self, seconds: u32) -> Deadline {
        Deadline { at: self.at.saturating_add(u64::from(seconds).saturating_mul(1_000_000_000)) }
    }

    /// Lets the time pass that is left.
    pub fn sleep(self) {
        while let Some(left) = self.left() {
            let _ = poll(&mut [], Some(&left)); // a signal ends it early
        }
    }

    /// The time that is left, for poll(2); `None`: it has passed.
    pub fn left(self) -> Option<Timespec> {
        let left = self.at.checked_sub(now()).filter(|left| *left > 0)?;
        Some(Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 })
    }
}

/// Nanoseconds since some time in the past.
fn now() -> u64 {
    let (seconds, nanoseconds) = monotonic().unwrap_or_default();
    seconds.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(nanoseconds.into())
}
