//! How a process of a container comes into its namespaces.
//!
//! One clone3 makes it in all new ones. Where existing ones are to be joined, a
//! helper, born in the cgroup, goes ahead: it closes what it does not need, enters
//! them, and makes the process in its own place (CLONE_PARENT). Why not the parent
//! or the process itself:
//!
//! - a pid or time namespace only ever takes children; and whoever lives there
//!   could look at the process from its first moment, and into its descriptors;
//! - a user namespace must be entered before the clone, or what the clone makes
//!   would not belong to it; from inside a new one the host's namespaces cannot
//!   be entered; and the parent would lose the cgroup and the state directory.
//!
//! A time namespace with offsets is made by the helper too: they are set between
//! its making and the birth of its first process.
//!
//! Of an ordinary user the same is true, who makes it together with the user
//! namespace that gives the right to. Its child can be traced until its id maps are
//! written: /proc/PID/uid_map of a process that cannot belongs to root.
//!
//! Where the root that lies under a container's own must stay out of its reach,
//! as on an initramfs, which cannot be pivoted away from, the container gets a
//! mount namespace that belongs to a user namespace of nobody's: the kernel locks
//! all mounts in it that were copied from ours (mount_namespaces(7)). The process
//! itself stays in our user namespace, and enters the mount namespace once it is
//! born.
//!
//! A cgroup namespace shows the cgroup that its maker was in when it was made:
//! clone3 would take the parent's, so the process makes it itself.

use super::container::Process;
use super::handshake::{Buffer, Channel, Message, Received};
use super::process::{self, MOST_NEEDED, die_with_parent, keep_only};
use super::process_plan::ProcessPlan;
use super::{delete, interrupt};
use crate::bytes::{self, Printed};
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::json::{PathBuffer, Text};
use crate::namespace::{self, Opened, Plan, flags};
use crate::spec::config::Config;
use crate::sys::process::{Pid, WaitId, WaitIdOptions, waitid};
use crate::sys::{self, AsFd, BorrowedFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd, Procfs};
use crate::{fail, limits};

/// The namespaces that the configuration asks for, those by path opened.
pub struct Namespaces {
    /// Flags of those to make.
    new: u64,
    by_path: heapless::Vec<Opened, 8>,
    /// The mount namespace, where it is one with locked mounts.
    locked: Option<OwnedFd>,
    /// What /proc/PID/timens_offsets is to hold of a new time namespace.
    time_offsets: Printed<{ limits::TIME_OFFSETS + 1 }>,
}

impl Namespaces {
    /// # Errors
    /// With the place: a path that is none of its type; or one that is the host's,
    /// of which something is to be changed (security rule R15).
    #[inline(never)]
    pub fn open(config: &Config<'_>, lock_mounts: bool) -> Result<Namespaces> {
        let mut namespaces =
            Namespaces { new: 0, by_path: heapless::Vec::new(), locked: None, time_offsets: Printed::new() };
        let Some(linux) = config.linux() else { return Ok(namespaces) };
        let plan = Plan::read(linux.namespaces());
        namespaces.new = plan.new;
        for (flag, path) in &plan.by_path {
            if let Some(opened) = open_by_path(*flag, *path, config)? {
                let _ = namespaces.by_path.push(opened); // one of each type at most
            }
        }
        if let Some(offsets) = linux.time_offsets() {
            if !namespaces.makes(flags::TIME) {
                return Err(offsets.value().error(format_args!("needs a new time namespace in \"linux.namespaces\"")));
            }
            namespaces.time_offsets = namespace::time_offsets(&offsets);
        }
        // Those that a user namespace of the container's own owns are locked by that.
        if lock_mounts && namespaces.makes(flags::MOUNT) && !namespaces.has(flags::USER) {
            let locked = sys::locked_mount_namespace();
            namespaces.locked =
                Some(locked.map_err(|errno| fail!(errno => "cannot make a mount namespace with locked mounts"))?);
        }
        Ok(namespaces)
    }

    /// Whether the container has a namespace of this type of its own: made for
    /// it or joined.
    pub fn has(&self, flag: u64) -> bool {
        self.makes(flag) || self.by_path.iter().any(|opened| opened.flag == flag)
    }

    /// Whether one of this type is made.
    pub fn makes(&self, flag: u64) -> bool {
        self.new & flag != 0
    }

    /// What is left for the process itself, once it is born.
    pub fn finish(&self) -> Result<()> {
        if let Some(mounts) = &self.locked {
            namespace::enter_of(mounts.as_fd(), flags::MOUNT)?;
        }
        if !self.makes(flags::CGROUP) {
            return Ok(());
        }
        sys::unshare(CloneFlags::NEWCGROUP).map_err(|errno| fail!(errno => "cannot make a cgroup namespace"))
    }
}

