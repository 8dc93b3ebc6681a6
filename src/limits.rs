//! Every fixed size of the program, with its reason.
//!
//! No allocator exists here: what is not bounded by a line of this table does
//! not exist. Exceeding a limit is an error that names it, never a truncation.

/// Bytes of a config.json. The largest that an engine was seen to write is
/// 90 KB; 1 MiB leaves room for 10,000 mounts. Also bounds what a process
/// file (`exec --process`) may be.
pub const DOCUMENT: usize = 1 << 20;
/// Levels of nesting in a JSON document: one bit each on the validator's
/// stack. The deepest path in the runtime-spec has 8.
pub const NESTING: usize = 128;
/// Large objects and arrays of a document whose ends are remembered: engines' have up to
/// 120. More are walked, only slower.
pub const EXTENTS: usize = 128;
/// Bytes of a member's name that a message shows before it goes on with "…":
/// a name may be as long as the document, and what is wrong is said after it.
pub const NAME_SHOWN: usize = 80;
/// Bytes of a path, its NUL included: the kernel's PATH_MAX.
pub const PATH: usize = 4096;
/// Members of an object with names of its own (annotations, sysctls): each is
/// compared with all before it, and an engine's largest has a few dozen.
pub const MAP_MEMBERS: usize = 1024;
/// Lines of uid_map or gid_map: the kernel's UID_GID_MAP_MAX_EXTENTS.
pub const ID_MAPPINGS: usize = 340;
/// Bytes of a host or domain name: the kernel's __NEW_UTS_LEN.
pub const HOSTNAME: usize = 64;
/// Bytes of the record in the state directory: three paths in the worst
/// escaping (six bytes for one), and room for the rest.
pub const RECORD: usize = 3 * 6 * PATH + 8192;
/// Bytes of the state document: two such paths, and annotations, which
/// are never longer than in the config.json they come from.
pub const STATE: usize = 2 * 6 * PATH + 8192 + DOCUMENT;
/// Bytes of a container id. It becomes a folder's name in the state
/// directory, and a cgroup's: NAME_MAX, less room for what we append.
pub const ID: usize = 240;
/// Bytes of an error's sentence. Longer ones end in "…": a sentence is for
/// a person, and the position in the file comes first.
pub const MESSAGE: usize = 1024;
/// Errors alive at one time: the one being reported, and those that
/// clearing up meets on the way.
pub const ERRORS: usize = 8;
/// Strings of argv or envp: each takes at least three bytes of a document
/// ("", and a comma), so a document cannot hold more. The kernel's own
/// limit (ARG_MAX, a quarter of the stack) is met first.
pub const STRINGS: usize = DOCUMENT / 3;
/// Slots of the hash table that finds variables of one name: a power of two
/// that leaves a third of them free at the limit above.
pub const NAMES: usize = 1 << 19;
/// Supplementary groups of a process: the kernel's NGROUPS_MAX.
pub const GROUPS: usize = 1 << 16;
/// Bytes of our own binary copied at once: far more than it has. (More than
/// the file offset can hold is refused by the kernel.)
pub const BINARY: usize = 1 << 24;
/// Bytes of all ids that `list` sorts: 10,000 of a hundred bytes.
pub const LISTING: usize = 1 << 20;
/// Bytes of the strings made for the kernel: those of a whole document
/// (decoded and with their NUL they take no more than there), a second time
/// for what the command line adds, and some paths.
pub const STRING_BYTES: usize = 2 * DOCUMENT + 16 * PATH;
/// Messages to a container's notify socket that are read once its first process has
/// ended: more than its queue holds (net.unix.max_dgram_qlen is 10, under systemd 512).
pub const LAST_MESSAGES: u32 = 1024;
/// Levels of cgroups nested below a container's, when its processes are
/// listed: one descriptor each. Removing them has no such limit.
pub const CGROUP_DEPTH: usize = 32;
/// Numbers of CPUs in a list: the largest that a kernel is built for (NR_CPUS).
pub const CPUS: usize = 8192;
/// Numbers of memory nodes: the kernel's MAX_NUMNODES.
pub const NODES: usize = 1024;
/// Bytes of the name of a cgroup's file, its NUL included: the kernel's NAME_MAX.
pub const CGROUP_FILE: usize = 256;
/// Bytes of the list of files that are given away with a cgroup: a tenth of it by now.
pub const DELEGATE: usize = 1024;
/// Bytes of what is written into a cgroup's file, with a NUL: the kernel takes
/// less than a page.
pub const CGROUP_LINE: usize = 4096;
/// Bytes that `update` keeps of what it overwrites: names of files and lines,
/// of 30 bytes each for all but a few.
pub const CGROUP_JOURNAL: usize = 1 << 16;
/// Instructions of a device program, eight bytes each. The kernel's own
/// limit for programs of the unprivileged (BPF_MAXINSNS); a rule takes at
/// most seven.
pub const DEVICE_PROGRAM: usize = 4096;
/// Instructions of a seccomp filter, eight bytes each: the kernel's
/// BPF_MAXINSNS. Also bounds the tests that it is made of.
pub const SECCOMP_PROGRAM: usize = 4096;
/// Rules of a seccomp profile that depend on arguments, and different lists of
/// them for one call. Each takes an instruction at least.
pub const SECCOMP_RULES: usize = 2048;
/// Different answers of a seccomp filter: actions, with their errnos. An
/// engine's profile has three.
pub const SECCOMP_ANSWERS: usize = 256;
/// Bytes of a time namespace's offsets: two lines of a word and two numbers.
pub const TIME_OFFSETS: usize = 128;
/// Bytes of a uid_map or gid_map: the kernel takes one write of less than
/// a page (user_namespaces(7)).
pub const ID_MAP_TEXT: usize = 4095;
/// Bytes of the container's /etc/passwd that are searched for HOME.
pub const PASSWD: usize = 1 << 20;
/// Bytes of a sysctl's name, and the path made of it. The longest that the
/// kernel has are about 80.
pub const SYSCTL: usize = 256;
/// Bytes on their way between two terminals, in each direction: what the
/// kernel takes for one line, and what a pipe takes whole (PIPE_BUF).
pub const RELAY: usize = 4096;
/// Bytes of output collected for one write: a page.
pub const OUTPUT: usize = 4096;
/// Tries to resolve a path in which folders are being moved about: each
/// takes a microsecond, and an attacker has to win them all.
pub const RESOLVE_RETRIES: usize = 128;
/// Read-only tmpfs mounts: each is a descriptor kept open until the end, as
/// later mounts may have their places in them.
pub const READ_ONLY_TMPFS: usize = 64;
/// Bytes of what a hook says that are kept for a message: its end, with room for
/// the rest of a sentence.
pub const HOOK_SAID: usize = 512;
/// Reads from a hook's pipe once it has ended: all that a pipe holds (64 KiB) in
/// such pieces.
pub const HOOK_PIPE_READS: usize = 65_536 / HOOK_SAID;
/// Nested folders that `tmpcopyup` copies: each is two descriptors. What is
/// copied so are folders like /etc and /run.
pub const COPY_UP_DEPTH: usize = 32;
/// Device nodes of the host's that a container in a user namespace is given:
/// each is a descriptor. A large host has about 200 in all.
pub const HOST_DEVICES: usize = 256;
/// Milliseconds before a service is first started again, and at most: twice as
/// long each time.
pub const BACK_OFF_FIRST: u64 = 100;
pub const BACK_OFF_MOST: u64 = 30_000;
/// Units of a boot. A LinuxKit image has about ten; what is known of one takes 150
/// bytes.
pub const UNITS: usize = 64;
/// Bytes of the kernel's command line (COMMAND_LINE_SIZE is 2,048 on x86, and 4,096
/// at most elsewhere).
pub const KERNEL_LINE: usize = 8192;
/// Bytes of the files in /ocinit that hold words, names or paths.
pub const BOOT_FILE: usize = 1 << 16;
/// Bytes of /ocinit/args, /ocinit/env and /ocinit/artifacts: what the kernel takes for one string
/// (MAX_ARG_STRLEN).
pub const BOOT_STRINGS: usize = 1 << 17;
/// Bytes of the names and paths of units, and of their annotations that are kept.
pub const UNIT_STRINGS: usize = 1 << 16;
/// Bytes of a runtime.json.
pub const RUNTIME_JSON: usize = 1 << 16;
/// Channels that the outside is told over.
pub const STATUS_CHANNELS: usize = 4;
/// Milliseconds that a device to be mounted is awaited, unless it is said.
pub const MOUNT_PATIENCE: u64 = 10_000;
/// Nanoseconds that the first lease of DHCP is awaited.
pub const DHCP_PATIENCE: u64 = 30_000_000_000;
/// Bytes of /proc/self/mountinfo that the end of the system looks at: some 150
/// mounts of process 1's own.
pub const MOUNTINFO: usize = 1 << 14;
/// Nested folders of an artifact: one descriptor each.
pub const ARTIFACT_DEPTH: usize = 32;
/// Milliseconds in which nothing of the artifacts is read or taken: then they are given up.
/// A host that stores them on a slow disk may take some seconds for a piece.
pub const ARTIFACT_PATIENCE: u64 = 60_000;
/// Bytes of a request to rtnetlink: the longest of ours has about 150.
pub const NETLINK_REQUEST: usize = 512;
/// Bytes of a datagram from rtnetlink: what the kernel makes of a page, and of
/// one of 64 KiB no more than this.
pub const NETLINK_ANSWER: usize = 8192;
/// Bytes of a DHCP message: what fits an Ethernet frame. A server sends no more
/// than 576 to a client that does not ask for more (RFC 2131).
pub const DHCP_MESSAGE: usize = 1500;
/// Bytes of a network device's name: the kernel's IFNAMSIZ, less the NUL.
pub const DEVICE_NAME: usize = 15;
/// Addresses that go with a network device to a container's namespace: few have
/// more than four.
pub const DEVICE_ADDRESSES: usize = 64;
/// Bytes of an ocinit.mount value as an entry of mounts[]: the kernel takes a
/// page of options.
pub const MOUNT_ENTRY: usize = PATH;
