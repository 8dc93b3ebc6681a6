//! A container as its record and the kernel together tell of it.
//!
//! The record says what was made; whether it still lives is asked of the kernel
//! each time, and a process is only ever addressed through a pidfd that was
//! verified to be the recorded one: a pid that was given to somebody else is
//! never taken for the container.

use core::ffi::CStr;

use super::arena::Arena;
use super::proc::{self, ProcPath};
use super::state_file::{Folder, StateRoot};
use crate::cgroup::{Cgroup, CgroupPath, Hierarchy};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::spec::state::StateRecord;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::process::{Pid, PidfdFlags, pidfd_open};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, fs};

/// A living process: its pid in our namespace, and the descriptor that names it.
pub struct Process {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

impl Process {
    /// The pid as a number.
    pub fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// Opens a container's folder.
///
/// # Errors
/// There is none: in the words that engines look for.
pub fn open(root: Option<&StateRoot>, id: &CStr) -> Result<Folder> {
    match root {
        Some(root) => root.folder(id)?,
        None => None,
    }
    .ok_or_else(|| fail!("container does not exist: {}", Lossy(id.to_bytes())))
}

/// The process that `pid` and `start_time` name, if it lives (a zombie does
/// not). `pidfd_inode` says the same more strongly where the kernel has pidfs
/// (6.9); 0 where it is not known.
pub fn living(pid: i32, start_time: u64, pidfd_inode: u64) -> Result<Option<Process>> {
    let failed = |errno: Errno| fail!(errno => "cannot look for process {pid}");
    let Some(number) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 0) else {
        return Ok(None);
    };
    let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None), // INVAL: now the id of a thread
        Err(errno) => return Err(failed(errno)),
    };
    // The descriptor is open: if the start time read now is the recorded one,
    // the process lived all the while, and it is the one that the descriptor names.
    let same = match proc::start_time(pid) {
        Ok(found) => found == start_time && (pidfd_inode == 0 || self::pidfd_inode(pidfd.as_fd()) == pidfd_inode),
        Err(Errno::SRCH | Errno::NOENT) => false,
        Err(errno) => return Err(failed(errno)),
    };
    Ok((same && !has_ended(pidfd.as_fd())?).then_some(Process { pid: number, pidfd }))
}

/// Whether the process of a pidfd has ended, reaped or not (pidfd_open(2): it
/// becomes readable).
pub fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool> {
    wait_end(pidfd, 0)
}

/// Waits up to `milliseconds` for the process of a pidfd to end.
pub fn wait_end(pidfd: BorrowedFd<'_>, milliseconds: i64) -> Result<bool> {
    let timeout = crate::sys::time::Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(fail!(errno => "cannot wait for a process")),
        }
    }
}

/// What names a process for as long as the system runs, where pidfds have
/// inodes of their own (pidfs, since 6.9); before, the same for all.
pub fn pidfd_inode(pidfd: BorrowedFd<'_>) -> u64 {
    fs::fstat(pidfd).map_or(0, |status| status.st_ino)
}

/// The container's first process, if it lives.
pub fn init(record: &StateRecord<'_>) -> Result<Option<Process>> {
    if of_this_boot(record)? { living_init(record) } else { Ok(None) }
}

/// As [`init`], of a record that is of this boot.
pub fn living_init(record: &StateRecord<'_>) -> Result<Option<Process>> {
    living(record.pid, record.start_time, record.pidfd_inode)
}

/// The runtime that is still making the container, or removing it while hooks run,
/// if it lives.
pub fn creator(record: &StateRecord<'_>) -> Result<Option<Process>> {
    let is_at_it = is_creating(record) || record.status == "deleting";
    if !is_at_it || !of_this_boot(record)? {
        return Ok(None);
    }
    living(record.creator_pid, record.creator_start_time, 0)
}

/// Pids, and inodes of cgroups, mean nothing after a reboot.
pub fn of_this_boot(record: &StateRecord<'_>) -> Result<bool> {
    Ok(record.boot_id.as_bytes() == proc::boot_id()?)
}

/// Whether the container has not been handed over: its maker is at work on it,
/// or has died over it.
fn is_creating(record: &StateRecord<'_>) -> bool {
    record.status == "creating"
}

/// A container's status (runtime.md, "State").
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    /// runc's own: frozen by `pause`.
    Paused,
    Stopped,
}

impl Status {
    /// In the specification's words.
    pub fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.word())
    }
}

/// The status in the specification's words (runtime.md, "State"), and the
/// process where there is one.
pub fn status(record: &StateRecord<'_>) -> Result<(Status, Option<Process>)> {
    if is_creating(record) {
        // There is a process to tell of from when hooks run.
        return Ok(match creator(record)? {
            Some(_) => (Status::Creating, init(record)?),
            None => (Status::Stopped, None),
        });
    }
    Ok(match init(record)? {
        None => (Status::Stopped, None),
        Some(process) if record.started || has_executed(&process, record) => (Status::Running, Some(process)),
        // Not ready yet, though nobody is waited for any more.
        Some(process) if record.status == "starting" => (Status::Creating, Some(process)),
        Some(process) => (Status::Created, Some(process)),
    })
}

/// As [`status`], and whether it is frozen, which costs a look into its cgroup.
pub fn status_and_paused(record: &StateRecord<'_>) -> Result<(Status, Option<Process>)> {
    let (status, process) = status(record)?;
    if matches!(status, Status::Created | Status::Running)
        && let Some(cgroup) = cgroup(record)?
        && cgroup.frozen()?
    {
        return Ok((Status::Paused, process));
    }
    Ok((status, process))
}

/// Whether a container's first process has gone on to the user's program. For
/// `run`, and a `start` that was killed before it could write so down. Not by name,
/// which the user may give any file.
fn has_executed(process: &Process, record: &StateRecord<'_>) -> bool {
    let path = ProcPath::new(process.number(), "exe");
    match fs::stat(path.as_c_str()) {
        Ok(file) => (file.st_dev, file.st_ino) != record.executable,
        Err(_) => false, // it has just ended
    }
}

/// The container's cgroup, if it is still the one that was made for it; `None`
/// also where it has none.
pub fn cgroup(record: &StateRecord<'_>) -> Result<Option<Cgroup>> {
    if record.cgroup.is_empty() {
        return Ok(None);
    }
    let found = Hierarchy::open()?.lookup(&CgroupPath::from_bytes(record.cgroup.as_bytes())?)?;
    Ok(found.filter(|cgroup| cgroup.inode() == record.cgroup_inode))
}

/// As [`cgroup`], for what cannot be done without.
///
/// # Errors
/// There is none.
pub fn own_cgroup(record: &StateRecord<'_>) -> Result<Cgroup> {
    cgroup(record)?.ok_or_else(|| fail!("container {} has no cgroup", record.id))
}

/// The container's record.
///
/// # Errors
/// There is none (yet): in the words that engines look for.
pub fn record<'a>(folder: &Folder, id: &CStr, scratch: &mut [u8], arena: &mut Arena<'a>) -> Result<StateRecord<'a>> {
    let record = folder.read_record(scratch, arena)?;
    record.ok_or_else(|| fail!("container does not exist: {}", Lossy(id.to_bytes())))
}
