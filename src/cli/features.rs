//! `features`: what this version carries out, as JSON.

use super::output::print;
use crate::error::Result;
use crate::identity::capability_names;
use crate::lifecycle::Workspace;
use crate::rootfs::MOUNT_OPTIONS;
use crate::seccomp;
use crate::spec::features::Supported;
use crate::spec::linux::NamespaceTypes;
use crate::spec::record::WordSet;
use crate::spec::seccomp::Flags;
use crate::spec::write::Json;

/// Prints the document. Nothing goes to standard error: CRI-O reads both.
pub fn features(workspace: &mut Workspace) -> Result<i32> {
    let supported = Supported {
        mount_options: MOUNT_OPTIONS,
        namespaces: NamespaceTypes::WORDS,
        capabilities: capability_names(),
        architectures: seccomp::ARCHITECTURE_NAMES,
        seccomp_flags: if seccomp::waits_killable() { Flags::WORDS } else { Flags::OLD },
        annotations: &[
            ("io.github.ocinit.version", Json::Text(env!("CARGO_PKG_VERSION"))),
            ("io.github.ocinit.commit", Json::Text(env!("OCINIT_COMMIT"))),
        ],
    };
    let length = supported.write(&mut workspace.output)?;
    print(workspace.output.get(..length).unwrap_or(&[]))?;
    print(b"\n").map(|()| 0)
}
