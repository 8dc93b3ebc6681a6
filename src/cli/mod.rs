//! What a person or an engine starts: the command line, one function per
//! command, and how the outcome is told.
//!
//! What a container is and how it comes to be is known further down.

mod args;
mod columns;
mod commands;
mod container;
mod exec;
mod features;
mod help;
mod log_line;
mod output;
mod process_row;
mod query;
mod report;
mod spec;
mod spec_document;
mod state_root;
mod update;

use core::fmt;

use self::args::Request;
use self::commands::{Command, Flag, Task};
use self::output::Output;
use self::report::Log;
use self::state_root::state_root;
use crate::bytes;
use crate::error::Result;
use crate::fail;
use crate::json::PathBuffer;
pub use crate::lifecycle::Workspace;
use crate::sys;

/// A command line that the kernel gave us.
pub type Invocation = args::Invocation<sys::Strings>;

/// A failure of the runtime's own.
const FAILED: i32 = 1;
/// `exec` could not start the process: engines tell it from a process that
/// ended with status 1.
const NOT_EXECUTED: i32 = 255;

/// Carries out one command line and returns the exit status. `arguments` is the
/// kernel's argv, `environment` its envp.
pub fn main(arguments: sys::Vector, environment: sys::Vector, workspace: &'static mut Workspace) -> i32 {
    if sys::fill_standard_descriptors().is_err() {
        // No descriptor to say it on.
        return FAILED;
    }
    let mut strings = arguments.iter();
    // The program's own name.
    strings.next();
    let invocation = Invocation::new(strings);
    let log =
        Log::open(invocation.path(Flag::Log), invocation.is(Flag::LogFormat, "json"), invocation.has(Flag::Debug));
    let (mut log, request) = match log {
        Ok(log) => (log, invocation.request()),
        // Of two errors the command line's own says more.
        Err(error) => (Log::stderr(), invocation.request().and(Err(error))),
    };
    // Of `exec` engines expect a status of its own, whatever was wrong.
    let failed = match invocation.command() {
        Some(command) if command.task == Task::Exec => NOT_EXECUTED,
        _ => FAILED,
    };
    let outcome = match request {
        Ok(Request::Help(None)) => print(help::overall),
        Ok(Request::Help(Some(topic))) => print(|out| help::command(out, topic)),
        Ok(Request::Version) => print(help::version),
        Ok(Request::Carry(command)) => {
            carry_out(command, &invocation, Vectors { arguments, environment }, &mut log, workspace)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(status) => {
            log.finish();
            status
        }
        Err(error) => {
            log.error(&error);
            failed
        }
    }
}

/// Says that the program does not run with rights that its caller lacks (security
/// rule R12): it would act for whoever calls it.
pub fn refuse_set_user_id() -> i32 {
    Log::stderr().error(&fail!("refused: the binary must not be set-user-ID, set-group-ID or have file capabilities"));
    FAILED
}

/// What the kernel started the program with.
#[derive(Clone, Copy)]
pub struct Vectors {
    pub arguments: sys::Vector,
    pub environment: sys::Vector,
}

/// The value of a variable of our own environment; `name` ends in `=`.
fn variable(environment: sys::Vector, name: &str) -> Option<&'static [u8]> {
    environment.iter().find_map(|variable| bytes::after(variable.to_bytes(), name))
}

/// One command, one arm. `Ok` is the exit status.
fn carry_out(
    command: &Command,
    invocation: &Invocation,
    vectors: Vectors,
    log: &mut Log,
    workspace: &'static mut Workspace,
) -> Result<i32> {
    let mut path: PathBuffer = [0; _];
    let root = state_root(invocation, vectors.environment, &mut path)?;
    match command.task {
        Task::Create | Task::Run => container::create(invocation, command.task, root, vectors, log, workspace),
        Task::Start => container::start(invocation, root, vectors, log, workspace),
        Task::Kill => container::kill(invocation, root, workspace),
        Task::Delete => container::delete(invocation, root, log, workspace),
        Task::Exec => exec::exec(invocation, root, vectors, log, workspace),
        Task::Pause => container::pause(invocation, true, root, workspace),
        Task::Resume => container::pause(invocation, false, root, workspace),
        Task::Update => update::update(invocation, root, log, workspace),
        Task::Events => query::events(invocation, root, workspace),
        Task::State => query::state(invocation, root, workspace),
        Task::List => query::list(invocation, root, log, workspace),
        Task::Ps => query::ps(invocation, root, workspace),
        Task::Features => features::features(workspace),
        Task::Spec => spec::write(invocation.path(Flag::Bundle), invocation.has(Flag::SpecRootless)).map(|()| 0),
        // `Invocation::request` has dealt with these.
        Task::Help => Err(fail!("{} cannot be carried out", command.name)),
    }
}

/// Prints a text to standard output.
fn print(text: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<i32> {
    let mut out = Output::stdout();
    // `finish` says what went wrong, if anything did.
    let _ = text(&mut out);
    out.finish().map(|()| 0)
}

/// The end of the program after a mistake in itself: says what and where, on
/// standard error and in the log, and stops.
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    Log::last_word().error(&fail!("a mistake in ocinit itself: {} ({file}:{line})", info.message()));
    sys::exit(FAILED)
}
