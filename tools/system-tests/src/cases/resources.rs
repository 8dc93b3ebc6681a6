//! `linux.resources` and `update`: every field's effect, read from the cgroup's
//! own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use super::comparison::{ENGINES, engine};
use crate::bundle::Config;
use crate::case::Need;
use crate::command::{Output, input};
use crate::context::Context;
use crate::kernel;

cases!("resources":
    every_field_is_in_its_file [ALL],
    unified_files [ALL],
    block_devices [ALL, Need::Path("/sys/block/loop0")],
    limits_hold [ALL],
    born_limited [ALL],
    controllers_are_handed_down [ALL],
    as_under_runc [ALL, Need::Program("runc")],
    as_under_crun [ALL, Need::Program("crun")],
    engines_limits [ALL],
    a_parent_with_processes [ALL],
    a_threaded_parent [ALL],
    what_is_not_available_is_named,
    what_version_2_lacks_is_told,
    bad_values_come_first,
    without_a_cgroup_it_is_told,
    update_changes_what_it_names [ALL],
    update_from_a_file_and_from_input [ALL],
    update_takes_back [ALL],
    update_checks_the_memory_in_use [ALL],
    update_refuses_bad_values,
    update_replaces_the_device_rules,
    update_of_a_cgroup_that_was_there,
    update_of_what_does_not_run,
);

/// As only a tree of version 2 alone has them.
const ALL: Need = Need::Controller("memory");

/// The folder of the cgroup that a container is in.
pub fn folder(c: &Context, id: &str) -> Result<PathBuf> {
    folder_of(c.pid(id)?)
}

fn folder_of(pid: u32) -> Result<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup2 line")?;
    Ok(kernel::cgroup_root().join(path))
}

fn file(folder: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(folder.join(name)).with_context(|| format!("no {name} in {}", folder.display()))?;
    Ok(text.trim_end().into())
}

fn sleeper(resources: Value) -> Config {
    Config::plain().set("/linux/resources", resources).args(&["sleep", "1000"])
}

