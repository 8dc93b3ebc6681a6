//! `exec`.

use core::ffi::CStr;

use super::commands::Flag;
use super::container::wishes;
use super::report::Log;
use super::{Invocation, Vectors};
use crate::error::Result;
use crate::lifecycle::{self, ExecRequest, Overrides, Workspace};
use crate::{fail, words};

/// Runs a further process; gives its status, or 0 when detached.
pub fn exec(
    invocation: &Invocation,
    root: &CStr,
    vectors: Vectors,
    log: &mut Log,
    workspace: &'static mut Workspace,
) -> Result<i32> {
    if invocation.values(Flag::Cgroup).nth(1).is_some() {
        return Err(fail!("--cgroup is given more than once: in the one hierarchy a process has one cgroup"));
    }
    let hardened = lifecycle::harden(vectors.arguments, vectors.environment)?;
    let foreground = !invocation.has(Flag::Detach);
    // All were checked when the command line was read.
    let gids = invocation.values(Flag::AdditionalGids).filter_map(|gid| words::user_id(gid.to_bytes()));
    // An engine may well pass an empty one.
    let label = |flag| invocation.value(flag).filter(|label| !label.is_empty());
    let overrides = Overrides {
        arguments: &mut invocation.words().skip(1),
        environment: &mut invocation.values(Flag::Env),
        additional_gids: &mut { gids },
        capabilities: &mut invocation.values(Flag::Cap),
        cwd: invocation.path(Flag::Cwd),
        user: invocation.value(Flag::User).and_then(|user| words::user(user.to_bytes())),
        tty: invocation.has(Flag::Tty),
        no_new_privileges: invocation.has(Flag::NoNewPrivs),
        apparmor: label(Flag::Apparmor),
        process_label: label(Flag::ProcessLabel),
    };
    let request = ExecRequest {
        id: invocation.id(),
        state_root: root,
        process: invocation.path(Flag::Process),
        overrides,
        cgroup: invocation.path(Flag::Cgroup),
        ignore_paused: invocation.has(Flag::IgnorePaused),
        wishes: wishes(invocation, vectors.environment, foreground),
    };
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    let waiting = lifecycle::exec(request, hardened, workspace, &mut warn)?;
    waiting.go(&mut warn)?;
    if foreground { waiting.attend(&mut warn) } else { Ok(0) }
}
