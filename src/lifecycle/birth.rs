//! How a container's first process comes into its namespaces.
//!
//! One clone3 makes it in all new ones. Joining existing ones by path needs more
//! where the order matters to the kernel:
//!
//! - a pid or time namespace only ever takes children, so the parent enters it,
//!   and comes back before it makes any other child;
//! - a user namespace must be entered before the clone, or what the clone makes
//!   would not belong to it; and from inside a new one the host's namespaces
//!   cannot be entered. The parent never changes its own (it would lose the
//!   cgroup and the state directory): a helper, born in the cgroup, goes ahead
//!   and makes the process in its own place (CLONE_PARENT);
//! - a cgroup namespace shows the cgroup that its maker was in when it was made:
//!   clone3 would take the parent's, so the process makes it itself.

use super::container::Process;
use super::handshake::{Channel, Message};
use super::process::{MOST_NEEDED, keep_only};
use super::process_plan::ProcessPlan;
use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::json::PathBuffer;
use crate::namespace::{self, Kept, Opened, Plan, flags};
use crate::spec::linux::Namespace;
use crate::spec::record::List;
use crate::sys::process::{Pid, WaitId, WaitIdOptions, waitid};
use crate::sys::{self, AsFd, BorrowedFd, Child, CloneFlags, CloneRequest, Procfs};
use crate::{fail, limits};

/// The namespaces that the configuration asks for, those by path opened.
pub struct Namespaces {
    /// Flags of those to make.
    pub new: u64,
    by_path: heapless::Vec<Opened, 8>,
}

impl Namespaces {
    /// # Errors
    /// With the place: a path that is none of its type.
    pub fn open(list: List<'_, Namespace<'static>>) -> Result<Namespaces> {
        let plan = Plan::read(list)?;
        let mut by_path = heapless::Vec::new();
        let mut buffer: PathBuffer = [0; limits::PATH];
        for (flag, path) in &plan.by_path {
            let _ = by_path.push(namespace::open(*path, *flag, &mut buffer)?); // one of each type at most
        }
        Ok(Namespaces { new: plan.new, by_path })
    }

    /// For a configuration without any.
    pub fn none() -> Namespaces {
        Namespaces { new: 0, by_path: heapless::Vec::new() }
    }

    fn joined(&self) -> u64 {
        self.by_path.iter().fold(0, |flags, opened| flags | opened.flag)
    }

    /// Whether the container has a namespace of this type of its own: made for
    /// it or joined.
    pub fn has(&self, flag: u64) -> bool {
        (self.new | self.joined()) & flag != 0
    }

    /// Whether one of this type is made.
    pub fn makes(&self, flag: u64) -> bool {
        self.new & flag != 0
    }

    /// Whether a helper has to go ahead.
    fn needs_helper(&self) -> bool {
        self.joined() & flags::USER != 0 || (self.makes(flags::USER) && !self.by_path.is_empty())
    }

    /// Where there are others in a namespace that is joined, they could look at
    /// the process: closes what they should not see but for `needed`.
    pub fn hide_descriptors(&self, plan: &ProcessPlan<'_>, needed: [BorrowedFd<'_>; 2]) -> Result<()> {
        if self.by_path.is_empty() {
            return Ok(());
        }
        let mut all = heapless::Vec::<BorrowedFd<'_>, MOST_NEEDED>::new();
        all.extend(needed); // as many as there is room for
        all.extend(self.by_path.iter().map(|opened| opened.fd.as_fd()));
        keep_only(plan, &all)
    }

    /// What is left for the process itself, once it is born.
    pub fn finish(&self) -> Result<()> {
        if !self.needs_helper() {
            namespace::enter(&self.by_path, !(flags::PID | flags::TIME))?;
        }
        if self.makes(flags::CGROUP) {
            sys::unshare(CloneFlags::NEWCGROUP).map_err(|errno| fail!(errno => "cannot make a cgroup namespace"))?;
        }
        Ok(())
    }

    fn clone_flags(&self) -> CloneFlags {
        CloneFlags::from_bits_truncate(self.new & !flags::CGROUP)
    }
}

