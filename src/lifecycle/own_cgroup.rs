//! The cgroup of a container in the making.

use core::ffi::CStr;

use super::arena::Arena;
use super::create::{Making, Setup};
use super::proc;
use crate::bytes::Printed;
use crate::cgroup::{self, Cgroup, CgroupPath, Hierarchy, Limits};
use crate::error::{Error, Result};
use crate::json::Text;
use crate::namespace::flags;
use crate::spec::config::Config;
use crate::sys::Errno;
use crate::{fail, limits, rootfs};

/// Where the cgroup is to be. Our `own` is only looked up where that matters and it is
/// not known.
pub fn choose(config: &Config<'_>, id: &CStr, own: Option<&[u8]>, arena: &mut Arena<'static>) -> Result<&'static str> {
    let asked = config.linux().and_then(|linux| linux.cgroups_path());
    match own.or(asked.filter(|path| path.starts_with("/")).map(|_| b"/".as_slice())) {
        Some(own) => beside(own, asked, id, arena),
        None => beside_own(asked, id, arena),
    }
}

#[inline(never)] // its buffer is not to be part of the caller's frame
fn beside_own(asked: Option<Text<'_>>, id: &CStr, arena: &mut Arena<'static>) -> Result<&'static str> {
    let mut buffer = [0; limits::PATH];
    beside(cgroup::own_path(&mut buffer)?, asked, id, arena)
}

#[inline(never)] // nor is this one's
fn beside(own: &[u8], asked: Option<Text<'_>>, id: &CStr, arena: &mut Arena<'static>) -> Result<&'static str> {
    let mut room = [0; limits::PATH];
    let path = CgroupPath::choose(asked, id.to_str().unwrap_or(""), own, &mut room)?;
    let text = arena.join(&[path.as_bytes()])?.to_str();
    text.map_err(|_| fail!("the path of the cgroup is not UTF-8"))
}

impl Making<'_> {
    /// The write-ahead record, the cgroup, and which one it was.
    #[inline(never)]
    pub(super) fn make_cgroup(&mut self, setup: &Setup<'_>, warn: &mut dyn FnMut(&str)) -> Result<Option<Cgroup>> {
        let limits = limits_of(&setup.config);
        let Some(text) = setup.cgroup else {
            if let Some(limits) = limits {
                cgroup::warn_without_cgroup(&limits, warn)?;
            }
            return self.folder.write_first_record(&self.record, self.scratch).map(|()| None);
        };
        let hierarchy = match Hierarchy::open() {
            Err(error) => return self.go_without_cgroup(setup, error, warn),
            hierarchy => hierarchy?,
        };
        let path = &CgroupPath::from_bytes(text.as_bytes())?;
        let existing = hierarchy.existing(path)?;
        self.record.cgroup = text;
        self.record.cgroup_existing = existing as u32;
        self.record.cgroup_made = existing < path.depth();
        self.folder.write_first_record(&self.record, self.scratch)?;
        let hierarchy = self.hierarchy.insert(hierarchy);
        let created = match hierarchy.create(path) {
            Err(error) if [Errno::ACCESS, Errno::PERM, Errno::ROFS].iter().any(|errno| error.is(*errno)) => {
                return self.go_without_cgroup(setup, error, warn);
            }
            created => created?,
        };
        // One that has come to be in between is not ours, whatever was absent.
        self.record.cgroup_made = created.made;
        self.record.cgroup_inode = created.cgroup.inode();
        if created.made {
            self.folder.write_cgroup(created.cgroup.inode(), existing as u32, text)?;
        }
        created.cgroup.equip(limits.as_ref(), hierarchy, path, warn)?;
        if created.made
            && let Some(uid) = self.owner(setup)
        {
            match created.cgroup.give_to(uid) {
                // An ordinary user can give nothing away, and has it themselves.
                Err(error) if error.is(Errno::PERM) && setup.process.ordinary_user => {}
                given => given?,
            }
        }
        Ok(Some(created.cgroup))
    }

    /// Whose the cgroup is to be: the container's user's, where that is somebody else
    /// outside, and sees it in a namespace of its own and may write there.
    fn owner(&self, setup: &Setup<'_>) -> Option<u32> {
        let is_to_change = setup.namespaces.makes(flags::CGROUP)
            && setup.namespaces.makes(flags::USER)
            && rootfs::shows_writable_cgroup(&setup.config);
        if is_to_change { self.maps.0.outside(setup.process.uid) } else { None }
    }

    /// The device program, before anything of the user's runs.
    #[inline(never)]
    pub(super) fn attach_devices(
        &mut self,
        setup: &Setup<'_>,
        cgroup: Option<&Cgroup>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let Some(cgroup) = cgroup else { return Ok(()) };
        match cgroup::attach_device_program(cgroup, self.device_program, !self.record.cgroup_made) {
            Ok(id) => self.record.device_program = id,
            // In a user namespace no program can be loaded, nor any device be
            // opened that its owner could not open outside of it.
            Err(error) if error.is(Errno::PERM) && !has_device_rules(&setup.config) => {}
            Err(error) if error.is(Errno::PERM) => {
                warn(cgroup::DEVICES_NOT_ENFORCED);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// An ordinary user may have no cgroup to make others in. Where the configuration
    /// does not need one, the container has none.
    #[cold]
    fn go_without_cgroup(
        &mut self,
        setup: &Setup<'_>,
        error: Error,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<Cgroup>> {
        let rootless = self.rootless.unwrap_or_else(|| setup.process.ordinary_user || proc::in_user_namespace());
        if !rootless || needs_cgroup(&setup.config) {
            return Err(error);
        }
        let mut text = Printed::<{ limits::MESSAGE }>::new();
        let all = if setup.namespaces.makes(flags::PID) {
            ""
        } else {
            ", nor a pid namespace: nothing will find all of its processes"
        };
        text.add(format_args!("the container has no cgroup{all}: {error}"));
        warn(text.as_str());
        (self.record.cgroup, self.record.cgroup_made, self.record.cgroup_existing) = ("", false, 0);
        match self.hierarchy {
            None => self.folder.write_first_record(&self.record, self.scratch)?,
            Some(_) => self.folder.write_record(&self.record, self.scratch)?,
        }
        Ok(None)
    }
}

fn limits_of<'a>(config: &Config<'a>) -> Option<Limits<'a>> {
    Some(Limits::new(config.linux()?.resources()?, config.oci_version()))
}

/// Whether the configuration asks for a cgroup: for a certain one, or for limits.
fn needs_cgroup(config: &Config<'_>) -> bool {
    let Some(linux) = config.linux() else { return false };
    let mut has_limits = false;
    if let Some(limits) = limits_of(config) {
        // What is wrong with them was found before.
        let _ = cgroup::lines(&limits, &mut |_| {
            has_limits = true;
            Ok(())
        });
    }
    has_limits || linux.cgroups_path().is_some_and(|path| !path.is_empty())
}

fn has_device_rules(config: &Config<'_>) -> bool {
    config.linux().and_then(|linux| linux.resources()).is_some_and(|resources| !resources.devices().is_empty())
}
