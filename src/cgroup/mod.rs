//! Control groups, version 2 (cgroups(7), the kernel's cgroup-v2.rst).
//!
//! Where a group is, whether it is ours, what lives in it, what it may use of the
//! machine and what it has used. Gets descriptors, paths and rules; knows nothing
//! of containers.

mod apply;
mod controllers;
mod convert;
mod device;
mod device_program;
mod freeze;
mod journal;
mod path;
mod processes;
mod remove;
mod shares;
mod stats;
mod tree;
mod usage;
mod walk;

pub use convert::{Limits, ignored as warn_of_ignored, lines, warn_without_cgroup};
pub use device::{
    NOT_ENFORCED as DEVICES_NOT_ENFORCED, NOT_OURS as DEVICES_NOT_OURS, attach as attach_device_program,
    detach as detach_device_program, id as device_program_id, load as load_device_program,
    replace as replace_device_program,
};
pub use device_program::Program as DeviceProgram;
pub use journal::Journal;
pub use path::{CgroupPath, in_proc_file};
pub use tree::{Cgroup, Created, Hierarchy, own_path};
pub use usage::OutOfMemory;
