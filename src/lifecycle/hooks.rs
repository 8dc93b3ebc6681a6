//! Hooks: programs of the engine's that run at six moments of a container's life
//! (runtime.md, "Lifecycle"; config.md, "POSIX-platform Hooks").
//!
//! A helper runs all of one moment, one after the other. It watches what the
//! runtime cannot while it may be killed at any time: a hook's time, and the
//! runtime itself. Where a hook fails, takes too long or has lost its runtime, the
//! helper ends it with all that it has started; orphans come to the helper, who is
//! their subreaper. What a hook that succeeds leaves running is meant to.
//!
//! A hook has its state on standard input, in a sealed memory file. What it says
//! is kept, the end of it, for a message: its own ways may be the container's.

use core::ffi::CStr;
use core::fmt;

use super::container::Process;
use super::handshake::{Buffer, Channel, Message};
use super::hook_process::{HookProcess, end_all};
use super::process_plan::Buffers;
use super::run::become_subreaper;
use super::state_file::Folder;
use super::{container_init, interrupt, proc};
use crate::error::{Error, Result};
use crate::identity::{self, FileIdentity};
use crate::json::{Document, Extents, Text};
use crate::spec::config::Config;
use crate::spec::hooks::Hook;
use crate::spec::record::{List, Matching};
use crate::spec::state::{StateDocument, StateRecord};
use crate::spec::strings::Variable;
use crate::sys::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use crate::sys::process::{WaitId, WaitIdOptions, chdir, waitid};
use crate::sys::{self, AsFd, AsRawFd, BorrowedFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd, SignalSet};
use crate::{fail, limits};

/// When hooks run, in the order of the specification's table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Moment {
    /// The hooks of this moment.
    pub fn of<'a>(self, config: &Config<'a>) -> List<'a, Hook<'static>> {
        config.hooks().map_or(List::empty(), |hooks| hooks.number(self as usize))
    }

    /// What the state says to them, as with runc.
    fn status(self) -> &'static str {
        match self {
            Moment::Prestart | Moment::CreateRuntime | Moment::CreateContainer => "creating",
            Moment::StartContainer => "created",
            Moment::Poststart => "running",
            Moment::Poststop => "stopped",
        }
    }

    fn is_in_container(self) -> bool {
        matches!(self, Moment::CreateContainer | Moment::StartContainer)
    }
}

/// Whether there are hooks of any of `moments`.
pub fn any(config: &Config<'_>, moments: &[Moment]) -> bool {
    moments.iter().any(|moment| !moment.of(config).is_empty())
}

/// Those that run before the container's root is entered.
pub const EARLY: [Moment; 3] = [Moment::Prestart, Moment::CreateRuntime, Moment::CreateContainer];

/// What hooks are run with.
pub struct Stage<'a> {
    pub record: &'a StateRecord<'a>,
    /// Of the container's first process, as the hooks see it; 0 is none.
    pub pid: i32,
    /// Used in the helper's own copy alone, but for `output`.
    pub buffers: &'a mut Buffers,
    pub output: &'a mut [u8],
    /// The file that we run from, which nobody in the container may execute.
    pub own: &'a [FileIdentity],
    /// A lock that is to be held until the helper has ended.
    pub held: Option<BorrowedFd<'a>>,
}

