//! The container's first process: the steps from its birth to the user's
//! program, in their order.
//!
//! It is born by clone3 in its namespaces and its cgroup, with all signals
//! blocked, and dies with its parent until that says `Created`. See `handshake`
//! for the conversation.

use core::ffi::CStr;

use super::birth::open_procfs;
use super::create::Setup;
use super::gate::{Gate, WaitError};
use super::handshake::{Channel, Message};
use super::hooks::{self, Moment, Stage};
use super::notify;
use super::outside;
use super::proc::in_user_namespace;
use super::process::{self, die_with_parent};
use super::steps::{self, Step};
use crate::cgroup::{Cgroup, CgroupPath, Hierarchy};
use crate::error::{Error, Lossy, Result};
use crate::json::PathBuffer;
use crate::namespace::flags;
use crate::rootfs::{self, Cgroups, Deferred, HostDevices, Known, MountContext, NullDevice};
use crate::spec::record::List;
use crate::spec::state::StateRecord;
use crate::sys::fs::CWD;
use crate::sys::process::{chdir, getpid, setsid};
use crate::sys::{self, AsFd, BorrowedFd, OwnedFd, Procfs};
use crate::{fail, identity, limits, network};

/// Where the word to go comes from.
pub enum Start {
    /// `create`: through the gate, from a later `start`.
    Gate(Gate),
    /// `run`: from the parent.
    Parent,
    /// `run`: from the parent, who does not wait for `Ready`.
    Already,
}

impl Start {
    /// What the wait needs besides the parent's connection.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Start::Gate(gate) => Some(gate.fd()),
            Start::Parent | Start::Already => None,
        }
    }
}

/// The child's whole life. Never returns: what follows is the user's program.
pub fn main(setup: &mut Setup<'_>, record: &StateRecord<'_>, channel: Channel, start: Start) -> ! {
    let mut path = [0; limits::PATH];
    let status = match become_ready(setup, record, &channel, &start, &mut path) {
        Err(error) => tell(&channel, error),
        Ok(program) => match await_start(channel, &start) {
            Ok(starter) => match run_start_hooks(setup, record, &start, &starter) {
                Ok(()) => tell(&starter, process::execute(&setup.process, program, &starter)),
                Err(error) => tell_as(Message::HookFailed, &starter, error),
            },
            Err(WaitError::Signal(signal)) => 128 + signal as i32,
            Err(WaitError::Failed) => 1, // nobody is left to be told
        },
    };
    sys::exit(status)
}

/// Tells whoever listens why the process ends. Gives the status to end with.
pub fn tell(channel: &Channel, error: Error) -> i32 {
    tell_as(Message::Failed, channel, error)
}

fn tell_as(message: Message, channel: &Channel, error: Error) -> i32 {
    // Where nobody listens, nobody is told.
    let _ = channel.send_with(message, error.text(&mut [0; limits::MESSAGE]).as_bytes(), None);
    1
}

/// Everything up to the wait. Gives the program's path.
fn become_ready<'b>(
    setup: &mut Setup<'_>,
    record: &StateRecord<'_>,
    channel: &Channel,
    start: &Start,
    path: &'b mut PathBuffer,
) -> Result<&'b CStr> {
    die_with_parent(channel)?;
    process::begin_ordinary(&setup.process, setup.namespaces.makes(flags::USER))?;
    setup.namespaces.finish()?;
    // In its own mount namespace: one that was joined may have the bundle elsewhere.
    // Of a user namespace's the bundle may be its root's alone, as podman has it, or
    // the host's root's, whom it is until it becomes the other.
    let entered = chdir(setup.bundle);
    // As long as it is root for the host: the state directory is for root alone.
    let notify = setup.notify.map(notify::open).transpose()?;
    if setup.namespaces.has(flags::USER) {
        become_root(setup, channel)?;
    }
    entered
        .or_else(|_| chdir(setup.bundle))
        .map_err(|errno| fail!(errno => "cannot enter the bundle {}", Lossy(setup.bundle.to_bytes())))?;
    setsid().map_err(|errno| fail!(errno => "cannot begin a session"))?;
    process::join_session_keyring(setup.keyring, &setup.process)?;
    set_names(setup)?;
    steps::done(Step::InNamespaces);
    let (deferred, known) = set_root(setup, record, channel, start, notify)?;
    steps::done(Step::Entered);
    process::prepare_stdio(&setup.process, channel, rootfs::bind_console)?;
    process::make_cwd(&setup.process)?;
    // Nothing is made in the root file system from here on.
    if let Some(deferred) = deferred {
        deferred.make_read_only()?;
    }
    restrict_root(setup, &known)?;
    steps::done(Step::Restricted);
    let program =
        process::prepare(&mut setup.process, channel, &[channel.fd(), start.fd().unwrap_or(channel.fd())], path)?;
    steps::done(Step::Identified);
    if !matches!(start, Start::Already) {
        channel.send(Message::Ready)?;
    }
    Ok(program)
}

