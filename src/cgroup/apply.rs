//! Writing resource limits into a cgroup's files.

use core::ffi::CStr;

use super::controllers::{self, Names};
use super::convert::{Each, How, Limits, Line, controller, lines};
use super::journal::Journal;
use super::path::CgroupPath;
use super::tree::{Cgroup, Hierarchy, cannot};
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::limits::MESSAGE;
use crate::spec::resources::Resources;
use crate::sys::Errno;

/// What a cgroup is to have of the controllers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What its limits need.
    Needed,
    /// All that there are: they also count what is used, and tell of memory that has
    /// run out.
    All,
}

impl Cgroup {
    /// Gives a cgroup, which is at `path`, to a new container: with all controllers that
    /// are to be had (one that is not, and not needed, is no error), and `limits`.
    /// What has no effect is told to `warn`.
    ///
    /// # Errors
    /// As [`Cgroup::apply`].
    pub fn equip(
        &self,
        limits: Option<&Limits<'_>>,
        hierarchy: &Hierarchy,
        path: &CgroupPath<'_>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<()> {
        self.provide(limits, Wanted::All, hierarchy, path)?;
        limits.map_or(Ok(()), |limits| self.write_all(limits, None, warn))
    }

    /// Gives the cgroup, which is at `path`, the limits that `limits` has; makes its
    /// controllers available first where it has not those that are needed. What
    /// is overwritten is noted in `journal`; what has no effect is told to `warn`.
    ///
    /// # Errors
    /// With the place: a value that the kernel refuses, or a controller that is
    /// not to be had.
    pub fn apply(
        &self,
        limits: &Limits<'_>,
        hierarchy: &Hierarchy,
        path: &CgroupPath<'_>,
        journal: &mut Journal,
        warn: &mut dyn FnMut(&str),
    ) -> Result<()> {
        self.provide(Some(limits), Wanted::Needed, hierarchy, path)?;
        self.write_all(limits, Some(journal), warn)
    }

    fn write_all(
        &self,
        limits: &Limits<'_>,
        mut journal: Option<&mut Journal>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let (mut was_absent, mut ignored) = (false, None);
        let done = lines(limits, &mut |line| self.put(line, &mut was_absent, journal.as_deref_mut(), &mut ignored));
        if let Some(error) = ignored {
            warn(error.text(&mut [0; MESSAGE]));
        }
        done
    }

    /// Whether what is used allows for new limits of memory, where
    /// `checkBeforeUpdate` asks for that.
    ///
    /// # Errors
    /// With the place: more is used.
    pub fn check_memory(&self, resources: &Resources<'_>) -> Result<()> {
        let Some(memory) = resources.memory().filter(|memory| memory.check_before_update() == Some(true)) else {
            return Ok(());
        };
        let mut buffer = [0; 32];
        let used = match self.read(c"memory.current", &mut buffer) {
            Ok(used) => used,
            Err(Errno::NOENT) => return Ok(()), // not counted yet: it starts from nothing
            Err(errno) => return Err(cannot(errno, "read memory.current")),
        };
        let used = bytes::decimal(used.trim_ascii()).and_then(|used| i64::try_from(used).ok());
        let used = used.ok_or_else(|| fail!("cannot tell what memory is used: memory.current is not a number"))?;
        for limit in [memory.limit(), memory.swap()].into_iter().flatten() {
            if limit > 0 && limit <= used {
                return Err(memory.value().error(format_args!("{used} bytes are used, {limit} are to be the limit")));
            }
        }
        Ok(())
    }

    #[inline(never)] // its buffers are gone from the stack before anything deeper
    fn provide(
        &self,
        limits: Option<&Limits<'_>>,
        wanted: Wanted,
        hierarchy: &Hierarchy,
        path: &CgroupPath<'_>,
    ) -> Result<()> {
        let each_line = |each: &mut Each<'_>| limits.map_or(Ok(()), |limits| lines(limits, each));
        let mut needs_any = false;
        each_line(&mut |_| {
            needs_any = true;
            Ok(())
        })?;
        if !needs_any && wanted == Wanted::Needed {
            return Ok(());
        }
        let (mut names, mut room): (Names, Names) = ([0; _], [0; _]);
        let mut known = self.controllers(&mut names)?;
        let mut is_complete = true;
        each_line(&mut |line| {
            is_complete &= controllers::has(known, controller(line.file));
            Ok(())
        })?;
        if is_complete && wanted == Wanted::Needed {
            return Ok(());
        }
        let available = hierarchy.controllers(&mut room);
        if is_complete && available == Ok(known) {
            return Ok(()); // all are handed down already
        }
        let refusal = hierarchy.hand_down(path, available);
        if is_complete {
            return Ok(());
        }
        let refusal = refusal?;
        known = self.controllers(&mut names)?;
        each_line(&mut |line| match controller(line.file) {
            name if controllers::has(known, name) => Ok(()),
            name => Err(controllers::missing(line, name, path, refusal.as_ref())),
        })
    }

    #[inline(never)] // as above
    fn put(
        &self,
        line: &Line<'_>,
        was_absent: &mut bool,
        journal: Option<&mut Journal>,
        ignored: &mut Option<Error>,
    ) -> Result<()> {
        if line.how == How::Otherwise && !*was_absent {
            return Ok(());
        }
        let text = match line.how {
            How::Second => self.behind_first(line)?,
            _ => Printed::new(),
        };
        let text = if line.how == How::Second { text.as_str() } else { line.text };
        if let Some(journal) = journal {
            journal.note(self, line.file, text)?;
        }
        let written = self.write(line.file, text.as_bytes());
        *was_absent = written == Err(Errno::NOENT);
        match (written, line.how) {
            (Ok(()), _) | (Err(Errno::NOENT), How::IfThere | How::Either) | (Err(Errno::INVAL), How::Try) => Ok(()),
            (Err(Errno::NOENT), _) => {
                Err(line.place.error(format_args!("this kernel has no {} in a cgroup", shown(line.file))))
            }
            (Err(Errno::OPNOTSUPP), How::Otherwise) => {
                // One is told of: a warning for each would be as many errors alive.
                *ignored = Some(line.place.error(format_args!("ignored: no scheduler with weights is on the device")));
                Ok(())
            }
            (Err(errno), _) => {
                Err(line.place.os_error(errno, format_args!("cannot write \"{text}\" to {}", shown(line.file))))
            }
        }
    }

    fn behind_first(&self, line: &Line<'_>) -> Result<Printed<64>> {
        let mut buffer = [0; 64];
        let failed = |errno| line.place.os_error(errno, format_args!("cannot read {}", shown(line.file)));
        let text = self.read(line.file, &mut buffer).map_err(failed)?;
        let first = bytes::cut(text, b' ').0;
        Ok(Printed::of(format_args!("{} {}", Lossy(first), line.text)))
    }
}

fn shown(file: &CStr) -> &str {
    file.to_str().unwrap_or("?")
}
