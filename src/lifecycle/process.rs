//! Becoming the user's process: what `create`, `run` and `exec` have in common
//! in the child.
//!
//! In two steps, [`prepare`] and [`execute`]; between them the child waits to be
//! started.

use core::ffi::CStr;

use super::arena::Arena;
use super::birth::open_procfs;
use super::handshake::{Channel, Message};
use super::process_plan::ProcessPlan;
use super::steps::{self, Step};
use crate::bytes::Printed;
use crate::error::{Error, Lossy, Result};
use crate::identity::{self, Label, Sets, When};
use crate::json::PathBuffer;
use crate::seccomp::{self, SeccompFilter};
use crate::sys::fs::{self, FileType, Mode, OFlags, fchown, fstat};
use crate::sys::process::{self, Gid, Uid};
use crate::sys::{self, AsFd, AsRawFd, BorrowedFd, Errno, SignalSet, thread};
use crate::terminal::pty;
use crate::{fail, limits, rootfs};

/// Sees to it that the kernel ends this process when its parent ends. Cleared
/// by every change of credentials, so armed again after each.
///
/// # Errors
/// The parent has ended already.
pub fn die_with_parent(channel: &Channel) -> Result<()> {
    process::set_parent_process_death_signal(Some(process::Signal::KILL))
        .map_err(|errno| fail!(errno => "cannot tie the process to its parent"))?;
    if channel.is_hung_up() { Err(fail!("the runtime has died")) } else { Ok(()) }
}

/// Waits for the parent's word to go, which also says that all is written down.
pub fn await_go(parent: &Channel) -> Result<()> {
    parent.await_parent(Message::Go)?;
    outlive_parent()
}

/// From here on the process lives without its parent.
pub fn outlive_parent() -> Result<()> {
    process::set_parent_process_death_signal(None)
        .map_err(|errno| fail!(errno => "cannot untie the process from its parent"))
}

/// Becomes root of the user namespace that the process is in, so that what it
/// makes belongs to that. Where root is not mapped it stays who it is: it has
/// all capabilities in the namespace all the same.
pub fn become_namespace_root() -> Result<()> {
    let failed = |errno: Errno| fail!(errno => "cannot become root of the user namespace");
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    match thread::set_thread_res_gid(gid, gid, gid).and_then(|()| thread::set_thread_res_uid(uid, uid, uid)) {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(failed(errno)),
    }
    stay_untraceable()
}

/// The first thing that a process does whose maker is an ordinary user: what is its
/// own in /proc belongs to root unless it can be traced (proc(5)), as it can since
/// its birth (`birth`). It stays so where its maker has to write its id maps.
pub fn begin_ordinary(plan: &ProcessPlan<'_>, is_mapped_later: bool) -> Result<()> {
    if !plan.ordinary_user || !is_traceable() {
        return Ok(());
    }
    if let Some(score) = plan.oom_score_adj {
        let procfs = sys::Procfs::mounted().map_err(|errno| fail!(errno => "cannot open procfs"))?;
        identity::set_own_oom_score_adj(&procfs, score)?;
    }
    if is_mapped_later { Ok(()) } else { stay_untraceable() }
}

fn is_traceable() -> bool {
    process::dumpable_behavior() == Ok(process::DumpableBehavior::Dumpable)
}

/// Lets the process be traced by its own user, or no longer.
pub fn set_traceable(traceable: bool) -> Result<()> {
    if traceable {
        return process::set_dumpable_behavior(process::DumpableBehavior::Dumpable)
            .map_err(|errno| fail!(errno => "cannot let the process be looked into"));
    }
    stay_untraceable()
}

/// After a change of credentials, which makes a process traceable again where
/// `fs.suid_dumpable` says so (prctl(2), PR_SET_DUMPABLE).
pub fn stay_untraceable() -> Result<()> {
    process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable)
        .map_err(|errno| fail!(errno => "cannot keep the process from being traced"))
}

