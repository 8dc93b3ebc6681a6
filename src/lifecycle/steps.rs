//! When which step of making a container was done, for whoever asks: numbers that
//! the process which makes the container shares with the container's first one, so
//! that a step costs a look at the clock, and nothing where nobody asks.

use core::sync::atomic::Ordering::Relaxed;

use crate::sys::{boot_time, share_numbers, shared_numbers};

/// The steps. Each has the number at its place.
#[derive(Clone, Copy)]
pub enum Step {
    Planned,
    CgroupMade,
    Cloned,
    InNamespaces,
    Mounted,
    Hooked,
    Entered,
    Restricted,
    Identified,
    Executing,
}

const NAMES: [&str; 10] = [
    "config.json read, all decided",
    "record and cgroup made",
    "process cloned",
    "in its namespaces, with a session and names",
    "root file system built",
    "hooks before the root run",
    "root entered, devices made",
    "terminal opened, paths masked",
    "identity taken, program found",
    "let go, about to be executed",
];

/// Steps are taken down from here on. Where that cannot be there are none.
pub fn take_down() {
    let _ = share_numbers();
}

/// `step` is done.
pub fn done(step: Step) {
    if let Some(number) = shared_numbers().and_then(|numbers| numbers.get(step as usize)) {
        number.store(boot_time(), Relaxed);
    }
}

/// The steps that were done, and when, in microseconds since the kernel's start.
pub fn taken_down() -> impl Iterator<Item = (&'static str, u64)> {
    let numbers = shared_numbers().into_iter().flatten();
    NAMES.into_iter().zip(numbers.map(|number| number.load(Relaxed))).filter(|(_, us)| *us > 0)
}
