//! Making a container, the parent's side: from the request to a process that
//! waits to be started.
//!
//! First everything is decided that input can make fail, then the state
//! directory gets its record, and only then the kernel is asked for anything
//! that would stay. What fails after that is undone by the code that `delete`
//! uses.

use core::ffi::CStr;

use super::arena::Arena;
use super::birth::{self, Born, Namespaces, open_procfs};
use super::bundle::{Bundle, RootPath};
use super::caller::{Caller, Wishes};
use super::container::{self, Process};
use super::container_init::{self, Start};
use super::gate::Gate;
use super::handshake::{Channel, Message};
use super::hardening::harden;
use super::process_plan::{Buffers, ProcessPlan};
use super::state_file::{Folder, StateRoot};
use super::workspace::{Workspace, WorkspaceMaps};
use super::{delete, proc, ready};
use crate::cgroup::{self, Cgroup, CgroupPath, DeviceProgram, Hierarchy};
use crate::error::{Lossy, Result};
use crate::json::Document;
use crate::namespace::{self, flags};
use crate::spec::config::Config;
use crate::spec::state::StateRecord;
use crate::spec::time::rfc3339;
use crate::sys::time::{ClockId, clock_gettime};
use crate::sys::{self, AsFd, OwnedFd, SignalSet};
use crate::terminal::console_socket;
use crate::{fail, limits, rootfs, spec};

/// What `create` and `run` are asked for.
pub struct Request {
    pub id: &'static CStr,
    /// `--root`.
    pub state_root: &'static CStr,
    pub bundle: &'static CStr,
    /// `--config`, instead of config.json in the bundle.
    pub config: Option<&'static CStr>,
    pub wishes: Wishes,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// `--cgroup-manager disabled`.
    pub no_cgroup: bool,
    /// `run`: the word to go comes from this process, not through the gate.
    pub run: bool,
}

/// What the child needs; made before it exists.
pub struct Setup<'a> {
    pub config: Config<'a>,
    /// Absolute: the child's working directory until it has its root.
    pub bundle: &'static CStr,
    pub root: RootPath,
    pub namespaces: Namespaces,
    pub process: ProcessPlan<'a>,
    /// The name of the session keyring to make.
    pub keyring: Option<&'static CStr>,
    pub no_pivot: bool,
    /// Where the container's cgroup is below the mount.
    pub cgroup: Option<CgroupPath>,
}

/// A container that waits to be started.
pub struct Created {
    pub process: Process,
    /// To its process.
    pub channel: Channel,
    /// Its terminal, where nobody else was to get it.
    pub terminal: Option<OwnedFd>,
}

/// Makes the container. What is wrong but not fatal goes to `warn`.
pub fn create(request: &Request, workspace: &'static mut Workspace, warn: &mut dyn FnMut(&str)) -> Result<Created> {
    let ignored_signals = harden()?;
    let mut arena = Arena::new(&mut workspace.strings);
    let bundle = Bundle::open(request.bundle, &mut arena)?;
    let text = bundle.read(request.config, &mut workspace.document)?;
    let document = Document::parse("config.json", text)?;
    let config = spec::semantics::load(&document)?;
    rootfs::check(&config)?;
    let root_path = bundle.root(&config, &mut arena)?;
    let facts = Facts::new(request, &bundle, &root_path, &mut arena)?;
    workspace.maps.read(&config)?;
    workspace.device_program.assemble(&config)?;
    let buffers = Buffers {
        arguments: &mut workspace.arguments,
        environment: &mut workspace.environment,
        names: &mut workspace.names,
        groups: &mut workspace.groups,
        arena,
    };
    let mut setup = decide(request, config, &bundle, root_path, buffers, ignored_signals)?;
    let caller = Caller::new(request.wishes, setup.process.terminal)?;

    let root = StateRoot::open(request.state_root, true)?;
    let root = root.ok_or_else(|| fail!("the state directory has disappeared"))?;
    let folder = root.create(request.id)?;
    let mut making = Making {
        record: facts.record(&setup),
        folder: &folder,
        scratch: &mut workspace.second,
        config: text,
        maps: &workspace.maps,
        device_program: &workspace.device_program,
        caller: &caller,
        run: request.run,
    };
    let result = making.make(&mut setup, warn);
    let record = making.record;
    match &result {
        Ok(_) => folder.unlock(),
        // The error is what is reported; what clearing up cannot clear, the
        // record keeps for `delete --force`.
        Err(_) => drop(delete::undo(folder, request.id, &record)),
    }
    result
}

