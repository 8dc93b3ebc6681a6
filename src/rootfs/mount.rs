//! `mounts[]`: each is built detached, then attached at its place.

use core::cell::Cell;
use core::ffi::CStr;

use heapless::Vec;

use crate::error::{Error, Lossy, Result};
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::config::Mount;
use crate::spec::record::List;
use crate::sys::fs::{Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, open};
use crate::sys::{AsFd, BorrowedFd, Errno};

use super::descriptor::{Fd, attach, attach_at, make_read_only};
use super::failure::cannot_own;
use super::known::{Known, Mounted};
use super::mount_failure::{FailedAt, Room, hint, mask_of_proc};
use super::option_words::{RDONLY, Super};
use super::options::{self, Options};
use super::outside::Ask;
use super::resolve::{self, Links, Missing, Place};
use super::root::{Root, change_propagation};
use super::{bind, check, copy_up, filesystem};

/// What mounts need to know of the world around them. The descriptors are
/// opened in this mount namespace: the kernel clones no other's mounts.
pub struct MountContext<'a> {
    /// Where relative sources of binds begin.
    pub bundle: BorrowedFd<'a>,
    /// The part of the hierarchy that a `cgroup` mount shows.
    pub cgroup: Cgroups<'a>,
    /// `linux.mountLabel`.
    pub label: Option<Text<'a>>,
    /// Only for what errors suggest.
    pub user_namespace: bool,
    /// Does what this process may not.
    pub ask: &'a Ask<'a>,
}

/// What a `cgroup` mount shows.
#[derive(Clone, Copy)]
pub enum Cgroups<'a> {
    /// A new file system: in a cgroup namespace that is not the caller's own the
    /// kernel shows the right part by itself. In the caller's own it would show the
    /// whole hierarchy, and in the host's change its options for everybody.
    OfNamespace,
    /// This folder alone, which is the container's.
    Own(BorrowedFd<'a>),
    /// This folder alone, which is others' too: read-only whatever is asked for.
    Others(BorrowedFd<'a>),
}

/// Mounts that become read-only at the end: what comes after them may have to
/// make places in them.
#[must_use = "they are writable until `make_read_only`"]
pub struct Deferred(Vec<Fd, { limits::READ_ONLY_TMPFS }>);

impl Deferred {
    /// Makes them read-only, once nothing is to be made in them any more.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn make_read_only(self) -> Result<()> {
        for mount in &self.0 {
            make_read_only(mount.as_fd(), false).map_err(|errno| cannot_own("make a tmpfs read-only", c"", errno))?;
        }
        Ok(())
    }
}

/// Carries out `mounts` inside `root`, in their order.
///
/// # Errors
/// The first that fails, with its place in the configuration.
#[inline(never)]
pub fn mount_all(
    root: &Root,
    mounts: List<'_, Mount<'static>>,
    context: &MountContext<'_>,
) -> Result<(Deferred, Known)> {
    let mut so_far = SoFar { deferred: Vec::new(), known: Known::default(), shared: root.shared };
    for mount in mounts.iter() {
        carry_out(root, &mount, context, &mut so_far)?;
    }
    Ok((Deferred(so_far.deferred), so_far.known))
}

/// Carries out one mount in the process's own root file system, whose mounts
/// are private. For a process that ends afterwards: it keeps descriptors.
///
/// # Errors
/// As [`mount_all`].
pub fn mount_here(mount: &Mount<'_>) -> Result<()> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(c"/", folder, Mode::empty()).map_err(|errno| cannot_own("open ", c"/", errno))?;
    let root = Root { fd: Fd::new(root), shared: false };
    let context = MountContext {
        bundle: root.as_fd(),
        cgroup: Cgroups::OfNamespace,
        label: None,
        user_namespace: false,
        ask: &|_, _| Ok(None),
    };
    let mut so_far = SoFar { deferred: Vec::new(), known: Known::default(), shared: false };
    carry_out(&root, mount, &context, &mut so_far)?;
    Deferred(so_far.deferred).make_read_only()
}

#[inline(never)]
fn carry_out(root: &Root, mount: &Mount<'_>, context: &MountContext<'_>, so_far: &mut SoFar) -> Result<()> {
    let mut buffer: PathBuffer = [0; limits::PATH];
    let mut options = Options::of(mount)?;
    if matches!(context.cgroup, Cgroups::Others(_)) && check::is_cgroup(mount) {
        options.must_be_read_only();
    }
    so_far.shared |= options.shared;
    let Some(destination) = mount.destination() else { return Ok(()) }; // required: was checked
    let destination = destination.c_str(&mut buffer)?;
    let job = Job { root, mount, options, context, trouble: Trouble::default() };
    job.carry_out(destination, so_far)
}

