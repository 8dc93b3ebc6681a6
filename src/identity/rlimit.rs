//! Resource limits (getrlimit(2)).

use crate::error::Result;
use crate::spec::config::{Rlimit, RlimitTypes};
use crate::spec::record::{List, WordSet};
use crate::sys::process::{Pid, Resource, Rlimit as Pair, prlimit};

/// By the index of the specification's words, which is the kernel's number.
const RESOURCES: [Resource; 16] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];

/// When limits are set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// While raising one is allowed still. All but what [`When::Last`] sets.
    Early,
    /// As the last thing before the program: fewer descriptors than the way there takes.
    Last,
}

/// Descriptors that are enough for us from the first of these moments to the last.
const ENOUGH: u64 = 64;

/// Sets the limits of process `pid`, or of the caller. Raising one takes the
/// caller's rights, not the process's.
///
/// # Errors
/// With the place: the kernel's. EPERM: a hard limit would be raised, which
/// takes CAP_SYS_RESOURCE in the host's user namespace.
pub fn set(pid: Option<Pid>, limits: List<'_, Rlimit<'static>>, when: When) -> Result<()> {
    for limit in limits.iter() {
        let Some(kind) = limit.kind() else { continue };
        let Some(resource) = kind.place_in(RlimitTypes::WORDS).and_then(|number| RESOURCES.get(number)) else {
            return Err(kind.error(format_args!("\"{kind}\" is not a resource limit")));
        };
        // The kernel's RLIM_INFINITY is the largest number too.
        let value = |number: Option<u64>| number.filter(|number| *number != u64::MAX);
        let mut new = Pair { current: value(limit.soft()), maximum: value(limit.hard()) };
        let is_few = |number: Option<u64>| number.is_some_and(|number| number < ENOUGH);
        let few = *resource == Resource::Nofile && is_few(new.current);
        match when {
            When::Early if few && is_few(new.maximum) => continue,
            When::Early if few => new.current = new.maximum,
            When::Last if !few => continue,
            _ => {}
        }
        prlimit(pid, *resource, new)
            .map_err(|errno| limit.value().os_error(errno, format_args!("cannot set {kind}")))?;
    }
    Ok(())
}
