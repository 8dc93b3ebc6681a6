//! Puts a device program on a cgroup, and takes it off.

use super::device_program::Program;
use super::tree::Cgroup;
use crate::error::Result;
use crate::fail;
use crate::sys::{
    AsFd, Errno, bpf_cgroup_device_attach, bpf_cgroup_device_detach, bpf_cgroup_device_load, bpf_program_by_id,
    bpf_program_id, done,
};

/// Loads `program` and attaches it to `cgroup`: from then on it is asked for
/// every process in it, in addition to the programs of the groups above. It goes
/// with the cgroup. Where that is to `outlive` it, gives the number to
/// [`detach`] it by; otherwise 0.
///
/// # Errors
/// The kernel's. EPERM where the caller may not load programs, as in a user
/// namespace.
pub fn attach(cgroup: &Cgroup, program: &Program, outlive: bool) -> Result<u32> {
    let loaded = bpf_cgroup_device_load(program.instructions())
        .map_err(|errno| fail!(errno => "cannot load the device program"))?;
    let id = if outlive { bpf_program_id(loaded.as_fd()) } else { Ok(0) };
    let attached = id.and_then(|id| bpf_cgroup_device_attach(cgroup.fd(), loaded.as_fd()).map(|()| id));
    done(loaded);
    attached.map_err(|errno| fail!(errno => "cannot attach the device program to the cgroup"))
}

/// Takes the program of that number off `cgroup`, if it is there.
///
/// # Errors
/// The kernel's.
pub fn detach(cgroup: &Cgroup, id: u32) -> Result<()> {
    let detached = bpf_program_by_id(id).and_then(|program| bpf_cgroup_device_detach(cgroup.fd(), program.as_fd()));
    match detached {
        // Gone, or another one's number by now, which is not attached here.
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(fail!(errno => "cannot detach the device program from the cgroup")),
    }
}
