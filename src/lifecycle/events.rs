//! `events`: what a container uses, from time to time, and that it has run out of
//! memory. Takes no lock and changes nothing.

use core::ffi::CStr;
use core::fmt::Write;

use super::arena::Arena;
use super::container;
use super::state_file::StateRoot;
use super::workspace::Workspace;
use crate::bytes::Writer;
use crate::cgroup::{Cgroup, OutOfMemory};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::time::Timespec;
use crate::sys::{AsFd, Errno, monotonic};

/// Each event as a line of JSON, to `each`: one `stats` alone where there is no
/// `interval`; else one whenever so many milliseconds are over, and an `oom` when
/// one of its processes was killed for want of memory, until its first process
/// has ended.
///
/// # Errors
/// It does not run, or has no cgroup; `each`'s.
pub fn events(
    root: Option<&StateRoot>,
    id: &CStr,
    interval: Option<u64>,
    workspace: &mut Workspace,
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let Workspace { second, strings, output, .. } = workspace;
    let shown = Lossy(id.to_bytes());
    let folder = container::open(root, id)?;
    let record = container::record(&folder, id, second, &mut Arena::new(strings))?;
    let (_, Some(init)) = container::status(&record)? else {
        return Err(fail!("container with id {shown} is not running"));
    };
    let cgroup = container::own_cgroup(&record)?;
    let Some(interval) = interval else {
        return event(id, Some((&cgroup, second)), output, each);
    };
    let mut memory = OutOfMemory::of(&cgroup)?;
    let mut next = now().saturating_add(interval);
    loop {
        let left = next.saturating_sub(now());
        let timeout = Timespec { tv_sec: (left / 1000) as _, tv_nsec: (left % 1000 * 1_000_000) as _ };
        // Without a memory controller the one stands for both.
        let killed = memory.as_ref().and_then(OutOfMemory::fd).unwrap_or(init.pidfd.as_fd());
        let mut wanted = [
            PollFd::from_borrowed_fd(init.pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(killed, PollFlags::PRI),
        ];
        match poll(&mut wanted, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fail!(errno => "cannot wait for the events of {shown}")),
        }
        let has_ended = !wanted[0].revents().is_empty();
        if let Some(memory) = &mut memory
            && memory.has_killed()?
        {
            event(id, None, output, each)?;
        }
        if has_ended {
            return Ok(());
        }
        if now() >= next {
            event(id, Some((&cgroup, &mut *second)), output, each)?;
            next = now().saturating_add(interval);
        }
    }
}

/// One event: the statistics of `cgroup`, with room for one of its files; without
/// one, that memory ran out.
fn event(
    id: &CStr,
    cgroup: Option<(&Cgroup, &mut [u8])>,
    buffer: &mut [u8],
    each: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut length = 0;
    let mut out = Writer::new(buffer, &mut length);
    let kind = if cgroup.is_some() { "stats" } else { "oom" };
    // An id holds nothing that JSON would escape. There is room for it, and more.
    let _ = write!(out, "{{\"type\":\"{kind}\",\"id\":\"{}\"", Lossy(id.to_bytes()));
    if let Some((cgroup, room)) = cgroup {
        let _ = out.write_str(",\"data\":");
        cgroup.stats(room, &mut out)?;
    }
    let _ = out.write_str("}\n");
    each(buffer.get(..length).unwrap_or(&[]))
}

/// Milliseconds of a clock that only goes forward.
fn now() -> u64 {
    let (seconds, nanoseconds) = monotonic().unwrap_or((0, 0)); // this clock does not fail
    (seconds as u64).saturating_mul(1000).saturating_add(u64::from(nanoseconds) / 1_000_000)
}