/// In a user namespace: becomes its root, once ids are mapped.
fn become_root(setup: &Setup<'_>, channel: &Channel) -> Result<()> {
    if setup.namespaces.makes(flags::USER) {
        channel.await_parent(Message::IdsMapped)?;
    }
    process::become_namespace_root()?;
    die_with_parent(channel)
}

/// Host and domain name, the loopback device.
#[inline(never)]
fn set_names(setup: &Setup<'_>) -> Result<()> {
    if let Some(name) = setup.config.hostname().filter(|name| !name.is_empty()) {
        identity::set_hostname(name)?;
    }
    if let Some(name) = setup.config.domainname().filter(|name| !name.is_empty()) {
        identity::set_domainname(name)?;
    }
    if setup.namespaces.makes(flags::NETWORK) {
        network::bring_loopback_up()?;
    }
    Ok(())
}

/// What is written to procfs: to the container's own where it has just been made,
/// or to one of ours.
#[inline(never)]
fn write_to_procfs(setup: &Setup<'_>, known: &Known) -> Result<()> {
    let sysctls = setup.config.linux().map(|linux| linux.sysctl()).filter(|sysctls| sysctls.iter().next().is_some());
    // In a user namespace the parent does it.
    let score = setup.process.oom_score_adj.filter(|_| !setup.process.in_user_namespace);
    if sysctls.is_none() && score.is_none() {
        return Ok(());
    }
    let procfs = match known.own_proc() {
        Some(mount) => Procfs::over(mount),
        None => open_procfs()?,
    };
    if let Some(sysctls) = sysctls {
        identity::set_sysctls(&procfs, sysctls)?;
    }
    score.map_or(Ok(()), |score| identity::set_own_oom_score_adj(&procfs, score))
}

/// Builds the root file system and enters it. Gives what is to become read-only,
/// and what is known of it.
#[inline(never)]
fn set_root(
    setup: &mut Setup<'_>,
    record: &StateRecord<'_>,
    channel: &Channel,
    start: &Start,
    notify: Option<OwnedFd>,
) -> Result<(Option<Deferred>, Known)> {
    let linux = setup.config.linux();
    let devices = linux.map_or(List::empty(), |linux| linux.devices());
    // Nodes are made with the modes they are to have.
    identity::set_umask(0);
    // The container's own, or one that we are in ourselves, as under a rootless engine.
    let user_namespace = setup.namespaces.has(flags::USER) || in_user_namespace();
    let host = if user_namespace { HostDevices::collect(devices)? } else { HostDevices::default() };
    if !setup.namespaces.has(flags::MOUNT) {
        let known = Known::default();
        write_to_procfs(setup, &known)?;
        run_early_hooks(setup, record, channel)?;
        rootfs::enter_by_chroot(setup.root.relative)?;
        return rootfs::make_devices(devices, host, &known).map(|()| (None, known));
    }
    let ask: &rootfs::Ask<'_> = &|place, tree| match start {
        // Nobody listens, and has more rights (`is_let_go` sees to that).
        Start::Already => Ok(None),
        _ => outside::ask(channel, place, tree),
    };
    let place = setup.config.root().map_or(0, |root| root.value().offset());
    let root =
        rootfs::attach(setup.root.relative, linux.and_then(|linux| linux.rootfs_propagation()), &|| ask(place, None))?;
    let cgroup = cgroup_to_show(setup, record)?;
    let context = MountContext {
        bundle: CWD,
        cgroup: match &cgroup {
            None => Cgroups::OfNamespace,
            Some(folder) if record.cgroup.is_empty() => Cgroups::Others(folder.fd()),
            Some(folder) => Cgroups::Own(folder.fd()),
        },
        label: linux.and_then(|linux| linux.mount_label()),
        user_namespace,
        ask,
    };
    let (deferred, mut known) = rootfs::mount_all(&root, setup.config.mounts(), &context)?;
    write_to_procfs(setup, &known)?;
    if let Some(folder) = notify {
        notify::mount(folder.as_fd(), &root, &context)?;
        known.touched();
    }
    steps::done(Step::Mounted);
    if run_early_hooks(setup, record, channel)? {
        steps::done(Step::Hooked);
        known.touched();
    }
    rootfs::enter(root, setup.no_pivot)?;
    known.check_places()?;
    if !setup.asked.binds_dev {
        rootfs::make_devices(devices, host, &known)?;
    }
    Ok((Some(deferred), known))
}

