//! The floors: who may know whom.

use anyhow::ensure;

use super::source::{Source, read_all};
use super::{Outcome, Subject, passed};

/// The crate's top-level modules by floor, lowest first. A file imports only
/// from floors below its own, and from its own folder.
const FLOORS: &[&[&str]] = &[
    &["limits"],
    &["error"],
    &["json", "sys"],
    &["spec"],
    &["namespace", "rootfs", "cgroup", "identity", "seccomp", "terminal", "network", "systemd", "criu"],
    &["lifecycle"],
    &["cli", "init"],
];

/// Macros live at the crate's root: which module each is from.
const MACROS: &[(&str, &str)] = &[("fail", "error"), ("record", "spec")];

/// Files and folders that must stay free of system calls, so that they can be
/// tested on any machine. A trailing `/` stands for the whole folder.
const PURE: &[&str] = &[
    "error.rs",
    "limits.rs",
    "json/",
    "spec/",
    "namespace/flags.rs",
    "rootfs/options.rs",
    "cgroup/path.rs",
    "cgroup/convert.rs",
    "cgroup/device_program.rs",
    "identity/capability.rs",
    "seccomp/filter.rs",
    "seccomp/compile.rs",
    "seccomp/tables.rs",
    "systemd/messages.rs",
    "criu/messages.rs",
    "lifecycle/plan.rs",
    "lifecycle/plan/",
    "cli/args.rs",
    "cli/args/",
    "init/configuration.rs",
    "init/units.rs",
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

pub fn check(_: &Subject) -> Outcome {
    let sources = read_all()?;
    let mut wrong = Vec::new();
    for source in &sources {
        // The library's root names every module, the entry point stands above all.
        if source.path == "lib.rs" || (source.is_ground() && !source.path.starts_with("sys/")) {
            continue;
        }
        wrong.extend(imports(source));
        wrong.extend(testability(source));
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

/// A file either touches the kernel or is host-tested, never neither; and those
/// that are to be pure are.
fn testability(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let touches = source.references().iter().any(|name| name == "sys");
    let pure = PURE.iter().any(|pure| match pure.strip_suffix('/') {
        Some(folder) => {
            source.path.split_once('/').is_some_and(|(first, _)| first == folder) || source.path.starts_with(pure)
        }
        None => source.path == *pure,
    });
    if pure && touches {
        wrong.push(format!("src/{}: imports `sys`, but is to be pure", source.path));
    }
    if !source.is_ground() && !touches && !source.tested && source.acts() {
        wrong.push(format!("src/{}: neither imports `sys` nor has host tests", source.path));
    }
    wrong
}
