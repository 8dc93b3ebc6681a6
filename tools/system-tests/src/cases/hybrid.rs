//! The machine's own mount namespace, where it has cgroup v1 controllers beside
//! a cgroup2 tree: the latter alone is used, and nothing there is changed.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::bundle::Config;
use crate::case::Need;
use crate::command::Output;
use crate::context::Context;
use crate::harness::{HOST_PROCESS, Skip};
use crate::kernel;

cases!("hybrid":
    whole_life [Need::Program("nsenter"), Need::Host],
    devices_are_denied [Need::Program("nsenter"), Need::Host],
);

/// The machine's mount table, if it is a hybrid one.
fn table() -> Result<(String, String)> {
    let process = std::env::var(HOST_PROCESS).context("nobody has the machine's mount namespace")?;
    let table = fs::read_to_string(format!("/proc/{process}/mountinfo"))?;
    if !(table.contains(" - cgroup ") && table.contains(" - cgroup2 ")) {
        return Err(Skip("this machine has no hybrid cgroup mount".into()).into());
    }
    Ok((process, table))
}

/// A command line of the runtime in the machine's own mount namespace.
fn call(c: &Context, process: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg("--").arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(arguments);
    c.surroundings(&mut command);
    c.finish(command)
}

fn whole_life(c: &Context) -> Result<()> {
    let (process, before) = table()?;
    let bundle = c.bundle().to_string_lossy().into_owned();
    c.write(&Config::plain().mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]).args(&["sleep", "1000"]))?;
    let id = c.id();
    call(c, &process, &["create", "--bundle", &bundle, &id])?.ok()?;
    call(c, &process, &["start", &id])?.ok()?;
    let state = call(c, &process, &["state", &id])?.ok()?.json()?;
    same!(state["status"], "running", "status");
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", state["pid"]))?;
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    holds!(path, id, "the cgroup in the unified tree");
    let output = call(c, &process, &["exec", &id, "grep", " /sys/fs/cgroup ", "/proc/self/mountinfo"])?.ok()?;
    holds!(output.stdout, "cgroup2", "the cgroup mount inside");
    let list = call(c, &process, &["ps", "-f", "json", &id])?.ok()?.json()?;
    same!(list, json!([state["pid"]]), "ps");
    call(c, &process, &["delete", "--force", &id])?.ok()?;
    ensure!(!kernel::cgroup_root().join(path).exists(), "the cgroup is still there");
    same!(fs::read_to_string(format!("/proc/{process}/mountinfo"))?, before, "the machine's mount table");
    Ok(())
}

fn devices_are_denied(c: &Context) -> Result<()> {
    let (process, _) = table()?;
    let config = Config::plain().capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]);
    c.write(&config.script("mknod /tmp/kmsg c 1 11 && true < /tmp/kmsg; echo x > /dev/null && echo null works"))?;
    let bundle = c.bundle().to_string_lossy().into_owned();
    let output = call(c, &process, &["run", "--bundle", &bundle, &c.id()])?.ok()?;
    same!(output.stdout, "null works\n", "what works");
    holds!(output.stderr, "not permitted", "opening a device");
    Ok(())
}
