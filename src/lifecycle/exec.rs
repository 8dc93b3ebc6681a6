//! `exec`: a further process in a container that has been made, by the steps of
//! `process` and the handshake of `handshake`.
//!
//! The new process is born in the container's cgroup and pid namespace and
//! joins the other namespaces through the descriptor of the container's first
//! process; it cannot be traced and holds nothing of the host when it does.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Process};
use super::container_init::tell;
use super::gate::{self, WaitError};
use super::handshake::{Channel, Message};
use super::process::{self, die_with_parent};
use super::process_plan::{Buffers, ProcessPlan};
use super::ready::{self, Terminal};
use super::state_file::StateRoot;
use super::workspace::Workspace;
use super::{bundle, hardening, pid_file};
use crate::error::{Error, Lossy, Result};
use crate::json::Document;
use crate::spec::config::Config;
use crate::spec::state::{RecordView, Status};
use crate::sys::{self, AsFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd};
use crate::{cgroup, fail, limits, namespace, spec};

/// What `exec` is asked for, beside the words of the command.
pub struct ExecRequest<'r> {
    pub id: &'static CStr,
    pub state_root: &'static CStr,
    /// `--process`: the whole process, in a file.
    pub process: Option<&'static CStr>,
    pub arguments: &'r mut dyn Iterator<Item = &'static CStr>,
    pub environment: &'r mut dyn Iterator<Item = &'static CStr>,
    pub additional_gids: &'r mut dyn Iterator<Item = u32>,
    pub capabilities: &'r mut dyn Iterator<Item = &'static CStr>,
    pub cwd: Option<&'static CStr>,
    /// User and, where it is given, group.
    pub user: Option<(u32, Option<u32>)>,
    pub tty: bool,
    pub no_new_privileges: bool,
    /// `--cgroup`: below the container's.
    pub cgroup: Option<&'static CStr>,
    pub detached: bool,
    pub console_socket: Option<&'static CStr>,
    pub pidfd_socket: Option<&'static CStr>,
    pub pid_file: Option<&'static CStr>,
    pub preserve_fds: u32,
}
