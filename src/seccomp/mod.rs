//! Seccomp filters (seccomp(2)), compiled from a profile and loaded into the
//! calling process.
//!
//! Gets the profile; knows nothing of containers.

mod compile;
mod filter;
mod load;
mod names;
mod numbers;

pub use compile::SeccompFilter;
pub use load::{load, waits_killable};
pub use numbers::ARCHITECTURE_NAMES;
