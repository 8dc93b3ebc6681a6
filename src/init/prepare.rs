//! What a unit in LinuxKit's layout asks for outside of its container: its
//! runtime.json, and a root file system made of `lower`.

use core::ffi::CStr;

use super::files;
use super::units::Unit;
use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::json::{Document, PathBuffer, Text};
use crate::lifecycle::{ProcPath, make_folders};
use crate::spec::linuxkit::{self, Runtime};
use crate::sys::fs::{AtFlags, CWD, Mode, OFlags, open, statat};
use crate::sys::mounts::{MountFlags, UnmountFlags, mount, unmount};
use crate::sys::{AsFd, Errno};
use crate::{fail, limits, network, rootfs, worker};

const FOLDER: Mode = Mode::from_raw_mode(0o755);

/// A path in the bundle of a unit.
fn inside<'b>(unit: &Unit, name: &[u8], buffer: &'b mut PathBuffer) -> Result<&'b CStr> {
    bytes::join(buffer, &[unit.bundle.to_bytes(), b"/", name]).ok_or_else(|| fail!("the bundle's path is too long"))
}

/// The text of runtime.json; `{}` where there is none.
///
/// # Errors
/// It cannot be read, or is longer than the room.
pub fn read_runtime<'b>(unit: &Unit, room: &'b mut [u8]) -> Result<&'b [u8]> {
    Ok(files::read(inside(unit, b"runtime.json", &mut [0; _])?, room)?.unwrap_or(b"{}"))
}

/// Once in the life of a unit, before its container is first made: cgroups, mounts,
/// folders. They stay, as later units may want them.
///
/// # Errors
/// What is wrong with runtime.json, or the kernel's; nothing is mounted then.
#[inline(never)]
pub fn once(document: &Document<'_>) -> Result<()> {
    let runtime = linuxkit::load(document)?;
    for path in runtime.cgroups().iter() {
        make(path, "/sys/fs/cgroup/")?;
    }
    let mut mounted = 0;
    let result = mount_all(&runtime, &mut mounted);
    if result.is_err() {
        for index in (0..mounted).rev() {
            let mut buffer: PathBuffer = [0; _];
            let place = runtime.mounts().iter().nth(index).and_then(|each| each.destination());
            if let Some(Ok(place)) = place.map(|place| place.c_str(&mut buffer)) {
                let _ = unmount(place, UnmountFlags::DETACH);
            }
        }
    }
    result
}

fn mount_all(runtime: &Runtime<'_>, mounted: &mut usize) -> Result<()> {
    for each in runtime.mounts().iter() {
        // The code that mounts leaves descriptors to whoever ends its process.
        worker::start(false, &mut |caller| {
            caller.tell(&rootfs::mount_here(&each));
            0
        })?;
        *mounted += 1;
    }
    for path in runtime.mkdir().iter() {
        make(path, "/")?;
    }
    Ok(())
}

/// mkdir -p below `base`.
fn make(path: Text<'_>, base: &str) -> Result<()> {
    let (mut text, mut whole): (PathBuffer, PathBuffer) = ([0; _], [0; _]);
    let text = path.c_str(&mut text)?.to_bytes();
    let whole = bytes::join(&mut whole, &[base.as_bytes(), text]);
    let whole = whole.ok_or_else(|| path.error(format_args!("longer than a path can be")))?;
    make_folders(whole, FOLDER).map_err(|errno| path.value().os_error(errno, format_args!("cannot make {path}")))
}

