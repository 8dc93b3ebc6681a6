//! Limits under ocinit, runc and crun: the same documents, and every file of the
//! cgroups that says what may be used.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::comparison::{ENGINES, engine};
use super::resources::{ALL, file, folder, sleeper};
use crate::bundle::Config;
use crate::case::Need;
use crate::command::Output;
use crate::context::Context;
use crate::kernel;

cases!("limits":
    as_under_runc [ALL, Need::Program("runc")],
    as_under_crun [ALL, Need::Program("crun")],
    of_engines [ALL],
);

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
        json!({
            "pids": {"limit": 100},
            "memory": {"limit": 67_108_864, "swap": 134_217_728, "reservation": 33_554_432},
            "cpu": {"quota": 20_000, "period": 50_000, "cpus": "0", "mems": "0"},
            "blockIO": {"weight": 300},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        }),
        // The ends of the scale of shares, where the formula that runc and crun had
        // before meets theirs and ours of today.
        json!({
            "pids": {"limit": -1},
            "memory": {"limit": 67_108_864, "swap": 67_108_864},
            "cpu": {"quota": 50_000, "shares": 2},
            "blockIO": {"weight": 10},
        }),
        json!({
            "memory": {"limit": 67_108_864, "swap": -1},
            "cpu": {"period": 50_000, "shares": 262_144},
            "blockIO": {"weight": 1000},
        }),
        json!({"memory": {"limit": -1, "reservation": -1}, "cpu": {"quota": -1, "period": 50_000}}),
        json!({"memory": {"limit": 67_108_864}}),
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

fn of_engines(c: &Context) -> Result<()> {
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