/// What a process does before those in the container can see it. Of them whoever has
/// CAP_SYS_PTRACE, and shares our user namespace, can take over what we are about to
/// be, whether it may be traced or not: so it is born with no more rights than the
/// container's processes have and it still needs itself.
pub fn settle_early(plan: &ProcessPlan<'_>, keyring: Option<&CStr>) -> Result<()> {
    // To give standard input and output to the user, to enter any working directory,
    // to become the user.
    const NEEDED: u64 = CAP_CHOWN | CAP_DAC_OVERRIDE | CAP_SETGID | CAP_SETUID | CAP_SETPCAP;
    join_session_keyring(keyring, plan)?;
    set_labels(plan)?;
    identity::drop_bounding(&plan.capabilities, plan.hardened.bounding)?;
    let rlimits = if !plan.rlimits.is_empty() { CAP_SYS_RESOURCE } else { 0 };
    identity::keep_capabilities(&plan.capabilities, NEEDED | rlimits | plan.kept_for_filter())
}

fn set_labels(plan: &ProcessPlan<'_>) -> Result<()> {
    for (which, label) in [(Label::AppArmor, plan.apparmor), (Label::SeLinux, plan.selinux)] {
        if let Some(label) = label {
            identity::set_label(&open_procfs()?, which, label)?;
        }
    }
    Ok(())
}

/// The name of a container's session keyring, as runc's.
pub fn keyring_name(id: &CStr, arena: &mut Arena<'static>) -> Result<&'static CStr> {
    arena.join(&[b"_ses.", id.to_bytes()])
}

/// A session keyring of its own, so that the process does not share the
/// engine's keys. A kernel without keyrings has nothing to share.
pub fn join_session_keyring(name: Option<&CStr>, plan: &ProcessPlan<'_>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    if let Some(label) = plan.selinux {
        // Or the process could not use it.
        identity::set_label(&open_procfs()?, Label::Keys, label)?;
    }
    match sys::keyctl_join_session_keyring(name) {
        Ok(()) | Err(Errno::NOSYS) => {}
        Err(errno) => return Err(fail!(errno => "cannot make a session keyring")),
    }
    if plan.selinux.is_some() { identity::set_label(&open_procfs()?, Label::Keys, c"") } else { Ok(()) }
}

/// Gives the process its terminal, or its owner the descriptors it inherits.
/// `console` is called with the pty's far end.
pub fn prepare_stdio(
    plan: &ProcessPlan<'_>,
    channel: &Channel,
    console: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
) -> Result<()> {
    if !plan.terminal {
        // Root may open again what is others', as long as it has the right to.
        if plan.stays_root() && plan.capabilities.effective & CAP_DAC_OVERRIDE != 0 {
            return Ok(());
        }
        return [sys::stdin(), sys::stdout(), sys::stderr()].into_iter().try_for_each(|fd| give_to(fd, plan.uid));
    }
    let pair = pty::open_pair(plan.console_size)?;
    console(pair.peer.as_fd())?;
    pty::take_as_controlling(pair.peer.as_fd(), plan.uid)?;
    channel.send_with(Message::Console, pair.name().as_bytes(), Some(pair.master.as_fd()))
}