/// A namespace by its path; nothing if joining it would change nothing.
#[inline(never)] // its buffer is not to be part of the caller's frame
fn open_by_path(flag: u64, path: Text<'_>, config: &Config<'_>) -> Result<Option<Opened>> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let opened = namespace::open(path, flag, &mut buffer)?;
    // Which is no namespace of the container's own: a mount would show all of it.
    if flag == flags::CGROUP && namespace::is_own(&opened)? {
        return Ok(None);
    }
    let has_names = flag == flags::UTS && (config.hostname().is_some() || config.domainname().is_some());
    let is_changed = match flag {
        // Its root would become the container's, for everybody in it.
        flags::MOUNT => true,
        flags::NETWORK | flags::IPC | flags::UTS => {
            has_names || config.linux().is_some_and(|linux| linux.sysctl().iter().next().is_some())
        }
        _ => false,
    };
    if is_changed && namespace::is_own(&opened)? {
        return Err(path.error(format_args!(
            "this is the host's own namespace, which \"root\", \"hostname\", \"domainname\" or \"sysctl\" would change"
        )));
    }
    Ok(Some(opened))
}

/// Who returned from a birth.
pub enum Born {
    /// The new process, and its end of the handshake.
    Myself(Channel),
    Child(Process),
}

/// A birth's circumstances.
pub struct Cradle<'a> {
    /// Where to be born.
    pub cgroup: Option<&'a Cgroup>,
    /// The parent's end of the handshake.
    pub parent: &'a Channel,
    /// The child's, which the parent must not keep: its end is the child's end.
    pub child: Channel,
    /// Also needed by the child.
    pub needed: Option<BorrowedFd<'a>>,
}

/// Makes a container's first process. Returns twice.
pub fn birth(namespaces: &Namespaces, plan: &ProcessPlan<'_>, cradle: Cradle<'_>) -> Result<Born> {
    let mut flags = CloneFlags::from_bits_truncate(namespaces.new & !flags::CGROUP);
    flags.set(CloneFlags::NEWNS, namespaces.makes(flags::MOUNT) && namespaces.locked.is_none());
    let has_offsets = !namespaces.time_offsets.as_bytes().is_empty();
    if namespaces.by_path.is_empty() && !has_offsets {
        return Ok(match clone_first(flags, cradle.cgroup, plan)? {
            Some(process) => Born::Child(process),
            None => Born::Myself(cradle.child),
        });
    }
    let mut by_itself = CloneFlags::empty();
    if has_offsets {
        by_itself = CloneFlags::NEWTIME;
        by_itself.set(CloneFlags::NEWUSER, plan.ordinary_user && namespaces.makes(flags::USER));
        flags.remove(by_itself);
    }
    by_helper(flags, cradle, plan, &|needed| {
        process::begin_ordinary(plan, namespaces.makes(flags::USER))?;
        let mut all = heapless::Vec::<BorrowedFd<'_>, MOST_NEEDED>::new();
        all.extend(
            needed.iter().copied().chain(
                namespaces.by_path.iter().map(|opened| &opened.fd).chain(&namespaces.locked).map(|fd| fd.as_fd()),
            ),
        ); // they fit
        keep_only(plan, &all)?;
        if has_offsets {
            // They can be set as long as no process lives in the namespace, which
            // takes the maker's children only.
            sys::unshare(by_itself).map_err(|errno| fail!(errno => "cannot make a time namespace"))?;
            namespace::set_time_offsets(&open_procfs()?, namespaces.time_offsets.as_bytes())?;
        }
        namespace::enter(&namespaces.by_path)
    })
}

/// Makes a process in the namespaces of another, those whose flags are in
/// `which`. `settle` is what the helper does there before it makes the process.
/// Returns twice.
pub fn birth_beside(
    init: &Process,
    which: u64,
    plan: &ProcessPlan<'_>,
    cradle: Cradle<'_>,
    settle: &dyn Fn() -> Result<()>,
) -> Result<Born> {
    by_helper(CloneFlags::empty(), cradle, plan, &|[channel, needed]| {
        process::begin_ordinary(plan, false)?;
        let init = init.pidfd.as_fd();
        keep_only(plan, &[*channel, *needed, init])?;
        if which != 0 {
            namespace::enter_of(init, which)?;
        }
        settle()
    })
}

/// What a helper does before it makes the process; the descriptors are needed.
type Enter<'a> = dyn Fn(&[BorrowedFd<'_>; 2]) -> Result<()> + 'a;

