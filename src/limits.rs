//! Every fixed size of the program, with its reason.
//!
//! No allocator exists here: what is not bounded by a line of this table does
//! not exist. Exceeding a limit is an error that names it, never a truncation.

/// A limit, as an error names it.
pub struct Limit {
    /// What is limited, for a person.
    pub what: &'static str,
    /// The largest value that is still taken.
    pub most: usize,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $most:expr, $what:literal;)*) => {
        $($(#[$doc])* pub const $name: usize = $most;)*
        /// The table itself, for `features`-like listings, the README and tests.
        pub const ALL: &[Limit] = &[$(Limit { what: $what, most: $most }),*];
    };
}

limits! {
    /// Bytes of a config.json. The largest that an engine was seen to write is
    /// 90 KB; 1 MiB leaves room for 10,000 mounts. Also bounds what a process
    /// file (`exec --process`) may be.
    DOCUMENT = 1 << 20, "size of a JSON document in bytes";
    /// Levels of nesting in a JSON document: one bit each on the validator's
    /// stack. The deepest path in the runtime-spec has 8.
    NESTING = 128, "depth of nesting in a JSON document";
    /// Bytes of a member's name that a message shows before it goes on with "…":
    /// a name may be as long as the document, and what is wrong is said after it.
    NAME_SHOWN = 80, "length of a member's name in a message in bytes";
    /// Bytes of a path, its NUL included: the kernel's PATH_MAX.
    PATH = 4096, "length of a path in bytes (PATH_MAX)";
    /// Members of an object with names of its own (annotations, sysctls): each is
    /// compared with all before it, and an engine's largest has a few dozen.
    MAP_MEMBERS = 1024, "number of members in a map (annotations, sysctl, …)";
    /// Lines of uid_map or gid_map: the kernel's UID_GID_MAP_MAX_EXTENTS.
    ID_MAPPINGS = 340, "number of lines in a uid or gid mapping";
    /// Bytes of a host or domain name: the kernel's __NEW_UTS_LEN.
    HOSTNAME = 64, "length of a host or domain name in bytes";
    /// Bytes of the record in the state directory: three paths in the worst
    /// escaping (six bytes for one), and room for the rest.
    RECORD = 3 * 6 * PATH + 8192, "size of a container's state record in bytes";
    /// Bytes of the state document: two such paths, and annotations, which
    /// are never longer than in the config.json they come from.
    STATE = 2 * 6 * PATH + 8192 + DOCUMENT, "size of the state document in bytes";
    /// Bytes of a container id. It becomes a folder's name in the state
    /// directory, and a cgroup's: NAME_MAX, less room for what we append.
    ID = 240, "length of a container id in bytes";
    /// Bytes of an error's sentence. Longer ones end in "…": a sentence is for
    /// a person, and the position in the file comes first.
    MESSAGE = 1024, "length of an error message in bytes";
    /// Errors alive at one time: the one being reported, and those that
    /// clearing up meets on the way.
    ERRORS = 8, "errors alive at once";
    /// Strings of argv or envp: each takes at least three bytes of a document
    /// ("", and a comma), so a document cannot hold more. The kernel's own
    /// limit (ARG_MAX, a quarter of the stack) is met first.
    STRINGS = DOCUMENT / 3, "number of arguments or environment variables";
    /// Slots of the hash table that finds variables of one name: a power of two
    /// that leaves a third of them free at the limit above.
    NAMES = 1 << 19, "slots for the names of environment variables";
    /// Supplementary groups of a process: the kernel's NGROUPS_MAX.
    GROUPS = 1 << 16, "number of additional group ids (NGROUPS_MAX)";
    /// Bytes of our own binary copied at once: far more than it has. (More than
    /// the file offset can hold is refused by the kernel.)
    BINARY = 1 << 24, "bytes of the binary copied at once";
    /// Bytes of all ids that `list` sorts: 10,000 of a hundred bytes.
    LISTING = 1 << 20, "size of the ids of all containers in bytes";
    /// Bytes of the strings made for the kernel: those of a whole document
    /// (decoded and with their NUL they take no more than there), a second time
    /// for what the command line adds, and some paths.
    STRING_BYTES = 2 * DOCUMENT + 16 * PATH, "bytes of strings for the kernel";
    /// Levels of cgroups nested below a container's, when its processes are
    /// listed: one descriptor each. Removing them has no such limit.
    CGROUP_DEPTH = 32, "depth of cgroups nested in a container's";
    /// Instructions of a device program, eight bytes each. The kernel's own
    /// limit for programs of the unprivileged (BPF_MAXINSNS); a rule takes at
    /// most seven.
    DEVICE_PROGRAM = 4096, "instructions of a device program";
    /// Bytes of a time namespace's offsets: two lines of a word and two numbers.
    TIME_OFFSETS = 128, "size of the offsets of a time namespace in bytes";
    /// Bytes of a uid_map or gid_map: the kernel takes one write of less than
    /// a page (user_namespaces(7)).
    ID_MAP_TEXT = 4095, "size of a user or group id map in bytes";
    /// Bytes of the container's /etc/passwd that are searched for HOME.
    PASSWD = 1 << 20, "size of /etc/passwd in bytes";
    /// Bytes of a sysctl's name, and the path made of it. The longest that the
    /// kernel has are about 80.
    SYSCTL = 256, "length of a sysctl's name in bytes";
    /// Bytes on their way between two terminals, in each direction: what the
    /// kernel takes for one line, and what a pipe takes whole (PIPE_BUF).
    RELAY = 4096, "bytes relayed at once between two terminals";
    /// Bytes of output collected for one write: a page.
    OUTPUT = 4096, "bytes written at once to standard output";
    /// Tries to resolve a path in which folders are being moved about: each
    /// takes a microsecond, and an attacker has to win them all.
    RESOLVE_RETRIES = 128, "tries to resolve a path that keeps changing";
    /// Read-only tmpfs mounts: each is a descriptor kept open until the end, as
    /// later mounts may have their places in them.
    READ_ONLY_TMPFS = 64, "number of read-only tmpfs mounts";
    /// Nested folders that `tmpcopyup` copies: each is two descriptors. What is
    /// copied so are folders like /etc and /run.
    COPY_UP_DEPTH = 32, "depth of folders for tmpcopyup";
    /// Device nodes of the host's that a container in a user namespace is given:
    /// each is a descriptor. A large host has about 200 in all.
    HOST_DEVICES = 256, "number of devices in a user namespace";
}