/// Before the container is made, each time. Where the bundle has `lower`: an overlay
/// of that and a tmpfs, at `rootfs`. Else of a unit that shares mounts: `rootfs` on itself,
/// as the mount that a root lies in becomes private to its container, and that must not be
/// the system's root.
///
/// # Errors
/// The kernel's.
#[inline(never)]
pub fn make_root(unit: &Unit) -> Result<()> {
    let mut buffer = [0; _];
    if statat(CWD, inside(unit, b"lower", &mut buffer)?, AtFlags::empty()).is_err() {
        let root = inside(unit, b"rootfs", &mut buffer)?;
        if !unit.shares_mounts || statat(CWD, root, AtFlags::empty()).is_err() {
            return Ok(());
        }
        return mount(root, root, c"", MountFlags::BIND, None)
            .map_err(|errno| fail!(errno => "cannot mount the root file system on itself"));
    }
    let failed = |errno: Errno| fail!(errno => "cannot lay a writable root file system over \"lower\"");
    let bundle = Lossy(unit.bundle.to_bytes());
    if unit.bundle.to_bytes().iter().any(|byte| b",:\\".contains(byte)) {
        return Err(fail!("the path {bundle} cannot be an overlay's: it has one of , : \\ in it"));
    }
    let none = MountFlags::empty();
    let tmp = inside(unit, b"tmp", &mut buffer)?;
    make_folders(tmp, FOLDER).map_err(failed)?;
    mount(c"tmpfs", tmp, c"tmpfs", none, Some(c"size=10%,mode=0755")).map_err(failed)?;
    for name in [&b"tmp/upper"[..], b"tmp/work", b"rootfs"] {
        make_folders(inside(unit, name, &mut buffer)?, FOLDER).map_err(failed)?;
    }
    // Three paths: a unit's is short, as its name is, and the kernel takes a page.
    let options = Printed::<{ limits::PATH }>::of(format_args!(
        "lowerdir={bundle}/lower,upperdir={bundle}/tmp/upper,workdir={bundle}/tmp/work"
    ));
    mount(c"overlay", inside(unit, b"rootfs", &mut buffer)?, c"overlay", none, Some(options.as_c_str())).map_err(failed)
}

/// Takes away what [`make_root`] has mounted. Best effort.
#[inline(never)]
pub fn after(unit: &Unit) {
    let mut buffer = [0; _];
    let has_lower = inside(unit, b"lower", &mut buffer).is_ok_and(|lower| statat(CWD, lower, AtFlags::empty()).is_ok());
    if has_lower || unit.shares_mounts {
        for name in [&b"rootfs"[..], b"tmp"] {
            if let Ok(path) = inside(unit, name, &mut buffer) {
                let _ = unmount(path, UnmountFlags::DETACH);
            }
        }
    }
}

/// Once the container is made: its network devices are moved to it, and its
/// namespaces bound to where they are wanted.
///
/// # Errors
/// The kernel's, with the place.
#[inline(never)]
pub fn once_made(document: &Document<'_>, pid: i32) -> Result<()> {
    let runtime = Runtime::view(document.root());
    for device in runtime.interfaces().iter() {
        move_device(device.name(), pid)?;
    }
    let Some(bind) = runtime.bind_ns() else { return Ok(()) };
    for (path, file) in [
        (bind.cgroup(), "ns/cgroup"),
        (bind.ipc(), "ns/ipc"),
        (bind.mnt(), "ns/mnt"),
        (bind.net(), "ns/net"),
        (bind.pid(), "ns/pid"),
        (bind.user(), "ns/user"),
        (bind.uts(), "ns/uts"),
    ] {
        let Some(path) = path.filter(|path| !path.is_empty()) else { continue };
        let mut buffer: PathBuffer = [0; _];
        let target = path.c_str(&mut buffer)?;
        bind_file(ProcPath::new(pid, file).as_c_str(), target)
            .map_err(|errno| path.value().os_error(errno, format_args!("cannot bind a namespace to {path}")))?;
    }
    Ok(())
}

fn move_device(name: Option<Text<'_>>, pid: i32) -> Result<()> {
    let Some(name) = name else { return Ok(()) }; // required: was checked
    let mut buffer: PathBuffer = [0; _];
    let device = name.c_str(&mut buffer)?.to_bytes();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    open(ProcPath::new(pid, "ns/net").as_c_str(), flags, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the container's network namespace"))
        .and_then(|namespace| network::devices::move_to(namespace.as_fd(), device, device))
        .map_err(|error| name.value().error(format_args!("{error}")))
}

fn bind_file(from: &CStr, to: &CStr) -> Result<(), Errno> {
    let mut folder: PathBuffer = [0; _];
    let end = to.to_bytes().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    if let Some(parent) = bytes::join(&mut folder, &[to.to_bytes().get(..end).unwrap_or(b"")]).filter(|_| end > 0) {
        make_folders(parent, FOLDER)?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let _ = unmount(to, UnmountFlags::DETACH); // that of the container before
    drop(open(to, flags, Mode::from_raw_mode(0o644))?);
    mount(from, to, c"", MountFlags::BIND, None)
}
