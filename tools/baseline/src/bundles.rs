//! The bundles: what `runc spec` writes, and Docker's default configuration
//! without seccomp and resource limits. Every word of them that has an effect
//! in the kernel has its place here.

use core::ffi::CStr;

use linux_raw_sys::general::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUTS, MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MS_NODEV, MS_NOEXEC, MS_NOSUID,
};

pub struct Bundle {
    pub hostname: &'static CStr,
    /// `CLONE_NEW*`
    pub namespaces: u64,
    pub readonly_root: bool,
    pub mounts: &'static [Mount],
    pub sysctls: &'static [(&'static CStr, &'static CStr)],
    pub oom_score_adj: Option<&'static CStr>,
    /// Relative to the root, as all paths here.
    pub masked_files: &'static [&'static CStr],
    pub masked_folders: &'static [&'static CStr],
    pub read_only: &'static [&'static CStr],
    /// Resource, and both limits.
    pub limits: &'static [(u32, u64)],
    pub groups: &'static [u32],
    /// Bounding, effective and permitted: bit n is capability n.
    pub capabilities: u64,
    pub no_new_privileges: bool,
    /// `struct bpf_insn` as little-endian words.
    pub devices: &'static [u64],
}

pub enum Kind {
    FileSystem,
    /// A file or folder of the host.
    Bind,
    /// The container's cgroup, where it has no cgroup namespace.
    OwnCgroup,
}

pub struct Mount {
    pub kind: Kind,
    /// Of the file system.
    pub name: &'static CStr,
    pub source: &'static CStr,
    pub target: &'static CStr,
    /// Whether an earlier mount hides the target that the root has.
    pub make_target: bool,
    /// `MOUNT_ATTR_*`
    pub flags: u32,
    /// Name and value; a flag has an empty one.
    pub options: &'static [(&'static CStr, &'static CStr)],
}

const NOTHING: u32 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

const PROC: Mount = Mount {
    kind: Kind::FileSystem,
    name: c"proc",
    source: c"proc",
    target: c"proc",
    make_target: false,
    flags: 0,
    options: &[],
};
const DEV: Mount = Mount {
    name: c"tmpfs",
    source: c"tmpfs",
    target: c"dev",
    flags: MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME,
    options: &[(c"mode", c"755"), (c"size", c"65536k")],
    ..PROC
};
const PTS: Mount = Mount {
    name: c"devpts",
    source: c"devpts",
    target: c"dev/pts",
    make_target: true,
    flags: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
    options: &[(c"ptmxmode", c"0666"), (c"mode", c"0620"), (c"gid", c"5")],
    ..PROC
};
const SHM: Mount = Mount {
    name: c"tmpfs",
    source: c"shm",
    target: c"dev/shm",
    make_target: true,
    flags: NOTHING,
    options: &[(c"mode", c"1777"), (c"size", c"65536k")],
    ..PROC
};
const MQUEUE: Mount =
    Mount { name: c"mqueue", source: c"mqueue", target: c"dev/mqueue", make_target: true, flags: NOTHING, ..PROC };
const SYS: Mount = Mount {
    name: c"sysfs",
    source: c"sysfs",
    target: c"sys",
    flags: NOTHING | MOUNT_ATTR_RDONLY,
    // The file system itself too, as runtimes have it.
    options: &[(c"ro", c"")],
    ..PROC
};
const OWN_CGROUP: Mount =
    Mount { kind: Kind::OwnCgroup, target: c"sys/fs/cgroup", flags: NOTHING | MOUNT_ATTR_RDONLY, ..PROC };
const CGROUP: Mount =
    Mount { name: c"cgroup2", source: c"cgroup", target: c"sys/fs/cgroup", flags: NOTHING | MOUNT_ATTR_RDONLY, ..PROC };

/// The bench puts empty files there.
const fn file(target: &'static CStr) -> Mount {
    Mount { kind: Kind::Bind, source: c"/dev/null", target, ..PROC }
}

pub const DEVICES: &[(&CStr, u32, u32)] = &[
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
    (c"dev/tty", 5, 0),
];

pub const LINKS: &[(&CStr, &CStr)] = &[
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
];

const MASKED_FILES: &[&CStr] =
    &[c"proc/kcore", c"proc/keys", c"proc/latency_stats", c"proc/timer_list", c"proc/timer_stats", c"proc/sched_debug"];
const MASKED_FOLDERS: &[&CStr] = &[c"proc/acpi", c"proc/asound", c"sys/firmware", c"proc/scsi"];
const READ_ONLY: &[&CStr] = &[c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];

const RLIMIT_NOFILE: u32 = 7;

pub const SPEC: Bundle = Bundle {
    hostname: c"runc",
    namespaces: (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) as u64,
    readonly_root: true,
    mounts: &[PROC, DEV, PTS, SHM, MQUEUE, SYS, OWN_CGROUP],
    sysctls: &[],
    oom_score_adj: None,
    masked_files: MASKED_FILES,
    masked_folders: MASKED_FOLDERS,
    read_only: READ_ONLY,
    limits: &[(RLIMIT_NOFILE, 1024)],
    groups: &[],
    // AUDIT_WRITE, KILL, NET_BIND_SERVICE
    capabilities: 1 << 29 | 1 << 5 | 1 << 10,
    no_new_privileges: true,
    devices: DEVICE_PROGRAM,
};

