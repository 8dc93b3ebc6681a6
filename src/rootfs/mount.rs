//! `mounts[]`: each is built detached, then attached at its place.

use core::ffi::CStr;

use heapless::Vec;

use crate::error::{Error, Result};
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::config::Mount;
use crate::spec::record::List;
use crate::sys::fs::{fstat, fstatfs};
use crate::sys::{AsFd, Attributes, BorrowedFd, Errno, OwnedFd, mount_setattr};

use super::copy_up;
use super::descriptor::{attach_at, done_with};
use super::options::{self, Options, RDONLY, Super};
use super::resolve::{self, Links, Missing, Place};
use super::root::{Root, change_propagation};
use super::{bind, check, filesystem};

/// What mounts need to know of the world around them. The descriptors are
/// opened in this mount namespace: the kernel clones no other's mounts.
pub struct MountContext<'a> {
    /// Where relative sources of binds begin.
    pub bundle: BorrowedFd<'a>,
    /// Without a cgroup namespace of its own: the folder that a `cgroup` mount
    /// shows. With one, `None`: the kernel shows the right part by itself.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Only for what errors suggest.
    pub user_namespace: bool,
}

/// Mounts that become read-only at the end: what comes after them may have to
/// make places in them.
#[must_use = "they are writable until `make_read_only`"]
pub struct Deferred(Vec<OwnedFd, { limits::READ_ONLY_TMPFS }>);

impl Deferred {
    /// Makes them read-only, once nothing is to be made in them any more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn make_read_only(self) -> Result<()> {
        for mount in self.0 {
            mount_setattr(mount.as_fd(), c"", false, Attributes { set: RDONLY, ..Attributes::default() })
                .map_err(|errno| crate::fail!(errno => "cannot make a tmpfs read-only"))?;
            done_with(mount);
        }
        Ok(())
    }
}

/// Carries out `mounts` inside `root`, in their order.
///
/// # Errors
/// The first that fails, with its place in the configuration.
pub fn mount_all(root: &Root, mounts: List<'_, Mount<'static>>, context: &MountContext<'_>) -> Result<Deferred> {
    let mut deferred = Deferred(Vec::new());
    let mut shared = root.shared;
    for mount in mounts.iter() {
        let options = Options::of(&mount)?;
        shared |= options.shared;
        let job = Job { root, mount: &mount, options, context, shared };
        job.carry_out(&mut deferred)?;
    }
    Ok(deferred)
}

/// One mount on its way.
struct Job<'a> {
    root: &'a Root,
    mount: &'a Mount<'a>,
    options: Options,
    context: &'a MountContext<'a>,
    /// A place inside the root may be shared, and then makes what is attached
    /// to it shared too.
    shared: bool,
}

/// Magic number of procfs (statfs(2)).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