impl Stage<'_> {
    /// Runs the hooks of one moment. What they say, and where they fail at
    /// `Poststop`, goes to `warn`.
    ///
    /// # Errors
    /// A hook fails, or does not end in its time: the rest is not run.
    pub fn run(&mut self, moment: Moment, config: &Config<'_>, warn: &mut dyn FnMut(&str)) -> Result<()> {
        let hooks = moment.of(config);
        if hooks.is_empty() {
            return Ok(());
        }
        let failed = |errno: Errno| fail!(errno => "cannot prepare for hooks");
        let input = self.tell_state(moment, config)?;
        let (channel, end) = Channel::pair()?;
        let helper = match sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None }).map_err(failed)? {
            Child::Created { pid, pidfd } => Process { pid, pidfd },
            Child::Myself => sys::exit(match self.help(moment, hooks, input.as_fd(), &end) {
                Ok(()) => 0,
                Err(error) => container_init::tell(&end, error),
            }),
        };
        drop(end);
        let result = listen(&channel, warn);
        drop(channel); // a helper that is not heard out ends its hook
        match waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) if result.is_ok() && status.exit_status() != Some(0) => {
                Err(fail!("the helper that runs hooks was killed"))
            }
            _ => result,
        }
    }

    /// The state, as a file to be read from its beginning.
    fn tell_state(&mut self, moment: Moment, config: &Config<'_>) -> Result<OwnedFd> {
        let record = self.record;
        let state = StateDocument {
            oci_version: record.oci_version,
            id: record.id,
            pid: self.pid,
            status: moment.status(),
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: config.annotations(),
            owner: record.owner,
        };
        let length = state.write(self.output)?;
        let text = self.output.get(..length).unwrap_or(&[]);
        let failed = |errno: Errno| fail!(errno => "cannot put down the state for hooks");
        let file = memfd_create(c"state", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(failed)?;
        sys::write_all(file.as_fd(), text).map_err(failed)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        fcntl_add_seals(&file, seals).map_err(failed)?;
        Ok(file)
    }

    /// The helper's whole work.
    fn help(
        &mut self,
        moment: Moment,
        hooks: List<'_, Hook<'static>>,
        input: BorrowedFd<'_>,
        end: &Channel,
    ) -> Result<()> {
        let number = |fd: BorrowedFd<'_>| fd.as_raw_fd().unsigned_abs();
        sys::close_all_but(3, &[number(input), number(end.fd()), number(self.held.unwrap_or(input))])
            .and_then(|()| sys::signal_mask(SignalSet::ALL))
            .map_err(|errno| fail!(errno => "cannot prepare for hooks"))?;
        become_subreaper()?;
        if moment == Moment::CreateContainer {
            identity::set_umask(0o022); // it is 0 while the root file system is made
        }
        if !moment.is_in_container() {
            // Where runc has them run. It may be gone by now.
            let _ = chdir(self.buffers.arena.join(&[self.record.bundle.as_bytes()])?);
        }
        for hook in hooks.iter() {
            match self.run_one(moment, &hook, input, end) {
                Err(error) if moment == Moment::Poststop => warn(end, &error),
                result => result?,
            }
        }
        Ok(())
    }

    fn run_one(&mut self, moment: Moment, hook: &Hook<'_>, input: BorrowedFd<'_>, end: &Channel) -> Result<()> {
        let Some(path) = hook.path() else { return Ok(()) }; // required: was checked
        let shown = path;
        let path = self.fill(path, hook.args(), hook.env())?;
        if moment == Moment::StartContainer {
            // Of the container's own: it may lead to us.
            identity::find_executable(path, None, self.own, None, &mut [0; limits::PATH])
                .map_err(|error| hook.value().error(format_args!("{error}")))?;
        }
        let mut process = HookProcess::start(path, self.buffers, input)
            .map_err(|errno| hook.value().os_error(errno, format_args!("cannot start the hook {shown}")))?;
        let ended = process.watch(hook.timeout(), end);
        let said = process.said();
        let colon = if said.0.is_empty() { "" } else { ": " };
        if ended == Some(0) && said.0.is_empty() {
            return Ok(());
        }
        let how = How { ended, seconds: hook.timeout().unwrap_or(0) };
        let error = hook.value().error(format_args!("the hook {shown} {how}{colon}{said}"));
        if ended == Some(0) {
            warn(end, &error);
            return Ok(());
        }
        end_all();
        Err(error)
    }

    /// argv and envp; gives the path.
    fn fill(
        &mut self,
        path: Text<'_>,
        args: List<'_, Text<'static>>,
        env: List<'_, Matching<Variable>>,
    ) -> Result<&'static CStr> {
        let Buffers { arguments, environment, arena, .. } = self.buffers;
        let path = arena.text(path)?;
        arguments.clear();
        environment.clear();
        // A document cannot hold more than there is room for.
        for argument in args.iter() {
            let _ = arguments.push(arena.text(argument)?);
        }
        if arguments.is_empty() {
            let _ = arguments.push(path);
        }
        for variable in env.iter() {
            let _ = environment.push(arena.text(variable)?);
        }
        Ok(path)
    }
}