/// What the mounts before have left.
struct SoFar {
    deferred: Vec<Fd, { limits::READ_ONLY_TMPFS }>,
    known: Known,
    /// A place inside the root may be shared, and then makes what is attached
    /// to it shared too.
    shared: bool,
}

/// One mount on its way.
struct Job<'a> {
    root: &'a Root,
    mount: &'a Mount<'a>,
    options: Options,
    context: &'a MountContext<'a>,
    trouble: Trouble,
}

/// What an error says besides the errno.
#[derive(Default)]
struct Trouble {
    /// Goes on where the sentence ends.
    more: Cell<&'static str>,
    /// Where the file system may have said more.
    log: Cell<Option<Fd>>,
    /// An error that was made in full.
    inner: Cell<Option<Error>>,
}

/// Where the cgroups of the container are shown.
const SYS_CGROUP: &CStr = c"/sys/fs/cgroup";

/// In place of an errno: it is not the kernel that refuses.
const REFUSED: Errno = Errno::CANCELED;

impl Job<'_> {
    #[inline(never)] // the frame of whoever calls holds a path: it would make every access longer
    fn carry_out(&self, destination: &CStr, so_far: &mut SoFar) -> Result<()> {
        self.forget(destination, so_far);
        let tree = match self.context.cgroup {
            _ if self.options.remount => return self.remount(destination).map_err(|errno| self.failed(errno)),
            _ if self.options.bind.is_some() => bind::source(self.mount, self.options.bind, self.context)?,
            Cgroups::Own(cgroup) | Cgroups::Others(cgroup) if check::is_cgroup(self.mount) => {
                bind::cgroup(self.mount, cgroup)?
            }
            _ => {
                let mut name = [0; 256]; // longer ones do not exist
                let Some(kind) = self.mount.kind() else { return Ok(()) };
                let kind = kind.c_str(&mut name)?;
                // The name that engines use for either version.
                let kind = if kind == c"cgroup" { c"cgroup2" } else { kind };
                return self.file_system(destination, kind, so_far).map_err(|errno| self.failed(errno));
            }
        };
        self.bind(destination, tree, so_far).map_err(|errno| self.failed(errno))
    }

    /// What is not known any more once this is mounted.
    #[inline(never)]
    fn forget(&self, destination: &CStr, so_far: &mut SoFar) {
        if self.is_at("/dev") {
            so_far.known.dev = None;
        }
        // By whatever detour, but for links, which `place` finds.
        let names = |word: &[u8]| destination.to_bytes().windows(word.len()).any(|part| part == word);
        if names(b"proc") {
            self.forget_in(&mut so_far.known.proc, "/proc");
        }
        let is_new = self.options.bind.is_none() && !self.options.remount;
        if names(b"sys") && !(is_new && destination == SYS_CGROUP && check::is_cgroup(self.mount)) {
            self.forget_in(&mut so_far.known.sys, "/sys");
        }
    }

    fn forget_in(&self, mounted: &mut Option<Mounted>, place: &str) {
        if self.is_at(place) && !self.options.remount {
            *mounted = None;
        } else if let Some(mounted) = mounted {
            mounted.untouched = false;
        }
    }

    fn is_at(&self, place: &str) -> bool {
        self.mount.destination().is_some_and(|destination| check::is_at(destination, place))
    }

    fn is(&self, kind: &str) -> bool {
        self.mount.kind().is_some_and(|text| text.is(kind))
    }

    fn bind(&self, destination: &CStr, tree: Fd, so_far: &mut SoFar) -> Result<(), Errno> {
        if self.is_at("/proc") && !is_procfs(tree.as_fd()) {
            return self.refuse(": only a proc file system may be mounted here");
        }
        self.map_ids(tree.as_fd())?;
        bind::set_attributes(tree.as_fd(), self.mount, &self.options)
            .map_err(|errno| self.more(errno, "; setting its options"))?;
        let place = self.place(destination, Links::Follow, Some(tree.as_fd()), so_far)?;
        self.attach(tree.as_fd(), place.fd.as_fd())?;
        place.fd.done();
        self.set_propagation(tree.as_fd(), so_far)?;
        self.note(destination, tree, false, so_far);
        Ok(())
    }

    /// Keeps a mount that later steps go to.
    fn note(&self, destination: &CStr, tree: Fd, untouched: bool, so_far: &mut SoFar) {
        let place = match destination.to_bytes() {
            b"/proc" => &mut so_far.known.proc,
            b"/sys" => &mut so_far.known.sys,
            _ => return tree.done(),
        };
        *place = Some(Mounted { fd: tree, untouched });
    }

    fn file_system(&self, destination: &CStr, kind: &CStr, so_far: &mut SoFar) -> Result<(), Errno> {
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
        let request =
            filesystem::Request { mount: self.mount, kind, options, label: self.context.label, log: &self.trouble.log };
        let made = match request.fits_context() && !request.needs_covered() {
            true => Some(request.create(None)?),
            false => None,
        };
        if let Some(tree) = &made {
            self.map_ids(tree.as_fd())?;
        }
        let by_name = made.as_ref().is_some_and(|tree| self.attach_by_name(tree.as_fd(), destination, so_far).is_ok());
        let tree = match made {
            Some(tree) if by_name => tree,
            made => self.attach_new(&request, made, destination, so_far)?,
        };
        self.set_propagation(tree.as_fd(), so_far)?;
        if read_only_later {
            if so_far.deferred.push(tree).is_err() {
                return self.refuse(": more read-only tmpfs mounts than the limit allows");
            }
            return Ok(());
        }
        if is_tmpfs && by_name && destination == c"/dev" {
            so_far.known.dev = Some(tree);
            return Ok(());
        }
        let plain = by_name && options::data(self.mount).next().is_none();
        let untouched = match kind.to_bytes() {
            b"proc" => plain && options.all_attributes().set & RDONLY == 0,
            b"sysfs" => plain,
            _ => false,
        };
        self.note(destination, tree, untouched, so_far);
        Ok(())
    }

    /// Attaches a new file system whose place is a name in the root or in the
    /// new /dev, as it nearly always is: no link can be on the way there, and
    /// the kernel refuses one of that name.
    fn attach_by_name(&self, tree: BorrowedFd<'_>, destination: &CStr, so_far: &SoFar) -> Result<(), Errno> {
        let path = destination.to_bytes();
        let (end, start) = resolve::split(path).ok_or(Errno::NOENT)?;
        let name = resolve::c_str(destination.to_bytes_with_nul(), start);
        let known = &so_far.known;
        if let Some(sys) = known.sys.as_ref().filter(|sys| sys.untouched && destination == SYS_CGROUP) {
            return attach(tree, sys.fd.as_fd(), c"fs/cgroup");
        }
        let folder = match (path.get(..end), &known.dev) {
            (Some(b""), _) => match attach(tree, self.root.as_fd(), name) {
                Err(Errno::NOENT) => self.root.as_fd(),
                result => return result,
            },
            (Some(b"/dev"), Some(dev)) => dev.as_fd(),
            _ => return Err(Errno::NOENT),
        };
        // Where it fails, the next call does too, or it was there already.
        let _ = resolve::make(folder, name, Missing::Folder);
        attach(tree, folder, name)
    }

    /// Attaches a new file system wherever its place is, and makes it unless it
    /// is `made` already.
    fn attach_new(
        &self,
        request: &filesystem::Request<'_>,
        made: Option<Fd>,
        destination: &CStr,
        so_far: &mut SoFar,
    ) -> Result<Fd, Errno> {
        // What these two show is trusted by their place: no link may move them.
        let trusted = request.kind == c"proc" || request.kind == c"sysfs";
        let links = if trusted { Links::Refuse } else { Links::Follow };
        let place = self.place(destination, links, None, so_far)?;
        let covered = place.existed.then_some(place.fd.as_fd());
        let is_new = made.is_none();
        let tree = match made {
            Some(tree) => tree,
            None if !request.fits_context() => {
                if self.options.map_ids.is_some() {
                    return self.refuse(": ids cannot be mapped with options as long as these");
                }
                request.mount(place.fd.as_fd())?;
                place.fd.done();
                return resolve::find(self.root.as_fd(), destination, links).map(|place| place.fd);
            }
            None => request.create(covered)?,
        };
        if let Some(covered) = covered.filter(|_| self.options.copy_up)
            && let Err(error) = copy_up::copy(covered, tree.as_fd())
        {
            return self.wrong(error);
        }
        if is_new {
            self.map_ids(tree.as_fd())?;
        }
        self.attach(tree.as_fd(), place.fd.as_fd())?;
        place.fd.done();
        Ok(tree)
    }

    /// Has the ids in the detached `tree` mapped, where that is asked for.
    fn map_ids(&self, tree: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.options.map_ids.is_none() {
            return Ok(());
        }
        match (self.context.ask)(self.mount.value().offset(), Some(tree)) {
            Ok(_) => Ok(()),
            Err(error) => self.wrong(error),
        }
    }

    /// Changes what is mounted at `destination` already.
    fn remount(&self, destination: &CStr) -> Result<(), Errno> {
        let place = resolve::find(self.root.as_fd(), destination, Links::Follow)?.fd;
        if self.options.bind.is_none() {
            let mut options = self.options;
            if self.is("tmpfs") {
                options.super_set &= !Super::ReadOnly.bit(); // as above
            }
            let request =
                filesystem::Request { mount: self.mount, kind: c"", options, label: None, log: &self.trouble.log };
            request.reconfigure(place.as_fd())?;
        }
        bind::set_attributes(place.as_fd(), self.mount, &self.options).map_err(|errno| self.more(errno, " anew"))?;
        place.done();
        Ok(())
    }

    fn attach(&self, tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Errno> {
        attach_at(tree, place).map_err(|errno| {
            // move_mount(2) says EINVAL for a folder on a file and the reverse.
            let mixed = bind::kind_of(tree).ok() != bind::kind_of(place).ok();
            self.more(errno, if mixed { "; one is a folder, the other is not" } else { "" })
        })
    }

    fn set_propagation(&self, tree: BorrowedFd<'_>, so_far: &SoFar) -> Result<(), Errno> {
        // A bind has its propagation already, but what is attached to a shared
        // mount becomes shared. What was made new is private.
        let is_new = self.options.bind.is_none();
        if !(so_far.shared || is_new && self.options.unbindable) {
            return Ok(());
        }
        options::propagations(self.mount).try_for_each(|(kind, recursive)| {
            change_propagation(tree, c"", kind, recursive)
                .map_err(|errno| self.more(errno, "; setting its propagation"))
        })
    }

    /// The place of a mount, made if it is missing: a folder, or what `tree` is.
    /// Not where a link has led to where the words of the destination alone
    /// would have been refused (check.rs).
    fn place(
        &self,
        destination: &CStr,
        links: Links,
        tree: Option<BorrowedFd<'_>>,
        so_far: &mut SoFar,
    ) -> Result<Place, Errno> {
        let root = self.root.as_fd();
        let place = match resolve::find(root, destination, links) {
            Err(Errno::NOENT) => {
                let missing = tree.map_or(Ok(Missing::Folder), bind::kind_of)?;
                resolve::create(root, destination, missing, links)
                    .and_then(|()| resolve::find(root, destination, links))
                    .map(|place| Place { existed: false, ..place })
            }
            result => result,
        };
        let place = match place {
            Err(Errno::LOOP) if links == Links::Refuse => {
                return self.refuse(": not mounted through a symbolic link");
            }
            place => place?,
        };
        if place.by_link {
            // It could lead there, or be what covers the other.
            so_far.known.touched();
            if let Some(sys) = &so_far.known.sys
                && same_file(place.fd.as_fd(), sys.fd.as_fd())?
            {
                so_far.known.sys = None;
            }
            if is_procfs(place.fd.as_fd()) {
                return self.refuse(": a symbolic link leads into /proc, where nothing may be mounted");
            }
            if same_file(place.fd.as_fd(), root)? {
                return self.refuse(": a symbolic link leads to the root itself");
            }
        }
        Ok(place)
    }

    /// The same errno, whose sentence goes on with `more`.
    #[cold]
    #[inline(never)]
    fn more(&self, errno: Errno, more: &'static str) -> Errno {
        self.trouble.more.set(more);
        errno
    }

    #[cold]
    fn wrong<T>(&self, error: Error) -> Result<T, Errno> {
        self.trouble.inner.set(Some(error));
        Err(REFUSED)
    }

    #[cold]
    fn refuse<T>(&self, why: &'static str) -> Result<T, Errno> {
        Err(self.more(REFUSED, why))
    }

    /// The whole sentence: "cannot mount proc at /proc…", and why.
    #[cold]
    #[inline(never)]
    fn failed(&self, errno: Errno) -> Error {
        let value = self.mount.value();
        let source = if self.options.bind.is_some() { self.mount.source() } else { self.mount.kind() };
        let at = FailedAt { source, destination: self.mount.destination(), more: self.trouble.more.get() };
        if let Some(error) = self.trouble.inner.take() {
            return value.error(format_args!("{at}: {error}"));
        }
        if errno == REFUSED {
            return value.error(format_args!("{at}"));
        }
        let in_user_namespace = self.context.user_namespace;
        let mut log: filesystem::Log = [0; 256];
        let context = self.trouble.log.take();
        // fsopen(2) says ENODEV of an unknown type, before there is a context; later
        // it is the file system that misses a device.
        let hint =
            if context.is_some() != (errno == Errno::NODEV) { hint(self.mount, in_user_namespace, errno) } else { "" };
        let mut room: Room = [0; _];
        if in_user_namespace
            && errno == Errno::PERM
            && self.is("proc")
            && let Some(mask) = mask_of_proc(&mut room)
        {
            return value.os_error(errno, format_args!("{at} (it would show what {} covers outside)", Lossy(mask)));
        }
        let said = filesystem::said(context, &mut log);
        let separator = if said.0.is_empty() { "" } else { ": " };
        value.os_error(errno, format_args!("{at}{hint}{separator}{said}"))
    }
}

fn same_file(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<bool, Errno> {
    let (a, b) = (fstat(a)?, fstat(b)?);
    Ok(a.st_dev == b.st_dev && a.st_ino == b.st_ino)
}

fn is_procfs(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|statfs| statfs.f_type == PROC_SUPER_MAGIC)
}
