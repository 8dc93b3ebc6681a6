//! Making a container, the parent's side: from the request to a process that
//! waits to be started.
//!
//! First everything is decided that input can make fail, then the state
//! directory gets its record, and only then the kernel is asked for anything
//! that would stay. What fails after that is undone by the code that `delete`
//! uses.

use core::ffi::CStr;

use super::arena::Arena;
use super::birth::{self, Born, Cradle, Namespaces, open_procfs};
use super::bundle::{Bundle, RootPath};
use super::caller::{Caller, Wishes};
use super::changes::Changes;
use super::container::{self, Process};
use super::container_init::{self, Start};
use super::delete::Made;
use super::facts::Facts;
use super::gate::Gate;
use super::handshake::{Channel, Message, Received};
use super::hardening::Hardened;
use super::hooks::{self, Later, Moment, Stage};
use super::notify::{self, Notify};
use super::outside::Outside;
use super::own_cgroup;
use super::process_plan::{Buffers, ProcessPlan};
use super::ready::Terminal;
use super::run::{Created, Waiting};
use super::state_file::{Folder, StateRoot};
use super::steps::{self, Step};
use super::workspace::Workspace;
use super::{delete, interrupt, proc, process, ready, run};
use crate::cgroup::{self, DeviceProgram, Hierarchy, Limits};
use crate::error::Result;
use crate::json::Document;
use crate::namespace::{self, IdMap, flags};
use crate::rootfs::Asked;
use crate::spec::config::Config;
use crate::spec::record::List;
use crate::spec::state::StateRecord;
use crate::sys::{self, AsFd, Errno, OwnedFd};
use crate::terminal::console_socket;
use crate::{fail, identity, network, resctrl, rootfs, spec};

/// What `create` and `run` are asked for.
pub struct Request<'r> {
    pub id: &'static CStr,
    /// `--root`.
    pub state_root: &'r CStr,
    pub bundle: &'static CStr,
    /// `--config`, instead of config.json in the bundle.
    pub config: Option<&'static CStr>,
    pub wishes: Wishes,
    pub no_pivot: bool,
    /// The container must not uncover what lies under its root, see [`birth`].
    pub lock_mounts: bool,
    /// Of the configuration's process.
    pub changes: Changes,
    pub no_new_keyring: bool,
    /// `--cgroup-manager disabled`.
    pub no_cgroup: bool,
    /// The path of the cgroup that we are in ourselves, where that is known.
    pub own_cgroup: Option<&'static [u8]>,
    /// `--rootless`: whether a cgroup that may not be made is done without; `None`:
    /// as it is with an ordinary user.
    pub rootless: Option<bool>,
    /// NOTIFY_SOCKET of our own environment.
    pub notify: Option<&'static [u8]>,
    /// `run`: the word to go comes from this process, not through the gate.
    pub run: bool,
    /// The word to go follows at once: nobody looks at the container before it.
    pub at_once: bool,
    /// Whether this process stays, and is to see the container's orphans end.
    pub subreaper: bool,
}

/// What the child needs; made before it exists.
pub struct Setup<'a> {
    pub config: Config<'a>,
    /// Absolute: the child's working directory until it has its root.
    pub bundle: &'static CStr,
    pub root: RootPath,
    /// What its mounts ask for.
    pub asked: Asked,
    pub namespaces: Namespaces,
    pub process: ProcessPlan<'a>,
    /// The name of the session keyring to make.
    pub keyring: Option<&'static CStr>,
    pub no_pivot: bool,
    /// The folder of the notify socket.
    pub notify: Option<&'static CStr>,
    /// Room for what hooks are told.
    pub output: &'static mut [u8],
    /// Where the container's cgroup is below the mount.
    pub cgroup: Option<&'static str>,
}

