//! Writing a new user namespace's id maps and a new time namespace's offsets, from
//! outside.

use super::id_maps::IdMap;
use super::map_program;
use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::sys::process::{getegid, geteuid};
use crate::sys::{Errno, Procfs};

/// Writes the maps of the user namespace of `pid`, a child that the caller has
/// not reaped (so that its pid is its own), each in one call. What an ordinary user
/// may not write itself is written by newuidmap and newgidmap.
///
/// # Errors
/// The kernel's, or the programs'. EPERM: an id outside is not the caller's to give.
pub fn write_maps(procfs: &Procfs, pid: u32, uids: &IdMap, gids: &IdMap) -> Result<()> {
    let (uid, gid) = (geteuid(), getegid().as_raw());
    let may_write = |map: &IdMap, id| uid.is_root() || map.is_only(id);
    match may_write(gids, gid) {
        true => write_gids(procfs, pid, gids)?,
        // It leaves setgroups alone where the ids are not the caller's own alone.
        false => map_program::write(c"newgidmap", pid, gids.text())?,
    }
    match may_write(uids, uid.as_raw()) {
        true => write(procfs, pid, "uid_map", uids.text()).map_err(|errno| cannot(errno, "map the user ids of")),
        false => map_program::write(c"newuidmap", pid, uids.text()),
    }
}

fn write_gids(procfs: &Procfs, pid: u32, gids: &IdMap) -> Result<()> {
    let put = |file: &str, text: &[u8]| write(procfs, pid, file, text);
    match put("gid_map", gids.text()) {
        Ok(()) => {}
        // Of a caller without CAP_SETGID the map is only taken once setgroups is
        // denied: otherwise a process could drop a group that denies it something
        // (CVE-2014-8989).
        Err(Errno::PERM) => {
            put("setgroups", b"deny").map_err(|errno| cannot(errno, "deny setgroups in"))?;
            put("gid_map", gids.text()).map_err(|errno| cannot(errno, "map the group ids of"))?;
        }
        Err(errno) => return Err(cannot(errno, "map the group ids of")),
    }
    Ok(())
}

fn write(procfs: &Procfs, pid: u32, file: &str, text: &[u8]) -> Result<(), Errno> {
    if text.is_empty() {
        return Ok(()); // maps nothing
    }
    let path = Printed::<32>::of(format_args!("{pid}/{file}"));
    // The kernel takes the whole or nothing.
    procfs.write_file(path.as_c_str(), text)
}

/// Sets the offsets of the time namespace that the caller's children will be in.
///
/// # Errors
/// The kernel's: ERANGE where a clock would become negative or too large.
pub fn set_time_offsets(procfs: &Procfs, text: &[u8]) -> Result<()> {
    procfs
        .write_file(c"self/timens_offsets", text)
        .map_err(|errno| fail!(errno => "cannot set the offsets of the new time namespace"))
}

#[cold]
fn cannot(errno: Errno, what: &str) -> crate::error::Error {
    fail!(errno => "cannot {what} the new user namespace")
}
