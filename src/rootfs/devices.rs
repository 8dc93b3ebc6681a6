//! /dev: nodes, links and the console.

use core::ffi::CStr;

use heapless::Vec;

use crate::error::Result;
use crate::json::PathBuffer;
use crate::limits;
use crate::spec::linux::Device;
use crate::spec::record::List;
use crate::sys::fs::{
    Access, AtFlags, CWD, DEVPTS_SUPER_MAGIC, Dev, FileType, Gid, Mode, OFlags, Stat, Uid, accessat, chownat, fstat,
    fstatfs, makedev, mknodat, statat, symlinkat, unlinkat,
};
use crate::sys::{BorrowedFd, Errno};

use super::descriptor::{Fd, attach, attach_at, clone_tree};
use super::failure::{cannot, cannot_own};
use super::known::Known;
use super::resolve::{self, Links, Missing};

/// What every container has in /dev (config-linux.md, "Default Devices"), all
/// of them character devices with mode 0666; with major and minor numbers.
const NODES: &[u8] = b"/dev/null\0/dev/zero\0/dev/full\0/dev/random\0/dev/urandom\0/dev/tty\0";
const NUMBERS: [(u8, u8); 6] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];

/// The default devices: path, major and minor number.
pub(super) fn default_nodes() -> impl Iterator<Item = (&'static CStr, u8, u8)> {
    c_strings(NODES).zip(NUMBERS).map(|(path, (major, minor))| (path, major, minor))
}

/// Links in /dev and what they lead to: the same section.
const DESCRIPTORS: &[u8] =
    b"fd\0/proc/self/fd\0stdin\0/proc/self/fd/0\0stdout\0/proc/self/fd/1\0stderr\0/proc/self/fd/2\0";

/// And `core`, which older programs expect. The last replaces what a file system may
/// have there: the multiplexer of the container's own devpts is the one that works.
const OTHERS: &[u8] = b"core\0/proc/kcore\0ptmx\0pts/ptmx\0";

/// The strings in `list`, each with its NUL.
fn c_strings(list: &'static [u8]) -> impl Iterator<Item = &'static CStr> {
    let mut start = 0;
    core::iter::from_fn(move || {
        let text = CStr::from_bytes_until_nul(list.get(start..)?).ok()?;
        start += text.to_bytes_with_nul().len();
        Some(text)
    })
}

/// Those that are made. Engines list the multiplexer among all of the host's, but it
/// is the container's own, by a link (config-linux.md, "Default Devices").
fn to_make<'a>(devices: List<'a, Device<'static>>) -> impl Iterator<Item = Device<'a>> {
    devices.iter().filter(|device| !device.path().is_some_and(|path| path.is("/dev/ptmx")))
}

/// The host's device nodes, for a user namespace, in which none can be made.
#[derive(Default)]
pub struct HostDevices {
    /// As many as are to be made and are not FIFOs, in their order, then the
    /// default ones; or none at all.
    nodes: Vec<Fd, { limits::HOST_DEVICES + NUMBERS.len() }>,
}

impl HostDevices {
    /// Takes clones of the host's nodes, as a user namespace needs them. To be called
    /// before the old root is gone.
    ///
    /// # Errors
    /// A node that is not there, or not the device that it should be.
    #[inline(never)] // its buffer is not to be part of the caller's frame
    pub fn collect(devices: List<'_, Device<'static>>) -> Result<HostDevices> {
        let mut host = HostDevices::default();
        for device in to_make(devices) {
            let node = Node::of(&device);
            if node.kind == FileType::Fifo {
                continue;
            }
            let mut buffer: PathBuffer = [0; limits::PATH];
            let Some(path) = device.path() else { continue };
            let clone =
                clone_node(path.c_str(&mut buffer)?, &node).map_err(|errno| cannot("take the host's", path, errno))?;
            if host.nodes.len() >= limits::HOST_DEVICES {
                return Err(path.error(format_args!("more devices than the limit of {}", limits::HOST_DEVICES)));
            }
            let _ = host.nodes.push(clone); // has room for all
        }
        for (path, major, minor) in default_nodes() {
            let clone = clone_node(path, &Node::default(major, minor))
                .map_err(|errno| cannot_own("take the host's ", path, errno))?;
            let _ = host.nodes.push(clone);
        }
        Ok(host)
    }
}

/// A detached mount of one node, verified to be that device (ENXIO if not).
fn clone_node(path: &CStr, node: &Node) -> Result<Fd, Errno> {
    let clone = clone_tree(CWD, path, false)?;
    if is_device(&fstat(clone.as_fd())?, node.kind, node.number) { Ok(clone) } else { Err(Errno::NXIO) }
}

pub(super) fn is_device(stat: &Stat, kind: FileType, number: Dev) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind && (kind == FileType::Fifo || stat.st_rdev == number)
}

