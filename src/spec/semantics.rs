//! What config.md and config-linux.md demand beyond the form of a document, and
//! what the kernel would refuse anyway: found before anything is done.
//!
//! Where the specification is silent the rule is what runc does in practice;
//! what depends on the kernel, on files or on mount options is not known here.

use super::check::not_between;
use super::config::{Config, Mount, Process, Rlimit, RlimitTypes};
use super::linux::{Device, IdMapping, Linux, Namespace, NamespaceTypes};
use super::record::{List, WordSet};
use crate::bytes;
use crate::error::Result;
use crate::json::{Items, PathBuffer, Text, Value};
use crate::limits;
use crate::word_list;
use crate::word_list::WordList;

/// Checks a whole configuration, whose form has been checked.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn check(config: &Config<'_>) -> Result<()> {
    root(config)?;
    annotations(config)?;
    let linux = config.linux();
    if let Some(linux) = &linux {
        types_differ(linux.namespaces().value(), NamespaceTypes::WORDS)?;
        user_namespace(linux)?;
        sysctls(config, linux)?;
        linux.devices().iter().try_for_each(device)?;
        linux.cgroups_path().map_or(Ok(()), cgroups_path)?;
        if let Some(flag) = linux.personality().and_then(|personality| personality.flags().iter().next()) {
            return Err(flag.error(format_args!("the specification has no such flag")));
        }
    }
    uts_names(config, linux)?;
    config.mounts().iter().try_for_each(|mount| mount_mappings(&mount))?;
    what_needs_mounts(config, linux)?;
    config.process().map_or(Ok(()), |described| process(&described))
}

/// Checks a process on its own: of a configuration, or of `exec --process`.
///
/// # Errors
/// As [`check`].
pub fn process(process: &Process<'_>) -> Result<()> {
    match process.args().iter().next() {
        Some(name) if name.is_empty() => return Err(name.error(format_args!("the program to run has no name"))),
        Some(_) => {}
        None => {
            let place = process.args().value().unwrap_or(process.value());
            return Err(place.error(format_args!("\"args\" must name a program to run")));
        }
    }
    scheduler(process)?;
    rlimits(process.rlimits())
}

/// sched_setattr(2) and ioprio_set(2): what does not belong to the policy would be
/// ignored, or refused without a word of which.
fn scheduler(process: &Process<'_>) -> Result<()> {
    if let Some(scheduler) = process.scheduler() {
        let place = scheduler.value();
        let is = |policies: WordList| scheduler.policy().is_some_and(|policy| policy.place_in(policies).is_some());
        let priority = if is(word_list!("SCHED_FIFO SCHED_RR")) { (1, 99) } else { (0, 0) };
        let times =
            [("runtime", scheduler.runtime()), ("deadline", scheduler.deadline()), ("period", scheduler.period())];
        between(place, "nice", scheduler.nice().unwrap_or(0).into(), -20, 19)?;
        between(place, "priority", scheduler.priority().unwrap_or(0).into(), priority.0, priority.1)?;
        for (name, time) in times {
            if time.unwrap_or(0) > 0 && !is(word_list!("SCHED_DEADLINE")) {
                between(place, name, 1, 0, 0)?;
            }
        }
    }
    match process.io_priority() {
        Some(asked) => between(asked.value(), "priority", asked.priority().unwrap_or(0).into(), 0, 7),
        None => Ok(()),
    }
}

fn root(config: &Config<'_>) -> Result<()> {
    match config.root() {
        // The schema leaves it out for virtual machines; on Linux it is required.
        None => Err(config.value().error(format_args!("\"root\" is missing"))),
        Some(_) => Ok(()),
    }
}

fn namespace<'a>(linux: &Linux<'a>, kind: &str) -> Option<Namespace<'a>> {
    linux.namespaces().iter().find(|namespace| namespace.kind().is_some_and(|found| found.is(kind)))
}

/// No "type", which is one of `types`, twice in a list of objects.
fn types_differ(list: Option<Value<'_>>, types: WordList) -> Result<()> {
    let mut seen = 0u32; // one bit a type; there are sixteen of the longer list
    let mut finder = types.finder();
    for item in Items::of(list) {
        let Some(kind) = item.get("type").map(Text::at) else { continue };
        let bit = kind.place_by(&mut finder).map_or(0, |index| 1 << index);
        if seen & bit != 0 {
            return Err(kind.error(format_args!("{kind} stands here a second time")));
        }
        seen |= bit;
    }
    Ok(())
}