/// The parent's part with a helper, and the start of the helper's.
fn by_helper(new: CloneFlags, cradle: Cradle<'_>, plan: &ProcessPlan<'_>, enter: &Enter<'_>) -> Result<Born> {
    let Cradle { cgroup, parent, child, needed } = cradle;
    if let Some(helper) = clone_first(CloneFlags::empty(), cgroup, plan)? {
        drop(child);
        return receive_child(&helper, parent);
    }
    match go_ahead(new, &child, needed.unwrap_or(child.fd()), plan, enter) {
        Ok(true) => sys::exit(0),
        Ok(false) => Ok(Born::Myself(child)),
        Err(error) => sys::exit(super::container_init::tell(&child, error)),
    }
}

/// The helper: enters what is to be entered, and makes the process as its
/// parent's child. Whether it is the helper that returns.
fn go_ahead(
    new: CloneFlags,
    channel: &Channel,
    needed: BorrowedFd<'_>,
    plan: &ProcessPlan<'_>,
    enter: &Enter<'_>,
) -> Result<bool> {
    die_with_parent(channel)?;
    enter(&[channel.fd(), needed])?;
    // Whom an ordinary user makes has its id maps written first.
    if !plan.ordinary_user {
        process::stay_untraceable()?;
    }
    let Some(process) = clone_process(new | CloneFlags::PARENT, None)? else {
        // Nothing of the process's may overtake the helper's word of it.
        return channel.await_parent(Message::Known).map(|()| false);
    };
    let text = Printed::<16>::of(format_args!("{}", process.pid.as_raw_nonzero()));
    // By descriptor too: a number alone could come to mean somebody else.
    channel.send_with(Message::Pid, text.as_bytes(), Some(process.pidfd.as_fd()))?;
    Ok(true)
}

/// The parent: hears of the process, and reaps the helper.
fn receive_child(helper: &Process, channel: &Channel) -> Result<Born> {
    let mut buffer: Buffer = [0; _];
    let received = receive_or_end(helper, channel, &mut buffer).inspect_err(|_| delete::end_child(helper));
    let _ = waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED);
    match received? {
        Some(received) if received.message == Message::Failed => Err(Error::received(received.text)),
        Some(received) if received.message == Message::Pid => {
            let pid = bytes::decimal(received.text).and_then(|pid| i32::try_from(pid).ok());
            match (pid.and_then(Pid::from_raw), received.descriptor) {
                (Some(pid), Some(pidfd)) => {
                    let process = Process { pid, pidfd };
                    // It may have been killed by now, and is ours to reap.
                    channel.send(Message::Known).inspect_err(|_| delete::end_child(&process))?;
                    Ok(Born::Child(process))
                }
                _ => Err(fail!("the helper that joins namespaces did not say what it has made")),
            }
        }
        _ => Err(fail!("the helper that joins namespaces has died")),
    }
}

/// The helper's word; nothing where it ends without one. The end of file does not
/// tell: the process that it has made may hold the other end, and ends once we
/// have let go of ours.
fn receive_or_end<'b>(helper: &Process, channel: &Channel, buffer: &'b mut Buffer) -> Result<Option<Received<'b>>> {
    match interrupt::wait(&[channel.fd(), helper.pidfd.as_fd()])? {
        0 => channel.receive(buffer),
        _ => Ok(None),
    }
}

/// The child of the runtime itself.
fn clone_first(flags: CloneFlags, cgroup: Option<&Cgroup>, plan: &ProcessPlan<'_>) -> Result<Option<Process>> {
    if !plan.ordinary_user {
        return clone_process(flags, cgroup);
    }
    process::set_traceable(true)?;
    let made = clone_process(flags, cgroup);
    if !matches!(made, Ok(None)) {
        process::set_traceable(false)?;
    }
    made
}

/// The new process; `None` in itself.
pub fn clone_process(flags: CloneFlags, cgroup: Option<&Cgroup>) -> Result<Option<Process>> {
    match sys::clone3(&CloneRequest { flags, cgroup: cgroup.map(|cgroup| cgroup.fd()) }) {
        Ok(Child::Myself) => Ok(None),
        Ok(Child::Created { pid, pidfd }) => Ok(Some(Process { pid, pidfd })),
        Err(errno) => {
            let hint = match errno {
                Errno::AGAIN => {
                    " (a limit of processes is reached: pids.max of the cgroup or one above, or RLIMIT_NPROC)"
                }
                Errno::BUSY => " (the cgroup hands controllers down, so no process can be in it)",
                Errno::OPNOTSUPP => " (the cgroup is in a threaded domain, so no process can be in it)",
                _ => "",
            };
            Err(fail!(errno => "cannot create the container's process in its namespaces{hint}"))
        }
    }
}

/// A private procfs.
pub fn open_procfs() -> Result<Procfs> {
    Procfs::open().map_err(|errno| fail!(errno => "cannot open procfs"))
}
