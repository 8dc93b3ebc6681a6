//! Binds: what exists, at a second place.

use crate::error::Result;
use crate::json::PathBuffer;
use crate::limits;
use crate::spec::config::Mount;
use crate::sys::fs::{FileType, fstat};
use crate::sys::{AsFd, BorrowedFd, Errno};

use super::descriptor::{Fd, change, clone_tree};
use super::mount::MountContext;
use super::options::{self, Bind, Change, Options};
use super::resolve::Missing;

/// A detached clone of the bind's source, from the bundle if it is relative.
///
/// # Errors
/// It is not there, or not to be had from inside this user namespace.
pub fn source(mount: &Mount<'_>, bind: Option<Bind>, context: &MountContext<'_>) -> Result<Fd> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let Some(source) = mount.source() else {
        return Err(mount.value().error(format_args!("a bind without \"source\""))); // was checked
    };
    let recursive = bind == Some(Bind::Recursive);
    let mut cloned = clone_tree(context.bundle, source.c_str(&mut buffer)?, recursive);
    if cloned.as_ref().is_err_and(|errno| *errno == Errno::ACCESS)
        && let Some(opened) = (context.ask)(mount.value().offset(), None)?
    {
        cloned = clone_tree(opened.as_fd(), c"", recursive);
    }
    cloned.map_err(|errno| {
        let hint = match errno {
            // A less privileged mount namespace may not uncover what is mounted
            // over parts of it (mount_namespaces(7)).
            Errno::INVAL if bind == Some(Bind::Single) => " (with \"rbind\" the mounts below would come along)",
            _ => "",
        };
        source.value().os_error(errno, format_args!("cannot take {source} for a bind{hint}"))
    })
}

/// A detached clone of the cgroup folder, in the place of a cgroup2 mount that
/// would show more than that.
///
/// # Errors
/// The kernel refuses, or the mount has options that only a new file system
/// could have taken.
pub fn cgroup(mount: &Mount<'_>, cgroup: BorrowedFd<'_>) -> Result<Fd> {
    if let Some(option) = options::data(mount).next() {
        return Err(option.error(format_args!("unknown option \"{option}\" for a bind of the container's cgroup")));
    }
    clone_tree(cgroup, c"", false)
        .map_err(|errno| mount.value().os_error(errno, format_args!("cannot take the cgroup for a bind")))
}

/// What a mount of `tree` must be mounted on.
pub fn kind_of(tree: BorrowedFd<'_>) -> Result<Missing, Errno> {
    let stat = fstat(tree)?;
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok(if is_folder { Missing::Folder } else { Missing::File })
}

/// Gives a bind's mounts the attributes and the propagation that are asked for;
/// what is not spoken of stays as it is at the source.
///
/// # Errors
/// EPERM: an attribute would go that this user namespace may not take away.
pub fn set_attributes(tree: BorrowedFd<'_>, mount: &Mount<'_>, options: &Options) -> Result<(), Errno> {
    let mut steps = Steps { tree, single: options.bind != Some(Bind::Recursive), next: None };
    steps.add(Step { change: options.attributes, propagation: 0, recursive: false })?;
    steps.add(Step { change: options.recursive, propagation: 0, recursive: true })?;
    for (propagation, recursive) in options::propagations(mount) {
        steps.add(Step { change: Change::default(), propagation, recursive })?;
    }
    steps.carry_out()
}

/// One call.
struct Step {
    change: Change,
    propagation: u32,
    recursive: bool,
}

/// Changes to a tree of mounts, in as few calls as their order allows.
struct Steps<'a> {
    tree: BorrowedFd<'a>,
    /// Nothing is mounted below: recursive or not makes no difference.
    single: bool,
    next: Option<Step>,
}

impl Steps<'_> {
    #[inline(never)]
    fn add(&mut self, step: Step) -> Result<(), Errno> {
        if step.change.is_empty() && step.propagation == 0 {
            return Ok(());
        }
        if let Some(before) = &mut self.next
            && (before.recursive == step.recursive || self.single)
            && before.propagation == 0
        {
            before.change = before.change.then(step.change);
            before.propagation = step.propagation;
            return Ok(());
        }
        self.carry_out()?;
        self.next = Some(step);
        Ok(())
    }

    fn carry_out(&mut self) -> Result<(), Errno> {
        match self.next.take() {
            Some(step) => change(self.tree, c"", step.recursive, step.change, step.propagation),
            None => Ok(()),
        }
    }
}
