//! Watching a cgroup: what it uses, and when it runs out of memory.

use core::fmt::Write;

use super::stats;
use super::tree::{Cgroup, cannot};
use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::sys::fs::OFlags;
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io};

impl Cgroup {
    /// Writes what it has used so far, as JSON. `buffer`: room for one of its files.
    pub fn stats(&self, buffer: &mut [u8], out: &mut dyn Write) -> Result<()> {
        let written = stats::write(&mut |name, buffer| self.text(name, buffer), buffer, out);
        written.map_err(|_| fail!("what the cgroup has used takes more room than there is"))
    }

    #[inline(never)]
    fn text<'b>(&self, name: &str, buffer: &'b mut [u8]) -> &'b [u8] {
        let name = Printed::<64>::of(format_args!("{name}"));
        self.read(name.as_c_str(), buffer).unwrap_or(&[])
    }
}

/// The kernel's count of processes of a cgroup that were killed for want of
/// memory.
pub struct OutOfMemory {
    /// None once the cgroup is gone.
    events: Option<OwnedFd>,
    seen: u64,
}

impl OutOfMemory {
    /// Begins to watch `cgroup`, whose kills up to now have been seen, if there were any.
    /// Nothing where it has no memory controller.
    pub fn of(cgroup: &Cgroup) -> Result<Option<OutOfMemory>> {
        let mut watched = OutOfMemory::of_new(cgroup)?;
        if let Some(watched) = &mut watched {
            watched.has_killed()?;
        }
        Ok(watched)
    }

    /// The same, and all kills are still to be seen.
    pub fn of_new(cgroup: &Cgroup) -> Result<Option<OutOfMemory>> {
        match cgroup.open(c"memory.events", OFlags::RDONLY) {
            Ok(events) => Ok(Some(OutOfMemory { events: Some(events), seen: 0 })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(cannot(errno, "open memory.events")),
        }
    }

    /// To poll for POLLPRI: something has changed since the last look. Nothing once
    /// the cgroup is gone, of which poll would tell for ever.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.events.as_ref().map(AsFd::as_fd)
    }

    /// Whether a process has been killed since the last look.
    pub fn has_killed(&mut self) -> Result<bool> {
        let Some(events) = &self.events else { return Ok(false) };
        let mut buffer = [0; 256];
        match io::pread(events, &mut buffer[..], 0) {
            Ok(length) => {
                let before = self.seen;
                self.seen = stats::value(buffer.get(..length).unwrap_or(&[]), "oom_kill");
                Ok(self.seen > before)
            }
            Err(Errno::NODEV) => {
                self.events = None;
                Ok(false)
            }
            Err(errno) => Err(cannot(errno, "read memory.events")),
        }
    }
}