/// A container with these resources, and what its files say then.
fn expect(c: &Context, resources: Value, files: &[(&str, &str)]) -> Result<()> {
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
        (json!({"pids": {"limit": 0}}), &[("pids.max", "1")]),
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
    // Without an adapter the kernel says so, of the line that was written.
    let rdma = json!({"rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 4}}});
    if kernel::controllers().iter().any(|name| name == "rdma") {
        let parts =
            ["linux.resources.rdma.mlx5_0", "\"mlx5_0 hca_handle=3 hca_object=4\" to rdma.max", "no such device"];
        c.run(&sleeper(rdma))?.error(1, &parts)?;
    }
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

fn block_devices(c: &Context) -> Result<()> {
    let numbers = fs::read_to_string("/sys/block/loop0/dev")?;
    let (major, minor) = numbers.trim().split_once(':').context("the numbers of loop0")?;
    let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let resources = json!({"blockIO": {
        "throttleReadBpsDevice": device(1_048_576),
        "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(100),
        "throttleWriteIOPSDevice": device(0),
    }});
    let line = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=max");
    expect(c, resources, &[("io.max", &line)])?;
    // A device's own weight: kept, or told not to be.
    let resources = json!({"blockIO": {"weightDevice": [{"major": major, "minor": minor, "weight": 400}]}});
    c.write(&sleeper(resources))?;
    let id = c.id();
    let output = c.call(&["run", "--detach", &id])?.ok()?;
    let folder = folder(c, &id)?;
    let weights = ["io.bfq.weight", "io.weight"].map(|name| file(&folder, name).unwrap_or_default()).join("\n");
    let is_told = output.stderr.contains("weightDevice[0].weight: ignored: no scheduler with weights");
    let own = format!("{major}:{minor} ");
    ensure!(is_told != weights.contains(&own), "{weights:?} {:?}", output.stderr);
    c.delete(&id)
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

/// Files that say what a cgroup may use.
const LIMITS: &[&str] = &[
    "cpu.idle",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpuset.cpus",
    "cpuset.mems",
    "cgroup.max.depth",
    "hugetlb.1GB.max",
    "hugetlb.2MB.max",
    "io.max",
    "io.weight",
    "io.bfq.weight",
    "memory.high",
    "memory.low",
    "memory.max",
    "memory.min",
    "memory.oom.group",
    "memory.swap.high",
    "memory.swap.max",
    "pids.max",
    "rdma.max",
];

/// What the limits of the cgroup are under a runtime, file by file.
fn limits_under(c: &Context, runtime: &str, config: &Config) -> Result<Vec<String>> {
    let id = format!("{}-{runtime}", c.tag);
    c.write(&config.clone().set("/linux/cgroupsPath", json!(format!("/{id}"))))?;
    let state = c.dir.join(format!("state-{runtime}"));
    let command = |arguments: &[&str]| -> Result<Output> {
        let program = if runtime == "ocinit" { Some(c.program.clone()) } else { kernel::find_program(runtime) };
        let mut command = Command::new(program.with_context(|| format!("no {runtime}"))?);
        command.arg("--root").arg(&state).args(arguments);
        c.surroundings(&mut command);
        c.finish(command)
    };
    command(&["run", "--detach", &id])?.ok()?;
    let folder = kernel::cgroup_root().join(&id);
    let found = LIMITS.iter().map(|name| format!("{name} = {:?}", file(&folder, name).ok())).collect();
    command(&["delete", "--force", &id])?.ok()?;
    Ok(found)
}

fn compare_limits(c: &Context, other: &str) -> Result<()> {
    for resources in [
        json!({"pids": {"limit": 100}}),
        json!({"pids": {"limit": -1}}),
        json!({"memory": {"limit": 67_108_864}}),
        json!({"memory": {"limit": 67_108_864, "swap": 134_217_728, "reservation": 33_554_432}}),
        json!({"memory": {"limit": 67_108_864, "swap": 67_108_864}}),
        json!({"memory": {"limit": 67_108_864, "swap": -1}}),
        json!({"memory": {"limit": -1}}),
        json!({"memory": {"reservation": -1}}),
        json!({"cpu": {"quota": 50_000}}),
        json!({"cpu": {"period": 50_000}}),
        json!({"cpu": {"quota": 20_000, "period": 50_000}}),
        json!({"cpu": {"quota": -1, "period": 50_000}}),
        json!({"cpu": {"cpus": "0", "mems": "0"}}),
        // The ends of the scale, where the formula of old runcs and crun's is ours.
        json!({"cpu": {"shares": 2}}),
        json!({"cpu": {"shares": 262_144}}),
        json!({"blockIO": {"weight": 10}}),
        json!({"blockIO": {"weight": 300}}),
        json!({"blockIO": {"weight": 1000}}),
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}),
        json!({"unified": {"memory.high": "33554432", "memory.max": "67108864"}, "memory": {"limit": 99_999_744}}),
    ] {
        let config = sleeper(resources.clone()).set("/linux/resources/devices", json!([]));
        // With a limit everywhere, so that each has handed all controllers down.
        let config = config.set("/linux/resources/unified/cgroup.max.depth", json!("7"));
        let (ours, theirs) = (limits_under(c, "ocinit", &config)?, limits_under(c, other, &config)?);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            same!(ours, theirs, "{resources} under ocinit and {other}");
        }
    }
    Ok(())
}

fn as_under_runc(c: &Context) -> Result<()> {
    compare_limits(c, "runc")
}

fn as_under_crun(c: &Context) -> Result<()> {
    compare_limits(c, "crun")
}

fn engines_limits(c: &Context) -> Result<()> {
    for (name, text) in ENGINES {
        let config = engine(c, name, text)?.args(&["sleep", "1000"]);
        let resources = config.0["linux"]["resources"].clone();
        let id = c.detached(&config).context(name)?;
        let folder = folder(c, &id)?;
        for (pointer, file_name) in [("/memory/limit", "memory.max"), ("/pids/limit", "pids.max")] {
            if let Some(limit) = resources.pointer(pointer) {
                same!(file(&folder, file_name)?, limit.to_string(), "{name}: {file_name}");
            }
        }
        if let Some(quota) = resources.pointer("/cpu/quota") {
            same!(file(&folder, "cpu.max")?, format!("{quota} {}", resources["cpu"]["period"]), "{name}: cpu.max");
        }
        if resources["cpu"]["shares"] == 1024 {
            same!(file(&folder, "cpu.weight")?, "100", "{name}: cpu.weight");
        }
        c.delete(&id)?;
    }
    Ok(())
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
        "blockIO": {"leafWeight": 10},
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
    ] {
        holds!(output.stderr, format!("linux.resources.{name}: ignored: "), "warnings");
    }
    same!(output.stderr.lines().count(), 9, "warnings");
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

fn update_changes_what_it_names(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({
        "memory": {"limit": 67_108_864, "swap": 100_663_296},
        "cpu": {"quota": 20_000, "period": 50_000},
        "pids": {"limit": 100},
    })))?;
    let folder = folder(c, &id)?;
    for (flags, files) in [
        (&["--cpu-period", "100000"][..], &[("cpu.max", "20000 100000")][..]),
        (&["--cpu-quota", "30000"], &[("cpu.max", "30000 100000")]),
        (&["--cpu-burst", "1000"], &[("cpu.max.burst", "1000"), ("cpu.max", "30000 100000")]),
        (&["--cpu-quota", "2000", "--cpu-burst", "500"], &[("cpu.max", "2000 100000"), ("cpu.max.burst", "500")]),
        (&["--cpu-burst", "0", "--cpu-quota=-1"], &[("cpu.max", "max 100000"), ("cpu.max.burst", "0")]),
        (&["--memory", "128m"], &[("memory.max", "134217728"), ("memory.swap.max", "33554432")]),
        (
            &["--memory", "64M", "--memory-swap", "0.25g"],
            &[("memory.max", "67108864"), ("memory.swap.max", "201326592")],
        ),
        (&["--memory-reservation", "1MiB"], &[("memory.low", "1048576"), ("memory.max", "67108864")]),
        (&["--memory", "-1"], &[("memory.max", "max"), ("memory.swap.max", "max")]),
        (&["--pids-limit", "0"], &[("pids.max", "1")]),
        (&["--pids-limit", "-1"], &[("pids.max", "max")]),
        (
            &["--cpu-share", "2000", "--cpuset-cpus", "0", "--cpuset-mems", "0"],
            &[("cpu.weight", "170"), ("cpuset.cpus", "0")],
        ),
        (&["--cpu-idle", "1"], &[("cpu.idle", "1"), ("cpuset.mems", "0")]),
        (&["--cpu-idle", "0", "--cpu-share", "1024"], &[("cpu.idle", "0"), ("cpu.weight", "100")]),
        (&["--kernel-memory", "5m", "--kernel-memory-tcp", "x"], &[("memory.max", "max")]),
        (&[], &[("memory.max", "max"), ("pids.max", "max"), ("cpuset.cpus", "0")]),
    ] {
        let output = c.call(&[&["update"], flags, &[&id]].concat())?.ok()?;
        same!(output.stderr, "", "what `update {flags:?}` says");
        for (name, text) in files {
            same!(file(&folder, name)?, *text, "{name} after `update {flags:?}`");
        }
    }
    c.delete(&id)?;
    // A container that had no limits, whose cgroup has no controllers yet.
    let path = json!(format!("/{}-deep/x", c.tag));
    let id = c.detached(&Config::plain().set("/linux/cgroupsPath", path).args(&["sleep", "1000"]))?;
    let folder = self::folder(c, &id)?;
    ensure!(!folder.join("pids.max").exists(), "it has the controller already");
    c.call(&["update", "--pids-limit", "50", &id])?.ok()?;
    same!(file(&folder, "pids.max")?, "50", "pids.max");
    c.delete(&id)
}

