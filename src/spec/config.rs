//! config.json: the container (config.md) and its process ("Process",
//! "Linux Process").

use core::ops::Deref;

use super::hooks::Hooks;
use super::linux::{IdMapping, Linux};
use super::number_list::NumberList;
use super::record::{Anything, Cells, Form, Id, List, Map, Matching, OneOf, OomScore, Shape, Umask, WordSet};
use super::strings::{AbsolutePath, AnyPath, MountText, UtsName, Variable};
use crate::json::{Text as Str, Value};
use crate::record;
use crate::word_list;
use crate::word_list::WordList;

type Text = Str<'static>;

/// The whole of config.json, and at hand what is asked for again and again.
#[derive(Clone, Copy)]
pub struct Config<'a> {
    members: TopLevel<'a>,
    linux: Option<Linux<'a>>,
}

impl<'a> Config<'a> {
    /// The form of the document.
    pub const FORM: Form = <TopLevel<'static> as Shape>::FORM;

    /// The object that stands at `value`, which was checked.
    pub fn view(value: Value<'a>) -> Self {
        let members = TopLevel::view(value);
        Config { members, linux: members.linux() }
    }

    /// `linux`, as the top level has it.
    pub fn linux(&self) -> Option<&Linux<'a>> {
        self.linux.as_ref()
    }
}

impl<'a> Deref for Config<'a> {
    type Target = TopLevel<'a>;

    fn deref(&self) -> &TopLevel<'a> {
        &self.members
    }
}

record! {
    /// The members of config.json (config.md).
    TopLevel {
        oci_version "ociVersion": Text, Required;
        root "root": Root<'static>;
        mounts "mounts": List<'static, Mount<'static>>;
        process "process": Process<'static>;
        hostname "hostname": Matching<UtsName>;
        domainname "domainname": Matching<UtsName>;
        hooks "hooks": Hooks<'static>;
        annotations "annotations": Map<'static, Text>;
        linux "linux": Linux<'static>;
        solaris "solaris": Anything, Foreign;
        windows "windows": Anything, Foreign;
        vm "vm": Anything, Foreign;
        zos "zos": Anything, Foreign;
        freebsd "freebsd": Anything, Foreign;
    }
}

record! {
    /// `root`: where the root file system is (config.md, "Root").
    Root {
        /// Absolute, or relative to the bundle.
        path "path": Matching<AnyPath>, Required;
        readonly "readonly": bool;
    }
}

record! {
    /// `mounts[]` (config.md, "Mounts").
    Mount {
        /// Inside the container. A relative one is taken from `/`, as runc does.
        destination "destination": Matching<AnyPath>, Required;
        /// `bind`, or a file system as /proc/filesystems names it.
        kind "type": Matching<MountText>;
        /// A device, a label, or for a bind a path, relative to the bundle.
        source "source": Matching<MountText>;
        options "options": List<'static, Text>;
        uid_mappings "uidMappings": List<'static, IdMapping<'static>>;
        gid_mappings "gidMappings": List<'static, IdMapping<'static>>;
    }
}

impl Mount<'_> {
    /// Whether it has id mappings of its own.
    pub fn maps_ids(&self) -> bool {
        !self.uid_mappings().is_empty() || !self.gid_mappings().is_empty()
    }
}

record! {
    /// `process` (config.md, "Process"); also the file of `exec --process`.
    Process {
        terminal "terminal": bool;
        console_size "consoleSize": ConsoleSize<'static>;
        /// Absolute, inside the container.
        cwd "cwd": Matching<AbsolutePath>, Required;
        env "env": List<'static, Matching<Variable>>;
        args "args": List<'static, Text>;
        command_line "commandLine": Text, Foreign;
        rlimits "rlimits": List<'static, Rlimit<'static>>;
        apparmor_profile "apparmorProfile": Text;
        capabilities "capabilities": Capabilities<'static>;
        no_new_privileges "noNewPrivileges": bool;
        oom_score_adj "oomScoreAdj": OomScore;
        scheduler "scheduler": Scheduler<'static>;
        selinux_label "selinuxLabel": Text;
        io_priority "ioPriority": IoPriority<'static>;
        exec_cpu_affinity "execCPUAffinity": CpuAffinity<'static>;
        user "user": User<'static>;
    }
}

record! {
    /// `process.consoleSize`, in characters.
    ConsoleSize {
        height "height": Cells, Required;
        width "width": Cells, Required;
    }
}

record! {
    /// `process.user` ("User"): ids inside the container.
    User {
        uid "uid": Id;
        gid "gid": Id;
        umask "umask": Umask;
        additional_gids "additionalGids": List<'static, Id>;
        /// A Windows field, which engines fill in on Linux too: not looked at.
        username "username": Text;
    }
}

record! {
    /// `process.capabilities` ("Linux Process"), each a list of `CAP_…` names.
    Capabilities {
        bounding "bounding": List<'static, Text>;
        effective "effective": List<'static, Text>;
        inheritable "inheritable": List<'static, Text>;
        permitted "permitted": List<'static, Text>;
        ambient "ambient": List<'static, Text>;
    }
}

record! {
    /// `process.rlimits[]` ("POSIX process"; getrlimit(2)).
    Rlimit {
        kind "type": OneOf<RlimitTypes>, Required;
        soft "soft": u64, Required;
        hard "hard": u64, Required;
    }
}

/// The resources of getrlimit(2); the index of a word is the kernel's number.
/// The schema takes any `RLIMIT_[A-Z]+`, its text demands an error for what the
/// kernel does not know.
pub struct RlimitTypes;

impl WordSet for RlimitTypes {
    const WORDS: WordList = word_list!(
        "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS \
                               RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS \
                               RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
    );
}

record! {
    /// `process.scheduler` (sched_setattr(2)); times in nanoseconds.
    Scheduler {
        policy "policy": OneOf<SchedulerPolicies>, Required;
        nice "nice": i32;
        priority "priority": i32;
        flags "flags": List<'static, OneOf<SchedulerFlags>>;
        runtime "runtime": u64;
        deadline "deadline": u64;
        period "period": u64;
    }
}

/// The policies of sched(7).
pub struct SchedulerPolicies;

impl WordSet for SchedulerPolicies {
    const WORDS: WordList =
        word_list!("SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_ISO SCHED_IDLE SCHED_DEADLINE");
}

/// The flags of sched_setattr(2).
pub struct SchedulerFlags;

impl WordSet for SchedulerFlags {
    const WORDS: WordList = word_list!(
        "SCHED_FLAG_RESET_ON_FORK SCHED_FLAG_RECLAIM SCHED_FLAG_DL_OVERRUN \
                               SCHED_FLAG_KEEP_POLICY SCHED_FLAG_KEEP_PARAMS SCHED_FLAG_UTIL_CLAMP_MIN \
                               SCHED_FLAG_UTIL_CLAMP_MAX"
    );
}

record! {
    /// `process.ioPriority` (ioprio_set(2)).
    IoPriority {
        class "class": OneOf<IoPriorityClasses>, Required;
        priority "priority": i32;
    }
}

/// The classes of ioprio_set(2).
pub struct IoPriorityClasses;

impl WordSet for IoPriorityClasses {
    const WORDS: WordList = word_list!("IOPRIO_CLASS_RT IOPRIO_CLASS_BE IOPRIO_CLASS_IDLE");
}

record! {
    /// `process.execCPUAffinity`: CPU lists, as cpuset(7) writes them.
    CpuAffinity {
        initial "initial": Matching<NumberList>;
        last "final": Matching<NumberList>;
    }
}