/// Makes the container. What is wrong but not fatal goes to `warn`.
///
/// # Errors
/// What is wrong with the request or the configuration, before anything is made;
/// or what the kernel refused, after what was made is undone.
pub fn create(
    request: &Request<'_>,
    hardened: Hardened,
    workspace: &'static mut Workspace,
    warn: &mut dyn FnMut(&str),
) -> Result<Created> {
    let mut arena = Arena::new(&mut workspace.strings);
    let bundle = Bundle::open(request.bundle, &mut arena)?;
    let text = bundle.read(request.config, &mut workspace.document)?;
    let document = Document::parse("config.json", text, &mut workspace.extents)?;
    let config = spec::load(&document)?;
    let asked = rootfs::check(&config)?;
    if asked.maps_ids {
        for mount in config.mounts().iter() {
            // Once the container's are written, theirs take the room.
            workspace.uid_map.read(mount.uid_mappings())?;
            workspace.gid_map.read(mount.gid_mappings())?;
        }
    }
    if let Some(linux) = config.linux() {
        workspace.uid_map.read(linux.uid_mappings())?;
        workspace.gid_map.read(linux.gid_mappings())?;
    }
    let resources = config.linux().and_then(|linux| linux.resources());
    if let Some(resources) = &resources {
        cgroup::lines(&Limits::new(*resources, config.oci_version()), &mut |_| Ok(()))?;
        cgroup::warn_of_ignored(resources, warn);
    }
    workspace.device_program.assemble(resources.map_or(List::empty(), |resources| resources.devices()))?;
    let root_path = bundle.root(&config, &mut arena)?;
    let facts = Facts::new(request, &bundle, &root_path, &mut arena)?;
    let buffers = Buffers {
        arguments: &mut workspace.arguments,
        environment: &mut workspace.environment,
        names: &mut workspace.names,
        groups: &mut workspace.groups,
        arena,
    };
    let mut setup = decide(request, config, &bundle, root_path, buffers, &mut workspace.listing, hardened)?;
    setup.asked = asked;
    // In a pid namespace of their own they go to its first process.
    if request.subreaper && !setup.namespaces.makes(flags::PID) {
        run::become_subreaper()?;
    }
    let caller = Caller::new(request.wishes, setup.process.terminal)?;
    setup.process.set_seccomp(&setup.config, &mut workspace.seccomp_filter)?;
    setup.process.warn_of_unknown(warn);
    steps::done(Step::Planned);

    let root = StateRoot::open(request.state_root, true)?;
    let root = root.ok_or_else(|| fail!("the state directory has disappeared"))?;
    interrupt::hold()?;
    let folder = root.create(request.id)?;
    let mut making = Making {
        record: facts.record(&setup),
        id: request.id,
        folder: &folder,
        hierarchy: None,
        scratch: &mut workspace.second,
        config: text,
        maps: (&mut workspace.uid_map, &mut workspace.gid_map),
        device_program: &workspace.device_program,
        caller: &caller,
        rootless: request.rootless,
        notify: request.notify,
        run: request.run,
        at_once: request.at_once,
    };
    let result = making.make(&mut setup, warn);
    let Making { record, hierarchy, .. } = making;
    let result = result.and_then(|waiting| {
        // After `create` it is `start` that says `Go`.
        let state = record.document(record.status, record.pid, setup.config.annotations());
        waiting.asking(&setup.process, &setup.config, &state, &mut workspace.output)
    });
    let Setup { process: ProcessPlan { buffers, .. }, output, .. } = setup;
    let made = Made { root, folder, record, hierarchy, later: Later { text, buffers, output } };
    match result {
        Ok(waiting) => {
            made.folder.unlock();
            Ok(Created { waiting, made })
        }
        // Nothing is made yet, and the folder is not ours.
        Err(error) if error.is(Errno::EXIST) && made.hierarchy.is_none() => Err(error),
        Err(error) => {
            // This is what is reported; what clearing up cannot clear, the
            // record keeps for `delete --force`.
            let _ = made.undo(request.id, warn);
            Err(error)
        }
    }
}

/// Everything that the input decides, before anything has happened.
#[inline(never)]
fn decide<'a>(
    request: &Request<'_>,
    config: Config<'a>,
    bundle: &Bundle,
    root: RootPath,
    mut buffers: Buffers,
    output: &'static mut [u8],
    hardened: Hardened,
) -> Result<Setup<'a>> {
    let keyring = match request.no_new_keyring {
        true => None,
        false => Some(process::keyring_name(request.id, &mut buffers.arena)?),
    };
    let cgroup = match request.no_cgroup {
        true => None,
        false => Some(own_cgroup::choose(&config, request.id, request.own_cgroup, &mut buffers.arena)?),
    };
    let namespaces = Namespaces::open(&config, request.lock_mounts)?;
    if !namespaces.has(flags::USER) && !sys::process::geteuid().is_root() {
        return Err(config.value().error(format_args!(
            "the container of an ordinary user needs a user namespace in \"linux.namespaces\" (see spec --rootless)"
        )));
    }
    // A form of configuration that the specification calls good, but moving a device
    // to the namespace that it is in, and renaming it there, would be done to the host.
    if !namespaces.has(flags::NETWORK)
        && let Some((name, _)) = config.linux().and_then(|linux| linux.net_devices().iter().next())
    {
        return Err(name
            .value()
            .error(format_args!("needs a network namespace, which \"linux.namespaces\" does not list")));
    }
    let process = config.process().ok_or_else(|| config.value().error(format_args!("\"process\" is missing")))?;
    let mut process = ProcessPlan::new(process, config.linux().copied(), buffers, hardened)?;
    process.change(&request.changes)?;
    process.pass_descriptors(&request.wishes)?;
    process.in_user_namespace = namespaces.has(flags::USER);
    if request.notify.is_some() && namespaces.has(flags::MOUNT) {
        process.add_variable(notify::VARIABLE)?;
    }
    process.settle_environment();
    Ok(Setup {
        config,
        bundle: bundle.path,
        root,
        asked: Asked::default(),
        namespaces,
        process,
        keyring,
        no_pivot: request.no_pivot,
        notify: None,
        output,
        cgroup,
    })
}

