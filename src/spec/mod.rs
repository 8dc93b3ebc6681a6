//! The OCI documents (runtime-spec 1.3, the Linux part) as typed views.
//!
//! One table per object describes both what is valid and how it is read. What a
//! valid document means for the kernel is not known here.

pub mod config;
pub mod hooks;
pub mod linux;
pub mod record;
pub mod resources;
pub mod seccomp;
pub mod time;