/// A node to make.
struct Node {
    kind: FileType,
    number: Dev,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Node {
    fn default(major: u8, minor: u8) -> Node {
        let number = makedev(major.into(), minor.into());
        Node { kind: FileType::CharacterDevice, number, mode: 0o666, uid: 0, gid: 0 }
    }

    fn of(device: &Device<'_>) -> Node {
        let kind = match device.kind() {
            Some(kind) if kind.is("b") => FileType::BlockDevice,
            Some(kind) if kind.is("p") => FileType::Fifo,
            _ => FileType::CharacterDevice, // "c" and "u"
        };
        // `check` has seen that both fit.
        let number = |number: Option<i64>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
        Node {
            kind,
            number: match kind {
                FileType::Fifo => 0,
                _ => makedev(number(device.major()), number(device.minor())),
            },
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        }
    }

    /// Makes it as `name` in `folder`, or attaches the host's there.
    ///
    /// # Errors
    /// EEXIST: another file has the name.
    fn make(&self, folder: BorrowedFd<'_>, name: &CStr, host: Option<&Fd>) -> Result<(), Errno> {
        let made = match host {
            None => mknodat(folder, name, self.kind, Mode::from_raw_mode(self.mode), self.number),
            Some(_) => resolve::make(folder, name, Missing::File),
        };
        if matches!(made, Err(Errno::EXIST)) {
            let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if is_device(&there, self.kind, self.number) {
                return Ok(());
            }
            // A file that waits for the node to be mounted on it.
            if host.is_none() || FileType::from_raw_mode(there.st_mode) != FileType::RegularFile {
                return made;
            }
        } else {
            made?;
        }
        match host {
            Some(host) => attach(host.as_fd(), folder, name),
            None if self.uid == 0 && self.gid == 0 => Ok(()),
            None => {
                let (uid, gid) = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
                chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }
}

/// Makes the nodes of `devices`, the default ones and the links in /dev, which
/// is made if missing. To be called inside the root, with umask 0, and only
/// unless [`super::Asked`] says otherwise.
///
/// # Errors
/// What the kernel says, or another file where one of them should be.
pub fn make_devices(devices: List<'_, Device<'static>>, host: HostDevices, known: &Known) -> Result<()> {
    let mut host = host.nodes.iter();
    // A node of the configuration's comes first: of the default ones only those
    // are made that are not there yet.
    for device in to_make(devices) {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let Some(path) = device.path() else { continue };
        path.c_str(&mut buffer)?;
        let node = Node::of(&device);
        let host = if node.kind == FileType::Fifo { None } else { host.next() };
        make_at(&mut buffer, &node, host)
            .map_err(|errno| device.value().os_error(errno, format_args!("cannot make {path}")))?;
    }
    let opened;
    let dev = match &known.dev {
        Some(dev) => dev.as_fd(),
        None => {
            opened = open_dev()?;
            opened.as_fd()
        }
    };
    for (path, major, minor) in default_nodes() {
        let name = resolve::c_str(path.to_bytes_with_nul(), "/dev/".len());
        Node::default(major, minor).make(dev, name, host.next()).map_err(|errno| cannot_own("make ", path, errno))?;
    }
    link_descriptors(dev)?;
    make_links(dev, OTHERS)
}

/// Makes the links to a process's own descriptors in /dev, which `dev` is.
///
/// # Errors
/// The first that cannot be made; one that is there already is none.
pub fn link_descriptors(dev: BorrowedFd<'_>) -> Result<()> {
    make_links(dev, DESCRIPTORS)
}

fn make_links(dev: BorrowedFd<'_>, links: &'static [u8]) -> Result<()> {
    let mut links = c_strings(links);
    while let (Some(name), Some(target)) = (links.next(), links.next()) {
        // A kernel may be built without it.
        if name == c"core" && accessat(CWD, target, Access::EXISTS, AtFlags::empty()).is_err() {
            continue;
        }
        make_link(dev, name, target).map_err(|errno| cannot_own("make the link /dev/", name, errno))?;
    }
    Ok(())
}

/// Makes a node at the path in `buffer`, and the folders on the way.
fn make_at(buffer: &mut PathBuffer, node: &Node, host: Option<&Fd>) -> Result<(), Errno> {
    let length = resolve::c_str(buffer, 0).count_bytes();
    let (end, name) = resolve::split(buffer.get(..length).unwrap_or_default()).ok_or(Errno::INVAL)?;
    if let Some(slash) = buffer.get_mut(end).filter(|_| name > 0) {
        *slash = 0;
    }
    let folder = if end == 0 { c"/" } else { resolve::c_str(buffer, 0) };
    let folder = resolve::find_or_create(CWD, folder, Links::Follow)?.fd;
    node.make(folder.as_fd(), resolve::c_str(buffer, name), host)?;
    folder.done();
    Ok(())
}

fn open_dev() -> Result<Fd> {
    // Not through a link: by its name, programs expect it to be a folder.
    resolve::find_or_create(CWD, c"/dev", Links::Refuse)
        .map(|place| place.fd)
        .map_err(|errno| cannot_own("open /dev of the root file system", c"", errno))
}

fn make_link(dev: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<(), Errno> {
    match symlinkat(target, dev, name) {
        Err(Errno::EXIST) if name == c"ptmx" => {
            // The node does as well (it is of the devpts beside it), and must stay
            // where /dev is devtmpfs, which is one for the whole system.
            let there = statat(dev, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if is_device(&there, FileType::CharacterDevice, makedev(5, 2)) {
                return Ok(());
            }
            unlinkat(dev, name, AtFlags::empty())?;
            symlinkat(target, dev, name)
        }
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

/// Binds a terminal, given by a descriptor of its own end, at /dev/console. To
/// be called inside the root.
///
/// # Errors
/// It is no terminal of this mount namespace's, or /dev/console is a link.
pub fn bind_console(pty_peer: BorrowedFd<'_>) -> Result<()> {
    let dev = open_dev()?;
    bind_in(dev.as_fd(), pty_peer).map_err(|errno| cannot_own("put the terminal at /dev/console", c"", errno))?;
    dev.done();
    Ok(())
}

fn bind_in(dev: BorrowedFd<'_>, pty_peer: BorrowedFd<'_>) -> Result<(), Errno> {
    if fstatfs(pty_peer)?.f_type != DEVPTS_SUPER_MAGIC {
        return Err(Errno::NOTTY);
    }
    match resolve::make(dev, c"console", Missing::File) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = resolve::open(dev, c"console", OFlags::PATH, Links::Refuse)?;
    attach_at(clone_tree(pty_peer, c"", false)?.as_fd(), place.as_fd())
}
