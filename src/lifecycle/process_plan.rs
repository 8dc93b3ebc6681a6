//! What the user's process is to be: everything that is known before it exists.

use core::ffi::CStr;

use super::arena::Arena;
use super::caller::Wishes;
use super::environment;
use super::hardening::Hardened;
use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::identity::{Groups, Sets};
use crate::json::Text;
use crate::limits;
use crate::seccomp::SeccompFilter;
use crate::spec::config::{Config, Process, Rlimit};
use crate::spec::linux::Linux;
use crate::spec::record::List;
use crate::sys::PointerTable;
use crate::sys::process::geteuid;
use crate::sys::termios::Winsize;

/// argv or envp.
pub type Strings = PointerTable<'static, { limits::STRINGS }>;

/// The static buffers that a plan fills.
pub struct Buffers {
    pub arguments: &'static mut Strings,
    pub environment: &'static mut Strings,
    pub names: &'static mut [u32],
    pub groups: &'static mut Groups,
    pub arena: Arena<'static>,
}

/// The process.
pub struct ProcessPlan<'a> {
    /// The document, for what is read where it stands: priorities, and places for errors.
    pub view: Process<'a>,
    /// As above, of the container: memory policy and personality.
    pub linux: Option<Linux<'a>>,
    pub apparmor: Option<&'static CStr>,
    pub selinux: Option<&'static CStr>,
    pub uid: u32,
    pub gid: u32,
    pub umask: Option<u32>,
    /// Absolute, in the container.
    pub cwd: &'static CStr,
    pub capabilities: Sets,
    pub no_new_privileges: bool,
    pub rlimits: List<'a, Rlimit<'static>>,
    pub oom_score_adj: Option<i32>,
    /// Loaded last of all.
    pub seccomp: Option<&'static SeccompFilter>,
    /// The socket of whoever the filter asks.
    pub listener_path: Option<&'static CStr>,
    pub terminal: bool,
    /// Rows and columns of it.
    pub console_size: Option<Winsize>,
    /// Descriptors from 3 on that the process gets.
    pub preserve_fds: u32,
    /// Where its rights end at the namespace's border.
    pub in_user_namespace: bool,
    /// Its maker is not root.
    pub ordinary_user: bool,
    /// [`settle_early`](super::process::settle_early) has been done.
    pub settled: bool,
    /// What we are ourselves.
    pub hardened: Hardened,
    pub buffers: Buffers,
}

