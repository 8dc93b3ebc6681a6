//! Control groups, version 2 (cgroups(7), the kernel's cgroup-v2.rst).
//!
//! Where a group is, whether it is ours, what lives in it and what devices it
//! may use. Gets descriptors, paths and rules; knows nothing of containers.

mod device;
mod device_program;
mod path;
mod processes;
mod remove;
mod tree;
mod walk;

pub use device::{attach as attach_device_program, detach as detach_device_program};
pub use device_program::Program as DeviceProgram;
pub use path::{CgroupPath, in_proc_file};
pub use tree::{Cgroup, Created, Hierarchy};
