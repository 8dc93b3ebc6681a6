//! The answer to `features` (features.md, features-linux.md).
//!
//! What works is said by whoever makes it work: the lists come in from above.

use super::linux::NamespaceTypes;
use super::record::{List, Map, Matching, OneOf, Pattern, WordSet};
use super::seccomp::{Actions, Architectures, Flags, Operators};
use super::version;
use super::write::Json;
use crate::error::Result;
use crate::json::Text as Str;
use crate::record;
use crate::word_list;
use crate::word_list::WordList;

type Text = Str<'static>;

/// What differs between versions of this program; lists have one blank between
/// their words.
#[derive(Clone, Copy)]
pub struct Supported<'a> {
    /// Mount options, but for those of file systems.
    pub mount_options: WordList,
    /// By the specification's names.
    pub namespaces: WordList,
    /// `CAP_…` names.
    pub capabilities: WordList,
    /// The architectures of seccomp filters.
    pub architectures: WordList,
    /// The flags of seccomp filters that this kernel has.
    pub seccomp_flags: WordList,
    /// Names and values.
    pub annotations: &'a [(&'a str, Json<'a>)],
}

impl Supported<'_> {
    /// Writes the features document into `buffer`; the number of bytes.
    ///
    /// # Errors
    /// Longer than the buffer.
    pub fn write(&self, buffer: &mut [u8]) -> Result<usize> {
        const YES_ALONE: Json = Json::Bool(true);
        const YES: Json = Json::Object(&[("enabled", YES_ALONE)]);
        const CGROUP: Json = Json::Object(&[
            ("v1", Json::Bool(false)),
            ("v2", Json::Bool(true)),
            ("systemd", Json::Bool(false)),
            ("systemdUser", Json::Bool(false)),
            ("rdma", Json::Bool(true)),
        ]);
        let seccomp = [
            ("enabled", Json::Bool(true)),
            ("actions", Json::Words(Actions::WORDS)),
            ("operators", Json::Words(Operators::WORDS)),
            ("archs", Json::Words(self.architectures)),
            ("knownFlags", Json::Words(Flags::WORDS)),
            ("supportedFlags", Json::Words(self.seccomp_flags)),
        ];
        let linux = [
            ("namespaces", Json::Words(self.namespaces)),
            ("capabilities", Json::Words(self.capabilities)),
            ("cgroup", CGROUP),
            ("seccomp", Json::Object(&seccomp)),
            ("apparmor", YES),
            ("selinux", YES),
            ("intelRdt", Json::Object(&[("enabled", YES_ALONE), ("schemata", YES_ALONE), ("monitoring", YES_ALONE)])),
            ("mountExtensions", Json::Object(&[("idmap", YES)])),
            ("netDevices", YES),
        ];
        Json::Object(&[
            ("ociVersionMin", Json::Text(version::LEAST)),
            ("ociVersionMax", Json::Text(version::MOST)),
            (
                "hooks",
                Json::Words(word_list!("prestart createRuntime createContainer startContainer poststart poststop")),
            ),
            ("mountOptions", Json::Words(self.mount_options)),
            ("linux", Json::Object(&linux)),
            ("annotations", Json::Object(self.annotations)),
            // No annotation changes what this program does.
            ("potentiallyUnsafeConfigAnnotations", Json::NoWords),
        ])
        .write("the features document", buffer)
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
        intel_rdt "intelRdt": IntelRdtView<'static>;
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
    /// `linux.intelRdt`, with its fields of 1.3.
    IntelRdtView {
        enabled "enabled": bool;
        schemata "schemata": bool;
        monitoring "monitoring": bool;
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
            && text.bytes().nth(4).is_some()
            && text.bytes().skip(4).all(|byte| matches!(byte, b'A'..=b'Z' | b'_'))
    }
}