impl<'a> ProcessPlan<'a> {
    /// As the document describes it.
    pub fn new(
        view: Process<'a>,
        linux: Option<Linux<'a>>,
        mut buffers: Buffers,
        hardened: Hardened,
    ) -> Result<ProcessPlan<'a>> {
        let mut string = |text: Option<Text<'_>>| match text.filter(|text| !text.is_empty()) {
            Some(text) => buffers.arena.text(text).map(Some),
            None => Ok(None),
        };
        let cwd = string(view.cwd())?.unwrap_or(c"/");
        let (apparmor, selinux) = (string(view.apparmor_profile())?, string(view.selinux_label())?);
        let mut plan = ProcessPlan {
            view,
            linux,
            apparmor,
            selinux,
            uid: 0,
            gid: 0,
            umask: None,
            cwd,
            capabilities: Sets::of(view.capabilities()),
            no_new_privileges: view.no_new_privileges() == Some(true),
            rlimits: view.rlimits(),
            oom_score_adj: view.oom_score_adj(),
            seccomp: None,
            listener_path: None,
            terminal: view.terminal() == Some(true),
            console_size: console_size(&view),
            preserve_fds: 0,
            in_user_namespace: false,
            ordinary_user: !geteuid().is_root(),
            settled: false,
            hardened,
            buffers,
        };
        if let Some(user) = view.user() {
            plan.uid = user.uid().unwrap_or(0);
            plan.gid = user.gid().unwrap_or(0);
            plan.umask = user.umask();
            plan.buffers.groups.read(user.additional_gids())?;
        }
        plan.add_arguments(view.args())?;
        for variable in view.env().iter() {
            plan.add_variable_text(variable)?;
        }
        Ok(plan)
    }

    /// The capabilities that its filter takes: that is loaded last of all, so that it
    /// has to allow nothing but what the program does, and without no_new_privs it
    /// takes a right (seccomp(2)).
    pub fn kept_for_filter(&self) -> u64 {
        const CAP_SYS_ADMIN: u64 = 1 << 21;
        if self.seccomp.is_some() && !self.no_new_privileges { CAP_SYS_ADMIN } else { 0 }
    }

    /// Takes from the container's own process what the document of another says nothing
    /// of, as runc does: its labels, rights and limits. One without any right says so by
    /// an object without lists.
    pub fn complete(&mut self, container: &Process<'a>) -> Result<()> {
        let mut string = |own: Option<&'static CStr>, text: Option<Text<'_>>| match (own, text) {
            (None, Some(text)) if !text.is_empty() => self.buffers.arena.text(text).map(Some),
            _ => Ok(own),
        };
        self.apparmor = string(self.apparmor, container.apparmor_profile())?;
        self.selinux = string(self.selinux, container.selinux_label())?;
        if self.view.capabilities().is_none() {
            self.capabilities = Sets::of(container.capabilities());
        }
        if self.view.no_new_privileges().is_none() {
            self.no_new_privileges = container.no_new_privileges() == Some(true);
        }
        if self.rlimits.is_empty() {
            self.rlimits = container.rlimits();
        }
        self.oom_score_adj = self.oom_score_adj.or(container.oom_score_adj());
        Ok(())
    }

    /// Compiles the container's filter, if it has one, for the process.
    pub fn set_seccomp(&mut self, config: &Config<'_>, filter: &'static mut SeccompFilter) -> Result<()> {
        let Some(seccomp) = config.linux().and_then(|linux| linux.seccomp()) else { return Ok(()) };
        filter.compile(&seccomp)?;
        self.seccomp = Some(filter);
        if let Some(path) = seccomp.listener_path().filter(|_| seccomp.notifies()) {
            self.listener_path = Some(self.buffers.arena.text(path)?);
        }
        Ok(())
    }

    fn add_arguments(&mut self, arguments: List<'_, Text<'static>>) -> Result<()> {
        for argument in arguments.iter() {
            let argument = self.buffers.arena.text(argument)?;
            self.add_argument(argument)?;
        }
        Ok(())
    }

    /// Takes back what the document says of argv.
    pub fn clear_arguments(&mut self) {
        self.buffers.arguments.clear();
    }

    /// Adds to argv.
    pub fn add_argument(&mut self, argument: &'static CStr) -> Result<()> {
        match self.buffers.arguments.push(argument) {
            true => Ok(()),
            false => Err(fail!("more arguments than the limit of {}", limits::STRINGS)),
        }
    }

    fn add_variable_text(&mut self, variable: Text<'_>) -> Result<()> {
        let variable = self.buffers.arena.text(variable)?;
        self.add_variable(variable)
    }

    /// Adds to the environment; it counts instead of earlier ones of its name.
    pub fn add_variable(&mut self, variable: &'static CStr) -> Result<()> {
        match self.buffers.environment.push(variable) {
            true => Ok(()),
            false => Err(fail!("more environment variables than the limit of {}", limits::STRINGS)),
        }
    }

    /// The descriptors that the process gets, and the variables that tell of them.
    pub fn pass_descriptors(&mut self, wishes: &Wishes) -> Result<()> {
        self.preserve_fds = wishes.all_fds();
        if wishes.listen_fds == 0 {
            return Ok(());
        }
        let number = Printed::<16>::of(format_args!("{}", wishes.listen_fds)); // ten digits at most
        let variable = self.buffers.arena.join(&[b"LISTEN_FDS=", number.as_bytes()])?;
        self.add_variable(variable)?;
        self.add_variable(c"LISTEN_PID=1")
    }

    /// Capabilities that nobody knows are a warning (config.md, "Linux Process").
    pub fn warn_of_unknown(&self, warn: &mut dyn FnMut(&str)) {
        if let Some(capabilities) = self.view.capabilities() {
            // One that is longer than that is not worth repeating.
            let mut unknown =
                |name: Text<'_>| warn(Printed::<128>::of(format_args!("unknown capability {name}")).as_str());
            Sets::unknown(&capabilities, &mut unknown);
        }
    }

    /// Leaves out the variables that a later one of the same name overrides: to
    /// be called when all have been added.
    pub fn settle_environment(&mut self) {
        let Buffers { environment: variables, names, .. } = &mut self.buffers;
        // What is overridden may be marked while the search goes on: it compares
        // with variables that stay.
        let mut marks = Marks { variables };
        environment::find_overridden(&mut marks, names);
        variables.compact();
    }

    /// A variable's value.
    pub fn variable(&self, name: &str) -> Option<&'static CStr> {
        let variables = &self.buffers.environment;
        let found = (0..variables.len()).filter_map(|index| variables.get(index)).find(|variable| {
            environment::name(variable.to_bytes()) == name.as_bytes() && variable.count_bytes() > name.len()
        })?;
        CStr::from_bytes_until_nul(found.to_bytes_with_nul().get(name.len() + 1..)?).ok()
    }

    /// Whether the process is root as we are, so that its user does not change, and
    /// with it nothing that a change of credentials takes along (prctl(2)).
    pub fn stays_root(&self) -> bool {
        self.hardened.is_root && self.uid == 0 && self.gid == 0 && !self.in_user_namespace
    }

    /// What is to be executed: the first argument.
    pub fn program(&self) -> Result<&'static CStr> {
        self.buffers
            .arguments
            .get(0)
            .ok_or_else(|| self.view.value().error(format_args!("\"args\" is missing or empty")))
    }
}

fn console_size(view: &Process<'_>) -> Option<Winsize> {
    let size = view.console_size()?;
    Some(Winsize {
        ws_row: size.height()?.try_into().ok()?,
        ws_col: size.width()?.try_into().ok()?,
        ws_xpixel: 0,
        ws_ypixel: 0,
    })
}

/// The environment, for [`environment::find_overridden`].
struct Marks<'a> {
    variables: &'a mut Strings,
}

impl environment::Variables for Marks<'_> {
    fn count(&self) -> usize {
        self.variables.len()
    }

    fn variable(&self, index: usize) -> &[u8] {
        self.variables.get(index).map_or(&[], CStr::to_bytes)
    }

    fn overridden(&mut self, index: usize) {
        self.variables.forget(index);
    }
}
