//! On which processors, when, and in which memory a process runs; which system it
//! takes itself to run on.

use core::mem::size_of;

use rustix::io::Errno;

use super::raw::syscall;

/// `struct sched_attr` (sched_setattr(2)), as it has been since 5.3.
#[repr(C)]
#[derive(Default)]
pub struct SchedulerAttributes {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, as the next two.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    pub util_min: u32,
    pub util_max: u32,
}

/// `int syscall(SYS_sched_setattr, pid_t pid, struct sched_attr *attr, unsigned int flags);`
/// sched_setattr(2); the size is filled in here.
pub fn sched_setattr(pid: i32, mut attributes: SchedulerAttributes) -> Result<(), Errno> {
    attributes.size = size_of::<SchedulerAttributes>() as u32;
    // SAFETY: a sched_attr of the size that it says.
    unsafe { syscall!(__NR_sched_setattr, pid, &raw mut attributes, 0) }?;
    Ok(())
}

/// `int syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, int who, int ioprio);` ioprio_set(2)
pub fn ioprio_set(pid: i32, class: usize, priority: usize) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    const IOPRIO_CLASS_SHIFT: usize = 13;
    // SAFETY: only integers.
    unsafe { syscall!(__NR_ioprio_set, IOPRIO_WHO_PROCESS, pid, class << IOPRIO_CLASS_SHIFT | priority) }?;
    Ok(())
}

/// `int sched_setaffinity(pid_t pid, size_t cpusetsize, const cpu_set_t *mask);`
/// sched_setaffinity(2); 0 is the caller.
pub fn sched_setaffinity(pid: i32, cpus: &[u64]) -> Result<(), Errno> {
    // SAFETY: the mask has the size given.
    unsafe { syscall!(__NR_sched_setaffinity, pid, size_of_val(cpus), cpus.as_ptr()) }?;
    Ok(())
}

/// `int personality(unsigned long persona);` personality(2)
pub fn personality(persona: usize) -> Result<(), Errno> {
    // SAFETY: an integer, which changes what later system calls and programs see.
    unsafe { syscall!(__NR_personality, persona) }?;
    Ok(())
}

/// `long set_mempolicy(int mode, const unsigned long *nodemask, unsigned long maxnode);`
/// set_mempolicy(2); no mask is none at all.
pub fn set_mempolicy(mode: usize, nodes: Option<&[u64]>) -> Result<(), Errno> {
    // The kernel takes one bit less than it is told of.
    let (mask, bits) = nodes.map_or((core::ptr::null(), 0), |nodes| (nodes.as_ptr(), size_of_val(nodes) * 8 + 1));
    // SAFETY: the mask, where there is one, has the bits given but for the last,
    // which is not read.
    unsafe { syscall!(__NR_set_mempolicy, mode, mask, bits) }?;
    Ok(())
}