/// The hooks that see the mounts made and the old root still there: first the
/// runtime's, then those in the container. Whether there are any.
#[inline(never)]
fn run_early_hooks(setup: &mut Setup<'_>, record: &StateRecord<'_>, channel: &Channel) -> Result<bool> {
    if !hooks::any(&setup.config, &hooks::EARLY) {
        return Ok(false);
    }
    channel.send(Message::Rooted)?;
    channel.await_parent(Message::HooksDone)?;
    run_hooks(setup, record, Moment::CreateContainer, channel).map(|()| true)
}

/// Those between `start` and the program. The gate is closed, and `start` told so:
/// it holds no lock while hooks run.
#[inline(never)]
fn run_start_hooks(setup: &mut Setup<'_>, record: &StateRecord<'_>, start: &Start, starter: &Channel) -> Result<()> {
    if !hooks::any(&setup.config, &[Moment::StartContainer]) {
        return Ok(());
    }
    if let Start::Gate(gate) = start {
        sys::close_copy(gate.fd());
    }
    starter.send(Message::Hooks)?;
    run_hooks(setup, record, Moment::StartContainer, starter)
}

/// In the container, where its process has another pid.
fn run_hooks(setup: &mut Setup<'_>, record: &StateRecord<'_>, moment: Moment, channel: &Channel) -> Result<()> {
    let pid = getpid().as_raw_nonzero().get();
    let own = [setup.process.hardened.own];
    let Setup { process, output, config, .. } = setup;
    Stage { record, pid, buffers: &mut process.buffers, output, own: &own, held: None }.run(
        moment,
        config,
        &mut |text| drop(channel.send_with(Message::Warning, text.as_bytes(), None)),
    )
}

/// For a `cgroup` mount without a cgroup namespace: the container's own part of
/// the hierarchy, or where it has none the one that it is in with its caller; opened in
/// the mount namespace that it is cloned in.
#[inline(never)]
fn cgroup_to_show(setup: &Setup<'_>, record: &StateRecord<'_>) -> Result<Option<Cgroup>> {
    if setup.namespaces.has(flags::CGROUP) || !setup.asked.shows_cgroup {
        return Ok(None);
    }
    let hierarchy = Hierarchy::open()?;
    let found = match record.cgroup {
        "" => hierarchy.current(),
        path => hierarchy.lookup(&CgroupPath::from_bytes(path.as_bytes())?),
    };
    match found? {
        Some(cgroup) => Ok(Some(cgroup)),
        None => Err(fail!("the cgroup that is to be mounted has disappeared")),
    }
}

/// What is taken away from the root file system at the end.
#[inline(never)]
fn restrict_root(setup: &Setup<'_>, known: &Known) -> Result<()> {
    if !setup.namespaces.has(flags::MOUNT) {
        return Ok(());
    }
    if let Some(linux) = setup.config.linux() {
        rootfs::make_read_only(linux.readonly_paths(), known)?;
        let masked = linux.masked_paths();
        if !masked.is_empty() {
            rootfs::mask(masked, &NullDevice::open()?, known, linux.mount_label())?;
        }
        rootfs::set_propagation(linux.rootfs_propagation())?;
    }
    match setup.config.root().and_then(|root| root.readonly()) {
        Some(true) => rootfs::make_root_read_only(),
        _ => Ok(()),
    }
}

/// The wait, first for the hand-over and then for the word to go. Gives the
/// connection over which to say how execve went.
fn await_start(parent: Channel, start: &Start) -> Result<Channel, WaitError> {
    match start {
        Start::Gate(gate) => {
            hand_over(&parent).map_err(|_| WaitError::Failed)?;
            gate.wait()
        }
        Start::Parent | Start::Already => process::await_go(&parent).map(|()| parent).map_err(|_| WaitError::Failed),
    }
}

/// From here on the process lives without its parent.
fn hand_over(parent: &Channel) -> Result<()> {
    parent.await_parent(Message::Created)?;
    process::outlive_parent()?;
    parent.send(Message::Disarmed)
}
