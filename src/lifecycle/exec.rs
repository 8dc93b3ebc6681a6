//! `exec`: a further process in a container that has been made, by the steps of
//! `process` and the conversation of `handshake`.
//!
//! The new process is born in the container's cgroup and pid namespace and
//! joins the other namespaces through the descriptor of the container's first
//! process; it cannot be traced, and holds nothing of the host, when it does.

use core::ffi::CStr;

use super::arena::Arena;
use super::birth::{self, Born, Cradle};
use super::caller::{Caller, Wishes};
use super::container::{self, Process, Status};
use super::container_init::tell;
use super::handshake::{Channel, Message};
use super::hardening::Hardened;
use super::proc::ProcPath;
use super::process::{self, die_with_parent};
use super::process_plan::{Buffers, ProcessPlan};
use super::run::Waiting;
use super::state_file::StateRoot;
use super::workspace::Workspace;
use super::{bundle, delete, interrupt, ready};
use crate::bytes;
use crate::cgroup::{self, Cgroup, CgroupPath, Hierarchy};
use crate::error::{Lossy, Result};
use crate::json::{Document, Extents, PathBuffer};
use crate::namespace::{Plan, flags};
use crate::spec::record::List;
use crate::spec::state::StateRecord;
use crate::sys::fs::{CWD, Mode, OFlags, open};
use crate::sys::process::{chroot, fchdir, setsid};
use crate::sys::{self, AsFd, Errno, OwnedFd, read_file};
use crate::terminal::console_socket;
use crate::{fail, identity, limits, resctrl, spec};

/// What `exec` is asked for.
pub struct ExecRequest<'r> {
    pub id: &'static CStr,
    pub state_root: &'r CStr,
    /// `--process`: the process, in a file. What it says nothing of, see
    /// [`ProcessPlan::complete`].
    pub process: Option<&'static CStr>,
    pub overrides: Overrides<'r>,
    /// `--cgroup`: below the container's.
    pub cgroup: Option<&'static CStr>,
    /// `--ignore-paused`: also into a frozen cgroup.
    pub ignore_paused: bool,
    pub wishes: Wishes,
}

/// What the command line changes of the process.
pub struct Overrides<'r> {
    /// Instead of the configuration's; none with `--process`.
    pub arguments: &'r mut dyn Iterator<Item = &'static CStr>,
    /// In addition.
    pub environment: &'r mut dyn Iterator<Item = &'static CStr>,
    pub additional_gids: &'r mut dyn Iterator<Item = u32>,
    pub capabilities: &'r mut dyn Iterator<Item = &'static CStr>,
    pub cwd: Option<&'static CStr>,
    /// User and, where it is given, group.
    pub user: Option<(u32, Option<u32>)>,
    pub tty: bool,
    pub no_new_privileges: bool,
    pub apparmor: Option<&'static CStr>,
    pub process_label: Option<&'static CStr>,
}

/// What the child needs.
struct Setup<'a> {
    id: &'static CStr,
    init: &'a Process,
    /// Flags of the namespaces to join.
    join: u64,
    /// The root of the container's first process, where no mount namespace
    /// brings it along.
    root: Option<OwnedFd>,
    /// The name of the container's session keyring, where it has one.
    keyring: Option<&'static CStr>,
    process: ProcessPlan<'a>,
}

