//! The table of commands and flags: what may be given, and what it means.
//!
//! The parser, the help texts and the checks all read this one table. Names and
//! shapes are those that engines use with runc 1.5; how a command is carried
//! out is not known here.

use crate::bytes;
use crate::word_list;
use crate::word_list::WordList;

/// A command by what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Create,
    Delete,
    Events,
    Exec,
    Features,
    Help,
    Kill,
    List,
    Pause,
    Ps,
    Resume,
    Run,
    Spec,
    Start,
    State,
    Update,
}

/// One command.
pub struct Command {
    pub task: Task,
    pub name: &'static str,
    /// What it does, for the list of commands: half a sentence.
    pub about: &'static str,
    /// The words after the flags, as the usage line shows them.
    pub words: &'static str,
    /// How many words there may be: at least, at most. The first word of a
    /// command that needs one is a container's id.
    pub count: (u8, u8),
    /// Whether flags may also follow words, as in `delete ID --force`. Where
    /// the words are another program's (`exec ID ls -l`) they may not.
    pub flags_anywhere: bool,
    pub flags: &'static [Flag],
}

/// No bound on the number of words.
pub const MANY: u8 = u8::MAX;

/// Commands of runc's that this version does not have: naming one is an honest
/// error, not a spelling mistake.
pub const LATER: WordList = word_list!(@LATER_TEXT);
/// The same, with a blank before each.
pub const LATER_TEXT: &str = " checkpoint restore";

const fn command(task: Task, name: &'static str, about: &'static str) -> Command {
    Command { task, name, about, words: "ID", count: (1, 1), flags_anywhere: true, flags: &[] }
}

/// The flags of `update`. Behind the first come those that each set one member of
/// `linux.resources`, in the order of `update`'s names for them.
pub const UPDATE: &[Flag] = &[
    Flag::Resources,
    Flag::BlkioWeight,
    Flag::CpuPeriod,
    Flag::CpuQuota,
    Flag::CpuBurst,
    Flag::CpuShare,
    Flag::CpuRtPeriod,
    Flag::CpuRtRuntime,
    Flag::CpusetCpus,
    Flag::CpusetMems,
    Flag::CpuIdle,
    Flag::Memory,
    Flag::MemoryReservation,
    Flag::MemorySwap,
    Flag::PidsLimit,
    Flag::L3CacheSchema,
    Flag::MemBwSchema,
    Flag::KernelMemory,
    Flag::KernelMemoryTcp,
];

/// Every command, in the order in which `--help` lists them: by what a person
/// meets first.
pub const COMMANDS: &[Command] = &[
    Command {
        words: "",
        count: (0, 0),
        flags: &[Flag::Bundle, Flag::SpecRootless],
        ..command(Task::Spec, "spec", "write a config.json to start from")
    },
    Command {
        flags: &[
            Flag::Bundle,
            Flag::Config,
            Flag::Detach,
            Flag::Keep,
            Flag::ConsoleSocket,
            Flag::PidFile,
            Flag::PidfdSocket,
            Flag::PreserveFds,
            Flag::NoPivot,
            Flag::NoNewKeyring,
            Flag::NoSubreaper,
        ],
        ..command(Task::Run, "run", "create a container, start it and wait for it")
    },
    Command {
        flags: &[
            Flag::Bundle,
            Flag::Config,
            Flag::ConsoleSocket,
            Flag::PidFile,
            Flag::PidfdSocket,
            Flag::PreserveFds,
            Flag::NoPivot,
            Flag::NoNewKeyring,
        ],
        ..command(Task::Create, "create", "create a container; its process waits for start")
    },
    command(Task::Start, "start", "start the process of a created container"),
    command(Task::State, "state", "print the state of a container as JSON"),
    Command {
        words: "ID [COMMAND [ARGUMENT…]]",
        count: (1, MANY),
        flags_anywhere: false,
        flags: &[
            Flag::Process,
            Flag::Tty,
            Flag::Detach,
            Flag::Cwd,
            Flag::Env,
            Flag::User,
            Flag::AdditionalGids,
            Flag::Cap,
            Flag::NoNewPrivs,
            Flag::ConsoleSocket,
            Flag::PidFile,
            Flag::PidfdSocket,
            Flag::PreserveFds,
            Flag::Cgroup,
            Flag::IgnorePaused,
            Flag::ProcessLabel,
            Flag::Apparmor,
        ],
        ..command(Task::Exec, "exec", "run a further process in a running container")
    },
    Command {
        words: "ID [SIGNAL]",
        count: (1, 2),
        flags: &[Flag::All],
        ..command(Task::Kill, "kill", "send a signal to a container's process (TERM unless given)")
    },
    Command {
        flags: &[Flag::Force],
        ..command(Task::Delete, "delete", "remove a container and all that belongs to it")
    },
    command(Task::Pause, "pause", "freeze all processes of a container"),
    command(Task::Resume, "resume", "let a paused container go on"),
    Command { flags: UPDATE, ..command(Task::Update, "update", "change the limits of a container that runs") },
    Command {
        flags: &[Flag::Interval, Flag::Stats],
        ..command(Task::Events, "events", "print what a container uses, and when it runs out of memory, as JSON")
    },
    Command {
        words: "",
        count: (0, 0),
        flags: &[Flag::Format, Flag::Quiet],
        ..command(Task::List, "list", "list the containers")
    },
    Command {
        words: "ID [OPTION…]",
        count: (1, MANY),
        flags_anywhere: false,
        flags: &[Flag::Format],
        ..command(Task::Ps, "ps", "list the processes of a container")
    },
    Command {
        words: "",
        count: (0, 0),
        ..command(Task::Features, "features", "print what this runtime supports as JSON")
    },
    Command { words: "[COMMAND]", count: (0, 1), ..command(Task::Help, "help", "explain the program, or one command") },
];