/// What is at `place` is about a namespace of the container's own: without one
/// it would be about the host's.
fn needs(linux: Option<&Linux<'_>>, kind: &str, place: Value<'_>) -> Result<()> {
    match linux.and_then(|linux| namespace(linux, kind)) {
        Some(_) => Ok(()),
        None => Err(place.error(format_args!("needs a {kind} namespace, which \"linux.namespaces\" does not list"))),
    }
}

fn uts_names(config: &Config<'_>, linux: Option<&Linux<'_>>) -> Result<()> {
    for name in [config.hostname(), config.domainname()].into_iter().flatten() {
        if !name.is_empty() {
            needs(linux, "uts", name.value())?;
        }
    }
    Ok(())
}

/// user_namespaces(7), "User and group ID mappings".
fn user_namespace(linux: &Linux<'_>) -> Result<()> {
    let user = namespace(linux, "user");
    let made = user.is_some_and(|user| user.path().is_none_or(|path| path.is_empty()));
    for (name, mappings) in [("uidMappings", linux.uid_mappings()), ("gidMappings", linux.gid_mappings())] {
        match mappings.value().filter(|_| !mappings.is_empty()) {
            Some(place) => needs(Some(linux), "user", place)?,
            None if made => {
                return Err(linux.value().error(format_args!("a new user namespace needs \"{name}\"")));
            }
            None => {}
        }
        // With a path: that namespace has its maps. Mappings beside it are taken
        // and not used, because podman sends one for runc's sake.
        id_mappings(mappings)?;
    }
    Ok(())
}

/// "If specified, it MUST be specified along with" the other (config.md, "Linux
/// mount options").
fn mount_mappings(mount: &Mount<'_>) -> Result<()> {
    let (uids, gids) = (mount.uid_mappings(), mount.gid_mappings());
    if uids.is_empty() != gids.is_empty() {
        return Err(mount.value().error(format_args!("\"uidMappings\" and \"gidMappings\" go together")));
    }
    id_mappings(uids)?;
    id_mappings(gids)
}

fn id_mappings(mappings: List<'_, IdMapping<'static>>) -> Result<()> {
    for (index, mapping) in mappings.iter().enumerate() {
        if index == limits::ID_MAPPINGS {
            let limit = limits::ID_MAPPINGS;
            return Err(mapping.value().error(format_args!("more than the limit of {limit} mappings")));
        }
        id_range(mappings, index, mapping, IdMapping::container_id)?;
        id_range(mappings, index, mapping, IdMapping::host_id)?;
    }
    Ok(())
}

/// One side of mapping number `index`, whose first id `first` gives.
fn id_range<'a>(
    mappings: List<'a, IdMapping<'static>>,
    index: usize,
    mapping: IdMapping<'a>,
    first: fn(&IdMapping<'a>) -> Option<u32>,
) -> Result<()> {
    let range = |mapping: &IdMapping<'a>| (first(mapping).unwrap_or(0), mapping.size().unwrap_or(0));
    let (start, size) = range(&mapping);
    // The kernel maps the last id, which stands for "none", to nothing.
    let Some(end) = start.checked_add(size).filter(|_| size > 0) else {
        return Err(mapping.value().error(format_args!("ids from {start} on, {size} of them: not a range")));
    };
    for earlier in mappings.iter().take(index) {
        let (other, size) = range(&earlier);
        if start < other.saturating_add(size) && other < end {
            return Err(mapping.value().error(format_args!("ids from {start} on are mapped already")));
        }
    }
    Ok(())
}

/// The sysctls that belong to a namespace, and to which; a name that ends in `/`
/// stands for all below it. Any other would change the host. (Docker has no
/// other way to say the domain name.)
const SYSCTLS: &str = "\
net/ network
fs/mqueue/ ipc
kernel/msgmax ipc
kernel/msgmnb ipc
kernel/msgmni ipc
kernel/sem ipc
kernel/shmall ipc
kernel/shmmax ipc
kernel/shmmni ipc
kernel/shm_rmid_forced ipc
kernel/domainname uts";

/// The namespace of the sysctl at `path`.
fn namespace_of(path: &str) -> Option<&'static str> {
    (0..).map_while(|index| bytes::part(SYSCTLS, b'\n', index)).find_map(|line| {
        let name = bytes::part(line, b' ', 0)?.as_bytes();
        let inside = name.ends_with(b"/") && path.as_bytes().starts_with(name);
        if inside || path.as_bytes() == name { bytes::part(line, b' ', 1) } else { None }
    })
}

