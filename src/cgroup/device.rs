//! Puts a device program on a cgroup, and takes it off.

use super::device_program::Program;
use super::tree::Cgroup;
use crate::error::Result;
use crate::fail;
use crate::sys::{
    AsFd, Errno, OwnedFd, bpf_cgroup_device_attach, bpf_cgroup_device_detach, bpf_cgroup_device_first,
    bpf_cgroup_device_load, bpf_program_by_id, bpf_program_id, done,
};

/// What is to be told where a program cannot be loaded for want of rights.
pub const NOT_ENFORCED: &str = "device rules are not enforced: this user may not load a device program";

/// Loads `program`, which has no effect yet.
///
/// # Errors
/// The kernel's. EPERM where the caller may not load programs, as in a user
/// namespace.
pub fn load(program: &Program) -> Result<OwnedFd> {
    bpf_cgroup_device_load(program.instructions()).map_err(|errno| fail!(errno => "cannot load the device program"))
}

/// The number that a loaded program is known by.
///
/// # Errors
/// The kernel's.
pub fn id(program: &OwnedFd) -> Result<u32> {
    bpf_program_id(program.as_fd()).map_err(|errno| fail!(errno => "cannot tell the number of the device program"))
}

/// Loads `program` and attaches it to `cgroup`: from then on it is asked for
/// every process in it, in addition to the programs of the groups above. It goes
/// with the cgroup. Where that is to `outlive` it, gives the number to
/// [`detach`] it by; otherwise 0.
///
/// # Errors
/// As [`load`].
pub fn attach(cgroup: &Cgroup, program: &Program, outlive: bool) -> Result<u32> {
    let loaded = load(program)?;
    let id = if outlive { id(&loaded)? } else { 0 };
    let attached = bpf_cgroup_device_attach(cgroup.fd(), loaded.as_fd(), None);
    done(loaded);
    attached.map(|()| id).map_err(|errno| fail!(errno => "cannot attach the device program to the cgroup"))
}

/// Puts a program that is loaded in the place of the one with the number `old`,
/// beside all others where that is not there; without a number in the place of the
/// one that was attached first, as ours is to a cgroup that we made. There is no
/// moment without either.
///
/// # Errors
/// The kernel's.
pub fn replace(cgroup: &Cgroup, loaded: &OwnedFd, old: Option<u32>) -> Result<()> {
    let (group, loaded) = (cgroup.fd(), loaded.as_fd());
    let old = old.map_or_else(|| bpf_cgroup_device_first(group), Ok);
    match old.and_then(bpf_program_by_id) {
        Ok(old) => bpf_cgroup_device_attach(group, loaded, Some(old.as_fd())),
        // Who made the container might not load any.
        Err(Errno::NOENT) => bpf_cgroup_device_attach(group, loaded, None),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| fail!(errno => "cannot replace the device program of the cgroup"))
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