/// Who returned from [`birth`].
pub enum Born {
    Myself,
    Child(Process),
}

/// Makes the process, in `cgroup`. Returns twice. `channel` is the parent's end
/// of the pair whose other end the child has.
pub fn birth(namespaces: &Namespaces, cgroup: Option<&Cgroup>, channels: (&Channel, &Channel)) -> Result<Born> {
    let cgroup = cgroup.map(|cgroup| cgroup.fd());
    if namespaces.needs_helper() {
        return by_helper(namespaces, cgroup, channels);
    }
    let children = namespaces.joined() & (flags::PID | flags::TIME);
    let kept = match children {
        0 => None,
        _ => Some(Kept::open()?),
    };
    namespace::enter(&namespaces.by_path, flags::PID | flags::TIME)?;
    let result = clone_process(&CloneRequest { flags: namespaces.clone_flags(), cgroup });
    if let (Some(kept), Ok(Born::Child(_)) | Err(_)) = (kept, &result) {
        kept.restore(children)?;
    }
    result
}

fn by_helper(
    namespaces: &Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    (parent, child): (&Channel, &Channel),
) -> Result<Born> {
    match clone_process(&CloneRequest { flags: CloneFlags::empty(), cgroup })? {
        Born::Child(helper) => receive_child(helper, parent),
        Born::Myself => match go_ahead(namespaces, child) {
            Ok(Born::Myself) => Ok(Born::Myself),
            Ok(Born::Child(_)) => sys::exit(0),
            Err(error) => sys::exit(super::container_init::tell(child, error)),
        },
    }
}

/// The helper: enters what is to be entered, and makes the process as its
/// parent's child.
fn go_ahead(namespaces: &Namespaces, channel: &Channel) -> Result<Born> {
    super::process::die_with_parent(channel)?;
    namespace::enter(&namespaces.by_path, !0)?;
    let request = CloneRequest { flags: namespaces.clone_flags() | CloneFlags::PARENT, cgroup: None };
    let born = clone_process(&request)?;
    if let Born::Child(process) = &born {
        let mut text = heapless::String::<16>::new();
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{}", process.pid.as_raw_nonzero()));
        // By descriptor: the pid may mean something else where we have gone.
        channel.send_with(Message::Pid, text.as_bytes(), Some(process.pidfd.as_fd()))?;
    }
    Ok(born)
}

/// The parent of a helper: hears of the process, and reaps the helper.
fn receive_child(helper: Process, channel: &Channel) -> Result<Born> {
    let mut buffer = [0; 1 + limits::MESSAGE];
    let received = channel.receive(&mut buffer);
    let _ = waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED);
    match received? {
        Some(received) if received.message == Message::Failed => Err(Error::received(received.text)),
        Some(received) if received.message == Message::Pid => {
            let pid = core::str::from_utf8(received.text).ok().and_then(|text| text.parse().ok());
            let pid = pid.and_then(Pid::from_raw);
            match (pid, received.descriptor) {
                (Some(pid), Some(pidfd)) => Ok(Born::Child(Process { pid, pidfd })),
                _ => Err(fail!("the helper that joins namespaces did not say what it has made")),
            }
        }
        _ => Err(fail!("the helper that joins namespaces has died")),
    }
}

/// Makes a process in `cgroup`, in the namespaces that this one's children are
/// born in. Returns twice.
pub fn clone_into(cgroup: Option<&Cgroup>) -> Result<Born> {
    clone_process(&CloneRequest { flags: CloneFlags::empty(), cgroup: cgroup.map(|cgroup| cgroup.fd()) })
}

fn clone_process(request: &CloneRequest<'_>) -> Result<Born> {
    match sys::clone3(request) {
        Ok(Child::Myself) => Ok(Born::Myself),
        Ok(Child::Created { pid, pidfd }) => Ok(Born::Child(Process { pid, pidfd })),
        Err(errno) => Err(fail!(errno => "cannot create the container's process in its namespaces")),
    }
}

/// A private procfs.
pub fn open_procfs() -> Result<Procfs> {
    Procfs::open().map_err(|errno| fail!(errno => "cannot open procfs"))
}
