//! The signals that end programs: what is not to stay is removed first, and a guest
//! that runs is told of it instead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Whoever wants to know of a signal.
type Listener = Box<dyn FnMut(i32) + Send>;

struct State {
    listener: Option<Listener>,
    /// Files and folders that go when a signal ends the program.
    temporary: Vec<PathBuf>,
}

static STATE: Mutex<State> = Mutex::new(State { listener: None, temporary: Vec::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on the signals are ours, for the rest of the program.
pub fn take() -> Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]).context("cannot wait for signals")?;
    std::thread::spawn(move || {
        for signal in &mut signals {
            // Held to the end: nothing is made while this removes what there is.
            let mut state = state();
            match &mut state.listener {
                Some(listener) => listener(signal),
                None => {
                    state.temporary.iter().for_each(|path| remove(path));
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        }
    });
    Ok(())
}

fn remove(path: &Path) {
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

/// As long as it lives, signals are told to `listener` and end nothing.
pub struct Listening(());

pub fn listen(listener: impl FnMut(i32) + Send + 'static) -> Listening {
    state().listener = Some(Box::new(listener));
    Listening(())
}

impl Drop for Listening {
    fn drop(&mut self) {
        state().listener = None;
    }
}

/// A path that a signal removes as long as this lives. Its owner removes it otherwise.
pub struct Temporary(PathBuf);

impl Temporary {
    /// What `make` makes, at the path that `path` says: no signal comes in between.
    pub fn of<T>(make: impl FnOnce() -> io::Result<T>, path: impl FnOnce(&T) -> &Path) -> io::Result<(T, Temporary)> {
        let mut state = state();
        let made = make()?;
        let path = path(&made).to_owned();
        state.temporary.push(path.clone());
        Ok((made, Temporary(path)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        state().temporary.retain(|path| *path != self.0);
    }
}
