//! ocinit: an OCI container runtime and init in one static binary.
#![cfg_attr(not(test), no_std)]
pub mod cli;
pub mod error;
pub mod json;
pub mod limits;
pub mod rootfs;
pub mod spec;
pub mod sys;