/// The command of that name.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name.as_bytes() == name)
}

/// What follows a flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A switch: nothing, or `=true` or `=false`.
    Nothing,
    /// Any text.
    Text,
    /// A decimal number of 0 … 2³¹-1.
    Number,
    /// A decimal number of 64 bits, which may be below zero.
    Integer,
    /// A number of bytes, perhaps with a unit; -1 for no limit.
    Size,
    /// A time above zero, in units that it names.
    Duration,
    /// One of some words, which are given with bars between them.
    OneOf,
    /// `NAME=VALUE`.
    Assignment,
    /// A numeric user id, optionally a colon and a group id.
    User,
    /// A numeric group id.
    Group,
}

/// One flag.
pub struct FlagRow {
    /// Its name behind two dashes (or one).
    pub long: &'static str,
    /// Its letter behind one dash, where it has one.
    pub short: &'static str,
    /// What follows it, as the help shows it.
    pub value: &'static str,
    /// What it does.
    pub about: &'static str,
}

impl FlagRow {
    /// What may follow it.
    pub fn takes(&self) -> Takes {
        match self.value {
            "" => Takes::Nothing,
            "N" => Takes::Number,
            "INTEGER" => Takes::Integer,
            "BYTES" => Takes::Size,
            "DURATION" => Takes::Duration,
            "NAME=VALUE" => Takes::Assignment,
            "UID[:GID]" => Takes::User,
            "GID" => Takes::Group,
            choices if choices.as_bytes().contains(&b'|') => Takes::OneOf,
            _ => Takes::Text,
        }
    }
}

macro_rules! flags {
    ($($flag:ident = $long:literal $short:literal $value:literal $about:literal;)*) => {
        /// A flag by its meaning.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Flag { $($flag),* }

        /// One line for each, its parts cut by tabs: a structure with strings
        /// would take more room than the strings.
        const FLAGS: &str = concat!($($long, "\t", $short, "\t", $value, "\t", $about, "\n"),*);
    };
}

impl Flag {
    /// What the table says of it.
    pub fn row(self) -> FlagRow {
        let line = bytes::part(FLAGS, b'\n', self as usize).unwrap_or("");
        let part = |index| bytes::part(line, b'\t', index).unwrap_or("");
        FlagRow { long: part(0), short: part(1), value: part(2), about: part(3) }
    }
}

