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
    /// Bytes on their way between two terminals, in each direction: what the
    /// kernel takes for one line, and what a pipe takes whole (PIPE_BUF).
    RELAY = 4096, "bytes relayed at once between two terminals";
    /// Bytes of output collected for one write: a page.
    OUTPUT = 4096, "bytes written at once to standard output";
}
