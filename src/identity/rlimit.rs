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

/// Sets the limits of process `pid`, or of the caller. Raising one takes the
/// caller's rights, not the process's.
///
/// # Errors
/// With the place: the kernel's. EPERM: a hard limit would be raised, which
/// takes CAP_SYS_RESOURCE in the host's user namespace.
pub fn set(pid: Option<Pid>, limits: List<'_, Rlimit<'static>>) -> Result<()> {
    for limit in limits.iter() {
        let Some(kind) = limit.kind() else { continue };
        let Some(resource) = kind.place_in(RlimitTypes::WORDS).and_then(|number| RESOURCES.get(number)) else {
            return Err(kind.error(format_args!("\"{kind}\" is not a resource limit")));
        };
        // The kernel's RLIM_INFINITY is the largest number too.
        let value = |number: Option<u64>| number.filter(|number| *number != u64::MAX);
        let new = Pair { current: value(limit.soft()), maximum: value(limit.hard()) };
        prlimit(pid, *resource, new)
            .map_err(|errno| limit.value().os_error(errno, format_args!("cannot set {kind}")))?;
    }
    Ok(())
}
