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
    /// Tries to resolve a path in which folders are being moved about: each
    /// takes a microsecond, and an attacker has to win them all.
    RESOLVE_RETRIES = 128, "tries to resolve a path that keeps changing";
    /// Read-only tmpfs mounts: each is a descriptor kept open until the end, as
    /// later mounts may have their places in them.
    READ_ONLY_TMPFS = 64, "number of read-only tmpfs mounts";
    /// Nested folders that `tmpcopyup` copies: each is two descriptors and some
    /// 2 KB of stack. What is copied so are folders like /etc and /run.
    COPY_UP_DEPTH = 32, "depth of folders for tmpcopyup";
    /// Device nodes of the host's that a container in a user namespace is given:
    /// each is a descriptor. A large host has about 200 in all.
    HOST_DEVICES = 256, "number of devices in a user namespace";
}
