//! The foreground of `run` and `exec`: starts what waits, and stays with it.

use super::container::Process;
use super::handshake::Channel;
use super::listener::Agent;
use super::process_plan::ProcessPlan;
use super::supervise::supervise;
use super::{delete, ready};
use crate::error::Result;
use crate::fail;
use crate::spec::config::Config;
use crate::spec::state::StateDocument;
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
    pub fn go(&self) -> Result<()> {
        if let Some(master) = &self.terminal {
            // Before the program can ask for it.
            relay::give_size(sys::stdin(), sys::stdout(), master.as_fd());
        }
        ready::go(&self.channel, self.agent.as_ref()).inspect_err(|_| delete::end_child(&self.process))
    }

    /// Passes signals and the terminal through until it has ended. Gives the
    /// status that a shell would.
    ///
    /// # Errors
    /// The kernel's. The process is ended: nobody would be there for it.
    pub fn attend(self, warn: &mut dyn FnMut(&str)) -> Result<i32> {
        let Waiting { process, channel, terminal, .. } = self;
        drop(channel);
        stay_with(&process, terminal.as_ref(), warn).inspect_err(|_| delete::end_child(&process))
    }
}

fn stay_with(process: &Process, terminal: Option<&OwnedFd>, warn: &mut dyn FnMut(&str)) -> Result<i32> {
    let Some(master) = terminal else { return supervise(process, None, warn) };
    let raw = RawMode::enter(sys::stdin())?;
    let mut relay = Relay::new(sys::stdin(), sys::stdout(), master.as_fd())?;
    let status = supervise(process, Some(&mut relay), warn);
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
