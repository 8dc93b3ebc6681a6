//! `ocinit.trace`: when which step was done, as a table on the log.

use super::log;
use crate::fail;
use crate::sys::boot_time;

/// Steps that are remembered: a few until the first unit, and those of making its
/// container.
const MOST: usize = 24;

/// The steps so far. A copy goes to each process that attends to a unit.
#[derive(Clone, Copy)]
pub struct Trace {
    steps: [(&'static str, u64); MOST],
    length: usize,
}

impl Trace {
    pub const fn new() -> Trace {
        Trace { steps: [("", 0); MOST], length: 0 }
    }

    /// `step` is done.
    pub fn mark(&mut self, step: &'static str) {
        self.mark_at(step, boot_time());
    }

    /// It was at that time, in microseconds.
    pub fn mark_at(&mut self, step: &'static str, us: u64) {
        if let Some(place) = self.steps.get_mut(self.length) {
            *place = (step, us);
            self.length += 1;
        }
    }

    /// Writes the table: microseconds since the kernel's start, and since the step
    /// before. In the order of time: two processes make a container.
    pub fn print(&self) {
        let mut left = self.steps;
        let mut before = 0;
        while let Some((step, us)) = left.iter_mut().filter(|(_, us)| *us > 0).min_by_key(|(_, us)| *us) {
            log::info(&fail!("trace: {us:>10} {:>+9} us  {step}", us.saturating_sub(before)));
            before = core::mem::take(us);
        }
    }
}