// Name, letter, value and what it does.
flags! {
    // Global.
    Root = "root" "" "DIR" "folder of the containers' state (default /run/ocinit, or in $XDG_RUNTIME_DIR)";
    Log = "log" "" "FILE" "append errors and warnings to FILE";
    LogFormat = "log-format" "" "text|json" "how the log is written (default text)";
    Debug = "debug" "" "" "write warnings to a JSON log at once, not after a success";
    SystemdCgroup = "systemd-cgroup" "" "" "let systemd make the cgroups: not supported by this version";
    CgroupManager = "cgroup-manager" "" "cgroupfs|disabled|systemd"
        "who makes the cgroups (default cgroupfs; systemd: not supported by this version)";
    Rootless = "rootless" "" "true|false|auto" "do without a cgroup that may not be made (auto: for an ordinary user)";
    Version = "version" "v" "" "print the version";
    // Of every command, and global.
    Help = "help" "h" "" "print this help";
    // create, run, exec
    Bundle = "bundle" "b" "DIR" "the bundle (default: the current folder)";
    Config = "config" "f" "FILE" "the configuration, instead of the bundle's config.json";
    ConsoleSocket = "console-socket" "" "SOCKET" "UNIX socket that is sent the terminal's master side";
    Detach = "detach" "d" "" "do not wait for the process to end";
    Keep = "keep" "" "" "do not delete the container once it has ended";
    NoNewKeyring = "no-new-keyring" "" "" "keep the caller's session keyring";
    NoPivot = "no-pivot" "" "" "change the root without pivot_root, for a root file system on an initramfs";
    NoSubreaper = "no-subreaper" "" "" "do not adopt the container's orphans while waiting for it";
    PidFile = "pid-file" "" "FILE" "write the process id to FILE";
    PidfdSocket = "pidfd-socket" "" "SOCKET" "UNIX socket that is sent a pidfd of the process";
    PreserveFds = "preserve-fds" "" "N" "pass N descriptors on, from 3 upwards ($LISTEN_FDS are added)";
    // exec
    AdditionalGids = "additional-gids" "g" "GID" "a further group id (may be repeated)";
    Apparmor = "apparmor" "" "PROFILE" "AppArmor profile";
    Cap = "cap" "c" "CAPABILITY" "a further capability (may be repeated)";
    Cgroup = "cgroup" "" "PATH" "an existing cgroup below the container's";
    Cwd = "cwd" "" "DIR" "the working directory, in the container";
    Env = "env" "e" "NAME=VALUE" "a further environment variable (may be repeated)";
    IgnorePaused = "ignore-paused" "" "" "also into a paused container";
    NoNewPrivs = "no-new-privs" "" "" "set the process's no_new_privs bit";
    Process = "process" "p" "FILE" "JSON file of the process, instead of a COMMAND; limits left out are the container's";
    ProcessLabel = "process-label" "" "LABEL" "SELinux label";
    Tty = "tty" "t" "" "give the process a terminal";
    User = "user" "u" "UID[:GID]" "user id, and group id, in the container";
    // update
    Resources = "resources" "r" "FILE" "the limits as JSON (- is standard input); of the other flags only schemata count";
    BlkioWeight = "blkio-weight" "" "INTEGER" "weight of block I/O, 10 to 1000";
    CpuPeriod = "cpu-period" "" "INTEGER" "period of the CPU quota, in microseconds";
    CpuQuota = "cpu-quota" "" "INTEGER" "CPU time in a period, in microseconds; -1 is no limit";
    CpuBurst = "cpu-burst" "" "INTEGER" "CPU time that may be saved up for later, in microseconds";
    CpuShare = "cpu-share" "" "INTEGER" "CPU shares, 2 to 262144; 1024 is usual";
    CpuRtPeriod = "cpu-rt-period" "" "INTEGER" "ignored: not in cgroup version 2";
    CpuRtRuntime = "cpu-rt-runtime" "" "INTEGER" "ignored: not in cgroup version 2";
    CpusetCpus = "cpuset-cpus" "" "LIST" "CPUs to use, as 0-3,7";
    CpusetMems = "cpuset-mems" "" "LIST" "memory nodes to use, as 0-3,7";
    CpuIdle = "cpu-idle" "" "INTEGER" "1: only what CPU time nobody else wants";
    Memory = "memory" "" "BYTES" "limit of memory, as 64M; -1 is no limit";
    MemoryReservation = "memory-reservation" "" "BYTES" "memory that is left to it when memory is short";
    MemorySwap = "memory-swap" "" "BYTES" "limit of memory and swap together; -1 is no limit";
    PidsLimit = "pids-limit" "" "INTEGER" "number of processes and threads; -1 is no limit";
    L3CacheSchema = "l3-cache-schema" "" "LINES" "schemata of L3 caches for its class of service, as L3:0=ff";
    MemBwSchema = "mem-bw-schema" "" "LINE" "that of memory bandwidth, as MB:0=50";
    KernelMemory = "kernel-memory" "" "TEXT" "ignored: not in cgroup version 2";
    KernelMemoryTcp = "kernel-memory-tcp" "" "TEXT" "ignored: not in cgroup version 2";
    // events
    Interval = "interval" "" "DURATION" "time between two statistics, as 1m30s (default 5s)";
    Stats = "stats" "" "" "print the statistics once, and end";
    // kill, delete, list, ps, spec
    All = "all" "a" "" "obsolete: a container that has stopped is no error";
    Force = "force" "f" "" "kill it if it runs; an unknown ID is no error";
    Format = "format" "f" "table|json" "how it is printed (default table)";
    Quiet = "quiet" "q" "" "only ids";
    SpecRootless = "rootless" "" "" "for an ordinary user's container";
}

/// The flags before the command.
pub const GLOBAL: &[Flag] = &[
    Flag::Root,
    Flag::Log,
    Flag::LogFormat,
    Flag::Debug,
    Flag::CgroupManager,
    Flag::SystemdCgroup,
    Flag::Rootless,
    Flag::Version,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::string::ToString;

    #[test]
    fn no_name_is_given_twice() {
        for flags in COMMANDS.iter().map(|command| command.flags).chain([GLOBAL]) {
            let mut names = HashSet::new();
            for flag in flags.iter().chain([&Flag::Help]) {
                assert!(names.insert(flag.row().long.to_string()), "{}", flag.row().long);
                let short = flag.row().short;
                assert!(short.is_empty() || names.insert(short.to_string()), "{short}");
            }
        }
    }

    #[test]
    fn commands_are_found_by_their_whole_name() {
        assert!(find(b"run").is_some_and(|command| command.task == Task::Run));
        assert!(find(b"restore").is_none() && LATER.find(b"restore").is_some());
        assert!(find(b"ru").is_none() && find(b"").is_none() && find(b"Run").is_none());
    }
}
