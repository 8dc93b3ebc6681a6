//! `linux.resources`: every field's effect, read from the cgroup's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::kernel;

cases!("resources":
    every_field_is_in_its_file [ALL] proves [
        "linux.resources.blockIO.weight", "linux.resources.cpu.burst", "linux.resources.cpu.cpus",
        "linux.resources.cpu.idle", "linux.resources.cpu.mems", "linux.resources.cpu.period",
        "linux.resources.cpu.quota", "linux.resources.cpu.shares", "linux.resources.hugepageLimits[].limit",
        "linux.resources.hugepageLimits[].pageSize", "linux.resources.memory.limit",
        "linux.resources.memory.reservation", "linux.resources.memory.swap", "linux.resources.memory.useHierarchy",
        "linux.resources.pids.limit",
    ],
    unified_files [ALL] proves ["linux.resources.unified.*"],
    unified_files_of_every_cgroup proves ["linux.resources.unified.*"],
    zero_processes_by_version [Need::Controller("pids")] proves ["linux.resources.pids.limit"],
    limits_hold [ALL] proves [
        "linux.resources.cpu.cpus", "linux.resources.cpu.quota", "linux.resources.memory.limit",
        "linux.resources.pids.limit",
    ],
    born_limited [ALL],
    controllers_are_handed_down [ALL],
    controllers_without_limits [ALL],
    a_parent_with_processes [ALL],
    a_threaded_parent [ALL],
    what_is_not_available_is_named,
    what_version_2_lacks_is_told proves [
        "linux.resources.blockIO.leafWeight", "linux.resources.blockIO.weightDevice[].leafWeight",
        "linux.resources.cpu.realtimePeriod", "linux.resources.cpu.realtimeRuntime",
        "linux.resources.memory.disableOOMKiller", "linux.resources.memory.kernel",
        "linux.resources.memory.kernelTCP", "linux.resources.memory.swappiness", "linux.resources.network.classID",
        "linux.resources.network.priorities[].name", "linux.resources.network.priorities[].priority",
    ],
    bad_values_come_first,
    without_a_cgroup_it_is_told,
);

/// As only a tree of version 2 alone has them.
pub const ALL: Need = Need::Controller("memory");

/// The folder of the cgroup that a container is in.
pub fn folder(c: &Context, id: &str) -> Result<PathBuf> {
    folder_of(c.pid(id)?)
}

fn folder_of(pid: u32) -> Result<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup2 line")?;
    Ok(kernel::cgroup_root().join(path))
}

pub fn file(folder: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(folder.join(name)).with_context(|| format!("no {name} in {}", folder.display()))?;
    Ok(text.trim_end().into())
}

pub fn sleeper(resources: Value) -> Config {
    Config::plain().set("/linux/resources", resources).args(&["sleep", "1000"])
}

/// A container with these resources, and what its files say then.
pub fn expect(c: &Context, resources: Value, files: &[(&str, &str)]) -> Result<()> {
    let id = c.detached(&sleeper(resources.clone())).with_context(|| resources.to_string())?;
    let folder = folder(c, &id)?;
    for (name, text) in files {
        same!(file(&folder, name)?, *text, "{name} with {resources}");
    }
    c.delete(&id)
}

fn every_field_is_in_its_file(c: &Context) -> Result<()> {
    for (resources, files) in [
        (
            json!({"memory": {"limit": 67_108_864, "reservation": 33_554_432, "swap": 100_663_296}}),
            &[("memory.max", "67108864"), ("memory.low", "33554432"), ("memory.swap.max", "33554432")][..],
        ),
        (json!({"memory": {"limit": 67_108_864, "swap": 67_108_864}}), &[("memory.swap.max", "0")]),
        (json!({"memory": {"limit": 67_108_864, "swap": -1}}), &[("memory.swap.max", "max")]),
        (json!({"memory": {"limit": -1, "reservation": -1}}), &[("memory.max", "max"), ("memory.low", "max")]),
        (
            json!({"memory": {"limit": 67_108_864, "useHierarchy": true, "checkBeforeUpdate": true}}),
            &[("memory.max", "67108864")],
        ),
        (
            json!({"cpu": {"shares": 2000, "quota": 20_000, "period": 50_000, "burst": 10_000}}),
            &[("cpu.weight", "170"), ("cpu.max", "20000 50000"), ("cpu.max.burst", "10000")],
        ),
        (json!({"cpu": {"shares": 1024, "quota": 50_000}}), &[("cpu.weight", "100"), ("cpu.max", "50000 100000")]),
        (json!({"cpu": {"period": 50_000}}), &[("cpu.max", "max 50000")]),
        (json!({"cpu": {"quota": -1, "period": 50_000}}), &[("cpu.max", "max 50000")]),
        (json!({"cpu": {"idle": 1, "shares": 1024}}), &[("cpu.idle", "1")]),
        (json!({"cpu": {"idle": 0, "shares": 2}}), &[("cpu.idle", "0"), ("cpu.weight", "1")]),
        (json!({"cpu": {"cpus": "0", "mems": "0"}}), &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        (json!({"pids": {"limit": 17}}), &[("pids.max", "17")]),
        (json!({"pids": {"limit": -1}}), &[("pids.max", "max")]),
        (json!({"pids": {"limit": 0}}), &[("pids.max", "max")]),
        (
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}),
            &[("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")],
        ),
    ] {
        expect(c, resources, files)?;
    }
    // A weight is for whichever scheduler there is.
    let id = c.detached(&sleeper(json!({"blockIO": {"weight": 500}})))?;
    let folder = folder(c, &id)?;
    match folder.join("io.bfq.weight").exists() {
        true => same!(file(&folder, "io.bfq.weight")?, "default 500", "io.bfq.weight"),
        false => same!(file(&folder, "io.weight")?, "default 4950", "io.weight"),
    }
    c.delete(&id)?;
    Ok(())
}

