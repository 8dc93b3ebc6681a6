//! Time, in milliseconds and microseconds since the kernel's start.

use crate::sys::time::Timespec;
use crate::sys::{boot_time, thread};

/// Milliseconds.
pub fn now() -> u64 {
    boot_time() / 1000
}

/// Waits.
pub fn pause(milliseconds: u32) {
    let _ = thread::nanosleep(&Timespec { tv_sec: 0, tv_nsec: i64::from(milliseconds.min(999)) * 1_000_000 });
}

/// What is left until `end`, for poll(2).
pub fn until(end: u64) -> Timespec {
    let left = end.saturating_sub(now()).min(i32::MAX as u64) as i64;
    Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 }
}
