//! One line on a terminal for what takes longer than a second.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

/// Shows nothing in its first second, nor where stderr is no terminal.
pub struct Progress {
    wanted: bool,
    started: Instant,
    bar: RefCell<Option<ProgressBar>>,
}

impl Progress {
    pub fn new(wanted: bool) -> Progress {
        Progress { wanted, started: Instant::now(), bar: RefCell::new(None) }
    }

    /// What is being done now.
    pub fn tick(&self, message: &str) {
        if !self.wanted || self.started.elapsed() < Duration::from_secs(1) {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar
        });
        bar.set_message(message.to_owned());
        bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
