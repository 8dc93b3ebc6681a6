//! The foreground of `run` and `exec`: starts what waits, and stays with it.

use super::container::Process;
use super::handshake::Channel;
use super::hooks::{Later, Moment};
use super::listener::Agent;
use super::notify::Notify;
use super::process_plan::ProcessPlan;
use super::supervise::supervise;
use super::{delete, ready};
use crate::error::Result;
use crate::fail;
use crate::spec::config::Config;
use crate::spec::state::{StateDocument, StateRecord};
use crate::sys::process::{getpid, set_child_subreaper};
use crate::sys::{self, AsFd, OwnedFd};
use crate::terminal::raw_mode::RawMode;
use crate::terminal::relay::{self, Relay};

/// A process that waits to be started, a child of ours.
pub struct Waiting {
    pub process: Process,
    pub channel: Channel,
    /// The terminal that we are to serve.
    pub terminal: Option<OwnedFd>,
    pub notify: Option<Notify>,
    /// Whom its seccomp filter asks.
    pub agent: Option<Agent<'static>>,
}

impl Waiting {
    /// With whom its filter asks, who is told of the container by `state`; the
    /// process is ended where that fails.
    pub fn asking(
        mut self,
        plan: &ProcessPlan<'_>,
        config: &Config<'_>,
        state: &StateDocument<'_>,
        buffer: &'static mut [u8],
    ) -> Result<Waiting> {
        if let Some(path) = plan.listener_path {
            let agent = Agent::new(path, config, state, self.process.number(), buffer);
            self.agent = Some(agent.inspect_err(|_| delete::end_child(&self.process))?);
        }
        Ok(self)
    }

    /// Lets it go on to its program.
    ///
    /// # Errors
    /// The program cannot be executed. The process has ended then and is reaped:
    /// left to somebody else, it would keep the container's pid namespace, and
    /// with it the container's first process, from ending until that is done.
    pub fn go(&self, warn: &mut dyn FnMut(&str)) -> Result<()> {
        if let Some(master) = &self.terminal {
            // Before the program can ask for it.
            relay::give_size(sys::stdin(), sys::stdout(), master.as_fd());
        }
        ready::go(&self.channel, self.agent.as_ref(), warn).inspect_err(|_| delete::end_child(&self.process))
    }

    /// Passes signals and the terminal through until it has ended. Gives the
    /// status that a shell would.
    ///
    /// # Errors
    /// The kernel's. The process is ended: nobody would be there for it.
    pub fn attend(self, warn: &mut dyn FnMut(&str)) -> Result<i32> {
        let Waiting { process, channel, terminal, notify, .. } = self;
        drop(channel);
        stay_with(&process, terminal.as_ref(), notify, warn).inspect_err(|_| delete::end_child(&process))
    }
}

/// A container that waits to be started, and what is written down of it.
pub struct Created {
    pub waiting: Waiting,
    pub record: StateRecord<'static>,
    pub later: Later,
}

impl Created {
    /// Lets it go on to its program, and runs the hooks that follow.
    ///
    /// # Errors
    /// As [`Waiting::go`]; or a hook fails, and the process is ended and reaped.
    pub fn go(&mut self, warn: &mut dyn FnMut(&str)) -> Result<()> {
        self.waiting.go(warn)?;
        if !self.record.hooks {
            return Ok(());
        }
        let ran = self.later.run(Moment::Poststart, &self.record, self.record.pid, warn);
        ran.inspect_err(|_| delete::end_child(&self.waiting.process))
    }

    /// Before it is left alone: waits until it says that it is ready, where
    /// somebody wants to know.
    pub fn await_ready(&self) -> Result<()> {
        match &self.waiting.notify {
            Some(notify) => notify.await_ready(&self.waiting.process),
            None => Ok(()),
        }
    }
}

fn stay_with(
    process: &Process,
    terminal: Option<&OwnedFd>,
    notify: Option<Notify>,
    warn: &mut dyn FnMut(&str),
) -> Result<i32> {
    let Some(master) = terminal else { return supervise(process, None, notify, warn) };
    let raw = RawMode::enter(sys::stdin())?;
    let mut relay = Relay::new(sys::stdin(), sys::stdout(), master.as_fd())?;
    let status = supervise(process, Some(&mut relay), notify, warn);
    drop(raw);
    status
}

/// Makes the orphans of the container our children, so that we see them end
/// (prctl(2), PR_SET_CHILD_SUBREAPER).
///
/// # Errors
/// The kernel's.
pub fn become_subreaper() -> Result<()> {
    set_child_subreaper(Some(getpid())).map_err(|errno| fail!(errno => "cannot become a subreaper"))
}