fn update_with_input(c: &Context, id: &str, resources: &Value) -> Result<Output> {
    let mut command = c.command(&["update", "--resources", "-", id]);
    command.stdin(input(&c.dir, resources.to_string().as_bytes())?);
    c.finish(command)
}

fn update_from_a_file_and_from_input(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"pids": {"limit": 100}})))?;
    let folder = folder(c, &id)?;
    let path = c.dir.join("resources.json");
    fs::write(&path, json!({"pids": {"limit": 90}, "unified": {"memory.high": "1073741824"}}).to_string())?;
    c.call(&["update", "-r", &path.to_string_lossy(), "--pids-limit", "1", &id])?.ok()?;
    same!(file(&folder, "pids.max")?, "90", "pids.max");
    same!(file(&folder, "memory.high")?, "1073741824", "memory.high");
    update_with_input(c, &id, &json!({"pids": {"limit": 80}}))?.ok()?;
    same!(file(&folder, "pids.max")?, "80", "pids.max");
    c.call(&["update", "-r", "/nowhere", &id])?.error(1, &["/nowhere", "no such file or directory"])?;
    c.delete(&id)
}

fn update_takes_back(c: &Context) -> Result<()> {
    let resources = json!({"pids": {"limit": 100}, "memory": {"limit": 67_108_864}, "cpu": {"cpus": "0-1"}});
    let id = c.detached(&sleeper(resources))?;
    let folder = folder(c, &id)?;
    let look = || -> Result<Vec<String>> {
        let names = ["pids.max", "memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "io.max"];
        names.iter().map(|name| file(&folder, name)).collect()
    };
    let before = look()?;
    let mut resources = json!({
        "pids": {"limit": 20},
        "memory": {"limit": 33_554_432, "swap": 50_331_648},
        "cpu": {"quota": 50_000, "shares": 2, "cpus": "0", "mems": "9999"},
    });
    if let Ok(numbers) = fs::read_to_string("/sys/block/loop0/dev") {
        let (major, minor) = numbers.trim().split_once(':').context("the numbers of loop0")?;
        let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
        resources["blockIO"] = json!({"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 5000}]});
    }
    // The last line is one that the kernel refuses: there is no such node.
    let parts =
        ["resources:", "cpu.mems: cannot write \"9999\" to cpuset.mems", "what was written before is taken back"];
    update_with_input(c, &id, &resources)?.error(1, &parts)?;
    same!(look()?, before, "the limits afterwards");
    c.delete(&id)
}

fn update_checks_the_memory_in_use(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"memory": {"limit": 67_108_864}})))?;
    let small = json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}, "pids": {"limit": 5}});
    update_with_input(c, &id, &small)?.error(1, &["memory: ", "bytes are used, 4096 are to be the limit"])?;
    let folder = folder(c, &id)?;
    same!(file(&folder, "memory.max")?, "67108864", "memory.max");
    same!(file(&folder, "pids.max")?, "max", "pids.max");
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn update_refuses_bad_values(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for (flags, part) in [
        (&["--memory", "abc"][..], "invalid value \"abc\" for --memory"),
        (&["--cpu-quota", "abc"], "invalid value \"abc\" for --cpu-quota"),
        (&["--pids-limit", "1.5"], "invalid value \"1.5\" for --pids-limit"),
        (&["--cpuset-cpus", "9-3"], "cpu.cpus: expected a list"),
        (&["--cpuset-cpus", "0\",\"x\":\"1"], "--cpuset-cpus: not a list"),
        (&["--memory-swap", "100M"], "memory.swap: includes the memory"),
        (&["--blkio-weight", "5"], "blockIO.weight: expected an integer from 10 to 1000"),
        (&["--l3-cache-schema", "L3:0=f"], "--l3-cache-schema is not supported by this version"),
    ] {
        c.call(&[&["update"], flags, &[&id]].concat())?.error(1, &[part])?;
    }
    for bad in [json!({"pids": {"limit": "5"}}), json!([]), json!({"devices": [{"allow": 1}]})] {
        update_with_input(c, &id, &bad)?.error(1, &["resources:1:"])?;
    }
    c.delete(&id)
}