pub const DOCKER: Bundle = Bundle {
    hostname: c"container",
    namespaces: SPEC.namespaces | CLONE_NEWCGROUP as u64,
    readonly_root: false,
    mounts: &[
        Mount { flags: NOTHING, ..PROC },
        DEV,
        PTS,
        SYS,
        CGROUP,
        MQUEUE,
        SHM,
        file(c"etc/resolv.conf"),
        file(c"etc/hostname"),
        file(c"etc/hosts"),
    ],
    sysctls: &[
        (c"proc/sys/net/ipv4/ip_unprivileged_port_start", c"0"),
        (c"proc/sys/net/ipv4/ping_group_range", c"0 2147483647"),
    ],
    oom_score_adj: Some(c"0"),
    limits: &[],
    groups: &[0],
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT,
    // MKNOD, AUDIT_WRITE, SETFCAP
    capabilities: 0xa804_25fb,
    no_new_privileges: false,
    devices: DOCKER_DEVICE_PROGRAM,
    ..SPEC
};

/// One instruction: code, registers (destination low), jump offset, value.
const fn instruction(code: u8, registers: u8, jump: i16, value: i32) -> u64 {
    code as u64 | (registers as u64) << 8 | (jump as u16 as u64) << 16 | (value as u32 as u64) << 32
}

/// Making any node is allowed, and using these characters devices (any minor:
/// -1); nothing else.
const fn device_program<const RULES: usize, const LENGTH: usize>(rules: [(i32, i32); RULES]) -> [u64; LENGTH] {
    const LOAD: u8 = 0x61;
    const COPY: u8 = 0xbc;
    const SHIFT_RIGHT: u8 = 0x74;
    const AND: u8 = 0x54;
    const SET: u8 = 0xb4;
    const UNLESS_EQUAL: u8 = 0x56;
    const EXIT: u64 = instruction(0x95, 0, 0, 0);
    const ALLOW: u64 = instruction(SET, 0, 0, 1);
    let head = [
        instruction(LOAD, 0x12, 0, 0), // 2: access << 16 | type
        instruction(LOAD, 0x14, 4, 0), // 4: major
        instruction(LOAD, 0x15, 8, 0), // 5: minor
        instruction(COPY, 0x23, 0, 0),
        instruction(SHIFT_RIGHT, 0x03, 0, 16), // 3: access
        instruction(AND, 0x02, 0, 0xffff),     // 2: type
        instruction(UNLESS_EQUAL, 0x03, 2, 1), // BPF_DEVCG_ACC_MKNOD alone
        ALLOW,
        EXIT,
        // Not a character device (BPF_DEVCG_DEV_CHAR): to the end.
        instruction(UNLESS_EQUAL, 0x02, (LENGTH - 12) as i16, 2),
    ];
    let mut program = [EXIT; LENGTH];
    let mut at = 0;
    while at < head.len() {
        program[at] = head[at];
        at += 1;
    }
    let mut rule = 0;
    while rule < RULES {
        let (major, minor) = rules[rule];
        program[at] = instruction(UNLESS_EQUAL, 0x04, 3, major);
        // "Unless equal, skip": for any minor a jump to the next instruction.
        program[at + 1] = instruction(UNLESS_EQUAL, 0x05, if minor < 0 { 0 } else { 2 }, minor);
        program[at + 2] = ALLOW;
        at += 4; // and the exit that is there
        rule += 1;
    }
    program[LENGTH - 2] = instruction(SET, 0, 0, 0);
    program
}

const DEVICE_PROGRAM: &[u64] =
    &device_program::<9, 48>([(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200), (136, -1)]);
const DOCKER_DEVICE_PROGRAM: &[u64] =
    &device_program::<10, 52>([(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 200), (136, -1)]);

/// What an init mounts first: type, place, `MS_*`, options.
pub const EARLY: &[(&CStr, &CStr, u32, &CStr)] = &[
    (c"proc", c"/proc", SAFE, c""),
    (c"sysfs", c"/sys", SAFE, c""),
    (c"devtmpfs", c"/dev", MS_NOSUID, c"mode=0755"),
    (c"devpts", c"/dev/pts", MS_NOSUID | MS_NOEXEC, c"mode=0620,ptmxmode=0666,gid=5"),
    (c"tmpfs", c"/dev/shm", MS_NOSUID | MS_NODEV, c"mode=1777"),
    (c"mqueue", c"/dev/mqueue", SAFE, c""),
    (c"tmpfs", c"/run", MS_NOSUID | MS_NODEV, c"mode=0755"),
    (c"cgroup2", c"/sys/fs/cgroup", SAFE, c"nsdelegate"),
    (c"bpf", c"/sys/fs/bpf", SAFE, c"mode=0700"),
    (c"securityfs", c"/sys/kernel/security", SAFE, c""),
];

const SAFE: u32 = MS_NOSUID | MS_NODEV | MS_NOEXEC;