fn unified_files(c: &Context) -> Result<()> {
    let files = json!({"memory.high": "33554432", "pids.max": "77", "cgroup.max.depth": "3", "memory.oom.group": "1"});
    expect(
        c,
        json!({"unified": files, "pids": {"limit": 5}}),
        &[("memory.high", "33554432"), ("pids.max", "77"), ("cgroup.max.depth", "3"), ("memory.oom.group", "1")],
    )?;
    for (name, part) in [
        ("memory.nope", "this kernel has no memory.nope in a cgroup"),
        ("nope.max", "controller nope is not available here"),
    ] {
        let config = sleeper(json!({"unified": {name: "1"}}));
        c.run(&config)?.error(1, &[&format!("linux.resources.unified.{name}: "), part])?;
    }
    Ok(())
}

fn unified_files_of_every_cgroup(c: &Context) -> Result<()> {
    expect(
        c,
        json!({"unified": {"cgroup.max.descendants": "7", "cgroup.max.depth": "3"}}),
        &[("cgroup.max.descendants", "7"), ("cgroup.max.depth", "3")],
    )?;
    // Since Linux 6.1, where it counts how long is waited.
    if kernel::cgroup_root().join("cgroup.pressure").exists() {
        expect(c, json!({"unified": {"cgroup.pressure": "0"}}), &[("cgroup.pressure", "0")])?;
    }
    let config = sleeper(json!({"unified": {"cgroup.later": "1"}}));
    c.run(&config)?.error(1, &["linux.resources.unified.cgroup.later: this kernel has no cgroup.later in a cgroup"])?;
    let config = sleeper(json!({"unified": {"cgroup.freeze": "1"}}));
    c.run(&config)?.error(1, &["linux.resources.unified.cgroup.freeze: ", "is written by the runtime alone"])?;
    Ok(())
}

/// What was no limit became one with version 1.3.0 of the specification.
fn zero_processes_by_version(c: &Context) -> Result<()> {
    for (version, expected) in [("1.0.2-dev", "max"), ("1.2.1", "max"), ("1.3.0", "1")] {
        let config = sleeper(json!({"pids": {"limit": 0}})).set("/ociVersion", json!(version));
        let id = c.detached(&config)?;
        let folder = folder(c, &id)?;
        same!(file(&folder, "pids.max")?, expected, "pids.max with version {version}");
        c.call(&["update", "--pids-limit", "50", &id])?.ok()?;
        same!(file(&folder, "pids.max")?, "50", "pids.max");
        c.call(&["update", "--pids-limit", "0", &id])?.ok()?;
        same!(file(&folder, "pids.max")?, expected, "pids.max after `update` with version {version}");
        c.delete(&id)?;
    }
    Ok(())
}

fn limits_hold(c: &Context) -> Result<()> {
    let plain = Config::plain();
    let with = |resources: Value, script: &str| plain.clone().set("/linux/resources", resources).script(script);
    // One process more than there may be: the shell cannot fork.
    let output = c.run(&with(json!({"pids": {"limit": 1}}), "true | true; echo not reached"))?;
    holds!(output.stderr, "can't fork", "a second process");
    // More memory than there may be.
    let memory = json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}});
    c.run(&with(memory, "x=a; while :; do x=$x$x; done"))?.status(137)?;
    // More of the processor than there may be.
    let id = c.detached(&with(json!({"cpu": {"quota": 5000, "period": 100_000}}), "while :; do :; done"))?;
    let folder = folder(c, &id)?;
    c.until("it to be throttled", || Ok(!file(&folder, "cpu.stat")?.contains("nr_throttled 0")))?;
    c.delete(&id)?;
    let id = c.detached(&with(json!({"cpu": {"cpus": "0"}}), "sleep 1000"))?;
    let allowed = kernel::status_field(&c.pid(&id)?.to_string(), "Cpus_allowed_list");
    same!(allowed.as_deref(), Some("0"), "the CPUs of the process");
    c.delete(&id)
}

