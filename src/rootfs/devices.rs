//! /dev: nodes, links and the console.

use core::ffi::CStr;

use heapless::Vec;

use crate::error::Result;
use crate::json::PathBuffer;
use crate::spec::linux::Device;
use crate::spec::record::List;
use crate::sys::fs::{
    Access, AtFlags, CWD, Dev, FileType, Gid, Mode, OFlags, Stat, Uid, accessat, chownat, fstat, fstatfs, makedev,
    mknodat, statat, symlinkat, unlinkat,
};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd};
use crate::{fail, limits};

use super::descriptor::{attach_at, clone_tree, done_with};
use super::resolve::{self, Links};

/// What every container has in /dev (config-linux.md, "Default Devices"), all
/// of them character devices with mode 0666.
pub(super) const DEFAULT: [(&CStr, &CStr, u32, u32); 6] = [
    (c"/dev/null", c"null", 1, 3),
    (c"/dev/zero", c"zero", 1, 5),
    (c"/dev/full", c"full", 1, 7),
    (c"/dev/random", c"random", 1, 8),
    (c"/dev/urandom", c"urandom", 1, 9),
    (c"/dev/tty", c"tty", 5, 0),
];

/// Links in /dev: the same section, and `core`, which older programs expect.
/// The last replaces what a file system may have there: the multiplexer of the
/// container's own devpts is the one that works.
const LINKS: [(&CStr, &CStr); 6] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"core", c"/proc/kcore"),
    (c"ptmx", c"pts/ptmx"),
];

/// The host's device nodes, for a user namespace, in which none can be made.
pub struct HostDevices {
    default: Vec<OwnedFd, { DEFAULT.len() }>,
    /// As many as `devices` has that are not FIFOs, in their order.
    configured: Vec<OwnedFd, { limits::HOST_DEVICES }>,
}

impl HostDevices {
    /// Takes clones of the host's nodes if `user_namespace`, else nothing. To be
    /// called before the old root is gone.
    ///
    /// # Errors
    /// A node that is not there, or not the device that it should be.
    pub fn collect(devices: List<'_, Device<'static>>, user_namespace: bool) -> Result<HostDevices> {
        let mut host = HostDevices { default: Vec::new(), configured: Vec::new() };
        if !user_namespace {
            return Ok(host);
        }
        for (path, _, major, minor) in DEFAULT {
            let node = clone_node(path, FileType::CharacterDevice, makedev(major, minor))
                .map_err(|errno| fail!(errno => "cannot take the host's {}", crate::error::Lossy(path.to_bytes())))?;
            let _ = host.default.push(node); // has room for all
        }
        for device in devices.iter() {
            let node = Node::of(&device);
            if node.kind == FileType::Fifo {
                continue;
            }
            let mut buffer: PathBuffer = [0; limits::PATH];
            let Some(path) = device.path() else { continue };
            let clone = clone_node(path.c_str(&mut buffer)?, node.kind, node.number).map_err(|errno| {
                path.value().os_error(errno.raw_os_error(), format_args!("cannot take the host's {path}"))
            })?;
            if host.configured.push(clone).is_err() {
                return Err(path.error(format_args!("more devices than the limit of {}", limits::HOST_DEVICES)));
            }
        }
        Ok(host)
    }
}

