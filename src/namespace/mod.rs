//! Namespaces (namespaces(7)): which are new and which are joined, and the id
//! maps of a user namespace.
//!
//! Gets a list of the specification, paths and pids; knows nothing of containers.

pub mod flags;
mod id_maps;
mod join;
mod map_program;
mod time_offsets;
mod write_maps;

pub use flags::Plan;
pub use id_maps::IdMap;
pub use join::{Opened, enter, enter_of, is_own, open};
pub use time_offsets::time_offsets;
pub use write_maps::{set_time_offsets, write_maps};
