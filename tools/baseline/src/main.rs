//! What the kernel itself costs: the effects of `run` for two well-known
//! bundles, with everything decided beforehand.
//!
//! `baseline spec|docker ROOTFS CGROUP` makes a container of the folder ROOTFS
//! in the new cgroup folder CGROUP, runs /bin/true in it, waits and removes the
//! cgroup. It reads no configuration, checks nothing, keeps no state and is not
//! safe against a hostile root file system: those are what a runtime is for,
//! and this is what a runtime is measured against. Its calls are those that no
//! program could leave out for the same container: nothing is asked of the
//! kernel that the bundle already says, and no descriptor is closed before all
//! are.
//!
//! As the kernel's init it makes the file systems that a system needs, and a container
//! of /bundle/rootfs; it says how many microseconds passed from its first instruction
//! to that container's execve, and powers off.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "it is nothing but system calls")]

use core::ffi::{CStr, c_char};
use core::mem::{size_of, zeroed};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{self as kernel, clone_args, mount_attr};

mod bundles;
#[path = "../../../src/entry.rs"]
mod entry;
#[path = "../../../src/memory.rs"]
mod memory;
#[path = "../../../src/relocate.rs"]
mod relocate;

use bundles::{Bundle, Kind, Mount};

/// # Safety
/// Called once, by `_start`, with the stack as the kernel left it.
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: first of all; argc and argv are where execve(2) has put them, and
    // an argument that is missing is the NULL that ends them.
    let arguments: [Option<&CStr>; 4] = unsafe {
        relocate::relocate();
        let argv = stack.add(1).cast::<*const c_char>();
        let end = *stack;
        core::array::from_fn(|n| if n < end { Some(CStr::from_ptr(*argv.add(n))) } else { None })
    };
    if is_init() {
        init()
    }
    let [_, Some(name), Some(root), Some(cgroup)] = arguments else { fail(c"usage: spec|docker ROOTFS CGROUP") };
    run(if name == c"docker" { &bundles::DOCKER } else { &bundles::SPEC }, root, cgroup)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    fail(c"panic")
}

/// A system call, by its number; up to six integers or addresses.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: every pointer given is to memory of the form that the call
        // asks for, and outlives it; the table of bundles is all constants.
        unsafe { call(kernel::$number, &[$($argument as usize),*]) }
    };
}

/// As [`call!`], but an error ends the program.
macro_rules! must {
    ($number:ident $(, $argument:expr)*) => {{
        let result = call!($number $(, $argument)*);
        if result < 0 { fail(c_string!(stringify!($number))) }
        result
    }};
}

macro_rules! c_string {
    ($text:expr) => {
        match CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => c"",
        }
    };
}

/// # Safety
/// As for the system call itself.
unsafe fn call(number: u32, arguments: &[usize]) -> isize {
    let argument = |n: usize| arguments.get(n).copied().unwrap_or(0);
    // SAFETY: the caller's.
    unsafe {
        sc::syscall6(number as usize, argument(0), argument(1), argument(2), argument(3), argument(4), argument(5))
            as isize
    }
}

fn fail(what: &CStr) -> ! {
    call!(__NR_write, 2, what.as_ptr(), what.count_bytes());
    call!(__NR_write, 2, c"\n".as_ptr(), 1);
    exit(1)
}

fn exit(status: i32) -> ! {
    loop {
        call!(__NR_exit_group, status);
    }
}

const HERE: i32 = kernel::AT_FDCWD;
const EMPTY: &CStr = c"";

fn is_init() -> bool {
    call!(__NR_getpid) == 1
}

/// When the first instruction was, as init; 0 otherwise.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// Microseconds since the kernel's start.
fn now() -> u64 {
    let mut time = [0u64; 2];
    call!(__NR_clock_gettime, kernel::CLOCK_BOOTTIME, time.as_mut_ptr());
    time[0] * 1_000_000 + time[1] / 1000
}

