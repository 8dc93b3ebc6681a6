//! What the record of a container says from the start, before anything is made.

use core::ffi::CStr;

use super::arena::Arena;
use super::bundle::{Bundle, RootPath};
use super::create::{Request, Setup};
use super::proc;
use crate::bytes::Printed;
use crate::error::{Lossy, Result};
use crate::namespace::flags;
use crate::spec::state::StateRecord;
use crate::spec::time::rfc3339;
use crate::{fail, spec, sys};

/// What the record says from the start.
pub struct Facts {
    id: &'static str,
    bundle: &'static str,
    rootfs: &'static str,
    created: &'static str,
    boot_id: &'static str,
    owner: &'static str,
    creator_pid: i32,
    creator_start_time: u64,
}

impl Facts {
    #[inline(never)]
    pub fn new(request: &Request<'_>, bundle: &Bundle, root: &RootPath, arena: &mut Arena<'static>) -> Result<Facts> {
        let text =
            |path: &'static CStr| path.to_str().map_err(|_| fail!("the path {} is not UTF-8", Lossy(path.to_bytes())));
        let (seconds, nanoseconds) = sys::realtime().map_err(|errno| fail!(errno => "cannot tell the time"))?;
        let created = rfc3339(seconds, nanoseconds);
        let (creator_pid, creator_start_time) = proc::own()?;
        Ok(Facts {
            id: text(request.id)?,
            bundle: text(bundle.path)?,
            rootfs: text(root.absolute)?,
            created: text(arena.join(&[created.as_bytes()])?)?,
            boot_id: text(arena.join(&[&proc::boot_id()?])?)?,
            owner: text(owner(arena)?)?,
            creator_pid,
            creator_start_time,
        })
    }

    /// Before anything was made.
    pub fn record(&self, setup: &Setup<'_>) -> StateRecord<'static> {
        StateRecord {
            oci_version: spec::version::MOST,
            id: self.id,
            bundle: self.bundle,
            rootfs: self.rootfs,
            created: self.created,
            owner: self.owner,
            pid: 0,
            start_time: 0,
            boot_id: self.boot_id,
            pidfd_inode: 0,
            creator_pid: self.creator_pid,
            creator_start_time: self.creator_start_time,
            status: "creating",
            cgroup: "",
            cgroup_made: false,
            cgroup_existing: 0,
            cgroup_inode: 0,
            device_program: 0,
            device_program_next: 0,
            own_pid_namespace: setup.namespaces.makes(flags::PID),
            started: false,
            terminal: setup.process.terminal,
            hooks: false,
            executable: (setup.process.hardened.own.device, setup.process.hardened.own.inode),
            no_new_keyring: setup.keyring.is_none(),
        }
    }
}

/// Who made the container, as `list` shows it: no name is ever looked up
/// (security rule R8), but everybody knows the first.
fn owner(arena: &mut Arena<'static>) -> Result<&'static CStr> {
    match sys::process::geteuid() {
        user if user.is_root() => Ok(c"root"),
        user => arena.join(&[Printed::<16>::of(format_args!("#{}", user.as_raw())).as_bytes()]),
    }
}
