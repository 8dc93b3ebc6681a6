//! A line on a terminal for what takes longer than a second.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The line; it is gone when dropped. There is none in the first second, nor where
/// stderr is no terminal.
pub struct Progress {
    wanted: bool,
    start: Instant,
    bar: RefCell<Option<ProgressBar>>,
}

impl Progress {
    pub fn new(wanted: bool) -> Progress {
        let wanted = wanted && std::io::stderr().is_terminal();
        Progress { wanted, start: Instant::now(), bar: RefCell::new(None) }
    }

    /// What is being done now.
    pub fn say(&self, text: &str) {
        if !self.wanted || self.start.elapsed() < Duration::from_secs(1) {
            return;
        }
        let mut bar = self.bar.borrow_mut();
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_elapsed(self.start.elapsed());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(text.to_owned());
        bar.tick();
    }

    pub fn finish(&mut self) {
        self.wanted = false;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}
