//! The process that attends to a unit: it makes the container by the same steps as
//! `run`, passes its streams on, stops it when it is told to, and says how it
//! ended. A child of process 1, so that whatever becomes of it, or however slow a
//! reader is, nothing else has to wait.

use super::artifacts;
use super::clock::{now, until};
use super::command_line::Options;
use super::log;
use super::outcome::Ending;
use super::prepare;
use super::pump::Room;
use super::reports::{What, tell};
use super::shortage::Shortage;
use super::streams::{Pumps, Streams, Targets, let_go};
use super::trace::Trace;
use super::units::Unit;
use crate::error::Result;
use crate::json::{Document, Extents};
use crate::lifecycle::{self, Changes, Created, Hardened, ProcPath, Process, Request, StateRoot, Wishes, Workspace};
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};
use crate::sys::{self, AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, SIGKILL, SIGTERM, SIGUSR1, SignalSet};
use crate::terminal::relay::Relay;
use crate::{fail, limits};

/// Where the state of containers is: where the command line looks for it too.
pub const STATE: &core::ffi::CStr = c"/run/ocinit";

/// What process 1 says to the process that attends to a unit: stop it; stop it, it
/// has had its time already.
pub const STOP: u32 = SIGTERM;
pub const STOP_SOON: u32 = SIGUSR1;

/// Milliseconds in which a unit that has had its time is to stop.
const HASTE: u64 = 2000;

/// What is to be attended to.
pub struct Errand<'a> {
    pub unit: Unit,
    /// Its number, for reports.
    pub number: u8,
    /// What is done once for it is done.
    pub prepared: bool,
    pub targets: Targets,
    pub changes: Changes,
    pub hardened: Hardened,
    pub options: &'a Options,
    /// Paths to copy out, each ended by a NUL.
    pub artifacts: &'static [u8],
    pub report: BorrowedFd<'a>,
    pub trace: Trace,
}

/// Memory that only one process at a time needs: it has a copy.
pub struct Lent {
    pub workspace: &'static mut Workspace,
    pub runtime: &'static mut [u8; limits::RUNTIME_JSON],
    /// Of what is in `runtime`.
    pub extents: &'static mut Extents,
    pub rooms: &'static mut [Room; 3],
}

/// The process's whole life.
pub fn main(mut errand: Errand<'_>, lent: Lent) -> ! {
    let mut text = [0; limits::MESSAGE];
    let (ending, sentence) = match attend(&mut errand, lent) {
        Ok(ending) => (ending, ""),
        Err(error) => {
            let sentence = error.text(&mut text);
            (Ending::of_error(sentence), sentence)
        }
    };
    tell(errand.report, errand.number, What::Ended(ending), sentence);
    sys::exit(0)
}

#[inline(never)]
fn attend(errand: &mut Errand<'_>, lent: Lent) -> Result<Ending> {
    let unit = errand.unit;
    if cfg!(feature = "panics") && unit.name() == "panics" {
        panic!("as it was built to");
    }
    if !unit.in_layout() {
        return run(errand, None, lent.workspace, lent.rooms);
    }
    let text = prepare::read_runtime(&unit, lent.runtime)?;
    let document = Document::parse("runtime.json", text, lent.extents)?;
    if !errand.prepared {
        prepare::once(&document)?;
        tell(errand.report, errand.number, What::Prepared, "");
    }
    let result = prepare::make_root(&unit).and_then(|()| run(errand, Some(&document), lent.workspace, lent.rooms));
    prepare::after(&unit);
    result
}

/// The life of the process that clears up where another one, which attended to the
/// unit, has died: as `delete --force` does, with the hooks that follow the end.
pub fn clear_up(unit: &Unit, lent: Lent) -> ! {
    let mut warn = |text: &str| log::warning(&fail!("{}: {text}", unit.name()));
    let deleted = StateRoot::open(STATE, false)
        .and_then(|root| lifecycle::delete(root.as_ref(), unit.id, true, lent.workspace, &mut warn));
    if let Err(error) = deleted {
        log::warning(&error);
    }
    if unit.in_layout() {
        prepare::after(unit);
    }
    sys::exit(0)
}

