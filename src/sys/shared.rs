//! Numbers that this process shares with the processes that it makes.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use rustix::io::Errno;

use super::raw::syscall;

/// How many there are.
pub const SHARED: usize = 16;

type Numbers = [AtomicU64; SHARED];

static NUMBERS: AtomicPtr<Numbers> = AtomicPtr::new(null_mut());

/// From here on there are some, all of them 0: mmap(2), MAP_SHARED | MAP_ANONYMOUS.
pub fn share_numbers() -> Result<(), Errno> {
    const PROT_READ_WRITE: usize = 3;
    const MAP_SHARED_ANONYMOUS: usize = 0x21;
    const NO_FILE: isize = -1;
    let size = size_of::<Numbers>();
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let place = unsafe { syscall!(__NR_mmap, 0, size, PROT_READ_WRITE, MAP_SHARED_ANONYMOUS, NO_FILE, 0) }?;
    NUMBERS.store(core::ptr::with_exposed_provenance_mut(place), Relaxed);
    Ok(())
}

/// They, where there are any.
pub fn shared_numbers() -> Option<&'static Numbers> {
    // SAFETY: null, or a mapping of their size that is never taken away; of
    // atomics, which others may change too.
    unsafe { NUMBERS.load(Relaxed).as_ref() }
}