/// The path of a sysctl below /proc/sys. As sysctl(8) reads names: the first
/// separator decides whether `.` or `/` separates, the other one stands for
/// itself, as in `net.ipv4.conf.eth0/100.forwarding`.
///
/// # Errors
/// Longer than the limit.
pub fn sysctl_path<'b>(name: Text<'_>, buffer: &'b mut [u8; limits::SYSCTL]) -> Result<&'b str> {
    let length = name.c_str(buffer)?.count_bytes();
    let path = buffer.get_mut(..length).unwrap_or(&mut []);
    let dotted = path.iter().find(|byte| matches!(byte, b'.' | b'/')) == Some(&b'.');
    for byte in path.iter_mut().filter(|_| dotted) {
        *byte = match *byte {
            b'.' => b'/',
            b'/' => b'.',
            other => other,
        };
    }
    core::str::from_utf8(path).map_err(|_| name.error(format_args!("not UTF-8")))
}

fn sysctls(config: &Config<'_>, linux: &Linux<'_>) -> Result<()> {
    let (mut buffer, mut other) = ([0; limits::SYSCTL], [0; limits::SYSCTL]);
    for (index, (name, _)) in linux.sysctl().iter().enumerate() {
        let path = sysctl_path(name, &mut buffer)?;
        if bytes::split(path.as_bytes(), b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
            return Err(name.error(format_args!("not the name of a sysctl")));
        }
        for (earlier, _) in linux.sysctl().iter().take(index) {
            if sysctl_path(earlier, &mut other)? == path {
                return Err(name.error(format_args!("this sysctl stands here a second time")));
            }
        }
        if path == "kernel/hostname" || (path == "kernel/domainname" && config.domainname().is_some()) {
            return Err(name.error(format_args!("has a field of its own in config.json, which is to be used")));
        }
        let Some(kind) = namespace_of(path) else {
            return Err(name.error(format_args!("not a sysctl of a namespace: it would change the host")));
        };
        needs(Some(linux), kind, name.value())?;
    }
    Ok(())
}

fn annotations(config: &Config<'_>) -> Result<()> {
    match config.annotations().iter().find(|(name, _)| name.is_empty()) {
        Some((name, _)) => Err(name.error(format_args!("an annotation must have a name"))),
        None => Ok(()),
    }
}

fn device(device: Device<'_>) -> Result<()> {
    let fifo = device.kind().is_some_and(|kind| kind.is("p"));
    // makedev(3): 12 and 20 bits. More would come out as another device.
    for (name, number, most) in [("major", device.major(), 0xfff), ("minor", device.minor(), 0xf_ffff)] {
        match number {
            // A FIFO has none; engines written in Go write out a zero all the same.
            _ if fifo => between(device.value(), name, number.unwrap_or(0), 0, 0)?,
            Some(number) => between(device.value(), name, number, 0, most)?,
            None => return Err(device.value().error(format_args!("\"{name}\" is missing"))),
        }
    }
    Ok(())
}

#[inline(never)] // its buffer is gone from the stack before anything deeper
fn cgroups_path(path: Text<'_>) -> Result<()> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    if bytes::split(path.c_str(&mut buffer)?.to_bytes(), b'/').any(|part| part == b"..") {
        return Err(path.error(format_args!("\"..\" leaves the place that the cgroup is given")));
    }
    Ok(())
}

/// Without a mount namespace of the container's own its mounts would be made in
/// the host's.
fn what_needs_mounts(config: &Config<'_>, linux: Option<&Linux<'_>>) -> Result<()> {
    let mut place = config.mounts().iter().next().map(|mount| mount.value());
    if let Some(root) = config.root().filter(|root| root.readonly() == Some(true)) {
        place = place.or(Some(member(root.value(), "readonly")));
    }
    if let Some(linux) = linux {
        let covered = linux.masked_paths().iter().chain(linux.readonly_paths().iter()).next();
        let propagation = linux.rootfs_propagation().filter(|word| !word.is_empty());
        place = place.or(covered.or(propagation).map(|text| text.value()));
    }
    place.map_or(Ok(()), |place| needs(linux, "mount", place))
}

fn rlimits(rlimits: List<'_, Rlimit<'static>>) -> Result<()> {
    types_differ(rlimits.value(), RlimitTypes::WORDS)?;
    for rlimit in rlimits.iter() {
        if rlimit.soft() > rlimit.hard() {
            return Err(rlimit.value().error(format_args!("\"soft\" is more than \"hard\"")));
        }
    }
    Ok(())
}

/// Whether `number`, which the member `name` of `object` is, lies so.
fn between(object: Value<'_>, name: &str, number: i64, least: i64, most: u32) -> Result<()> {
    if number < least || number > most.into() {
        return Err(not_between(member(object, name), least, most.into()));
    }
    Ok(())
}

/// The place of a member, or of the object where it is absent.
fn member<'a>(object: Value<'a>, name: &str) -> Value<'a> {
    object.get(name).unwrap_or(object)
}