#[inline(never)]
fn run(
    errand: &mut Errand<'_>,
    runtime: Option<&Document<'_>>,
    workspace: &'static mut Workspace,
    rooms: &'static mut [Room; 3],
) -> Result<Ending> {
    let unit = errand.unit;
    let mut streams = Streams::open(&errand.targets, unit.terminal || errand.changes.terminal, rooms)?;
    let request = Request {
        id: unit.id,
        state_root: STATE,
        bundle: unit.bundle,
        config: None,
        wishes: Wishes {
            console_socket: None,
            pidfd_socket: None,
            pid_file: None,
            preserve_fds: 0,
            listen_fds: 0,
            detached: false,
        },
        no_pivot: false,
        // Mounts of a foreign user namespace never travel back.
        lock_mounts: !unit.shares_mounts,
        changes: errand.changes,
        no_new_keyring: false,
        rootless: Some(false),
        no_cgroup: false,
        own_cgroup: Some(b"/"), // process 1 has never left it
        notify: None,
        run: true,
        // Else there is more to be done once the container is made.
        at_once: runtime.is_none() && errand.artifacts.is_empty(),
        subreaper: false,
    };
    if errand.options.trace {
        lifecycle::take_down_steps();
        errand.trace.mark("streams opened");
    }
    let mut warn = |text: &str| log::warning(&fail!("{}: {text}", unit.name()));
    let mut created = lifecycle::create(&request, errand.hardened, workspace, &mut warn)?;
    errand.trace.mark("container made");
    let shortage = Shortage::comes_first(&created).then(|| Shortage::of(&created));
    let begun = start(errand, runtime, &mut created, &mut warn);
    let begun = begun.inspect_err(|_| give_up(&created.waiting.process));
    let mut shortage = shortage.unwrap_or_else(|| Shortage::of(&created));
    let ended = begun.and_then(|mounts| {
        stay_with(errand, &created, &mut streams, &mut shortage).inspect(|ending| {
            if let Some(mounts) = mounts {
                // The copying is not to count as the command's time.
                tell(errand.report, errand.number, What::Exited(*ending), "");
                look_after(errand, mounts);
            }
        })
    });
    if let Err(error) = created.made.delete(unit.id, &mut warn) {
        log::warning(&error);
    }
    ended
}

/// Lets the container's process go. Gives its mount namespace, where something is
/// to be copied out of it.
#[inline(never)]
fn start(
    errand: &mut Errand<'_>,
    runtime: Option<&Document<'_>>,
    created: &mut Created,
    warn: &mut dyn FnMut(&str),
) -> Result<Option<OwnedFd>> {
    let pid = created.waiting.process.pid.as_raw_nonzero().get();
    runtime.map_or(Ok(()), |runtime| prepare::once_made(runtime, pid))?;
    let mut mounts = None;
    if !errand.artifacts.is_empty() {
        let path = ProcPath::new(pid, "ns/mnt");
        let opened = open(path.as_c_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        mounts = Some(opened.map_err(|errno| fail!(errno => "cannot open the container's mount namespace"))?);
    }
    created.go(warn)?;
    errand.trace.mark("program executed");
    for (step, us) in lifecycle::steps_taken_down() {
        errand.trace.mark_at(step, us);
    }
    tell(errand.report, errand.number, What::Started, "");
    let_go().map_err(|errno| fail!(errno => "cannot let go of the container's standard input and output"))?;
    if errand.options.trace {
        errand.trace.print();
    }
    Ok(mounts)
}

/// Ends a process that is not to go on.
fn give_up(process: &Process) {
    let _ = sys::pidfd_send_signal(process.pidfd.as_fd(), SIGKILL);
    let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED);
}

/// Until the container's process has ended, and all that it wrote is passed on.
#[inline(never)]
fn stay_with(errand: &Errand<'_>, created: &Created, streams: &mut Streams, shortage: &mut Shortage) -> Result<Ending> {
    let mut pumps = streams.take_pumps();
    let (mut relay, raw) = streams.relay(created.waiting.terminal.as_ref())?;
    let ending = wait(errand, created, &mut pumps, relay.as_mut(), shortage);
    let ending = ending.inspect_err(|_| give_up(&created.waiting.process))?;
    pumps.drain();
    if let Some(relay) = &mut relay
        && let Err(error) = relay.drain()
    {
        log::warning(&error);
    }
    drop(raw);
    Ok(ending)
}

