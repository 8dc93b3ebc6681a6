//! A tracer that follows a command and all that descends from it, through
//! every clone and exec, into pid namespaces too, and says what they do.
//!
//! ```text
//! Tracer::spawn(command)   the command stands at its first exec
//! tracer.follow(|event| …) events in the order in which the kernel lets them
//!                          happen; what is returned decides how the task goes on
//! ```
//!
//! All ids are in the tracer's own pid namespace. Tracees die with the tracer
//! (PTRACE_O_EXITKILL) unless they were let go. While it follows, the thread
//! must have no other children that somebody waits for.
//!
//! Knows nothing of containers.

mod report;
mod sys;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write, pipe};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use report::{Image, Report};
pub use sys::Tid;
use sys::{Edge, Resume};

/// What a task does or has happen to it.
#[derive(Debug)]
pub enum Event {
    /// It stands at the entry to a system call, which has not begun.
    Enter { tid: Tid, number: u64, arguments: [u64; 6] },
    /// The call has returned; an error is a negated errno.
    Leave { tid: Tid, value: i64 },
    /// There is a new task.
    Spawned { parent: Tid, child: Tid },
    /// It has become another program: nothing of the old one is left, and
    /// nothing of the new one has run.
    Executed { tid: Tid, file: FileId, path: PathBuf },
    /// It is about to go, but its entry in /proc can still be read.
    Exiting { tid: Tid },
    /// It is gone.
    Gone { tid: Tid, end: End },
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Status(i32),
    Signal(i32),
}

impl End {
    pub fn success(self) -> bool {
        self == End::Status(0)
    }
}

/// How the task that the event is about goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Continue,
    /// It is killed; a system call that it stands at does not happen.
    Kill,
    /// It is let go, untraced.
    Release,
}

/// A file, whatever the path by which somebody sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub fn of(path: &Path) -> Result<FileId> {
        let metadata = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
        Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// When [`Tracer::follow`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nobody that is traced is left.
    AllGone,
    /// The command itself has ended; the others are let go, still running.
    CommandGone,
}

/// A traced command.
pub struct Tracer {
    root: Tid,
    tasks: BTreeSet<Tid>,
    until: Until,
    expired: Arc<AtomicBool>,
    /// Dropping it ends the watchdog.
    _watchdog: Option<Sender<()>>,
}