fn born_limited(c: &Context) -> Result<()> {
    // Its first instruction can read its limits; had they come later, the start
    // of the program would have been outside of them.
    let config = sleeper(json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 9}}));
    let config = config.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
    let output = c.run(&config.script("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"))?.ok()?;
    same!(output.stdout, "67108864\n9\n", "limits, seen from inside");
    // So small that not even the runtime's own child fits.
    let output = c.run(&sleeper(json!({"memory": {"limit": 4096, "swap": 4096}})))?;
    ensure!(output.status != 0, "{output:?}");
    holds!(output.stderr, "memory", "what is said");
    Ok(())
}

fn controllers_are_handed_down(c: &Context) -> Result<()> {
    let path = format!("/{}-top/middle/leaf", c.tag);
    let id = c.detached(&sleeper(json!({"pids": {"limit": 9}})).set("/linux/cgroupsPath", json!(path)))?;
    let root = kernel::cgroup_root();
    let available = file(&root, "cgroup.controllers")?;
    for above in ["-top", "-top/middle"] {
        let folder = root.join(format!("{}{above}", c.tag));
        same!(file(&folder, "cgroup.subtree_control")?, available, "what {above} hands down");
    }
    same!(file(&folder(c, &id)?, "pids.max")?, "9", "pids.max");
    c.delete(&id)?;
    ensure!(!root.join(format!("{}-top", c.tag)).exists(), "the cgroups above are left");
    Ok(())
}

/// What is used is counted for whoever asks, though nothing is limited.
fn controllers_without_limits(c: &Context) -> Result<()> {
    let path = format!("/{}-free/middle/leaf", c.tag);
    let id = c.detached(&Config::plain().set("/linux/cgroupsPath", json!(path)).args(&["sleep", "1000"]))?;
    let folder = folder(c, &id)?;
    let available = file(&kernel::cgroup_root(), "cgroup.controllers")?;
    same!(file(&folder, "cgroup.controllers")?, available, "the controllers of the cgroup");
    same!(file(&folder, "cgroup.subtree_control")?, "", "what it hands down itself");
    same!(file(&folder, "pids.current")?, "1", "pids.current");
    same!(file(&folder, "memory.max")?, "max", "memory.max");
    holds!(file(&folder, "memory.events")?, "oom_kill 0", "memory.events");
    let stats = c.call(&["events", "--stats", &id])?.ok()?.json()?;
    ensure!(stats["data"]["memory"]["usage"]["usage"].as_u64().is_some_and(|usage| usage > 0), "{stats}");
    same!(stats["data"]["pids"]["current"], 1, "the processes in {stats}");
    c.delete(&id)
}

/// A cgroup with a process in it, while `each` runs.
fn with_parent(c: &Context, name: &str, each: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = kernel::cgroup_root().join(format!("{}-{name}", c.tag));
    fs::create_dir(&folder)?;
    let mut child = Command::new("sleep").arg("1000").env("SYSTEM_TESTS_TAG", &c.tag).spawn()?;
    let done =
        fs::write(folder.join("cgroup.procs"), child.id().to_string()).map_err(Into::into).and_then(|()| each(&folder));
    child.kill()?;
    child.wait()?;
    c.until("the parent to be empty", || Ok(fs::remove_dir(&folder).is_ok()))?;
    done
}

fn a_parent_with_processes(c: &Context) -> Result<()> {
    with_parent(c, "busy", |folder| {
        let path = format!("/{}-busy/x", c.tag);
        let config = sleeper(json!({"memory": {"limit": 67_108_864}})).set("/linux/cgroupsPath", json!(path));
        let busy = format!("cgroup /{}-busy has processes of its own", c.tag);
        c.run(&config)?.error(1, &["linux.resources.memory.limit: controller memory cannot be enabled", &busy])?;
        ensure!(!folder.join("x").exists(), "the cgroup is left");
        same!(file(folder, "cgroup.type")?, "domain", "the parent's type");
        same!(file(folder, "cgroup.subtree_control")?, "", "what the parent hands down");
        // Without limits there is nothing to be handed down.
        c.run(&config.remove("/linux/resources").args(&["true"]))?.ok()?;
        Ok(())
    })
}

