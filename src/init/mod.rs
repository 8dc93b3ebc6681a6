//! PID 1: what the kernel starts.

mod block_devices;
pub mod modules;
mod mount_value;
pub mod mounts;
mod superblock;