impl Tracer {
    /// Starts the command; it has not run an instruction of its program yet.
    pub fn spawn(mut command: Command, until: Until) -> Result<Tracer> {
        let program = command.get_program().to_owned();
        let (mut told, tell) = pipe()?;
        let (go, mut let_go) = pipe()?;
        sys::wait_before_exec(&mut command, tell, go);
        // `spawn` returns only after the exec, before which we must have
        // attached: hence a thread of its own.
        let spawning: JoinHandle<std::io::Result<()>> = std::thread::spawn(move || command.spawn().map(drop));
        let mut pid = [0; 4];
        if told.read_exact(&mut pid).is_err() {
            bail!("cannot start {}: no process", program.display());
        }
        let root = Tid::from_ne_bytes(pid);
        if let Err(error) = sys::seize(root) {
            sys::kill(root);
            return Err(error).context("cannot trace (PTRACE_SEIZE); is ptrace allowed here?");
        }
        let_go.write_all(&[0])?;
        match spawning.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error).with_context(|| format!("cannot execute {}", program.display())),
            Err(_) => bail!("cannot start {}", program.display()),
        }
        Ok(Tracer { root, tasks: BTreeSet::from([root]), until, expired: Arc::default(), _watchdog: None })
    }

    /// Follows a process that is already there, with all its threads, as well.
    pub fn attach(&mut self, pid: Tid) -> Result<()> {
        for entry in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("no process {pid}"))? {
            let tid = entry?.file_name().to_string_lossy().parse()?;
            sys::seize(tid).and_then(|()| sys::interrupt(tid)).with_context(|| format!("cannot attach to {tid}"))?;
            self.tasks.insert(tid);
        }
        Ok(())
    }

    /// Kills all that is still traced after this time.
    pub fn limit(&mut self, time: Duration) {
        let (sender, receiver) = channel::<()>();
        let (root, expired) = (self.root, Arc::clone(&self.expired));
        std::thread::spawn(move || {
            if receiver.recv_timeout(time) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                expired.store(true, Ordering::SeqCst);
                // The rest follows in `follow`, which this wakes.
                sys::kill(root);
            }
        });
        self._watchdog = Some(sender);
    }

    /// Whether the time limit was exceeded.
    pub fn expired(&self) -> bool {
        self.expired.load(Ordering::SeqCst)
    }

    /// The command's process id.
    pub fn root(&self) -> Tid {
        self.root
    }

    /// Lets the tasks run, handing every event to `decide`; returns how the
    /// command itself ended.
    pub fn follow(&mut self, mut decide: impl FnMut(&Event) -> Action) -> Result<End> {
        let mut end = None;
        while let Some((tid, status)) = sys::wait()? {
            if self.expired() {
                self.tasks.iter().for_each(|tid| sys::kill(*tid));
            }
            if let Some(gone) = ended(status) {
                if self.tasks.remove(&tid) {
                    decide(&Event::Gone { tid, end: gone });
                }
                if tid == self.root {
                    end = Some(gone);
                    if self.until == Until::CommandGone {
                        break;
                    }
                }
                continue;
            }
            // A new task's first stop may come before its parent's event.
            self.tasks.insert(tid);
            let (how, signal) = self.stopped(tid, status, &mut decide);
            // ESRCH: killed in the meantime. Its end is reported in its turn.
            let _ = sys::resume(tid, how, signal);
            if how == Resume::Detach {
                self.tasks.remove(&tid);
                if self.tasks.is_empty() {
                    break;
                }
            }
        }
        self.release_all()?;
        Ok(end.unwrap_or(End::Status(0)))
    }

    /// What a stop means, and how the task goes on, with which signal.
    fn stopped(&mut self, tid: Tid, status: i32, decide: &mut impl FnMut(&Event) -> Action) -> (Resume, i32) {
        let (signal, kind) = (status >> 8 & 0xff, status >> 16);
        let event = match kind {
            // A system call (PTRACE_O_TRACESYSGOOD marks it).
            0 if signal == libc::SIGTRAP | 0x80 => match sys::system_call(tid) {
                Ok(Some(Edge::Entry { number, arguments })) => Event::Enter { tid, number, arguments },
                Ok(Some(Edge::Exit { value })) => Event::Leave { tid, value },
                _ => return (Resume::ToSystemCall, 0),
            },
            // A signal is about to be delivered: it shall be.
            0 => return (Resume::ToSystemCall, signal),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                let Ok(child) = sys::event_message(tid) else { return (Resume::ToSystemCall, 0) };
                let child = child as Tid;
                self.tasks.insert(child);
                Event::Spawned { parent: tid, child }
            }
            libc::PTRACE_EVENT_EXEC => {
                // A thread that executes takes the leader's id; its own is gone.
                if let Ok(former) = sys::event_message(tid)
                    && former as Tid != tid
                {
                    self.tasks.remove(&(former as Tid));
                }
                let link = PathBuf::from(format!("/proc/{tid}/exe"));
                let path = fs::read_link(&link).unwrap_or_default();
                let file = FileId::of(&link).unwrap_or(FileId { device: 0, inode: 0 });
                Event::Executed { tid, file, path }
            }
            libc::PTRACE_EVENT_EXIT => Event::Exiting { tid },
            // A new or interrupted task reports SIGTRAP; another signal is a
            // stop of job control, which must last.
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => return (Resume::ToSystemCall, 0),
            libc::PTRACE_EVENT_STOP => return (Resume::Listen, 0),
            _ => return (Resume::ToSystemCall, 0),
        };
        match decide(&event) {
            Action::Continue => (Resume::ToSystemCall, 0),
            Action::Kill => {
                sys::kill(tid);
                (Resume::ToSystemCall, 0)
            }
            Action::Release => (Resume::Detach, 0),
        }
    }

    /// Lets all that are left go, wherever they are.
    fn release_all(&mut self) -> Result<()> {
        for tid in &self.tasks {
            let _ = sys::interrupt(*tid);
        }
        while !self.tasks.is_empty() {
            let Some((tid, status)) = sys::wait()? else { break };
            if ended(status).is_some() {
                self.tasks.remove(&tid);
                continue;
            }
            let (signal, kind) = (status >> 8 & 0xff, status >> 16);
            if let libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE = kind
                && let Ok(child) = sys::event_message(tid)
            {
                self.tasks.insert(child as Tid);
            }
            // One on its way out is followed to its end, lest it stay a zombie
            // of ours that nobody has waited for.
            let (how, signal) = match kind {
                libc::PTRACE_EVENT_EXIT => (Resume::ToSystemCall, 0),
                0 if signal != libc::SIGTRAP | 0x80 => (Resume::Detach, signal),
                _ => (Resume::Detach, 0),
            };
            let _ = sys::resume(tid, how, signal);
            if how == Resume::Detach {
                self.tasks.remove(&tid);
            }
        }
        Ok(())
    }
}

/// How a task ended, if the status of waitpid(2) says that it did.
fn ended(status: i32) -> Option<End> {
    match status & 0x7f {
        0 => Some(End::Status(status >> 8 & 0xff)),
        0x7f => None,
        signal => Some(End::Signal(signal)),
    }
}

/// The name of a system call of this architecture.
pub fn name(number: u64) -> String {
    usize::try_from(number)
        .ok()
        .and_then(syscalls::Sysno::new)
        .map_or_else(|| number.to_string(), |call| call.name().to_owned())
}

/// VmHWM in KiB, the most memory that the process has had resident, and the
/// process's id: threads have it in common.
pub fn high_water_mark(tid: Tid) -> Option<(Tid, u64)> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
    Some((field("Tgid:")?.parse().ok()?, field("VmHWM:")?.parse().ok()?))
}
