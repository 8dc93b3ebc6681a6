//! Puts a device program on a cgroup, and takes it off.

use super::device_program::Program;
use super::tree::Cgroup;
use crate::error::Result;
use crate::fail;
use crate::sys::{
    AsFd, CGROUP_PROGRAMS, Errno, OwnedFd, ProgramName, bpf_cgroup_device_attach, bpf_cgroup_device_detach,
    bpf_cgroup_device_load, bpf_cgroup_device_programs, bpf_program_by_id, bpf_program_info, done,
};

/// What our programs are called, so that they are known again.
const NAME: ProgramName = *b"ocinit\0\0\0\0\0\0\0\0\0\0";

/// What is to be told where a program cannot be loaded for want of rights.
pub const NOT_ENFORCED: &str = "device rules are not enforced: this user may not load a device program";

/// What is to be told where the rules cannot be changed.
pub const NOT_OURS: &str =
    "device rules stay as they are: somebody else has put a device program in the place of the container's";

/// Loads `program`, which has no effect yet.
///
/// # Errors
/// The kernel's. EPERM where the caller may not load programs, as in a user
/// namespace.
pub fn load(program: &Program) -> Result<OwnedFd> {
    bpf_cgroup_device_load(program.instructions(), &NAME)
        .map_err(|errno| fail!(errno => "cannot load the device program"))
}

/// The number that a loaded program is known by.
///
/// # Errors
/// The kernel's.
pub fn id(program: &OwnedFd) -> Result<u32> {
    let info = bpf_program_info(program.as_fd());
    info.map(|info| info.id).map_err(|errno| fail!(errno => "cannot tell the number of the device program"))
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

/// Puts a program that is loaded in the place of ours, whose number is `old`, or not
/// known in a cgroup that we made; there is no moment without either. Where we had none,
/// `old` being 0, or there is none at all, it is attached beside what there is. An
/// engine's helper may have put a program of its own in the place of ours, which allows
/// devices that no rule of the engine's speaks of: that one stays. Whether the new
/// program is attached.
///
/// # Errors
/// The kernel's.
pub fn replace(cgroup: &Cgroup, loaded: &OwnedFd, old: Option<u32>) -> Result<bool> {
    let group = cgroup.fd();
    let mut ids = [0; CGROUP_PROGRAMS];
    bpf_cgroup_device_programs(group, &mut ids)
        .and_then(|attached| {
            // On a cgroup that we did not make, others' programs are their own matter, and
            // one of ours may be another container's.
            let ours = find_ours(attached, old)?;
            if ours.is_none() && !attached.is_empty() && old != Some(0) {
                return Ok(false);
            }
            bpf_cgroup_device_attach(group, loaded.as_fd(), ours.as_ref().map(AsFd::as_fd)).map(|()| true)
        })
        .map_err(|errno| fail!(errno => "cannot replace the device program of the cgroup"))
}

/// Of the programs that are `attached` ours: the one with the number `known`, else
/// the first of our name.
fn find_ours(attached: &[u32], known: Option<u32>) -> Result<Option<OwnedFd>, Errno> {
    for id in attached.iter().filter(|id| known.is_none_or(|known| known == **id)) {
        let program = match bpf_program_by_id(*id) {
            Err(Errno::NOENT) => continue, // taken off just now
            program => program?,
        };
        if bpf_program_info(program.as_fd())?.name == NAME {
            return Ok(Some(program));
        }
    }
    Ok(None)
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