/// Makes the user the owner of a descriptor, so that it can be opened again
/// through /dev/stdout. Not of /dev/null, which belongs to everybody (security
/// rule R3), and not where it would change nothing.
fn give_to(fd: BorrowedFd<'_>, uid: u32) -> Result<()> {
    let failed = |errno: Errno| fail!(errno => "cannot give standard input and output to user {uid}");
    let status = fstat(fd).map_err(failed)?;
    let is_null =
        FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == fs::makedev(1, 3);
    if is_null || status.st_uid == uid {
        return Ok(());
    }
    match fchown(fd, Some(Uid::from_raw(uid)), None) {
        // Owners that are not of this user namespace, and file systems without
        // owners: the descriptors work all the same.
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// Closes every descriptor but those that the user's process gets and the
/// `needed` ones. For a child whose owners of the others are frames that it never
/// returns to.
pub fn keep_only(plan: &ProcessPlan<'_>, needed: &[BorrowedFd<'_>]) -> Result<()> {
    let mut numbers = [0; MOST_NEEDED];
    for (number, fd) in numbers.iter_mut().zip(needed) {
        *number = fd.as_raw_fd().unsigned_abs();
    }
    sys::close_all_but(plan.preserve_fds.saturating_add(3), &numbers)
        .map_err(|errno| fail!(errno => "cannot close what the process does not need"))
}

/// Descriptors that a child needs: two connections, one of each namespace by path,
/// and the mount namespace with locked mounts.
pub const MOST_NEEDED: usize = 11;

/// Becomes the user, in the working directory. Gives the path of the program
/// in `buffer`. What only the kernel can still refuse is left to [`execute`].
///
/// `needed`: descriptors that are, until the program is executed.
pub fn prepare<'b>(
    plan: &mut ProcessPlan<'_>,
    channel: &Channel,
    needed: &[BorrowedFd<'_>],
    buffer: &'b mut PathBuffer,
) -> Result<&'b CStr> {
    // With the right to go anywhere first: the user may lack it, and the engine
    // has chosen the folder. File systems may refuse root, so the user tries too.
    let entered = enter(plan.cwd);
    identity::set_umask(plan.umask.unwrap_or(0o022)); // what runc's users are used to
    add_home(plan, buffer)?;
    if plan.no_new_privileges {
        identity::no_new_privileges()?;
    }
    // The kernel takes the last right that this could need away with the user.
    // Descriptors are few from here on, whatever their limit becomes.
    keep_only(plan, needed)?;
    if let Some(linux) = &plan.linux {
        identity::set_policies(linux)?;
    }
    if !plan.settled {
        set_labels(plan)?;
    }
    if !plan.in_user_namespace {
        identity::set_rlimits(None, plan.rlimits, When::Early)?;
    }
    if !plan.settled {
        // A new user namespace fills the set anew.
        let bounding = if plan.in_user_namespace { u64::MAX } else { plan.hardened.bounding };
        identity::drop_bounding(&plan.capabilities, bounding)?;
    }
    identity::set_groups(plan.buffers.groups, plan.in_user_namespace)?;
    // Whoever keeps the right to read all is told by `find_executable` itself.
    let may_read = plan.stays_root() && plan.capabilities.effective & CAP_DAC_OVERRIDE != 0;
    let own = &[plan.hardened.own];
    let looked_into = if may_read { None } else { identity::look_into(plan.program()?, plan.variable("PATH"), own)? };
    if !plan.stays_root() {
        identity::set_user(plan.uid, plan.gid)?;
        stay_untraceable()?;
        die_with_parent(channel)?;
    }
    warn_of(identity::set_capabilities(&plan.capabilities, plan.kept_for_filter())?, channel)?;
    match entered {
        Ok(()) => {}
        Err(Errno::ACCESS) => enter(plan.cwd).map_err(|errno| cwd_failed(plan, errno))?,
        Err(errno) => return Err(cwd_failed(plan, errno)),
    }
    identity::find_executable(plan.program()?, plan.variable("PATH"), own, looked_into, buffer)
}

/// HOME, where the environment lacks it: engines expect it of a runtime.
#[inline(never)]
fn add_home(plan: &mut ProcessPlan<'_>, buffer: &mut PathBuffer) -> Result<()> {
    if plan.variable("HOME").is_some() {
        return Ok(());
    }
    let home = identity::home_of(plan.uid, buffer);
    let variable = plan.buffers.arena.join(&[b"HOME=", home.to_bytes()])?;
    plan.add_variable(variable)
}

