//! Seccomp filters for tests: an interpreter of their programs (`interpreter`),
//! profiles made at random (`random`), what a profile means (`model`), and what
//! libseccomp makes of one, as runc asks it to (`libseccomp`).

pub mod interpreter;
pub mod libseccomp;
pub mod model;
pub mod random;
