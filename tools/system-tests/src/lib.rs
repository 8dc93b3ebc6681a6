//! The tests that touch the kernel: the shipped binary is run as root against
//! real bundles, as an engine or a person would run it.
//!
//! A case is a function in a table (`cases`). Each runs in a process of its
//! own, with a fresh folder, bundle and state directory, and after each the
//! harness looks for what was left behind: mounts, cgroups, processes, state.
//! A case that leaves something has failed.
//!
//! The tests know nothing of the program's sources: only its commands, its
//! documents and what the kernel shows.

/// Checks with messages that show both sides.
#[macro_use]
mod check;

#[macro_use]
pub mod case;

pub mod boot_image;
pub mod bundle;
pub mod cases;
pub mod command;
pub mod context;
pub mod dhcp_server;
pub mod guest;
pub mod harness;
pub mod helper;
pub mod kernel;
pub mod leaks;
pub mod ordinary;
pub mod terminal;
pub mod traced;
pub mod uml;
pub mod vsock_listener;