/// Capabilities that could not be granted are a warning (config.md, "Linux
/// Process").
fn warn_of(refused: Sets, channel: &Channel) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let text = Printed::<{ limits::MESSAGE }>::of(format_args!("cannot be granted: {refused}")); // all names of one set fit
    channel.send_with(Message::Warning, text.as_bytes(), None)
}

fn cwd_failed(plan: &ProcessPlan<'_>, errno: Errno) -> Error {
    // The configuration's, unless a command line has another.
    match plan.view.cwd().filter(|cwd| plan.cwd.to_str().is_ok_and(|path| cwd.is(path))) {
        Some(cwd) => cwd.value().os_error(errno, format_args!("cannot enter the working directory {cwd}")),
        None => fail!(errno => "cannot enter the working directory {}", Lossy(plan.cwd.to_bytes())),
    }
}

/// Makes the working directory of a container's first process where it is missing,
/// as engines expect, inside the root wherever a link on the way may lead: not that of
/// a process that exec makes, where they expect an error.
///
/// # Errors
/// The kernel's, where there is none to enter.
pub fn make_cwd(plan: &ProcessPlan<'_>) -> Result<()> {
    // Looked at, not entered: what is done to the root yet starts at where we are.
    let is_missing = || fs::open(plan.cwd, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).err() == Some(Errno::NOENT);
    if plan.cwd != c"/"
        && let Err(errno) = rootfs::make_folder(plan.cwd)
        && is_missing()
    {
        return Err(cwd_failed(plan, errno));
    }
    Ok(()) // `prepare` says what else is wrong
}

/// Enters the working directory.
///
/// # Errors
/// ENOENT where it turns out to lie outside the root: a path through
/// /proc/self/fd can lead there (security rule R4, CVE-2024-21626).
fn enter(cwd: &CStr) -> Result<(), Errno> {
    process::chdir(cwd)?;
    // The root is where it should be.
    if cwd == c"/" || sys::cwd_is_reachable()? { Ok(()) } else { Err(Errno::NOENT) }
}

// Their bits in a set (linux/capability.h).
const CAP_CHOWN: u64 = 1;
const CAP_DAC_OVERRIDE: u64 = 1 << 1;
const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;
const CAP_SETPCAP: u64 = 1 << 8;
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Loads the filter. Whoever said `Go` hands its listener over: what that takes
/// is got ready before there is a filter.
#[inline(never)]
fn load_filter(filter: &SeccompFilter, starter: &Channel) -> Result<()> {
    if filter.notifies() {
        starter.send(Message::Listener)?;
        starter.await_parent(Message::Known)?;
    }
    match seccomp::load(filter)? {
        Some(listener) => starter.send_with(Message::Listener, b"", Some(listener.as_fd())),
        None => Ok(()),
    }
}

/// The last step: descriptors, signals, the filter, execve. `starter` has said
/// `Go`. Returns only on failure.
pub fn execute(plan: &ProcessPlan<'_>, path: &CStr, starter: &Channel) -> Error {
    let shown = Lossy(path.to_bytes());
    let failed = |errno: Errno| fail!(errno => "cannot prepare for the execution of {shown}");
    // What we have been given unasked is closed already (`keep_only`), and what is
    // left of ours is close-on-exec: that nothing is left does not hang on that.
    if let Err(errno) = sys::close_range_on_exec(3 + plan.preserve_fds)
        .and_then(|()| sys::ignored_to_default(plan.hardened.ignored_signals))
        .and_then(|()| sys::signal_mask(SignalSet::NONE))
    {
        return failed(errno);
    }
    if let Err(error) = identity::set_rlimits(None, plan.rlimits, When::Last) {
        return error;
    }
    if let Some(Err(error)) = plan.seccomp.map(|filter| load_filter(filter, starter)) {
        return error;
    }
    steps::done(Step::Executing);
    let errno = sys::execve(path, plan.buffers.arguments, plan.buffers.environment);
    fail!(errno => "exec {shown}")
}
