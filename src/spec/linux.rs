//! `linux` (config-linux.md), but for its resources and seccomp.

use super::number_list::NumberList;
use super::record::{List, Map, Matching, OneOf, Pattern, WordSet};
use super::resources::Resources;
use super::seccomp::Seccomp;
use super::strings::{AbsolutePath, PathOrNone};
use crate::json::Text as Str;
use crate::word_list;
use crate::word_list::WordList;
use crate::{limits, record};

type Text = Str<'static>;

record! {
    /// `linux`.
    Linux {
        devices "devices": List<'static, Device<'static>>;
        net_devices "netDevices": Map<'static, NetDevice<'static>>;
        uid_mappings "uidMappings": List<'static, IdMapping<'static>>;
        gid_mappings "gidMappings": List<'static, IdMapping<'static>>;
        namespaces "namespaces": List<'static, Namespace<'static>>;
        resources "resources": Resources<'static>;
        /// Absolute: from the cgroup mount's root. Relative: below our own choice.
        cgroups_path "cgroupsPath": Text;
        rootfs_propagation "rootfsPropagation": OneOf<Propagations>;
        seccomp "seccomp": Seccomp<'static>;
        sysctl "sysctl": Map<'static, Text>;
        masked_paths "maskedPaths": Paths<'static>;
        readonly_paths "readonlyPaths": Paths<'static>;
        mount_label "mountLabel": Text;
        intel_rdt "intelRdt": IntelRdt<'static>;
        memory_policy "memoryPolicy": MemoryPolicy<'static>;
        personality "personality": Personality<'static>;
        time_offsets "timeOffsets": TimeOffsets<'static>;
    }
}

/// Paths in the container.
pub type Paths<'a> = List<'a, Matching<AbsolutePath>>;

record! {
    /// `linux.namespaces[]`.
    Namespace {
        kind "type": OneOf<NamespaceTypes>, Required;
        /// An existing one to enter, in the runtime's mount namespace; without
        /// it a new one is made.
        path "path": Matching<PathOrNone>;
    }
}

/// The types of namespaces(7), by the specification's names.
pub struct NamespaceTypes;

impl WordSet for NamespaceTypes {
    const WORDS: WordList = word_list!("mount pid network uts ipc user cgroup time");
}

record! {
    /// A line of uid_map or gid_map (user_namespaces(7)).
    IdMapping {
        container_id "containerID": u32, Required;
        host_id "hostID": u32, Required;
        size "size": u32, Required;
    }
}

record! {
    /// `linux.devices[]`: a device node to make.
    Device {
        kind "type": OneOf<DeviceTypes>, Required;
        path "path": Matching<AbsolutePath>, Required;
        major "major": i64;
        minor "minor": i64;
        /// The schema ends at 0777. Engines that copy a host's node send its whole
        /// st_mode, with the file's type and set-id bits, and runc takes it.
        file_mode "fileMode": u32;
        uid "uid": u32;
        gid "gid": u32;
    }
}

/// Character device, block device, unbuffered character device, FIFO (mknod(1)).
pub struct DeviceTypes;

impl WordSet for DeviceTypes {
    const WORDS: WordList = word_list!("c b u p");
}

record! {
    /// A member of `linux.netDevices`: a host's interface to move.
    NetDevice {
        name "name": Text;
    }
}

/// How mount events travel (mount_namespaces(7), "Shared subtrees"). The schema
/// has the first four; engines send the recursive forms, and "" for the default.
pub struct Propagations;

impl WordSet for Propagations {
    const WORDS: WordList = word_list!("shared slave private unbindable rshared rslave rprivate runbindable ");
}

record! {
    /// `linux.intelRdt`.
    IntelRdt {
        clos_id "closID": Matching<ClassName>;
        schemata "schemata": List<'static, Text>;
        l3_cache_schema "l3CacheSchema": Text;
        mem_bw_schema "memBwSchema": Matching<MemBwSchema>;
        enable_monitoring "enableMonitoring": bool;
    }
}

/// The name of a folder below the mount of resctrl; `/` is the mount itself.
pub struct ClassName;

impl Pattern for ClassName {
    const SAYS: &'static str = "the name of a class";
    const MOST: usize = limits::ID;
    fn holds(text: Str<'_>) -> bool {
        text.is("/") || !(text.is(".") || text.is("..") || text.bytes().any(|byte| matches!(byte, b'/' | b'\n')))
    }
}

/// The line of a resctrl schemata file about memory bandwidth.
pub struct MemBwSchema;

impl Pattern for MemBwSchema {
    const SAYS: &'static str = "one line that begins with \"MB:\"";
    fn holds(text: Str<'_>) -> bool {
        text.starts_with("MB:") && text.bytes().all(|byte| byte != b'\n')
    }
}

record! {
    /// `linux.memoryPolicy` (set_mempolicy(2)).
    MemoryPolicy {
        mode "mode": OneOf<MemoryPolicyModes>, Required;
        nodes "nodes": Matching<NumberList>;
        flags "flags": List<'static, OneOf<MemoryPolicyFlags>>;
    }
}

/// The modes of set_mempolicy(2).
pub struct MemoryPolicyModes;

impl WordSet for MemoryPolicyModes {
    const WORDS: WordList = word_list!(
        "MPOL_DEFAULT MPOL_PREFERRED MPOL_BIND MPOL_INTERLEAVE MPOL_LOCAL \
                               MPOL_PREFERRED_MANY MPOL_WEIGHTED_INTERLEAVE"
    );
}

/// The mode flags of set_mempolicy(2).
pub struct MemoryPolicyFlags;

impl WordSet for MemoryPolicyFlags {
    const WORDS: WordList = word_list!("MPOL_F_NUMA_BALANCING MPOL_F_RELATIVE_NODES MPOL_F_STATIC_NODES");
}

record! {
    /// `linux.personality` (personality(2)).
    Personality {
        domain "domain": OneOf<PersonalityDomains>;
        flags "flags": List<'static, Text>;
    }
}

/// The execution domains that the specification names.
pub struct PersonalityDomains;

impl WordSet for PersonalityDomains {
    const WORDS: WordList = word_list!("LINUX LINUX32");
}

record! {
    /// `linux.timeOffsets` (time_namespaces(7)).
    TimeOffsets {
        monotonic "monotonic": TimeOffset<'static>;
        boottime "boottime": TimeOffset<'static>;
    }
}

record! {
    /// The distance of one clock from the host's.
    TimeOffset {
        secs "secs": i64;
        nanosecs "nanosecs": u32;
    }
}
