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
    /// Bytes of a path, its NUL included: the kernel's PATH_MAX.
    PATH = 4096, "length of a path in bytes (PATH_MAX)";
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
    /// Levels of cgroups nested below a container's, when its processes are
    /// listed: one descriptor each. Removing them has no such limit.
    CGROUP_DEPTH = 32, "depth of cgroups nested in a container's";
    /// Instructions of a device program, eight bytes each. The kernel's own
    /// limit for programs of the unprivileged (BPF_MAXINSNS); a rule takes at
    /// most four.
    DEVICE_PROGRAM = 4096, "instructions of a device program";
    /// Lines of a uid_map or gid_map: the kernel's UID_GID_MAP_MAX_EXTENTS.
    ID_MAP_LINES = 340, "lines of a user or group id map";
    /// Bytes of a uid_map or gid_map: the kernel takes one write of less than
    /// a page (user_namespaces(7)).
    ID_MAP_TEXT = 4095, "size of a user or group id map in bytes";
    /// Supplementary groups: the kernel's NGROUPS_MAX.
    GROUPS = 65536, "number of additional groups";
    /// Bytes of the container's /etc/passwd that are searched for HOME.
    PASSWD = 1 << 20, "size of /etc/passwd in bytes";
    /// Bytes of a host name or a domain name: the kernel's __NEW_UTS_LEN.
    HOSTNAME = 64, "length of a host name or domain name in bytes";
    /// Bytes of a sysctl's name, and the path made of it. The longest that the
    /// kernel has are about 80.
    SYSCTL = 256, "length of a sysctl's name in bytes";
}
