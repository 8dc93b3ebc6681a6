//! ocinit: an OCI container runtime and init in one static binary.
#![cfg_attr(not(test), no_std)]
pub mod cgroup;
pub mod cli;
pub mod error;
pub mod identity;
pub mod json;
pub mod limits;
pub mod namespace;
pub mod spec;
pub mod sys;