/// How a hook has ended: see [`HookProcess::watch`].
struct How {
    ended: Option<i32>,
    seconds: i64,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, number, unit) = match self.ended {
            Some(0) => return f.write_str("says"),
            None => ("did not end within", self.seconds, " s"),
            Some(status @ 1..) => ("ended with status", status.into(), ""),
            Some(signal) => ("was ended by signal", -i64::from(signal), ""),
        };
        write!(f, "{words} {number}{unit}")
    }
}

/// The helper's word on the way.
fn warn(end: &Channel, error: &Error) {
    // Where nobody listens, nobody is told.
    let _ = end.send_with(Message::Warning, error.text(&mut [0; limits::MESSAGE]).as_bytes(), None);
}

/// The runtime: hears the helper out.
fn listen(channel: &Channel, warn: &mut dyn FnMut(&str)) -> Result<()> {
    loop {
        let mut buffer: Buffer = [0; _];
        interrupt::wait(&[channel.fd()])?;
        match channel.receive(&mut buffer)? {
            None => return Ok(()),
            Some(received) if received.message == Message::Warning => {
                warn(core::str::from_utf8(received.text).unwrap_or("?"));
            }
            Some(received) => return Err(Error::received(received.text)),
        }
    }
}

/// What hooks need that run once the container is made: its configuration as it
/// was then, and room.
pub struct Later {
    pub text: &'static [u8],
    pub buffers: Buffers,
    pub output: &'static mut [u8],
}

/// Room for [`Later`], of a command that has not read the configuration yet.
pub struct HookRoom {
    pub document: &'static mut [u8],
    pub buffers: Buffers,
    pub output: &'static mut [u8],
}

impl HookRoom {
    /// With the configuration that the state directory keeps.
    pub fn read(self, folder: &Folder) -> Result<Later> {
        let HookRoom { document, buffers, output } = self;
        Ok(Later { text: folder.read(c"config.json", document)?.unwrap_or(b"{}"), buffers, output })
    }
}

impl Later {
    /// Runs the hooks of one moment in the runtime's own namespaces.
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn run(
        &mut self,
        moment: Moment,
        record: &StateRecord<'_>,
        pid: i32,
        warn: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let mut extents = Extents::new();
        let document = Document::parse("config.json", self.text, &mut extents)?;
        let Later { buffers, output, .. } = self;
        Stage { record, pid, buffers, output, own: &[], held: None }.run(moment, &Config::view(document.root()), warn)
    }

    /// Runs those of `poststop`, as the last thing but one that happens to the
    /// container, whose lock we hold. Meanwhile we do not; the record says who is
    /// at it. Whether it is still this container that the id names.
    pub fn run_poststop(
        &mut self,
        folder: &Folder,
        record: &mut StateRecord<'static>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<bool> {
        if !record.hooks {
            return Ok(true);
        }
        let mut extents = Extents::new();
        let document = Document::parse("config.json", self.text, &mut extents)?;
        if !any(&Config::view(document.root()), &[Moment::Poststop]) {
            return Ok(true);
        }
        record.status = "deleting";
        let (pid, start_time) = proc::own()?;
        (record.creator_pid, record.creator_start_time) = (pid, start_time);
        folder.write_record(record, self.output)?;
        let held = folder.hold_for_hooks()?;
        folder.unlock();
        let Later { buffers, output, .. } = self;
        let ended = Stage { record, pid: 0, buffers, output, own: &[], held: held.as_ref().map(AsFd::as_fd) }.run(
            Moment::Poststop,
            &Config::view(document.root()),
            warn,
        );
        if let Err(error) = ended {
            // As one that fails: the container goes all the same.
            warn(error.text(&mut [0; limits::MESSAGE]));
        }
        folder.lock()?;
        Ok(folder.is_current())
    }
}
