//! What a system needs before anything can be started in it: the kernel's file
//! systems, a root that can be pivoted away from, all controllers of the cgroups.
//!
//! What fails is a warning: much can be done without it, and what cannot says so
//! itself.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::log;
use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::json::PathBuffer;
use crate::lifecycle::make_folders;
use crate::sys::fs::{CWD, FsWord, Mode, OFlags, mkdirat, open, readlinkat_raw, statfs};
use crate::sys::mounts::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};
use crate::sys::process::{chroot, fchdir};
use crate::sys::{self, AsFd, Errno, io, read_file, terminal_modes};
use crate::{fail, limits, network, rootfs};

/// A mount: what, where, how, and whether a kernel may well lack it.
type Mount = (&'static CStr, &'static CStr, MountFlags, Option<&'static CStr>, bool);

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// In this order: /proc goes first, on its own.
const MOUNTS: [Mount; 9] = [
    (c"sysfs", c"/sys", SAFE, None, false),
    (c"devtmpfs", c"/dev", MountFlags::NOSUID, Some(c"mode=0755"), false),
    (
        c"devpts",
        c"/dev/pts",
        MountFlags::NOSUID.union(MountFlags::NOEXEC),
        Some(c"mode=0620,ptmxmode=0666,gid=5"),
        false,
    ),
    (c"tmpfs", c"/dev/shm", MountFlags::NOSUID.union(MountFlags::NODEV), Some(c"mode=1777"), false),
    (c"mqueue", c"/dev/mqueue", SAFE, None, true),
    (c"tmpfs", c"/run", MountFlags::NOSUID.union(MountFlags::NODEV), Some(c"mode=0755"), false),
    (c"cgroup2", c"/sys/fs/cgroup", SAFE, Some(c"nsdelegate"), false),
    (c"bpf", c"/sys/fs/bpf", SAFE, Some(c"mode=0700"), true),
    (c"securityfs", c"/sys/kernel/security", SAFE, None, true),
];

/// All of it.
pub fn prepare() {
    if let Err(error) = make_root_pivotable() {
        log::warning(&error);
    }
    mount_proc();
    MOUNTS.iter().for_each(add);
    if let Err(error) = link_descriptors() {
        log::warning(&error);
    }
    if let Err(errno) = complete_resolv_conf() {
        log::warning(&fail!(errno => "cannot make the file that /etc/resolv.conf leads to"));
    }
    // Where the kernel could not open the console the three may be closed.
    let _ = sys::fill_standard_descriptors();
    open_console();
    enable_controllers();
    bring_loopback_up();
}

/// Mounts /proc, without which little is known.
fn mount_proc() {
    add(&(c"proc", c"/proc", SAFE, None, false));
}

fn add(&(kind, place, flags, options, may_lack): &Mount) {
    let _ = mkdirat(CWD, place, Mode::from_raw_mode(0o755)); // the mount says what is missing
    match mount(kind, place, kind, flags, options) {
        // EBUSY: the kernel itself has done so (CONFIG_DEVTMPFS_MOUNT).
        Ok(()) | Err(Errno::BUSY) => {}
        Err(Errno::NODEV | Errno::NOENT) if may_lack => {}
        Err(errno) => {
            let (kind, place) = (kind.to_str().unwrap_or(""), place.to_str().unwrap_or(""));
            log::warning(&fail!(errno => "cannot mount {kind} on {place}"));
        }
    }
}

/// What programs look for in /dev and the kernel does not make there.
fn link_descriptors() -> Result<()> {
    let dev = open(c"/dev", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    rootfs::link_descriptors(dev.map_err(|errno| fail!(errno => "cannot open /dev"))?.as_fd())
}

/// Where an image's /etc/resolv.conf is a link, mostly into /run: the file that it leads
/// to, for units that mount it before there are name servers.
///
/// # Errors
/// The kernel's.
fn complete_resolv_conf() -> Result<(), Errno> {
    let path = c"/etc/resolv.conf";
    let mut buffer = [MaybeUninit::uninit(); limits::PATH];
    let Ok((target, _)) = readlinkat_raw(CWD, path, &mut buffer) else { return Ok(()) };
    let end = target.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    let folder = target.get(..end).unwrap_or(&[]);
    let before = if target.starts_with(b"/") { &b""[..] } else { b"/etc/" };
    let mut whole: PathBuffer = [0; _];
    make_folders(bytes::join(&mut whole, &[before, folder]).ok_or(Errno::NAMETOOLONG)?, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open(path, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// What a unit mounts where it has asked for that is to reach the others: the mounts are
/// shared from here on. (A container's own namespace has copies that follow these and do
/// not reach back, but for a unit that [`Unit::shares_mounts`](super::units::Unit).)
pub fn share_mounts() {
    if let Err(errno) = mount_change(c"/", MountPropagationFlags::SHARED | MountPropagationFlags::REC) {
        log::warning(&fail!(errno => "cannot share the system's mounts with units"));
    }
}

/// Makes the initial root file system one that pivot_root(2) takes: a clone of it
/// is mounted over it and becomes the root. Nothing is copied; what is beneath is
/// the same file system.
///
/// # Errors
/// The kernel's.
fn make_root_pivotable() -> Result<()> {
    const RAMFS_MAGIC: FsWord = 0x8584_58f6;
    const TMPFS_MAGIC: FsWord = 0x0102_1994;
    // Any other was mounted over the initial one by the kernel.
    if !statfs(c"/").is_ok_and(|found| matches!(found.f_type, RAMFS_MAGIC | TMPFS_MAGIC)) {
        return Ok(());
    }
    let over = || {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let clone = open_tree(CWD, c"/", flags)?;
        move_mount(&clone, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        fchdir(&clone)?;
        chroot(c".")
    };
    over().map_err(|errno: Errno| fail!(errno => "cannot make the initial root file system one that can be left"))
}

/// Every controller is to be had in the cgroups below the root.
fn enable_controllers() {
    let mut buffer = [0; 512];
    let all = read_file(CWD, c"/sys/fs/cgroup/cgroup.controllers", &mut buffer).unwrap_or(&[]);
    for controller in bytes::split(all.trim_ascii(), b' ').filter(|controller| !controller.is_empty()) {
        let text = Printed::<64>::of(format_args!("+{}", crate::error::Lossy(controller)));
        // One by one: the kernel refuses all of them for one that it cannot give.
        let enabled = open(c"/sys/fs/cgroup/cgroup.subtree_control", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|file| io::write(&file, text.as_bytes()));
        if let Err(errno) = enabled {
            log::warning(&fail!(errno => "cannot enable the cgroup controller {}", text.as_str()));
        }
    }
}

/// The console on descriptors 0 to 2, where the kernel could not open it, and its
/// bytes passed on as they are.
fn open_console() {
    if let Ok(console) = open(c"/dev/console", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()) {
        // Kept: without the three it may be one of them itself.
        let console = sys::keep(console);
        let _ = super::streams::put(console); // where it fails they are as they were
        if let Ok(modes) = terminal_modes(console) {
            let _ = sys::set_terminal_modes(console, &modes.verbatim(), false);
        }
    }
    if let Ok(log) = super::ports::open_target(super::command_line::Target::Console, false) {
        log::set(sys::keep(log), false);
    }
}

/// The loopback device.
fn bring_loopback_up() {
    if let Err(error) = network::bring_loopback_up() {
        log::warning(&error);
    }
}
