//! Seccomp filters for tests: an interpreter of their programs (`interpreter`),
//! profiles made at random (`random`), what a profile means (`model`), what
//! libseccomp makes of one, as runc asks it to (`libseccomp`), and the answering of
//! what a filter asks (`listener`).

pub mod interpreter;
pub mod libseccomp;
pub mod listener;
pub mod model;
pub mod random;
