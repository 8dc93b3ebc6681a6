//! Puts a device program on a cgroup.

use super::device_program::Program;
use super::tree::Cgroup;
use crate::error::Result;
use crate::fail;
use crate::sys::{AsFd, bpf_cgroup_device_attach, bpf_cgroup_device_load};

/// Loads `program` and attaches it to `cgroup`: from then on it is asked for
/// every process in it, in addition to the programs of the groups above.
///
/// # Errors
/// The kernel's. [`Error::errno`](crate::error::Error::errno) is EPERM where
/// the caller may not load programs, as in a user namespace.
pub fn attach(cgroup: &Cgroup, program: &Program) -> Result<()> {
    let loaded = bpf_cgroup_device_load(program.instructions())
        .map_err(|errno| fail!(errno => "cannot load the device program"))?;
    bpf_cgroup_device_attach(cgroup.fd(), loaded.as_fd(), None)
        .map_err(|errno| fail!(errno => "cannot attach the device program to the cgroup"))
}