/// The work that leaves something behind, and the record that keeps up with it.
pub(super) struct Making<'a> {
    pub(super) record: StateRecord<'static>,
    id: &'a CStr,
    pub(super) folder: &'a Folder,
    /// Once a cgroup may have been made.
    pub(super) hierarchy: Option<Hierarchy>,
    pub(super) scratch: &'a mut [u8],
    /// The text of config.json.
    config: &'a [u8],
    /// Of user and of group ids.
    pub(super) maps: (&'a mut IdMap, &'a mut IdMap),
    pub(super) device_program: &'a DeviceProgram,
    caller: &'a Caller,
    pub(super) rootless: Option<bool>,
    notify: Option<&'static [u8]>,
    run: bool,
    at_once: bool,
}

impl Making<'_> {
    fn make(&mut self, setup: &mut Setup<'_>, warn: &mut dyn FnMut(&str)) -> Result<Waiting> {
        let cgroup = self.make_cgroup(setup, warn)?;
        let mut notify = None;
        if let Some(target) = self.notify.filter(|_| setup.namespaces.has(flags::MOUNT)) {
            setup.notify = Some(notify::prepare(self.folder, &mut setup.process.buffers.arena)?);
            if self.run {
                notify = Notify::listen(self.folder, target)?;
            }
        }
        // The program must be there before nodes are made that it may forbid. The
        // default ones it never forbids: then it is loaded while the process works.
        let early_devices = has_devices(setup);
        if early_devices {
            self.attach_devices(setup, cgroup.as_ref(), warn)?;
        }
        steps::done(Step::CgroupMade);
        let (channel, child) = Channel::pair()?;
        let start = match self.run {
            true if self.at_once && is_let_go(setup) => Start::Already,
            true => Start::Parent,
            false => Start::Gate(Gate::open(self.folder.fd())?),
        };
        let cradle = Cradle { cgroup: cgroup.as_ref(), parent: &channel, child, needed: start.fd() };
        let process = match birth::birth(&setup.namespaces, &setup.process, cradle)? {
            Born::Child(process) => process,
            Born::Myself(child) => {
                // What only the parent may have: its end of the handshake, so that
                // its death is seen.
                drop(channel);
                container_init::main(setup, &self.record, child, start)
            }
        };
        steps::done(Step::Cloned);
        let attached = match early_devices {
            true => Ok(()),
            false => self.attach_devices(setup, cgroup.as_ref(), warn),
        };
        let terminal = match attached.and_then(|()| self.bring_up(setup, &start, &process, &channel, warn)) {
            Ok(terminal) => terminal,
            Err(error) => {
                // Reaped here: `delete` would find it by its record only.
                delete::end_child(&process);
                return Err(error);
            }
        };
        if let Some(cgroup) = cgroup {
            cgroup.done();
        }
        Ok(Waiting { process, channel, terminal, agent: None, notify })
    }

    /// From the birth of the process to the hand-over. Gives the terminal that
    /// is left for us.
    #[inline(never)]
    fn bring_up(
        &mut self,
        setup: &mut Setup<'_>,
        start: &Start,
        process: &Process,
        channel: &Channel,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<OwnedFd>> {
        let pid = process.number();
        if setup.namespaces.makes(flags::USER) {
            let (uids, gids) = (&*self.maps.0, &*self.maps.1);
            let mapped =
                open_procfs().and_then(|procfs| namespace::write_maps(&procfs, pid.unsigned_abs(), uids, gids));
            mapped.map_err(|error| ready::last_word(channel, process).unwrap_or(error))?;
            // One that has failed by now does not hear it, but has said why.
            let _ = channel.send(Message::IdsMapped);
        }
        self.folder.write_config(self.config)?;
        if let Some(linux) = setup.config.linux() {
            network::devices::move_all(linux.net_devices(), pid)?;
            if let Some(rdt) = resctrl::asked(linux) {
                if let Some(path) = resctrl::own_group(&rdt, self.id, &mut [0; _])? {
                    self.folder.write_resctrl(path)?;
                }
                resctrl::join(&rdt, self.id, pid, true)?;
            }
        }
        if hooks::any(&setup.config, &hooks::EARLY) {
            self.await_mounts(setup, process, channel, Message::Rooted, warn)?;
            self.note_process(process)?;
            self.run_early_hooks(setup, warn)?;
            channel.send(Message::HooksDone)?;
        }
        let mut terminal = None;
        self.record.status = "starting";
        if !matches!(start, Start::Already) {
            terminal = self.await_mounts(setup, process, channel, Message::Ready, warn)?;
            match setup.process.in_user_namespace {
                true => ready::apply_from_outside(&setup.process, process)?,
                false => identity::set_priorities(pid, &setup.process.view)?,
            }
            self.record.status = "created";
        }
        let terminal = self.caller.take_terminal(terminal)?;
        self.note_process(process)?;
        if setup.config.hooks().is_some() {
            self.record.hooks = true;
            // With `run` the word to go follows at once, or all is undone.
            self.record.started = self.run;
            self.folder.write_record(&self.record, self.scratch)?;
        } else {
            self.folder.write_later(&self.record)?;
        }
        self.caller.tell(process, console_socket::PIDFD_OF_INIT)?;
        if self.run {
            return Ok(terminal); // `Go` follows, which says as much
        }
        channel.send(Message::Created)?;
        ready::await_message(channel, process, Message::Disarmed, warn, &mut ready::nothing_else)?;
        Ok(terminal)
    }

    /// Waits for `expected`, and does meanwhile what the process may not about its mounts.
    fn await_mounts(
        &mut self,
        setup: &Setup<'_>,
        process: &Process,
        channel: &Channel,
        expected: Message,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<Terminal>> {
        let mut outside = Outside {
            config: &setup.config,
            bundle: setup.bundle,
            maps: (&mut *self.maps.0, &mut *self.maps.1),
            own_mounts: setup.namespaces.makes(flags::MOUNT),
        };
        let mut asked = |received: Received<'_>| outside.answer(channel, process, received);
        ready::await_message(channel, process, expected, warn, &mut asked)
    }

    /// Takes down which process it is, if that has not been done.
    fn note_process(&mut self, process: &Process) -> Result<()> {
        if self.record.pid == 0 {
            let pid = process.pid.as_raw_nonzero().get();
            self.record.pidfd_inode = container::pidfd_inode(process.pidfd.as_fd());
            self.record.start_time =
                proc::start_time(pid).map_err(|errno| fail!(errno => "cannot tell when the process was started"))?;
            self.record.pid = pid;
        }
        Ok(())
    }

    /// In our own namespaces, without the lock: hooks may ask for the container,
    /// and `delete --force` ends us and waits for the other lock.
    #[inline(never)]
    fn run_early_hooks(&mut self, setup: &mut Setup<'_>, warn: &mut dyn FnMut(&str)) -> Result<()> {
        self.record.hooks = true;
        self.folder.write_record(&self.record, self.scratch)?;
        let held = self.folder.hold_for_hooks()?;
        self.folder.unlock();
        let Setup { process, output, config, .. } = setup;
        let (record, buffers) = (&self.record, &mut process.buffers);
        let mut stage =
            Stage { record, pid: record.pid, buffers, output, own: &[], held: held.as_ref().map(AsFd::as_fd) };
        let result =
            stage.run(Moment::Prestart, config, warn).and_then(|()| stage.run(Moment::CreateRuntime, config, warn));
        drop(held);
        self.folder.lock()?;
        match result {
            Ok(()) if !self.folder.is_current() => Err(fail!("the container has just been deleted")),
            result => result,
        }
    }
}

/// Whether the configuration has devices of its own, which its rules may forbid.
fn has_devices(setup: &Setup<'_>) -> bool {
    setup.config.linux().is_some_and(|linux| linux.devices().iter().next().is_some())
}

/// Whether the process can do all by itself, so that the word to go may wait for
/// it: no terminal to be taken from it, no limits or priorities to be set from
/// outside, no ids of mounts to be mapped, no hooks to be run, nobody to be told of
/// it whom its filter asks.
fn is_let_go(setup: &Setup<'_>) -> bool {
    let plan = &setup.process;
    !(plan.terminal
        || setup.namespaces.has(flags::USER)
        || setup.config.hooks().is_some()
        || setup.asked.maps_ids
        || plan.listener_path.is_some()
        || plan.view.scheduler().is_some()
        || plan.view.io_priority().is_some())
}
