//! The units of a boot, and how each of them does.

use super::outcome::Ending;
use super::policy::Restart;
use super::units::{Kind, Unit};
use crate::lifecycle::Process;
use crate::{bytes, limits};

/// What a unit does.
pub enum State {
    /// Its turn has not come.
    Waiting,
    /// The process that attends to it.
    Running(Process),
    /// It is started again then, in milliseconds since the kernel's start.
    Pausing(u64),
    Ended,
}

/// A unit, and how it does.
pub struct Slot {
    pub unit: Unit,
    pub state: State,
    /// What is done once for it is done.
    pub prepared: bool,
    /// Its program was executed, at some time.
    pub has_started: bool,
    /// How it ended was told, this time.
    pub exited: bool,
    /// The process that attends to it was through with everything, this time.
    pub reported: bool,
    /// How it ended last.
    pub ended: Option<Ending>,
    /// Times in a row that it was started again.
    pub restarts: u32,
    /// Since when it runs, in milliseconds since the kernel's start.
    pub since: u64,
    /// Its place in the order in which units were started.
    pub sequence: u32,
}

impl Slot {
    pub fn new(unit: Unit) -> Slot {
        Slot {
            unit,
            state: State::Waiting,
            prepared: false,
            has_started: false,
            exited: false,
            reported: false,
            ended: None,
            restarts: 0,
            since: 0,
            sequence: 0,
        }
    }

    /// Whether it is started again, having ended as it has. Only services are.
    pub fn will_restart(&self) -> bool {
        let success = self.ended.is_some_and(Ending::is_success);
        self.unit.kind == Kind::Service
            && self.unit.policy.restart != Restart::No
            && self.unit.policy.restarts(success, self.restarts)
    }

    fn is_waiting_service(&self) -> bool {
        self.unit.kind == Kind::Service && matches!(self.state, State::Waiting)
    }
}

/// All of them, in the order of their start.
pub type Slots = heapless::Vec<Slot, { limits::UNITS }>;

/// Questions about all of them.
pub trait Questions {
    /// Whether all the services that `slot` is to come after have started, or will
    /// never start.
    fn is_turn_of(&self, slot: &Slot) -> bool;
    fn any_service_waits(&self) -> bool;
    /// Whether every service and the bundle have been started.
    fn all_started(&self) -> bool;
    /// A service that waits for what will never happen.
    fn stuck(&self) -> Option<usize>;
    /// The unit that runs and was started last.
    fn last_started(&self) -> Option<usize>;
}

impl Questions for Slots {
    fn is_turn_of(&self, slot: &Slot) -> bool {
        bytes::split(slot.unit.policy.after, b' ').filter(|name| !name.is_empty()).all(|name| {
            self.iter().any(|other| {
                other.unit.kind == Kind::Service
                    && other.unit.id.to_bytes() == name
                    && (other.has_started || matches!(other.state, State::Ended))
            })
        })
    }

    fn any_service_waits(&self) -> bool {
        self.iter().any(Slot::is_waiting_service)
    }

    fn all_started(&self) -> bool {
        self.iter()
            .filter(|slot| matches!(slot.unit.kind, Kind::Service | Kind::Main))
            .all(|slot| slot.has_started || matches!(slot.state, State::Ended))
    }

    fn stuck(&self) -> Option<usize> {
        // As long as one that has not started yet runs or is to run, there is hope.
        let hope = self.iter().any(|slot| {
            slot.unit.kind == Kind::Service
                && !slot.has_started
                && matches!(slot.state, State::Running(_) | State::Pausing(_))
        });
        let free = |slot: &Slot| slot.is_waiting_service() && self.is_turn_of(slot);
        if hope || self.iter().any(free) { None } else { self.iter().position(Slot::is_waiting_service) }
    }

    fn last_started(&self) -> Option<usize> {
        let running = self.iter().enumerate().filter(|(_, slot)| matches!(slot.state, State::Running(_)));
        running.max_by_key(|(_, slot)| slot.sequence).map(|(index, _)| index)
    }
}
