//! Process 1 at work: starts the units in their order, hears how they do, starts
//! services again, and stops what runs at the end.
//!
//! It waits in one place only, [`Supervisor::step`], and for no unit: each has a
//! process of its own that attends to it (`monitor`).

use super::channels;
use super::clock::{now, until};
use super::command_line::{OnExit, Options};
use super::log;
use super::monitor::{self, Errand, Lent, STOP, STOP_SOON};
use super::outcome::{Ending, Event, Sentence};
use super::power_button::PowerButton;
use super::reports::{Report, Reports, What};
use super::shutdown::set_on_exit;
use super::slots::{Questions, Slot, Slots, State};
use super::streams::Targets;
use super::trace::Trace;
use super::units::Kind;
use crate::fail;
use crate::lifecycle::{Changes, Hardened, Process};
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::process::{WaitOptions, wait};
use crate::sys::{
    self, AsFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd, SIGINT, SIGKILL, SIGPWR, SIGTERM, SIGUSR1, SIGUSR2,
};

/// What a unit may take beyond its own time to stop, in milliseconds: then the
/// process that attends to it is killed, and the container removed.
const GRACE: u64 = 5000;

/// How often such a process is killed, once a second: the kernel may be in the midst
/// of something for it.
const KILLS: u32 = 10;

/// How long a step at the end may take, in milliseconds.
const SHUTDOWN_STEP: u64 = 60_000;

/// The boot, and all that it has.
pub struct Supervisor {
    pub options: Options,
    /// Of the single bundle's process.
    pub changes: Changes,
    pub artifacts: &'static [u8],
    pub hardened: Hardened,
    pub slots: &'static mut Slots,
    /// `None` only in a child that has taken it.
    pub lent: Option<Lent>,
    pub reports: Reports,
    pub signals: OwnedFd,
    pub power_button: PowerButton,
    pub trace: Trace,
    /// Milliseconds: when all of it has taken too long.
    pub timeout_at: Option<u64>,
    /// The boot is to end.
    pub stopping: bool,
    pub timed_out: bool,
    pub ready: bool,
    /// The first unit that failed.
    pub failure: Option<(Ending, Sentence)>,
    pub started: u32,
}

impl Supervisor {
    /// From the first unit to the last.
    pub fn run(&mut self) {
        self.timeout_at = self.options.timeout.map(|timeout| now() + timeout);
        self.one_by_one(Kind::Onboot);
        self.supervise();
        self.stopping = true;
        self.stop_all();
        self.timeout_at = None; // the end has times of its own
        self.one_by_one(Kind::Onshutdown);
    }

    /// How the boot has ended.
    pub fn outcome(&self) -> (Ending, Sentence) {
        let main = self.slots.iter().find(|slot| slot.unit.kind == Kind::Main);
        match (main, &self.failure) {
            _ if self.timed_out => (Ending::Timeout, Sentence::new()),
            (_, Some((ending, sentence))) => (*ending, Sentence::of(format_args!("{}", sentence.as_str()))),
            (Some(main), _) => match main.ended {
                Some(ending) => (ending, Sentence::new()),
                None => (Ending::Error(125), Sentence::of(format_args!("stopped before the bundle was started"))),
            },
            (None, None) => (Ending::Exit(0), Sentence::new()),
        }
    }

    /// The steps of a kind, in order, each to its end.
    fn one_by_one(&mut self, kind: Kind) {
        for index in 0..self.slots.len() {
            let at_end = kind == Kind::Onshutdown;
            if self.slot(index).is_none_or(|slot| slot.unit.kind != kind) || (self.stopping && !at_end) {
                continue;
            }
            let end = at_end.then(|| now() + SHUTDOWN_STEP);
            self.start(index);
            while self.is_active(index) && (at_end || !self.stopping) {
                self.step(end);
                if end.is_some_and(|end| now() >= end) {
                    self.stop(index);
                }
            }
        }
    }