/// A detached mount of one node, verified to be that device (ENXIO if not).
fn clone_node(path: &CStr, kind: FileType, number: Dev) -> Result<OwnedFd, Errno> {
    let node = clone_tree(CWD, path, false)?;
    if is_device(&fstat(&node)?, kind, number) { Ok(node) } else { Err(Errno::NXIO) }
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
    fn make(&self, folder: BorrowedFd<'_>, name: &CStr, host: Option<OwnedFd>) -> Result<(), Errno> {
        let made = match host {
            None => mknodat(folder, name, self.kind, Mode::from_raw_mode(self.mode), self.number),
            Some(_) => resolve::make_file(folder, name),
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
        if let Some(host) = host {
            let place = resolve::open_name(folder, name)?;
            attach_at(host.as_fd(), place.as_fd())?;
            done_with(place);
            done_with(host);
        } else if self.uid != 0 || self.gid != 0 {
            let (uid, gid) = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
            chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }
}

/// Makes the nodes of `devices`, the default ones and the links in /dev, which
/// is made if missing. To be called inside the root, with umask 0, and only
/// where [`super::sets_up_dev`] says so.
///
/// # Errors
/// What the kernel says, or another file where one of them should be.
pub fn make_devices(devices: List<'_, Device<'static>>, host: HostDevices) -> Result<()> {
    // A node of the configuration's comes first: of the default ones only those
    // are made that are not there yet.
    make_configured(devices, host.configured)?;
    let folder = open_dev()?;
    let dev = folder.as_fd();
    let mut clones = host.default.into_iter();
    for (path, name, major, minor) in DEFAULT {
        let kind = FileType::CharacterDevice;
        let node = Node { kind, number: makedev(major, minor), mode: 0o666, uid: 0, gid: 0 };
        node.make(dev, name, clones.next())
            .map_err(|errno| fail!(errno => "cannot make {}", crate::error::Lossy(path.to_bytes())))?;
    }
    for (name, target) in LINKS {
        // A kernel may be built without it.
        if name == c"core" && accessat(CWD, target, Access::EXISTS, AtFlags::empty()).is_err() {
            continue;
        }
        make_link(dev, name, target)
            .map_err(|errno| fail!(errno => "cannot make the link /dev/{}", crate::error::Lossy(name.to_bytes())))?;
    }
    done_with(folder);
    Ok(())
}

fn open_dev() -> Result<OwnedFd> {
    // Not through a link: by its name, programs expect it to be a folder.
    resolve::find_or_create(CWD, c"/dev", Links::Refuse)
        .map(|place| place.fd)
        .map_err(|errno| fail!(errno => "cannot open /dev of the root file system"))
}

fn make_link(dev: BorrowedFd<'_>, name: &CStr, target: &CStr) -> Result<(), Errno> {
    match symlinkat(target, dev, name) {
        Err(Errno::EXIST) if name == c"ptmx" => {
            unlinkat(dev, name, AtFlags::empty())?;
            symlinkat(target, dev, name)
        }
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

fn make_configured(devices: List<'_, Device<'static>>, clones: Vec<OwnedFd, { limits::HOST_DEVICES }>) -> Result<()> {
    let mut clones = clones.into_iter();
    for device in devices.iter() {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let Some(path) = device.path() else { continue };
        let length = path.c_str(&mut buffer)?.count_bytes();
        let node = Node::of(&device);
        let clone = if node.kind == FileType::Fifo { None } else { clones.next() };
        let fail = |errno: Errno| device.value().os_error(errno.raw_os_error(), format_args!("cannot make {path}"));

        let (folder, name) =
            resolve::split(buffer.get_mut(..=length).unwrap_or(&mut [])).ok_or(Errno::INVAL).map_err(fail)?;
        let folder = resolve::find_or_create(CWD, folder, Links::Follow).map_err(fail)?;
        node.make(folder.fd.as_fd(), name, clone).map_err(fail)?;
        done_with(folder.fd);
    }
    Ok(())
}

/// Magic number of devpts (statfs(2)).
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Binds a terminal, given by a descriptor of its own end, at /dev/console. To
/// be called inside the root.
///
/// # Errors
/// It is no terminal of this mount namespace's, or /dev/console is a link.
pub fn bind_console(pty_peer: BorrowedFd<'_>) -> Result<()> {
    let fail = |errno: Errno| fail!(errno => "cannot put the terminal at /dev/console");
    if fstatfs(pty_peer).map_err(fail)?.f_type as u64 != DEVPTS_SUPER_MAGIC {
        return Err(fail(Errno::NOTTY));
    }
    let dev = open_dev()?;
    match resolve::make_file(dev.as_fd(), c"console") {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail(errno)),
    }
    let place = resolve::open(dev.as_fd(), c"console", OFlags::PATH, Links::Refuse).map_err(fail)?;
    let terminal = clone_tree(pty_peer, c"", false).map_err(fail)?;
    attach_at(terminal.as_fd(), place.as_fd()).map_err(fail)?;
    done_with(place);
    done_with(terminal);
    done_with(dev);
    Ok(())
}