/// A container that tries to open one of the host's devices again and again, and
/// says so in a file whenever that changes.
fn opener(c: &Context, config: Config) -> Result<(String, PathBuf)> {
    let node = c.rootfs().join("srv/kmsg");
    if !node.exists() {
        mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 11))?;
    }
    let seen = c.rootfs().join("srv/seen");
    let script = "while :; do if true < /srv/kmsg; then echo yes; else echo no; fi > /srv/new 2>/dev/null; \
                  mv /srv/new /srv/seen; usleep 5000; done";
    let id = c.detached(&config.capabilities(&["CAP_SYSLOG", "CAP_DAC_OVERRIDE"]).script(script))?;
    Ok((id, seen))
}

fn opens(c: &Context, seen: &Path, expected: &str) -> Result<()> {
    c.until(&format!("opening the device to be answered by {expected}"), || {
        Ok(fs::read_to_string(seen).unwrap_or_default().trim() == expected)
    })
}

fn rules(allow: bool) -> Value {
    let rule = json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rw"});
    json!({"devices": [{"allow": false, "access": "rwm"}, rule]})
}

fn update_replaces_the_device_rules(c: &Context) -> Result<()> {
    let (id, seen) = opener(c, Config::plain())?;
    opens(c, &seen, "no")?;
    for (allow, expected) in [(true, "yes"), (false, "no"), (true, "yes")] {
        update_with_input(c, &id, &rules(allow))?.ok()?;
        opens(c, &seen, expected)?;
    }
    // Without rules those there are stay.
    update_with_input(c, &id, &json!({"devices": []}))?.ok()?;
    fs::remove_file(&seen)?;
    opens(c, &seen, "yes")?;
    c.delete(&id)
}

