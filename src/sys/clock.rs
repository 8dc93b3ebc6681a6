//! The clock.

use rustix::io::Errno;

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