    /// Services and the single bundle, until the boot is to end.
    fn supervise(&mut self) {
        while !self.stopping {
            self.start_what_can();
            let is_main = |slot: &&Slot| slot.unit.kind == Kind::Main;
            let over = match self.slots.iter().find(is_main) {
                Some(main) => matches!(main.state, State::Ended),
                None => !self
                    .slots
                    .iter()
                    .any(|slot| slot.unit.kind == Kind::Service && !matches!(slot.state, State::Ended)),
            };
            if over {
                return;
            }
            self.step(None);
        }
    }

    /// Starts every service whose turn it is; the bundle once none waits any more.
    fn start_what_can(&mut self) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slot(index) else { continue };
            let due = match (&slot.state, slot.unit.kind) {
                (State::Pausing(until), _) => now() >= *until,
                (State::Waiting, Kind::Service) => self.slots.is_turn_of(slot),
                (State::Waiting, Kind::Main) => !self.slots.any_service_waits(),
                _ => false,
            };
            if due {
                self.start(index);
            }
        }
        if let Some(index) = self.slots.stuck() {
            let error = fail!("org.ocinit.after: it waits for a service that is not there, or for itself in a circle");
            self.ended(index, Ending::Error(125), &error);
        }
        // All that is to run by itself has been started.
        if !self.ready && self.slots.all_started() {
            self.ready = true;
            channels::ready();
        }
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    fn is_active(&self, index: usize) -> bool {
        self.slot(index).is_some_and(|slot| matches!(slot.state, State::Running(_)))
    }

    /// Makes the process that attends to a unit.
    fn start(&mut self, index: usize) {
        let Some(unit) = self.slot(index).map(|slot| slot.unit) else { return };
        channels::tell(&Event { name: "starting", unit: Some(unit.name()), ending: None, us: sys::boot_time() });
        if let Err(errno) = self.make_process(index, false) {
            self.ended(index, Ending::Error(125), &fail!(errno => "cannot make a process for it"));
            return;
        }
        self.started += 1;
        let sequence = self.started;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.sequence = sequence;
            slot.since = now();
            (slot.exited, slot.reported) = (false, false);
        }
    }

    /// Makes the process that attends to a unit, or clears up after such a one.
    pub fn make_process(&mut self, index: usize, clears_up: bool) -> Result<(), Errno> {
        match sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None })? {
            Child::Myself => match (self.lent.take(), self.slot(index)) {
                (Some(lent), Some(slot)) if clears_up => monitor::clear_up(&slot.unit, lent),
                (Some(lent), Some(slot)) => self.attend(slot, index, lent),
                _ => sys::exit(1),
            },
            Child::Created { pid, pidfd } => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.state = State::Running(Process { pid, pidfd });
                }
                Ok(())
            }
        }
    }

    fn attend(&self, slot: &Slot, index: usize, lent: Lent) -> ! {
        let is_main = slot.unit.kind == Kind::Main;
        let errand = Errand {
            unit: slot.unit,
            number: index as u8, // there are fewer
            prepared: slot.prepared,
            targets: self.targets(index),
            changes: if is_main { self.changes } else { Changes::default() },
            hardened: self.hardened,
            options: &self.options,
            artifacts: if is_main { self.artifacts } else { b"" },
            report: self.reports.theirs.as_fd(),
            trace: self.trace,
        };
        monitor::main(errand, lent)
    }

    fn targets(&self, index: usize) -> Targets {
        use super::command_line::Target;
        let options = &self.options;
        match self.slot(index) {
            Some(slot) if slot.unit.kind != Kind::Main => Targets {
                stdin: Target::Null,
                stdout: slot.unit.policy.stdout.unwrap_or_default(),
                stderr: slot.unit.policy.stderr.unwrap_or_default(),
            },
            _ => Targets { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr },
        }
    }

    /// Stops what runs, the last that was started first.
    fn stop_all(&mut self) {
        while let Some(index) = self.slots.last_started() {
            self.stop(index);
        }
    }

    /// Asks a unit to end, and waits until it has.
    fn stop(&mut self, index: usize) {
        let Some(Slot { state: State::Running(process), unit, .. }) = self.slot(index) else { return };
        let _ = sys::pidfd_send_signal(process.pidfd.as_fd(), if self.timed_out { STOP_SOON } else { STOP });
        let mut end = now() + unit.policy.stop_timeout + GRACE;
        let mut kills = 0;
        while self.is_active(index) {
            self.step(Some(end));
            if now() >= end
                && let Some(Slot { state: State::Running(process), .. }) = self.slot(index)
            {
                if kills == KILLS {
                    // It is in the kernel, which waits for a device that does not answer.
                    self.ended(index, Ending::Error(125), &fail!("it cannot be ended, not even by signal 9"));
                    return;
                }
                kills += 1;
                end = now() + 1000;
                let _ = sys::pidfd_send_signal(process.pidfd.as_fd(), SIGKILL);
            }
        }
    }

    /// Waits for something to happen, at most until `end`, and deals with it.
    fn step(&mut self, end: Option<u64>) {
        let pausing = self.slots.iter().filter_map(|slot| match slot.state {
            State::Pausing(until) if !self.stopping => Some(until),
            _ => None,
        });
        let next = pausing.chain(end).chain(self.timeout_at.filter(|_| !self.stopping)).min();
        let timeout = next.map(until);
        let mut wanted = heapless::Vec::<PollFd<'_>, 8>::new();
        let _ = wanted.push(PollFd::new(&self.signals, PollFlags::IN)); // six at most
        let _ = wanted.push(PollFd::new(&self.reports.ours, PollFlags::IN));
        self.power_button.want(&mut wanted);
        match poll(&mut wanted, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => {
                log::warning(&fail!(errno => "cannot wait"));
                super::clock::pause(100); // or it would be all that is done
            }
        }
        drop(wanted);
        self.take_signals();
        if self.power_button.was_pressed() {
            self.asked_to_stop();
        }
        self.take_reports();
        self.reap();
        if self.timeout_at.is_some_and(|at| now() >= at) && !self.stopping {
            log::error(&fail!("the time that ocinit.timeout gives is over"));
            self.timed_out = true;
            self.stopping = true;
        }
    }

    fn asked_to_stop(&mut self) {
        if !self.stopping {
            log::info(&fail!("asked to stop"));
        }
        self.stopping = true;
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = sys::read_signal(self.signals.as_fd()) {
            match signal {
                // What other systems' first processes take them for.
                SIGUSR1 => set_on_exit(OnExit::Halt),
                SIGUSR2 => set_on_exit(OnExit::PowerOff),
                SIGINT | SIGTERM | SIGPWR => {}
                _ => continue,
            }
            self.asked_to_stop();
        }
    }

    fn take_reports(&mut self) {
        loop {
            let mut one = [PollFd::new(&self.reports.ours, PollFlags::IN)];
            if !matches!(poll(&mut one, Some(&until(0))), Ok(1)) {
                return;
            }
            let Some(report) = self.reports.receive() else { return };
            self.take(&report);
        }
    }

    fn take(&mut self, report: &Report) {
        let Some(slot) = self.slots.get_mut(report.unit) else { return };
        match report.what {
            What::Prepared => slot.prepared = true,
            What::Started => {
                slot.has_started = true;
                let event = Event { name: "started", unit: Some(slot.unit.name()), ending: None, us: report.us };
                channels::tell(&event);
            }
            What::Exited(ending) | What::Ended(ending) => {
                slot.reported |= matches!(report.what, What::Ended(_));
                if !core::mem::replace(&mut slot.exited, true) {
                    self.told(report.unit, ending, report.sentence.as_str(), report.us);
                }
            }
        }
    }

    /// Whoever has ended is reaped: those that attend to units, and orphans.
    fn reap(&mut self) {
        loop {
            let (pid, status) = match wait(WaitOptions::NOHANG) {
                Ok(Some(ended)) => ended,
                Err(Errno::INTR) => continue,
                Ok(None) | Err(_) => return,
            };
            let index =
                self.slots.iter().position(|slot| matches!(&slot.state, State::Running(process) if process.pid == pid));
            if let Some(index) = index {
                // It may have told us something just before.
                self.take_reports();
                self.gone(index, status);
            }
        }
    }
}