fn update_of_a_cgroup_that_was_there(c: &Context) -> Result<()> {
    let folder = kernel::cgroup_root().join(format!("{}-there", c.tag));
    fs::create_dir(&folder)?;
    let tried = (|| -> Result<()> {
        let config = Config::plain().set("/linux/cgroupsPath", json!(format!("/{}-there", c.tag)));
        let (id, seen) = opener(c, config)?;
        opens(c, &seen, "no")?;
        update_with_input(c, &id, &rules(true))?.ok()?;
        opens(c, &seen, "yes")?;
        update_with_input(c, &id, &rules(false))?.ok()?;
        opens(c, &seen, "no")?;
        c.delete(&id)?;
        // No rule is left on it.
        let script = format!("echo $$ > {}/cgroup.procs && true < /dev/kmsg", folder.display());
        let output = Command::new("sh").args(["-c", &script]).output()?;
        ensure!(output.status.success(), "a program is left on the cgroup: {output:?}");
        Ok(())
    })();
    c.until("the cgroup to be empty", || Ok(fs::remove_dir(&folder).is_ok()))?;
    tried
}

fn update_of_what_does_not_run(c: &Context) -> Result<()> {
    c.call(&["update", "--pids-limit", "5", "nobody"])?.error(1, &["container does not exist"])?;
    let id = c.detached(&Config::plain().args(&["true"]))?;
    c.await_status(&id, "stopped")?;
    c.call(&["update", "--pids-limit", "5", &id])?.error(1, &["container not running"])?;
    c.delete(&id)?;
    c.write(&Config::plain())?;
    let id = c.id();
    c.call(&["--cgroup-manager", "disabled", "create", &id])?.ok()?;
    c.call(&["update", "--pids-limit", "5", &id])?.error(1, &[&format!("container {id} has no cgroup")])?;
    if c.state(&id)?["status"] != "created" {
        bail!("a container without a cgroup is not created");
    }
    c.delete(&id)
}
