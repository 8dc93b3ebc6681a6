//! When and where the process runs: scheduler, I/O priority, processors, memory
//! policy; and its execution domain.

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::config::{IoPriorityClasses, Process, SchedulerFlags, SchedulerPolicies};
use crate::spec::linux::{Linux, MemoryPolicyFlags, MemoryPolicyModes};
use crate::spec::number_list::NumberSet;
use crate::spec::record::WordSet;
use crate::sys::{self, SchedulerAttributes};

/// The word's place among those of its set, which is, or tells, the kernel's number.
fn number<W: WordSet>(word: Option<Text<'_>>) -> usize {
    word.and_then(|word| word.place_in(W::WORDS)).unwrap_or(0) // was checked
}

/// Sets the scheduling policy and the I/O priority of process `pid`, a child that
/// the caller has not reaped: that takes the caller's rights, not the process's.
///
/// # Errors
/// With the place: the kernel's.
pub fn set_priorities(pid: i32, process: &Process<'_>) -> Result<()> {
    if let Some(asked) = process.scheduler() {
        let attributes = SchedulerAttributes {
            policy: number::<SchedulerPolicies>(asked.policy()) as u32,
            flags: asked.flags().iter().fold(0, |bits, flag| bits | 1 << number::<SchedulerFlags>(Some(flag))),
            nice: asked.nice().unwrap_or(0),
            priority: asked.priority().unwrap_or(0).unsigned_abs(),
            runtime: asked.runtime().unwrap_or(0),
            deadline: asked.deadline().unwrap_or(0),
            period: asked.period().unwrap_or(0),
            ..SchedulerAttributes::default()
        };
        sys::sched_setattr(pid, attributes)
            .map_err(|errno| asked.value().os_error(errno, format_args!("cannot set the scheduler")))?;
    }
    if let Some(asked) = process.io_priority() {
        let class = number::<IoPriorityClasses>(asked.class()) + 1; // the first is none
        let priority = asked.priority().unwrap_or(0).unsigned_abs();
        sys::ioprio_set(pid, class, priority as usize)
            .map_err(|errno| asked.value().os_error(errno, format_args!("cannot set the I/O priority")))?;
    }
    Ok(())
}

/// Sets on which CPUs process `pid` may run, or the caller, which is 0. An empty
/// list is as good as none.
///
/// # Errors
/// With the place: the kernel's. EINVAL: none of them is there, or in the cpuset.
pub fn set_affinity(pid: i32, cpus: Option<Text<'_>>) -> Result<()> {
    let Some((text, set)) = cpus.and_then(|text| Some((text, NumberSet::read(text)?))) else { return Ok(()) };
    sys::sched_setaffinity(pid, &set.0)
        .map_err(|errno| text.value().os_error(errno, format_args!("cannot run on the CPUs {text}")))
}

/// Sets the caller's memory policy and execution domain, which execve(2) keeps.
///
/// # Errors
/// With the place: the kernel's.
pub fn set_policies(linux: &Linux<'_>) -> Result<()> {
    if let Some(asked) = linux.memory_policy() {
        // The flags are the highest three of sixteen bits.
        let mode = number::<MemoryPolicyModes>(asked.mode());
        let mode =
            asked.flags().iter().fold(mode, |mode, flag| mode | 1 << (13 + number::<MemoryPolicyFlags>(Some(flag))));
        let nodes = asked.nodes().and_then(NumberSet::read);
        // As many as the kernel takes at most.
        let nodes = nodes.as_ref().and_then(|set| set.0.get(..limits::NODES / 64));
        sys::set_mempolicy(mode, nodes)
            .map_err(|errno| asked.value().os_error(errno, format_args!("cannot set the memory policy")))?;
    }
    if let Some(asked) = linux.personality() {
        const PER_LINUX32: usize = 8;
        let domain = if asked.domain().is_some_and(|domain| domain.is("LINUX32")) { PER_LINUX32 } else { 0 };
        sys::personality(domain)
            .map_err(|errno| asked.value().os_error(errno, format_args!("cannot set the personality")))?;
    }
    Ok(())
}
