//! What follows when a unit has ended: it is told of, cleared up after where nobody
//! has, and started again or not.

use super::channels;
use super::clock::now;
use super::log;
use super::outcome::{Ending, Event, Sentence};
use super::policy::back_off;
use super::slots::State;
use super::supervisor::Supervisor;
use super::units::Kind;
use crate::error::Error;
use crate::sys::boot_time;
use crate::sys::process::WaitStatus;
use crate::{fail, limits};

/// A service that has run for so long, in milliseconds, has its whole budget again.
const PROVEN: u64 = 60_000;

impl Supervisor {
    /// The process that attended to a unit is gone.
    pub fn gone(&mut self, index: usize, status: WaitStatus) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if !slot.reported {
            slot.reported = true;
            let exited = core::mem::replace(&mut slot.exited, true);
            let error = match (status.terminating_signal(), status.exit_status()) {
                (Some(signal), _) => fail!("the process that attends to it was ended by signal {signal}"),
                (None, status) => {
                    fail!("the process that attends to it ended with status {} without a word", status.unwrap_or(0))
                }
            };
            if exited {
                log::warning(&error); // the container's process was through before
            } else {
                self.told(index, Ending::Error(125), error.text(&mut [0; limits::MESSAGE]), boot_time());
            }
            // It has not cleared up either. What follows is decided once that is done.
            match self.make_process(index, true) {
                Ok(()) => return,
                Err(errno) => log::warning(&fail!(errno => "cannot make a process that clears up")),
            }
        }
        self.decide(index);
    }

    /// A unit has ended without anybody who could tell.
    pub fn ended(&mut self, index: usize, ending: Ending, error: &Error) {
        self.told(index, ending, error.text(&mut [0; limits::MESSAGE]), boot_time());
        self.decide(index);
    }

    /// Passes on how a unit ended.
    pub fn told(&mut self, index: usize, ending: Ending, sentence: &str, us: u64) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.ended = Some(ending);
        if slot.unit.kind == Kind::Main {
            // It has ended in time, however long it takes to copy what it has left.
            self.timeout_at = None;
        }
        if now().saturating_sub(slot.since) >= PROVEN {
            slot.restarts = 0;
        }
        let name = slot.unit.name();
        let event = Event { name: "exited", unit: Some(name), ending: Some((ending, sentence)), us };
        channels::tell(&event);
        match ending {
            Ending::Error(_) => log::error(&fail!("{name}: {sentence}")),
            _ => log::info(&fail!("{name} {ending}")),
        }
        // The first failure is what the boot's outcome tells, unless it was asked for.
        let counts = !self.stopping || slot.unit.kind != Kind::Service;
        if !ending.is_success() && counts && self.failure.is_none() && !slot.will_restart() {
            self.failure = Some((ending, Sentence::of(format_args!("{sentence}"))));
        }
    }

    /// What becomes of a unit that has ended: it is started again, or not.
    pub fn decide(&mut self, index: usize) {
        let stopping = self.stopping;
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.will_restart() && !stopping {
            slot.state = State::Pausing(now() + back_off(slot.restarts));
            slot.restarts += 1;
            return;
        }
        slot.state = State::Ended;
        let failed = !slot.ended.is_some_and(Ending::is_success);
        if failed && slot.unit.policy.stops_boot && !stopping {
            log::error(&fail!("{} has failed, which ends the boot", slot.unit.name()));
            self.stopping = true;
        }
    }
}
