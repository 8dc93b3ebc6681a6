//! The table of all cases, by group.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::case::Case;
use crate::context::Context;

mod bad_input;
mod boot;
mod boot_broken;
mod boot_told;
mod boot_units;
mod comparison;
mod descriptors;
mod devices;
mod devices_moved;
mod ending;
mod escapes;
mod escapes_by_descriptor;
mod escapes_by_path;
mod exec;
mod hooks;
mod hooks_failing;
mod hybrid;
mod identity;
mod idmapped;
mod interrupting;
mod joining;
mod labels;
mod lifecycle;
mod limits;
mod mount_options;
mod mounts;
mod namespaces;
mod notify;
mod pausing;
mod process;
mod races;
mod resctrl;
mod resources;
mod resources_of_devices;
mod rootless;
mod schedule;
mod seccomp;
mod seccomp_compiler;
mod seccomp_listener;
mod telling;
mod terminals;
mod updating;
mod walkthrough;

/// All cases, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let groups = [
        lifecycle::CASES,
        telling::CASES,
        ending::CASES,
        namespaces::CASES,
        mounts::CASES,
        mount_options::CASES,
        idmapped::CASES,
        devices::CASES,
        resources::CASES,
        resources_of_devices::CASES,
        limits::CASES,
        updating::CASES,
        pausing::CASES,
        process::CASES,
        descriptors::CASES,
        identity::CASES,
        rootless::CASES,
        terminals::CASES,
        exec::CASES,
        joining::CASES,
        hooks::CASES,
        hooks_failing::CASES,
        interrupting::CASES,
        schedule::CASES,
        labels::CASES,
        notify::CASES,
        resctrl::CASES,
        devices_moved::CASES,
        escapes::CASES,
        escapes_by_descriptor::CASES,
        escapes_by_path::CASES,
        bad_input::CASES,
        comparison::CASES,
        seccomp::CASES,
        seccomp_listener::CASES,
        seccomp_compiler::CASES,
        hybrid::CASES,
        races::CASES,
        walkthrough::CASES,
        boot::CASES,
        boot_broken::CASES,
        boot_told::CASES,
        boot_units::CASES,
    ];
    groups.into_iter().flatten()
}

/// The file in which the runtime keeps a container's record.
fn record(context: &Context, id: &str) -> Result<PathBuf> {
    let folder = context.state_dir().join(id);
    let found = ["state.json", "status"].map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    found.with_context(|| format!("no record in {}", folder.display()))
}
