//! A line on a terminal for what takes longer than a second.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The line; it is gone when dropped.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    text: &'static str,
    wanted: bool,
}

impl Progress {
    pub fn new(wanted: bool, text: &'static str) -> Progress {
        Progress { bar: None, start: Instant::now(), text, wanted: wanted && std::io::stderr().is_terminal() }
    }

    /// What is being done now.
    pub fn say(&mut self, text: &'static str) {
        self.text = text;
        self.tick();
    }

    /// Shows the line once it has taken long enough.
    pub fn tick(&mut self) {
        if !self.wanted || self.start.elapsed() < Duration::from_secs(1) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner().with_elapsed(self.start.elapsed());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(self.text);
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