/// Everything that the input decides, before anything has happened.
fn decide<'a>(
    request: &Request,
    config: Config<'a>,
    bundle: &Bundle,
    root: RootPath,
    mut buffers: Buffers,
    ignored_signals: SignalSet,
) -> Result<Setup<'a>> {
    let keyring = match request.no_new_keyring {
        true => None,
        false => Some(buffers.arena.join(&[b"_ses.", request.id.to_bytes()])?),
    };
    let linux = config.linux();
    let cgroup = match request.no_cgroup {
        true => None,
        false => Some(choose_cgroup(&config, request.id)?),
    };
    let namespaces = match linux {
        Some(linux) => Namespaces::open(linux.namespaces())?,
        None => Namespaces::none(),
    };
    let process = config.process().ok_or_else(|| config.value().error(format_args!("\"process\" is missing")))?;
    let mut process = ProcessPlan::new(process, buffers, ignored_signals)?;
    process.preserve_fds = request.wishes.preserve_fds;
    process.settle_environment();
    Ok(Setup { config, bundle: bundle.path, root, namespaces, process, keyring, no_pivot: request.no_pivot, cgroup })
}

/// Where the cgroup is to be. Our own is only looked up where that matters.
fn choose_cgroup(config: &Config<'_>, id: &CStr) -> Result<CgroupPath> {
    let asked = config.linux().and_then(|linux| linux.cgroups_path());
    let id = id.to_str().unwrap_or("");
    if asked.is_some_and(|path| path.starts_with("/")) {
        return CgroupPath::choose(asked, id, b"/");
    }
    let mut buffer = [0; 2 * limits::PATH];
    CgroupPath::choose(asked, id, cgroup::own_cgroup(&open_procfs()?, &mut buffer)?)
}

/// What the record says from the start.
struct Facts {
    id: &'static str,
    bundle: &'static str,
    rootfs: &'static str,
    created: &'static str,
    boot_id: &'static str,
    creator_start_time: u64,
}

impl Facts {
    fn new(request: &Request, bundle: &Bundle, root: &RootPath, arena: &mut Arena<'static>) -> Result<Facts> {
        let text = |path: &'static CStr| {
            path.to_str().map_err(|_| fail!("the path {} is not UTF-8", Lossy(path.to_bytes())))
        };
        let now = clock_gettime(ClockId::Realtime);
        let mut created = heapless::String::new();
        rfc3339(now.tv_sec, now.tv_nsec as u32, &mut created);
        Ok(Facts {
            id: text(request.id)?,
            bundle: text(bundle.path)?,
            rootfs: text(root.absolute)?,
            created: text(arena.join(&[created.as_bytes()])?)?,
            boot_id: text(arena.join(&[proc::boot_id()?.as_bytes()])?)?,
            creator_start_time: proc::start_time(own_pid())
                .map_err(|errno| fail!(errno => "cannot tell the start time of the runtime"))?,
        })
    }

    /// Before anything was made.
    fn record(&self, setup: &Setup<'_>) -> StateRecord<'static> {
        StateRecord {
            oci_version: spec::version::MOST,
            id: self.id,
            bundle: self.bundle,
            rootfs: self.rootfs,
            created: self.created,
            owner: owner(),
            pid: 0,
            start_time: 0,
            boot_id: self.boot_id,
            pidfd_inode: 0,
            creator_pid: own_pid(),
            creator_start_time: self.creator_start_time,
            status: "creating",
            cgroup: "",
            cgroup_made: false,
            cgroup_existing: 0,
            cgroup_inode: 0,
            own_pid_namespace: setup.namespaces.makes(flags::PID),
            started: false,
            terminal: setup.process.terminal,
        }
    }
}

fn own_pid() -> i32 {
    sys::process::getpid().as_raw_nonzero().get()
}

/// Who made the container, as `list` shows it: no name is ever looked up
/// (security rule R8), but everybody knows this one.
fn owner() -> &'static str {
    if sys::process::geteuid().is_root() { "root" } else { "" }
}