/// The kernel's init: early mounts, a root that can be left, the container, the end.
fn init() -> ! {
    FIRST.store(now(), Relaxed);
    let tree = must!(__NR_open_tree, HERE, c"/".as_ptr(), OPEN_TREE_CLONE | kernel::AT_RECURSIVE);
    attach(tree, c"/");
    must!(__NR_fchdir, tree);
    must!(__NR_chroot, c".".as_ptr());
    for (kind, place, flags, options) in bundles::EARLY {
        call!(__NR_mkdirat, HERE, place.as_ptr(), 0o755);
        call!(__NR_mount, kind.as_ptr(), place.as_ptr(), kind.as_ptr(), *flags, options.as_ptr());
    }
    for controller in [c"+cpu", c"+memory", c"+pids", c"+io", c"+cpuset", c"+hugetlb", c"+rdma", c"+misc"] {
        let flags = kernel::O_WRONLY | kernel::O_CLOEXEC;
        let file = must!(__NR_openat, HERE, c"/sys/fs/cgroup/cgroup.subtree_control".as_ptr(), flags);
        call!(__NR_write, file, controller.as_ptr(), controller.count_bytes());
        call!(__NR_close, file);
    }
    loopback();
    run(&bundles::SPEC, c"/bundle/rootfs", c"/sys/fs/cgroup/bundle")
}

/// Says how long it took, as init.
fn report() {
    let first = FIRST.load(Relaxed);
    if first == 0 {
        return;
    }
    let (mut text, mut rest) = (*b"baseline:           us\n", now() - first);
    for digit in text[10..19].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    call!(__NR_write, 2, text.as_ptr(), text.len());
}

/// The parent's part.
fn run(bundle: &Bundle, root: &CStr, cgroup: &CStr) -> ! {
    must!(__NR_mkdirat, HERE, cgroup.as_ptr(), 0o755);
    let flags = kernel::O_PATH | kernel::O_DIRECTORY | kernel::O_CLOEXEC;
    // BPF_PROG_ATTACH does not take an O_PATH descriptor.
    let folder = must!(__NR_openat, HERE, cgroup.as_ptr(), flags & !kernel::O_PATH);
    attach_devices(bundle, folder);
    // SAFETY: all zeros is a valid clone_args.
    let mut clone: clone_args = unsafe { zeroed() };
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    clone.flags = bundle.namespaces | CLONE_INTO_CGROUP;
    clone.exit_signal = u64::from(kernel::SIGCHLD);
    clone.cgroup = folder as u64;
    let child = must!(__NR_clone3, &raw const clone, size_of::<clone_args>());
    if child == 0 {
        container(bundle, root, cgroup);
    }
    let mut status = 0i32;
    must!(__NR_wait4, child, &raw mut status, 0, 0);
    must!(__NR_unlinkat, HERE, cgroup.as_ptr(), kernel::AT_REMOVEDIR);
    if FIRST.load(Relaxed) != 0 {
        const MAGIC: [u32; 3] = [0xfee1_dead, 672_274_793, 0x4321_fedc]; // reboot(2), to power off
        call!(__NR_reboot, MAGIC[0], MAGIC[1], MAGIC[2], 0);
    }
    exit(if status == 0 { 0 } else { 1 })
}

/// The device program: loaded, and attached to the cgroup.
fn attach_devices(bundle: &Bundle, cgroup: isize) {
    const BPF_PROG_LOAD: u32 = 5;
    const BPF_PROG_ATTACH: u32 = 8;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u64 = 15;
    const BPF_CGROUP_DEVICE: u64 = 6;
    const BPF_F_ALLOW_MULTI: u64 = 2;
    let (program, length) = (bundle.devices.as_ptr(), bundle.devices.len() as u64);
    // The start of `union bpf_attr`, two 32-bit fields to a word.
    let load = [BPF_PROG_TYPE_CGROUP_DEVICE | length << 32, program as u64, EMPTY.as_ptr() as u64, 0, 0, 0];
    let program = must!(__NR_bpf, BPF_PROG_LOAD, load.as_ptr(), size_of_val(&load));
    let attach = [cgroup as u64 | (program as u64) << 32, BPF_CGROUP_DEVICE | BPF_F_ALLOW_MULTI << 32];
    must!(__NR_bpf, BPF_PROG_ATTACH, attach.as_ptr(), size_of_val(&attach));
}