fn a_threaded_parent(c: &Context) -> Result<()> {
    let folder = kernel::cgroup_root().join(format!("{}-threaded", c.tag));
    fs::create_dir_all(folder.join("a"))?;
    let config = Config::plain().set("/linux/cgroupsPath", json!(format!("/{}-threaded/x", c.tag)));
    let tried = (|| -> Result<()> {
        fs::write(folder.join("a/cgroup.type"), "threaded")?;
        c.run(&config)?.error(1, &["the cgroup is in a threaded domain"])?;
        let limited = config.set("/linux/resources", json!({"memory": {"limit": 67_108_864}}));
        c.run(&limited)?.error(1, &["linux.resources.memory.limit: ", "-threaded is in a threaded domain"])?;
        Ok(())
    })();
    fs::remove_dir(folder.join("a"))?;
    fs::remove_dir(&folder)?;
    tried
}

fn what_is_not_available_is_named(c: &Context) -> Result<()> {
    let table = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let is_old =
        |name: &str| table.lines().any(|line| line.starts_with(&format!("{name}\t")) && !line.contains("\t0\t"));
    let available = kernel::controllers();
    let mut seen = 0;
    for (resources, place, name) in [
        (json!({"memory": {"limit": 67_108_864}}), "memory.limit", "memory"),
        (json!({"pids": {"limit": 9}}), "pids.limit", "pids"),
        (json!({"cpu": {"shares": 9}}), "cpu.shares", "cpu"),
        (json!({"unified": {"nope.max": "9"}}), "unified.nope.max", "nope"),
    ] {
        if available.iter().any(|known| known == name) {
            continue;
        }
        seen += 1;
        let why = if is_old(name) { "is mounted as cgroup version 1 here" } else { "is not available here" };
        let parts = [&format!("linux.resources.{place}: controller {name} {why}")[..], "config.json:"];
        c.run(&sleeper(resources))?.error(1, &parts)?;
    }
    ensure!(seen > 0, "nothing was tried");
    Ok(())
}

fn what_version_2_lacks_is_told(c: &Context) -> Result<()> {
    let resources = json!({
        "memory": {"kernel": 1, "kernelTCP": 2, "swappiness": 60, "disableOOMKiller": true},
        "cpu": {"realtimeRuntime": 1, "realtimePeriod": 2},
        "network": {"classID": 5, "priorities": [{"name": "lo", "priority": 1}]},
        "blockIO": {"leafWeight": 10, "weightDevice": [{"major": 7, "minor": 0, "leafWeight": 20}]},
    });
    let output = c.run(&Config::plain().set("/linux/resources", resources))?.ok()?;
    for name in [
        "memory.kernel",
        "memory.kernelTCP",
        "memory.swappiness",
        "memory.disableOOMKiller",
        "cpu.realtimeRuntime",
        "cpu.realtimePeriod",
        "network.classID",
        "network.priorities",
        "blockIO.leafWeight",
        "blockIO.weightDevice[0].leafWeight",
    ] {
        holds!(output.stderr, format!("linux.resources.{name}: ignored: "), "warnings");
    }
    same!(output.stderr.lines().count(), 10, "warnings");
    Ok(())
}

fn bad_values_come_first(c: &Context) -> Result<()> {
    for (resources, place) in [
        (json!({"memory": {"limit": -2}}), "memory.limit"),
        (json!({"memory": {"swap": 5}}), "memory.swap"),
        (json!({"memory": {"limit": 9, "swap": 5}}), "memory.swap"),
        (json!({"cpu": {"quota": 1}}), "cpu.quota"),
        (json!({"cpu": {"cpus": "0-"}}), "cpu.cpus"),
        (json!({"pids": {"limit": -2}}), "pids.limit"),
        (json!({"blockIO": {"weight": 9}}), "blockIO.weight"),
        (json!({"unified": {"../cgroup.procs": "1"}}), "unified.../cgroup.procs"),
        (json!({"unified": {"a/memory.max": "1"}}), "unified.a/memory.max"),
        (json!({"unified": {"cgroup.procs": "1"}}), "unified.cgroup.procs"),
    ] {
        c.run(&sleeper(resources))?.error(1, &[&format!("linux.resources.{place}: "), "config.json:"])?;
        ensure!(kernel::cgroups_with(&c.tag).is_empty() && !c.state_dir().exists(), "{place}: something was made");
    }
    Ok(())
}

fn without_a_cgroup_it_is_told(c: &Context) -> Result<()> {
    c.write(&sleeper(json!({"pids": {"limit": 9}})).args(&["true"]))?;
    let output = c.call(&["--cgroup-manager", "disabled", "run", &c.id()])?.ok()?;
    holds!(output.stderr, "linux.resources.pids.limit: not limited: the container has no cgroup", "the warning");
    Ok(())
}
