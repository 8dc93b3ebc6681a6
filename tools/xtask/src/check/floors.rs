//! The floors: who may know whom.

use std::collections::BTreeSet;

use anyhow::ensure;

use super::source::{Source, read_all};
use super::{Outcome, Subject, passed};

/// The crate's top-level modules by floor, lowest first. A file imports only
/// from floors below its own, and from its own folder.
const FLOORS: &[&[&str]] = &[
    &["limits", "bytes", "word_list"],
    &["error"],
    &["json", "words", "sys"],
    &["spec", "worker"],
    &["namespace", "rootfs", "cgroup", "identity", "seccomp", "terminal", "network", "resctrl"],
    &["lifecycle"],
    &["cli", "init"],
];

/// Macros live at the crate's root: which module each is from.
const MACROS: &[(&str, &str)] = &[("fail", "error"), ("record", "spec")];

/// Files and folders that must stay free of system calls, so that they can be
/// tested on any machine. A trailing `/` stands for the whole folder.
const PURE: &[&str] = &[
    "bytes.rs",
    "word_list.rs",
    "error.rs",
    "limits.rs",
    "json/",
    "spec/",
    "namespace/flags.rs",
    "namespace/id_maps.rs",
    "namespace/time_offsets.rs",
    "rootfs/option_words.rs",
    "rootfs/options.rs",
    "cgroup/path.rs",
    "cgroup/convert.rs",
    "cgroup/shares.rs",
    "cgroup/stats.rs",
    "cgroup/device_program.rs",
    "identity/capability.rs",
    "identity/image.rs",
    "identity/passwd.rs",
    "init/command_line.rs",
    "init/cpio.rs",
    "init/mount_value.rs",
    "init/mountinfo.rs",
    "init/outcome.rs",
    "init/policy.rs",
    "init/smbios.rs",
    "init/superblock.rs",
    "lifecycle/arena.rs",
    "lifecycle/environment.rs",
    "network/address.rs",
    "network/dhcp/message.rs",
    "network/netlink.rs",
    "seccomp/compile.rs",
    "seccomp/compile/generate.rs",
    "seccomp/filter.rs",
    "seccomp/names.rs",
    "seccomp/numbers.rs",
    "cli/args.rs",
    "cli/columns.rs",
    "cli/commands.rs",
    "cli/help.rs",
    "cli/log_line.rs",
    "words.rs",
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

pub fn check(_: &Subject) -> Outcome {
    let sources = read_all()?;
    let touching = touching(&sources);
    let mut wrong: Vec<String> = PURE
        .iter()
        .filter(|pure| !sources.iter().any(|source| stands_for(pure, source)))
        .map(|pure| format!("src/{pure}: is to be pure, and is not there"))
        .collect();
    for source in &sources {
        // The library's root names every module, the entry point stands above all.
        if source.path == "lib.rs" || source.is_test() || (source.is_ground() && !source.path.starts_with("sys/")) {
            continue;
        }
        wrong.extend(imports(source));
        wrong.extend(testability(source, &sources, &touching));
    }
    ensure!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    let tested = sources.iter().filter(|source| source.tested).count();
    passed(format!("{} files on {} floors, {tested} of them with host tests", sources.len(), FLOORS.len()))
}

/// The top-level module that a file belongs to.
fn module(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

fn imports(source: &Source) -> Vec<String> {
    let own = module(&source.path);
    let Some(own_floor) = floor(own) else {
        return vec![format!("src/{}: `{own}` stands on no floor", source.path)];
    };
    let mut wrong = Vec::new();
    for name in source.references() {
        let name = MACROS.iter().find(|(macro_name, _)| *macro_name == name).map_or(name.as_str(), |(_, home)| home);
        if name == own {
            continue;
        }
        match floor(name) {
            None => wrong.push(format!("src/{}: `crate::{name}` stands on no floor", source.path)),
            Some(floor) if floor >= own_floor => wrong.push(format!(
                "src/{}: imports `{name}`, which is {}",
                source.path,
                if floor == own_floor { "on the same floor" } else { "on a higher floor" }
            )),
            Some(_) => {}
        }
    }
    wrong
}

/// The files that touch the kernel: they import `sys`, or a file of their own
/// folder that does.
fn touching(sources: &[Source]) -> BTreeSet<&str> {
    let mut touching: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.references().iter().any(|name| name == "sys"))
        .map(|source| source.path.as_str())
        .collect();
    loop {
        let more: Vec<&str> = sources
            .iter()
            .filter(|source| !touching.contains(source.path.as_str()))
            .filter(|source| {
                let folder = source.folder();
                source.siblings().iter().any(|name| touching.contains(format!("{folder}{name}.rs").as_str()))
            })
            .map(|source| source.path.as_str())
            .collect();
        if more.is_empty() {
            return touching;
        }
        touching.extend(more);
    }
}

/// Whether a line of [`PURE`] is about this file.
fn stands_for(pure: &str, source: &Source) -> bool {
    source.path == pure || (pure.ends_with('/') && source.path.starts_with(pure))
}

/// A file either touches the kernel or is host-tested, never neither; and those
/// that are to be pure are.
fn testability(source: &Source, sources: &[Source], touching: &BTreeSet<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let touches = touching.contains(source.path.as_str());
    if touches && PURE.iter().any(|pure| stands_for(pure, source)) {
        wrong.push(format!("src/{}: imports `sys`, but is to be pure", source.path));
    }
    // A folder's tests may stand together, in its `tests`.
    let folder = source.folder();
    let tested_together = !folder.is_empty()
        && sources.iter().any(|other| other.is_test() && other.path.starts_with(&format!("{folder}tests")));
    if !source.is_ground() && !touches && !source.tested && !tested_together && source.acts() {
        wrong.push(format!("src/{}: neither imports `sys` nor has host tests", source.path));
    }
    wrong
}