/// The container's part: born in its namespaces and its cgroup.
fn container(bundle: &Bundle, root: &CStr, cgroup: &CStr) -> ! {
    must!(__NR_setsid);
    must!(__NR_sethostname, bundle.hostname.as_ptr(), bundle.hostname.count_bytes());
    loopback();
    // The host's mounts must not see ours.
    let slave = attributes(0, kernel::MS_SLAVE);
    let recursive = kernel::AT_RECURSIVE;
    must!(__NR_mount_setattr, HERE, c"/".as_ptr(), recursive, &raw const slave, size_of::<mount_attr>());
    let tree = must!(__NR_open_tree, HERE, root.as_ptr(), OPEN_TREE_CLONE | kernel::AT_RECURSIVE);
    if bundle.readonly_root {
        set(tree, kernel::MOUNT_ATTR_RDONLY, false);
    }
    attach(tree, root);
    must!(__NR_fchdir, tree);
    call!(__NR_umask, 0);
    bundle.mounts.iter().for_each(|entry| mount(entry, cgroup));
    devices();
    call!(__NR_umask, 0o22);
    for (path, value) in bundle.sysctls {
        write(path, value);
    }
    if let Some(value) = bundle.oom_score_adj {
        write(c"proc/self/oom_score_adj", value);
    }
    mask(bundle);
    read_only(bundle);
    must!(__NR_pivot_root, c".".as_ptr(), c".".as_ptr());
    must!(__NR_umount2, c".".as_ptr(), 2); // MNT_DETACH
    must!(__NR_chdir, c"/".as_ptr());
    identity(bundle);
    must!(__NR_close_range, 3, u32::MAX, 0);
    let argv = [c"/bin/true".as_ptr(), core::ptr::null()];
    let environment =
        [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".as_ptr(), core::ptr::null()];
    report();
    call!(__NR_execve, argv[0], argv.as_ptr(), environment.as_ptr());
    fail(c"execve")
}

const OPEN_TREE_CLONE: u32 = 1 | kernel::O_CLOEXEC;

fn attributes(set: u32, propagation: u32) -> mount_attr {
    mount_attr { attr_set: u64::from(set), attr_clr: 0, propagation: u64::from(propagation), userns_fd: 0 }
}

fn set(mount: isize, set: u32, recursive: bool) {
    let flags = kernel::AT_EMPTY_PATH | if recursive { kernel::AT_RECURSIVE } else { 0 };
    let attributes = attributes(set, 0);
    must!(__NR_mount_setattr, mount, EMPTY.as_ptr(), flags, &raw const attributes, size_of::<mount_attr>());
}

/// Attaches a detached mount.
fn attach(mount: isize, target: &CStr) {
    must!(__NR_move_mount, mount, EMPTY.as_ptr(), HERE, target.as_ptr(), kernel::MOVE_MOUNT_F_EMPTY_PATH);
}

/// Attaches a detached mount if its target is there.
fn attach_if_there(mount: isize, target: &CStr) -> bool {
    call!(__NR_move_mount, mount, EMPTY.as_ptr(), HERE, target.as_ptr(), kernel::MOVE_MOUNT_F_EMPTY_PATH) == 0
}

/// A new file system, mounted nowhere yet.
fn file_system(name: &CStr, source: &CStr, options: &[(&CStr, &CStr)], flags: u32) -> isize {
    const SET_FLAG: u32 = 0;
    const SET_STRING: u32 = 1;
    const CREATE: u32 = 6;
    const FSOPEN_CLOEXEC: u32 = 1;
    const FSMOUNT_CLOEXEC: u32 = 1;
    let context = must!(__NR_fsopen, name.as_ptr(), FSOPEN_CLOEXEC);
    must!(__NR_fsconfig, context, SET_STRING, c"source".as_ptr(), source.as_ptr(), 0);
    for (key, value) in options {
        if value.is_empty() {
            must!(__NR_fsconfig, context, SET_FLAG, key.as_ptr(), 0, 0);
            continue;
        }
        must!(__NR_fsconfig, context, SET_STRING, key.as_ptr(), value.as_ptr(), 0);
    }
    must!(__NR_fsconfig, context, CREATE, 0, 0, 0);
    must!(__NR_fsmount, context, FSMOUNT_CLOEXEC, flags)
}

fn mount(entry: &Mount, cgroup: &CStr) {
    if entry.make_target {
        must!(__NR_mkdirat, HERE, entry.target.as_ptr(), 0o755);
    }
    let mount = match entry.kind {
        Kind::FileSystem => file_system(entry.name, entry.source, entry.options, entry.flags),
        Kind::OwnCgroup | Kind::Bind => {
            let source = if matches!(entry.kind, Kind::Bind) { entry.source } else { cgroup };
            let tree = must!(__NR_open_tree, HERE, source.as_ptr(), OPEN_TREE_CLONE | kernel::AT_RECURSIVE);
            let propagation = attributes(entry.flags, kernel::MS_PRIVATE);
            let flags = kernel::AT_EMPTY_PATH | kernel::AT_RECURSIVE;
            let size = size_of::<mount_attr>();
            must!(__NR_mount_setattr, tree, EMPTY.as_ptr(), flags, &raw const propagation, size);
            tree
        }
    };
    attach(mount, entry.target);
}

/// The devices and links that every container has in /dev.
fn devices() {
    for (path, major, minor) in bundles::DEVICES {
        must!(__NR_mknodat, HERE, path.as_ptr(), kernel::S_IFCHR | 0o666, major << 8 | minor);
    }
    for (target, path) in bundles::LINKS {
        must!(__NR_symlinkat, target.as_ptr(), HERE, path.as_ptr());
    }
}

fn write(path: &CStr, value: &CStr) {
    let file = must!(__NR_openat, HERE, path.as_ptr(), kernel::O_WRONLY | kernel::O_CLOEXEC);
    must!(__NR_write, file, value.as_ptr(), value.count_bytes());
}

/// Hides files behind /dev/null and folders behind an empty file system. One
/// whose target is missing serves the next.
fn mask(bundle: &Bundle) {
    let mut null = None;
    for path in bundle.masked_files {
        let clone = null.take().unwrap_or_else(|| must!(__NR_open_tree, HERE, c"dev/null".as_ptr(), OPEN_TREE_CLONE));
        if !attach_if_there(clone, path) {
            null = Some(clone);
        }
    }
    let (mut empty, mut attached) = (None, None::<&CStr>);
    for path in bundle.masked_folders {
        let mount = empty.take().unwrap_or_else(|| match attached {
            Some(path) => must!(__NR_open_tree, HERE, path.as_ptr(), OPEN_TREE_CLONE),
            None => file_system(c"tmpfs", c"tmpfs", &[(c"ro", c"")], kernel::MOUNT_ATTR_RDONLY),
        });
        if attach_if_there(mount, path) {
            attached = Some(path);
        } else {
            empty = Some(mount);
        }
    }
}

fn read_only(bundle: &Bundle) {
    for path in bundle.read_only {
        let tree = call!(__NR_open_tree, HERE, path.as_ptr(), OPEN_TREE_CLONE | kernel::AT_RECURSIVE);
        if tree >= 0 {
            set(tree, kernel::MOUNT_ATTR_RDONLY, true);
            attach(tree, path);
        }
    }
}

/// The loopback device goes up, with its addresses: ioctl(SIOCSIFFLAGS).
fn loopback() {
    const SIOCSIFFLAGS: u32 = 0x8914;
    const IFF_UP: u16 = 1;
    // `struct ifreq`: a name of 16 bytes, then the flags.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&IFF_UP.to_ne_bytes());
    let socket = must!(__NR_socket, 2, 2 | kernel::O_CLOEXEC, 0); // AF_INET, SOCK_DGRAM
    must!(__NR_ioctl, socket, SIOCSIFFLAGS, request.as_ptr());
}

fn identity(bundle: &Bundle) {
    const KEYCTL_JOIN_SESSION_KEYRING: u32 = 1;
    const PR_CAPBSET_DROP: u32 = 24;
    const PR_SET_NO_NEW_PRIVS: u32 = 38;
    const CAPABILITY_VERSION_3: u64 = 0x2008_0522;
    const LAST_CAPABILITY: u32 = 40;
    must!(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, bundle.hostname.as_ptr());
    for (resource, limit) in bundle.limits {
        must!(__NR_prlimit64, 0, *resource, [*limit, *limit].as_ptr(), 0);
    }
    for capability in (0..=LAST_CAPABILITY).filter(|capability| bundle.capabilities >> capability & 1 == 0) {
        must!(__NR_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    must!(__NR_setgroups, bundle.groups.len(), bundle.groups.as_ptr());
    must!(__NR_setresgid, 0, 0, 0);
    must!(__NR_setresuid, 0, 0, 0);
    // The header is the version and pid 0; then effective, permitted and
    // inheritable, for the lower and the upper 32 capabilities.
    let (low, high) = (bundle.capabilities as u32, (bundle.capabilities >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    must!(__NR_capset, [CAPABILITY_VERSION_3].as_ptr(), sets.as_ptr());
    if bundle.no_new_privileges {
        must!(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
}