/// Makes the process, up to where it waits for the word to go.
///
/// # Errors
/// The container does not run, or is paused; else as
/// [`create`](super::create::create).
pub fn exec(
    mut request: ExecRequest<'_>,
    hardened: Hardened,
    workspace: &'static mut Workspace,
    warn: &mut dyn FnMut(&str),
) -> Result<Waiting> {
    let mut arena = Arena::new(&mut workspace.strings);
    let root = StateRoot::open(request.state_root, false)?;
    let folder = container::open(root.as_ref(), request.id)?;
    let record = container::record(&folder, request.id, &mut workspace.second, &mut arena)?;
    let (status @ (Status::Created | Status::Running), Some(init)) = container::status(&record)? else {
        return Err(fail!(
            "cannot exec in a stopped container: container not running: {}",
            Lossy(request.id.to_bytes())
        ));
    };
    let text = folder.read(c"config.json", &mut workspace.document)?.unwrap_or(b"");
    let document = Document::parse("config.json", text, &mut workspace.extents)?;
    let config = spec::load(&document)?;
    let given = match request.process {
        Some(path) => bundle::read_document(CWD, path, &mut workspace.second)?,
        None => b"{}",
    };
    let mut extents = Extents::new();
    let given = Document::parse("process.json", given, &mut extents)?;
    let of_container = config.process().ok_or_else(|| config.value().error(format_args!("\"process\" is missing")))?;
    let view = if request.process.is_some() { spec::load_process(&given)? } else { of_container };
    let keyring = match record.no_new_keyring {
        true => None,
        false => Some(process::keyring_name(request.id, &mut arena)?),
    };
    let buffers = Buffers {
        arguments: &mut workspace.arguments,
        environment: &mut workspace.environment,
        names: &mut workspace.names,
        groups: &mut workspace.groups,
        arena,
    };
    let mut process = ProcessPlan::new(view, config.linux().copied(), buffers, hardened)?;
    process.complete(&of_container)?;
    change(&mut process, &mut request.overrides, request.process.is_some())?;
    process.pass_descriptors(&request.wishes)?;
    process.set_seccomp(&config, &mut workspace.seccomp_filter)?;
    process.settle_environment();
    let caller = Caller::new(request.wishes, process.terminal)?;
    process.warn_of_unknown(warn);
    let namespaces = Plan::read(config.linux().map_or(List::empty(), |linux| linux.namespaces()));
    let join = namespaces.new | namespaces.joined();
    process.in_user_namespace = join & flags::USER != 0;
    let mut setup = Setup { id: request.id, root: root_of(&init, join)?, init: &init, join, keyring, process };
    let cgroup = cgroup_of(&record, &init, request.cgroup)?;
    // Born there the process would freeze at once, and we would wait for it.
    if let Some(cgroup) = &cgroup
        && !request.ignore_paused
        && cgroup.frozen()?
    {
        return Err(fail!("cannot exec in a paused container (use --ignore-paused to override)"));
    }
    // Where it runs before it is in the container's cgroup, which is as we do.
    let affinity = setup.process.view.exec_cpu_affinity();
    identity::set_affinity(0, affinity.and_then(|affinity| affinity.initial()))?;
    let state = record.document(status.word(), init.number(), config.annotations());
    interrupt::hold()?;
    make(&mut setup, cgroup.as_ref(), &caller, warn)?.asking(&setup.process, &config, &state, &mut workspace.output)
}

/// Applies the command line to the process.
fn change(plan: &mut ProcessPlan<'_>, overrides: &mut Overrides<'_>, from_file: bool) -> Result<()> {
    if !from_file {
        plan.clear_arguments();
        for argument in &mut *overrides.arguments {
            plan.add_argument(argument)?;
        }
        // The configuration's terminal is its own process's.
        plan.terminal = overrides.tty;
    }
    plan.terminal |= overrides.tty;
    for variable in &mut *overrides.environment {
        plan.add_variable(variable)?;
    }
    for gid in &mut *overrides.additional_gids {
        plan.buffers.groups.push(gid)?;
    }
    for name in &mut *overrides.capabilities {
        let bit = name.to_str().ok().and_then(identity::capability_bit);
        let bit = bit.ok_or_else(|| fail!("unknown capability {}", Lossy(name.to_bytes())))?;
        plan.capabilities.add(bit);
    }
    plan.set_cwd(overrides.cwd)?;
    plan.set_user(overrides.user);
    plan.no_new_privileges |= overrides.no_new_privileges;
    plan.apparmor = overrides.apparmor.or(plan.apparmor);
    plan.selinux = overrides.process_label.or(plan.selinux);
    Ok(())
}

/// The root of the container's first process, where it has no mount namespace.
fn root_of(init: &Process, namespaces: u64) -> Result<Option<OwnedFd>> {
    if namespaces & flags::MOUNT != 0 {
        return Ok(None);
    }
    let path = ProcPath::new(init.number(), "root");
    let root = open(path.as_c_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the container's root"))?;
    // Of the one that lives still, not of whoever has its pid by now.
    if container::has_ended(init.pidfd.as_fd())? { Err(fail!("the container has just ended")) } else { Ok(Some(root)) }
}

/// Where the process is to be born: where the container's first process is by
/// now, which may have made its cgroup an inner node; or below, where the
/// caller says so. Never outside of the container's: where the first process has been
/// moved out of it, as into a systemd scope, in the container's own.
#[inline(never)]
fn cgroup_of(record: &StateRecord<'_>, init: &Process, below: Option<&CStr>) -> Result<Option<Cgroup>> {
    if record.cgroup.is_empty() {
        return match below {
            Some(_) => Err(fail!("--cgroup: the container has no cgroup")),
            None => Ok(None),
        };
    }
    let own = CgroupPath::from_bytes(record.cgroup.as_bytes())?;
    let mut buffer = [0; 2 * limits::PATH];
    let path = match below {
        Some(below) => own.join(below.to_bytes(), &mut buffer)?,
        None => current_cgroup(init, &mut buffer)?.filter(|path| path.is_within(&own)).unwrap_or(own),
    };
    match Hierarchy::open()?.lookup(&path)? {
        Some(cgroup) => Ok(Some(cgroup)),
        None => Err(fail!("cgroup {} does not exist", Lossy(path.as_bytes()))),
    }
}

/// The cgroup that a process is in, if that is one with a path.
fn current_cgroup<'b>(process: &Process, buffer: &'b mut [u8]) -> Result<Option<CgroupPath<'b>>> {
    let path = ProcPath::new(process.number(), "cgroup");
    let failed = |errno: Errno| fail!(errno => "cannot tell the cgroup of the container's process");
    let text = read_file(CWD, path.as_c_str(), buffer).map_err(failed)?;
    // The root has none, nor has one that is removed or outside of our cgroup namespace.
    let path = cgroup::in_proc_file(text).and_then(|path| bytes::after(path, "/"));
    Ok(path.and_then(|path| CgroupPath::from_bytes(path).ok()))
}

