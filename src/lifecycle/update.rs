//! `update`: new limits for a container that runs.

use core::ffi::CStr;

use super::arena::Arena;
use super::bundle::read_document;
use super::container::{self, Status};
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use crate::cgroup::{self, Cgroup, CgroupPath, Hierarchy, Limits};
use crate::error::{Lossy, Result};
use crate::json::{Document, Extents};
use crate::spec::config::Config;
use crate::spec::record::asks_for_nothing;
use crate::spec::state::StateRecord;
use crate::sys::fs::CWD;
use crate::sys::{self, AsFd, Errno, OwnedFd, read_all};
use crate::{fail, limits, resctrl, spec};

/// Where the new limits are: the JSON of `linux.resources`, of which what is not
/// there stays as it is.
pub enum Source<'s> {
    File(&'s CStr),
    StandardInput,
    /// What the command line's flags say.
    Text(&'s [u8]),
}

/// Gives the container new limits, and new device rules where there are any;
/// `schemata` is a `linux.intelRdt` with new ones for the container's class.
///
/// # Errors
/// A value is bad, before anything is changed; or the kernel refuses one, and
/// what was changed before it is taken back.
pub fn update(
    root: Option<&StateRoot>,
    id: &CStr,
    source: Source<'_>,
    schemata: &[u8],
    workspace: &mut Workspace,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let Workspace { document, extents, second, strings, device_program, journal, output, .. } = workspace;
    let text = match source {
        Source::File(path) => read_document(CWD, path, document)?,
        Source::StandardInput => read_input(document)?,
        Source::Text(text) => text,
    };
    let (mut of_schemata, mut of_config) = (Extents::new(), Extents::new());
    let document = Document::parse("resources", text, extents)?;
    let resources = spec::load_resources(&document)?;
    cgroup::lines(&Limits::new(resources, None), &mut |_| Ok(()))?;
    cgroup::warn_of_ignored(&resources, warn);
    let schemata = Document::parse("schemata", schemata, &mut of_schemata)?;
    let schemata = spec::load_intel_rdt(&schemata)?;
    let has_schemata = !asks_for_nothing(schemata.value());
    let folder = container::open(root, id)?;
    if !resources.devices().is_empty() {
        // The record is written again: a `start`, a `delete` or another `update` has
        // to be over when it is read.
        folder.lock()?;
    }
    let mut record = container::record(&folder, id, second, &mut Arena::new(strings))?;
    let (Status::Created | Status::Running, _) = container::status(&record)? else {
        return Err(fail!("container not running: {}", Lossy(id.to_bytes())));
    };
    let group = container::own_cgroup(&record)?;
    let needs_config = has_schemata || Limits::limits_to_zero(&resources);
    let text = if needs_config { folder.read(c"config.json", output)? } else { None };
    let config = Document::parse("config.json", text.unwrap_or(b"{}"), &mut of_config)?;
    let config = Config::view(config.root());
    // Engines write these resources as they have written those.
    let limits = Limits::new(resources, config.oci_version());
    let linux = config.linux().filter(|_| has_schemata);
    let class = linux.and_then(resctrl::asked);
    if has_schemata && class.is_none() {
        return Err(fail!("container {} has no class of service", Lossy(id.to_bytes())));
    }
    let mut program = None;
    if !resources.devices().is_empty() {
        device_program.assemble(resources.devices())?;
        match cgroup::load_device_program(device_program) {
            Ok(loaded) => program = Some(loaded),
            Err(error) if error.is(Errno::PERM) => warn(cgroup::DEVICES_NOT_ENFORCED),
            Err(error) => return Err(error),
        }
    }
    group.check_memory(&resources)?;
    let path = CgroupPath::from_bytes(record.cgroup.as_bytes())?;
    let limited = group.apply(&limits, &Hierarchy::open()?, &path, journal, warn);
    let changed = limited.and_then(|()| {
        let before = class.as_ref().map(|class| resctrl::update(class, id, &schemata)).transpose()?;
        let Some(program) = &program else { return Ok(()) };
        let replaced = replace_program(program, &group, &folder, &mut record, second).map(|replaced| {
            if !replaced {
                warn(cgroup::DEVICES_NOT_OURS);
            }
        });
        replaced.map_err(|error| match before {
            Some(before) if !before.give_back() => fail!("{error} (its new schemata stay)"),
            _ => error,
        })
    });
    changed.map_err(|error| journal.give_back(&group, error))
}

/// As a record that is wrong would have a program stay on a cgroup that is not
/// ours, both numbers are in it meanwhile. Whether the program is in force.
fn replace_program(
    program: &OwnedFd,
    group: &Cgroup,
    folder: &Folder,
    record: &mut StateRecord<'_>,
    scratch: &mut [u8],
) -> Result<bool> {
    if record.cgroup_made {
        return cgroup::replace_device_program(group, program, None);
    }
    record.device_program_next = cgroup::device_program_id(program)?;
    folder.write_record(record, scratch)?;
    let replaced = cgroup::replace_device_program(group, program, Some(record.device_program));
    if matches!(replaced, Ok(true)) {
        record.device_program = record.device_program_next;
    }
    record.device_program_next = 0;
    replaced.and_then(|replaced| folder.write_record(record, scratch).map(|()| replaced))
}

fn read_input(buffer: &mut [u8]) -> Result<&[u8]> {
    let text = read_all(sys::stdin().as_fd(), buffer)
        .map_err(|errno: Errno| fail!(errno => "cannot read the resources from standard input"))?;
    match text.len() {
        ..=limits::DOCUMENT => Ok(text),
        _ => Err(fail!("standard input has more than the limit of {} bytes", limits::DOCUMENT)),
    }
}