/// What is left to do once it has ended.
fn look_after(errand: &Errand<'_>, mounts: OwnedFd) {
    if let Some(port) = errand.options.artifacts
        && let Err(error) = artifacts::send(mounts.as_fd(), errand.artifacts, port)
    {
        log::warning(&error);
    }
}

/// The loop: streams, signals, the end.
#[inline(never)]
fn wait(
    errand: &Errand<'_>,
    created: &Created,
    pumps: &mut Pumps,
    mut relay: Option<&mut Relay<'_>>,
    shortage: &mut Shortage,
) -> Result<Ending> {
    let process = &created.waiting.process;
    let failed = |errno: Errno| fail!(errno => "cannot wait for the container's process");
    let signals = sys::signalfd(SignalSet::ALL).map_err(failed)?;
    let mut kill_at = None;
    loop {
        if let Some(status) = ended(process).map_err(failed)? {
            // Numbers of the kernel's: a status has eight bits, and signals end at 64.
            return Ok(match status.terminating_signal() {
                Some(9) if shortage.has_killed() => Ending::OutOfMemory,
                Some(signal) => Ending::Signal(signal as u8),
                None => Ending::Exit(status.exit_status().unwrap_or(0) as u8),
            });
        }
        if kill_at.is_some_and(|at| now() >= at) {
            kill_at = None;
            kill(created);
        }
        let mut polled = heapless::Vec::<(i32, PollFlags), 8>::new();
        {
            let mut wanted = heapless::Vec::<PollFd<'_>, 8>::new();
            let _ = wanted.push(PollFd::new(&signals, PollFlags::IN));
            pumps.want(&mut wanted);
            if let Some(kills) = shortage.fd() {
                let _ = wanted.push(PollFd::from_borrowed_fd(kills, PollFlags::PRI)); // the eighth at most
            }
            let mut timeout = kill_at.into_iter().chain(shortage.due()).min().map(until);
            if let Some(relay) = relay.as_deref_mut() {
                wanted.extend(relay.poll_fds()); // three at most
                timeout = relay.timeout().or(timeout);
            }
            match poll(&mut wanted, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(errno)),
            }
            if let Some(relay) = relay.as_deref_mut() {
                relay.ready(&wanted);
            }
            polled.extend(wanted.iter().map(|fd| (fd.as_fd().as_raw_fd(), fd.revents())));
        }
        pumps.turn(&polled);
        let kills = shortage.fd().map(|fd| fd.as_raw_fd());
        let polled = polled.iter().any(|(fd, events)| Some(*fd) == kills && !events.is_empty());
        shortage.turn(polled, process.number());
        while let Some(signal) = sys::read_signal(signals.as_fd()).map_err(failed)? {
            // From process 1. CHLD has only woken us.
            let patience = match signal {
                STOP => errand.unit.policy.stop_timeout,
                STOP_SOON => errand.unit.policy.stop_timeout.min(HASTE),
                _ => continue,
            };
            if kill_at.is_none() {
                let _ = sys::pidfd_send_signal(process.pidfd.as_fd(), errand.unit.policy.stop_signal);
                kill_at = Some(now() + patience);
            }
        }
    }
}

/// How the process has ended, if it has; it is reaped.
fn ended(process: &Process) -> Result<Option<WaitIdStatus>, Errno> {
    waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Kills all of the container.
fn kill(created: &Created) {
    log::warning(&fail!("{} does not stop in time: it is killed", created.made.record.id));
    let by_cgroup = lifecycle::cgroup_of(&created.made.record).map(|cgroup| cgroup.map(|cgroup| cgroup.kill()));
    if !matches!(by_cgroup, Ok(Some(Ok(())))) {
        let _ = sys::pidfd_send_signal(created.waiting.process.pidfd.as_fd(), SIGKILL);
    }
}