/// The process, from its birth until it is ready.
fn make(
    setup: &mut Setup<'_>,
    cgroup: Option<&Cgroup>,
    caller: &Caller,
    warn: &mut dyn FnMut(&str),
) -> Result<Waiting> {
    let (channel, end) = Channel::pair()?;
    let needed = setup.root.as_ref().map(|root| root.as_fd());
    let cradle = Cradle { cgroup, parent: &channel, child: end, needed };
    // In a user namespace of the container's its rights end at the border.
    setup.process.settled = !setup.process.in_user_namespace;
    let process = match birth::birth_beside(setup.init, setup.join, &setup.process, cradle, &|| settle(setup))? {
        Born::Child(process) => process,
        Born::Myself(end) => {
            drop(channel);
            child(setup, end)
        }
    };
    match bring_up(setup, &process, &channel, caller, warn) {
        Ok(terminal) => Ok(Waiting { process, channel, terminal, agent: None, notify: None }),
        Err(error) => {
            delete::end_child(&process);
            Err(error)
        }
    }
}

fn bring_up(
    setup: &Setup<'_>,
    process: &Process,
    channel: &Channel,
    caller: &Caller,
    warn: &mut dyn FnMut(&str),
) -> Result<Option<OwnedFd>> {
    let terminal = ready::await_message(channel, process, Message::Ready, warn, &mut ready::nothing_else)?;
    ready::apply_from_outside(&setup.process, process)?;
    if let Some(rdt) = setup.process.linux.as_ref().and_then(resctrl::asked) {
        resctrl::join(&rdt, setup.id, process.pid.as_raw_nonzero().get(), false)?;
    }
    let affinity = setup.process.view.exec_cpu_affinity();
    identity::set_affinity(process.pid.as_raw_nonzero().get(), affinity.and_then(|affinity| affinity.last()))?;
    let terminal = caller.take_terminal(terminal)?;
    caller.tell(process, console_socket::PIDFD_OF_EXEC)?;
    Ok(terminal)
}

/// In the container's namespaces, but not seen there yet.
fn settle(setup: &Setup<'_>) -> Result<()> {
    if let Some(root) = &setup.root {
        fchdir(root)
            .and_then(|()| chroot(c"."))
            .map_err(|errno| fail!(errno => "cannot enter the container's root"))?;
    }
    if setup.process.settled { process::settle_early(&setup.process, setup.keyring) } else { Ok(()) }
}

/// The child's whole life.
fn child(setup: &mut Setup<'_>, channel: Channel) -> ! {
    let mut path = [0; limits::PATH];
    let status = match become_ready(setup, &channel, &mut path) {
        Err(error) => tell(&channel, error),
        Ok(program) => match process::await_go(&channel) {
            Ok(()) => tell(&channel, process::execute(&setup.process, program, &channel)),
            Err(_) => 1, // nobody is left to be told
        },
    };
    sys::exit(status)
}

fn become_ready<'b>(setup: &mut Setup<'_>, channel: &Channel, path: &'b mut PathBuffer) -> Result<&'b CStr> {
    die_with_parent(channel)?;
    if setup.join & flags::USER != 0 {
        process::become_namespace_root()?;
        die_with_parent(channel)?;
    }
    setsid().map_err(|errno| fail!(errno => "cannot begin a session"))?;
    if !setup.process.settled {
        process::join_session_keyring(setup.keyring, &setup.process)?;
    }
    process::prepare_stdio(&setup.process, channel, |_| Ok(()))?;
    let program = process::prepare(&mut setup.process, channel, &[channel.fd()], path)?;
    channel.send(Message::Ready)?;
    Ok(program)
}
