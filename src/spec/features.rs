//! The answer to `features` (features.md, features-linux.md).
//!
//! What works is said by whoever makes it work: the lists come in from above.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::linux::NamespaceTypes;
use super::record::{List, Map, Matching, OneOf, Pattern};
use super::seccomp::{Actions, Architectures, Flags, Operators};
use super::{version, write};
use crate::error::Result;
use crate::json::Text as Str;
use crate::record;

type Text = Str<'static>;

/// What differs between versions of this program.
#[derive(Clone, Copy)]
pub struct Supported<'a> {
    /// Names of the hooks that are run.
    pub hooks: &'a [&'a str],
    /// Mount options, but for those of file systems.
    pub mount_options: &'a [&'a str],
    /// By the specification's names.
    pub namespaces: &'a [&'a str],
    /// `CAP_…` names.
    pub capabilities: &'a [&'a str],
    /// Names and values.
    pub annotations: &'a [(&'a str, &'a str)],
}

impl Supported<'_> {
    /// Writes the features document into `buffer`; the number of bytes.
    ///
    /// # Errors
    /// Longer than the buffer.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize> {
        const NO: Enabled = Enabled { enabled: false };
        let document = FeaturesDocument {
            oci_version_min: version::LEAST,
            oci_version_max: version::MOST,
            hooks: self.hooks,
            mount_options: self.mount_options,
            linux: LinuxFeatures {
                namespaces: self.namespaces,
                capabilities: self.capabilities,
                cgroup: CgroupFeatures { v1: false, v2: true, systemd: false, systemd_user: false, rdma: false },
                seccomp: NO,
                apparmor: NO,
                selinux: NO,
                intel_rdt: NO,
                mount_extensions: MountExtensions { idmap: NO },
                net_devices: NO,
            },
            annotations: Pairs(self.annotations),
            // No annotation changes what this program does.
            potentially_unsafe_config_annotations: &[],
        };
        write::to_slice("the features document", &document, buffer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeaturesDocument<'a> {
    oci_version_min: &'a str,
    oci_version_max: &'a str,
    hooks: &'a [&'a str],
    mount_options: &'a [&'a str],
    linux: LinuxFeatures<'a>,
    annotations: Pairs<'a>,
    potentially_unsafe_config_annotations: &'a [&'a str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinuxFeatures<'a> {
    namespaces: &'a [&'a str],
    capabilities: &'a [&'a str],
    cgroup: CgroupFeatures,
    seccomp: Enabled,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: Enabled,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CgroupFeatures {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

struct Pairs<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

record! {
    /// The features document, read.
    Features {
        oci_version_min "ociVersionMin": Text, Required;
        oci_version_max "ociVersionMax": Text, Required;
        hooks "hooks": List<'static, Text>;
        mount_options "mountOptions": List<'static, Text>;
        annotations "annotations": Map<'static, Text>;
        potentially_unsafe_config_annotations "potentiallyUnsafeConfigAnnotations": List<'static, Text>;
        linux "linux": LinuxView<'static>;
    }
}

record! {
    /// `linux` (features-linux.md).
    LinuxView {
        namespaces "namespaces": List<'static, OneOf<NamespaceTypes>>;
        capabilities "capabilities": List<'static, Matching<CapabilityName>>;
        cgroup "cgroup": CgroupView<'static>;
        seccomp "seccomp": SeccompView<'static>;
        apparmor "apparmor": EnabledView<'static>;
        selinux "selinux": EnabledView<'static>;
        intel_rdt "intelRdt": EnabledView<'static>;
        mount_extensions "mountExtensions": MountExtensionsView<'static>;
        net_devices "netDevices": EnabledView<'static>;
    }
}

record! {
    /// `linux.cgroup`.
    CgroupView {
        v1 "v1": bool;
        v2 "v2": bool;
        systemd "systemd": bool;
        systemd_user "systemdUser": bool;
        rdma "rdma": bool;
    }
}

record! {
    /// `linux.seccomp`.
    SeccompView {
        enabled "enabled": bool;
        actions "actions": List<'static, OneOf<Actions>>;
        operators "operators": List<'static, OneOf<Operators>>;
        archs "archs": List<'static, OneOf<Architectures>>;
        known_flags "knownFlags": List<'static, OneOf<Flags>>;
        supported_flags "supportedFlags": List<'static, OneOf<Flags>>;
    }
}

record! {
    /// A facility that is there or not.
    EnabledView {
        enabled "enabled": bool;
    }
}

record! {
    /// `linux.mountExtensions`.
    MountExtensionsView {
        idmap "idmap": EnabledView<'static>;
    }
}

/// The name of a capability (capabilities(7)).
pub struct CapabilityName;

impl Pattern for CapabilityName {
    const SAYS: &'static str = "the name of a capability such as \"CAP_KILL\"";
    fn holds(text: Str<'_>) -> bool {
        text.starts_with("CAP_")
            && text.chars().nth(4).is_some()
            && text.chars().skip(4).all(|character| matches!(character, 'A'..='Z' | '_'))
    }
}