impl Job<'_> {
    fn carry_out(&self, deferred: &mut Deferred) -> Result<()> {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let Some(destination) = self.mount.destination() else { return Ok(()) };
        let destination = destination.c_str(&mut buffer)?;
        let is = |name| self.mount.kind().is_some_and(|kind| kind.is(name));

        if self.options.remount {
            return self.remount(destination);
        }
        if self.options.bind.is_some() {
            let tree = bind::source(self.mount, self.options.bind, self.context.bundle)?;
            return self.bind(destination, tree);
        }
        match self.context.cgroup {
            Some(cgroup) if is("cgroup") || is("cgroup2") => {
                let tree = bind::cgroup(self.mount, cgroup)?;
                self.bind(destination, tree)
            }
            // The name that engines use for either version.
            _ if is("cgroup") => self.file_system(destination, c"cgroup2", deferred),
            _ => {
                let mut name = [0; 256]; // longer ones do not exist
                let Some(kind) = self.mount.kind() else { return Ok(()) };
                self.file_system(destination, kind.c_str(&mut name)?, deferred)
            }
        }
    }

    fn bind(&self, destination: &CStr, tree: OwnedFd) -> Result<()> {
        if check::is_proc(destination.to_bytes()) && !is_procfs(tree.as_fd()) {
            return Err(self.refused("only a proc file system may be mounted here"));
        }
        bind::set_attributes(tree.as_fd(), self.mount, &self.options)
            .map_err(|errno| self.failed(errno, "; setting its options"))?;
        let place = match resolve::find(self.root.as_fd(), destination, Links::Follow) {
            Err(Errno::NOENT) => {
                let missing = bind::kind_of(tree.as_fd()).map_err(|errno| self.failed(errno, ""))?;
                resolve::create(self.root.as_fd(), destination, missing, Links::Follow)
            }
            result => result,
        };
        let place = self.allowed(place)?;
        self.attach(tree.as_fd(), place)?;
        done_with(tree);
        Ok(())
    }

    fn file_system(&self, destination: &CStr, kind: &CStr, deferred: &mut Deferred) -> Result<()> {
        // What these two show is trusted by their place: no link may move them.
        let links = if kind == c"proc" || kind == c"sysfs" { Links::Refuse } else { Links::Follow };
        let (place, existed) = match resolve::find(self.root.as_fd(), destination, links) {
            Err(Errno::NOENT) => (resolve::create(self.root.as_fd(), destination, Missing::Folder, links), false),
            result => (result, true),
        };
        if links == Links::Refuse && matches!(place, Err(Errno::LOOP)) {
            return Err(self.refused("not mounted through a symbolic link"));
        }
        let place = self.allowed(place)?;

        let is_tmpfs = kind == c"tmpfs";
        let mut options = self.options;
        let read_only_later = is_tmpfs && options.all_attributes().set & RDONLY != 0;
        if read_only_later {
            options.attributes.set &= !RDONLY;
            options.recursive.set &= !RDONLY;
        }
        if is_tmpfs || kind == c"cgroup2" {
            // A tmpfs is read-only as a mount only, so that it can be made so
            // last; cgroup2 is one file system for all.
            options.super_set &= !Super::ReadOnly.bit();
        }
        let request = filesystem::Request { mount: self.mount, kind, options };
        let covered = (is_tmpfs && existed).then_some(place.fd.as_fd());
        let tree = if request.fits_context() {
            let tree = request.create(covered).map_err(|failure| self.explained(failure))?;
            if self.options.copy_up && existed {
                copy_up::copy(place.fd.as_fd(), tree.as_fd())
                    .map_err(|error| self.mount.value().error(format_args!("{}: {error}", self.failed_at(""))))?;
            }
            self.attach(tree.as_fd(), place)?;
            tree
        } else {
            request.mount(place.fd.as_fd()).map_err(|errno| self.failed(errno, ""))?;
            done_with(place.fd);
            resolve::find(self.root.as_fd(), destination, links).map_err(|errno| self.failed(errno, ""))?.fd
        };
        if read_only_later {
            return deferred
                .0
                .push(tree)
                .map_err(|_| self.refused("more read-only tmpfs mounts than the limit allows"));
        }
        done_with(tree);
        Ok(())
    }

    /// Changes what is mounted at `destination` already.
    fn remount(&self, destination: &CStr) -> Result<()> {
        let place = resolve::find(self.root.as_fd(), destination, Links::Follow);
        let place = place.map_err(|errno| self.failed(errno, ""))?;
        if self.options.bind.is_none() {
            let mut options = self.options;
            if self.mount.kind().is_some_and(|kind| kind.is("tmpfs")) {
                options.super_set &= !Super::ReadOnly.bit(); // as below
            }
            let request = filesystem::Request { mount: self.mount, kind: c"", options };
            request.reconfigure(place.fd.as_fd()).map_err(|failure| self.explained(failure))?;
        }
        bind::set_attributes(place.fd.as_fd(), self.mount, &self.options)
            .map_err(|errno| self.failed(errno, " anew"))?;
        done_with(place.fd);
        Ok(())
    }

    fn attach(&self, tree: BorrowedFd<'_>, place: Place) -> Result<()> {
        attach_at(tree, place.fd.as_fd()).map_err(|errno| {
            // move_mount(2) says EINVAL for a folder on a file and the reverse.
            let mixed = bind::kind_of(tree).ok() != bind::kind_of(place.fd.as_fd()).ok();
            self.failed(errno, if mixed { "; one is a folder, the other is not" } else { "" })
        })?;
        done_with(place.fd);
        // A bind has its propagation already, but what is attached to a shared
        // mount becomes shared. What was made new is private.
        let is_new = self.options.bind.is_none();
        if self.shared || is_new && options::propagations(self.mount).any(|(kind, _)| kind == options::UNBINDABLE) {
            for (kind, recursive) in options::propagations(self.mount) {
                change_propagation(tree, c"", kind, recursive)
                    .map_err(|errno| self.failed(errno, "; setting its propagation"))?;
            }
        }
        Ok(())
    }

    /// Keeps a place, unless a link has led to where the words of the
    /// destination alone would have been refused (check.rs).
    fn allowed(&self, place: Result<Place, Errno>) -> Result<Place> {
        let place = place.map_err(|errno| self.failed(errno, ""))?;
        if place.by_link {
            if is_procfs(place.fd.as_fd()) {
                return Err(self.refused("a symbolic link leads into /proc, where nothing may be mounted"));
            }
            if same_file(place.fd.as_fd(), self.root.as_fd()).map_err(|errno| self.failed(errno, ""))? {
                return Err(self.refused("a symbolic link leads to the root itself"));
            }
        }
        Ok(place)
    }

    /// "cannot mount proc at /proc…", the start of every message.
    fn failed_at(&self, more: &'static str) -> impl core::fmt::Display {
        FailedAt { source: self.what(), destination: self.mount.destination(), more }
    }

    fn what(&self) -> Option<Text<'_>> {
        if self.options.bind.is_some() { self.mount.source() } else { self.mount.kind() }
    }

    #[cold]
    fn failed(&self, errno: Errno, more: &'static str) -> Error {
        self.mount.value().os_error(errno.raw_os_error(), format_args!("{}", self.failed_at(more)))
    }

    #[cold]
    fn refused(&self, why: &'static str) -> Error {
        self.mount.value().error(format_args!("{}: {why}", self.failed_at("")))
    }

    /// With what the file system said of it, and what is usually the matter.
    #[cold]
    fn explained(&self, failure: filesystem::Failure) -> Error {
        let is = |name| self.mount.kind().is_some_and(|kind| kind.is(name));
        let denied = failure.errno == Errno::PERM && self.context.user_namespace;
        let hint = match () {
            () if failure.errno == Errno::NODEV => " (is the file system known to this kernel?)",
            () if denied && is("proc") => {
                " (it needs a pid namespace of its own, and the host's /proc without anything mounted over parts of it)"
            }
            () if denied && is("sysfs") => " (it needs a network namespace of its own; a bind of /sys does not)",
            () if denied && is("mqueue") => " (it needs an ipc namespace of its own)",
            () if denied => " (this user namespace may not)",
            () if failure.errno == Errno::INVAL && self.context.user_namespace => {
                " (ids among its options must be mapped in this user namespace)"
            }
            () => "",
        };
        let mut log: filesystem::Log = [0; 256];
        let said = failure.said(&mut log);
        let separator = if said.0.is_empty() { "" } else { ": " };
        let message = format_args!("{}{hint}{separator}{said}", self.failed_at(""));
        self.mount.value().os_error(failure.errno.raw_os_error(), message)
    }
}

struct FailedAt<'a> {
    source: Option<Text<'a>>,
    destination: Option<Text<'a>>,
    more: &'static str,
}

impl core::fmt::Display for FailedAt<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("cannot mount ")?;
        if let Some(source) = self.source {
            core::fmt::Display::fmt(&source, f)?;
        }
        f.write_str(" at ")?;
        if let Some(destination) = self.destination {
            core::fmt::Display::fmt(&destination, f)?;
        }
        f.write_str(self.more)
    }
}

fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (a, b) = (fstat(a)?, fstat(b)?);
    Ok(a.st_dev == b.st_dev && a.st_ino == b.st_ino)
}

fn is_procfs(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|statfs| statfs.f_type as u64 == PROC_SUPER_MAGIC)
}
