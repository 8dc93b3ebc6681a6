//! `pause`, `resume` and `events`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::resources::{folder, sleeper};
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::kernel;

cases!("pausing":
    what_is_paused_stands_still,
    before_the_start,
    exec_into_a_paused_one,
    signals_to_a_paused_one,
    a_paused_one_is_deleted,
    what_cannot_be_paused,
    frozen_from_above,
    statistics_once,
    statistics_are_the_files [Need::Controller("memory"), Need::Controller("hugetlb")],
    statistics_like_runcs [Need::Controller("memory"), Need::Program("runc")],
    events_until_the_end,
    events_of_memory [Need::Controller("memory"), Need::WaitChannel],
    events_without_the_cgroup [Need::Controller("memory"), Need::WaitChannel],
    events_of_what_does_not_run,
);

/// A container that counts, in a file.
fn counter(c: &Context) -> Result<String> {
    let script = "i=0; while :; do i=$((i+1)); echo $i > /srv/new; mv /srv/new /srv/count; usleep 1000; done";
    c.detached(&Config::plain().script(script))
}

fn count(c: &Context) -> u64 {
    let text = fs::read_to_string(c.rootfs().join("srv/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn goes_on(c: &Context) -> Result<()> {
    let before = count(c);
    c.until("it to count on", || Ok(count(c) > before))
}

fn what_is_paused_stands_still(c: &Context) -> Result<()> {
    let id = counter(c)?;
    goes_on(c)?;
    for _ in 0..3 {
        c.call(&["pause", &id])?.ok()?;
        let events = fs::read_to_string(folder(c, &id)?.join("cgroup.events"))?;
        holds!(events, "frozen 1", "cgroup.events");
        let before = count(c);
        std::thread::sleep(Duration::from_millis(50));
        same!(count(c), before, "the count of what is paused");
        same!(c.state(&id)?["status"], "paused", "status");
        let list = c.call(&["list", "--format", "json"])?.ok()?.json()?;
        same!(list[0]["status"], "paused", "status in the list");
        c.call(&["resume", &id])?.ok()?;
        same!(c.state(&id)?["status"], "running", "status");
        goes_on(c)?;
    }
    c.delete(&id)
}

fn before_the_start(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain().args(&["sleep", "1000"]))?;
    c.call(&["pause", &id])?.ok()?;
    same!(c.state(&id)?["status"], "paused", "status");
    // As under runc.
    c.call(&["start", &id])?.error(1, &[&format!("cannot start container {id} in the paused state")])?;
    c.call(&["delete", &id])?.error(1, &[&format!("cannot delete container {id} that is not stopped: paused")])?;
    c.call(&["resume", &id])?.ok()?;
    same!(c.state(&id)?["status"], "created", "status");
    c.call(&["start", &id])?.ok()?;
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn exec_into_a_paused_one(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["pause", &id])?.ok()?;
    let parts = ["cannot exec in a paused container (use --ignore-paused to override)"];
    c.exec(&id, &["true"])?.error(255, &parts)?;
    // Born frozen: it runs once the container does.
    let running = c.spawn(&["exec", "--ignore-paused", &id, "echo", "awake"])?;
    std::thread::sleep(Duration::from_millis(100));
    same!(running.capture.stdout(), "", "what a frozen process says");
    c.call(&["resume", &id])?.ok()?;
    same!(running.finish()?.ok()?.stdout, "awake\n", "what it says then");
    c.delete(&id)
}

fn signals_to_a_paused_one(c: &Context) -> Result<()> {
    for shared in [false, true] {
        let config = Config::plain().args(&["sleep", "1000"]);
        let id = c.detached(&if shared { config.without_namespace("pid") } else { config })?;
        c.call(&["pause", &id])?.ok()?;
        // KILL needs no thaw.
        c.call(&["kill", &id, "KILL"])?.ok()?;
        c.await_status(&id, "stopped")?;
        c.call(&["delete", &id])?.ok()?;
    }
    // Others wait until it goes on.
    let script = "trap 'exit 3' TERM; echo > /srv/ready; while :; do usleep 1000; done";
    let id = c.detached(&Config::plain().script(script))?;
    c.until("it to listen", || Ok(c.rootfs().join("srv/ready").exists()))?;
    c.call(&["pause", &id])?.ok()?;
    c.call(&["kill", &id, "TERM"])?.ok()?;
    std::thread::sleep(Duration::from_millis(50));
    same!(c.state(&id)?["status"], "paused", "status");
    c.call(&["resume", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.call(&["delete", &id])?.ok()?;
    Ok(())
}

fn a_paused_one_is_deleted(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().script("sleep 1000 & sleep 1000 & wait"))?;
    c.call(&["pause", &id])?.ok()?;
    c.call(&["delete", &id])?.error(1, &["that is not stopped"])?;
    same!(c.state(&id)?["status"], "paused", "status");
    let before = Instant::now();
    c.call(&["delete", "--force", &id])?.ok()?;
    ensure!(before.elapsed() < Duration::from_secs(1), "it took {:?}", before.elapsed());
    Ok(())
}

fn what_cannot_be_paused(c: &Context) -> Result<()> {
    for command in ["pause", "resume"] {
        c.call(&[command, "nobody"])?.error(1, &["container does not exist: nobody"])?;
    }
    let id = c.sleeper()?;
    c.call(&["resume", &id])?.error(1, &[&format!("container {id} is not paused: running")])?;
    c.call(&["pause", &id])?.ok()?;
    c.call(&["pause", &id])?.error(1, &[&format!("cannot pause container {id} in the paused state")])?;
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.call(&["pause", &id])?.error(1, &[&format!("cannot pause container {id} in the stopped state")])?;
    c.delete(&id)?;
    c.write(&Config::plain())?;
    let id = c.id();
    c.call(&["--cgroup-manager", "disabled", "create", &id])?.ok()?;
    c.call(&["pause", &id])?.error(1, &[&format!("container {id} has no cgroup")])?;
    c.delete(&id)
}

fn frozen_from_above(c: &Context) -> Result<()> {
    // As by an engine that pauses a pod: it is paused in fact.
    let path = format!("{}-pod/x", c.tag);
    let id =
        c.detached(&Config::plain().set("/linux/cgroupsPath", json!(format!("/{path}"))).args(&["sleep", "1000"]))?;
    let pod = kernel::cgroup_root().join(format!("{}-pod", c.tag));
    fs::write(pod.join("cgroup.freeze"), "1")?;
    c.await_status(&id, "paused")?;
    fs::write(pod.join("cgroup.freeze"), "0")?;
    c.await_status(&id, "running")?;
    c.delete(&id)
}

/// The one event of `events --stats`.
fn statistics(c: &Context, id: &str) -> Result<Value> {
    let output = c.call(&["events", "--stats", id])?.ok()?;
    same!(output.stdout.lines().count(), 1, "lines of `events --stats`");
    output.json()
}

fn statistics_once(c: &Context) -> Result<()> {
    let id = counter(c)?;
    goes_on(c)?;
    let event = statistics(c, &id)?;
    same!(event["type"], "stats", "type");
    same!(event["id"], id.as_str(), "id");
    let used = |event: &Value| event["data"]["cpu"]["usage"]["total"].as_u64().unwrap_or(0);
    ensure!(used(&event) > 0, "no CPU time in {event}");
    goes_on(c)?;
    ensure!(used(&statistics(c, &id)?) > used(&event), "the CPU time does not grow");
    c.delete(&id)
}

fn statistics_are_the_files(c: &Context) -> Result<()> {
    let resources = json!({
        "memory": {"limit": 67_108_864, "swap": 100_663_296},
        "pids": {"limit": 100},
        "cpu": {"quota": 50_000},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
    });
    let id = c.detached(&Config::plain().set("/linux/resources", resources).script("sleep 1000 & wait"))?;
    // What is used no longer changes in what is paused.
    c.call(&["pause", &id])?.ok()?;
    let folder = folder(c, &id)?;
    let data = statistics(c, &id)?["data"].clone();
    let number = |file: &str| -> Result<u64> { Ok(fs::read_to_string(folder.join(file))?.trim().parse()?) };
    let field = |file: &str, name: &str| -> Result<u64> {
        let text = fs::read_to_string(folder.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).context("no such line")?;
        Ok(line.parse()?)
    };
    same!(data["pids"], json!({"current": number("pids.current")?, "limit": 100}), "pids");
    same!(data["memory"]["usage"]["limit"], 67_108_864, "memory.usage.limit");
    same!(data["memory"]["usage"]["usage"], number("memory.current")?, "memory.usage.usage");
    same!(data["memory"]["swap"]["limit"], 100_663_296, "memory.swap.limit");
    same!(data["memory"]["cache"], field("memory.stat", "file")?, "memory.cache");
    same!(data["memory"]["raw"]["anon"], field("memory.stat", "anon")?, "memory.raw.anon");
    same!(data["cpu"]["usage"]["user"], field("cpu.stat", "user_usec")? * 1000, "cpu.usage.user");
    same!(data["cpu"]["throttling"]["periods"], field("cpu.stat", "nr_periods")?, "cpu.throttling.periods");
    same!(data["hugetlb"]["2MB"], json!({"usage": 0, "failcnt": 0}), "hugetlb");
    c.delete(&id)
}

/// The names of all members, as paths, but for what differs between kernels.
fn members(path: &str, value: &Value, found: &mut Vec<String>) {
    match value.as_object() {
        Some(members) if path != "/data/memory/raw" => {
            members.iter().for_each(|(name, value)| self::members(&format!("{path}/{name}"), value, found));
        }
        _ => found.push(path.into()),
    }
}

fn statistics_like_runcs(c: &Context) -> Result<()> {
    let program = kernel::find_program("runc").context("no runc")?;
    let id = format!("{}-runc", c.tag);
    let config = Config::plain().set("/linux/resources", json!({"pids": {"limit": 9}, "devices": []}));
    c.write(&config.set("/linux/cgroupsPath", json!(format!("/{id}"))).args(&["sleep", "1000"]))?;
    let runc = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.arg("--root").arg(c.dir.join("state-runc")).args(arguments);
        c.surroundings(&mut command);
        c.finish(command)
    };
    runc(&["run", "--detach", &id])?.ok()?;
    let theirs = runc(&["events", "--stats", &id])?.ok()?.json()?;
    runc(&["delete", "--force", &id])?.ok()?;
    let own = c.id();
    c.call(&["run", "--detach", &own])?.ok()?;
    let ours = statistics(c, &own)?;
    c.delete(&own)?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    members("", &theirs, &mut one);
    members("", &ours, &mut two);
    // Of version 1, and always zero: left out here.
    let missing: Vec<_> = one.iter().filter(|name| !name.contains("/cpuset/") && !two.contains(name)).collect();
    ensure!(missing.is_empty(), "runc has {missing:?} beside what ocinit has: {two:?}");
    Ok(())
}

fn events_until_the_end(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let running = c.spawn(&["events", "--interval", "20ms", &id])?;
    let lines = || running.capture.stdout().lines().count();
    c.until("three events", || Ok(lines() >= 3))?;
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    let output = running.finish()?.ok()?;
    for line in output.stdout.lines() {
        let event: Value = serde_json::from_str(line)?;
        same!(event["type"], "stats", "type");
        same!(event["id"], id.as_str(), "id");
    }
    c.delete(&id)
}

/// The kinds of events so far.
fn kinds(text: &str) -> Vec<String> {
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| Some(event["type"].as_str()?.to_string())).collect()
}

fn events_of_memory(c: &Context) -> Result<()> {
    let memory = json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}});
    let wait = |path: &Path| fs::write(path, "");
    let script = "while [ ! -e /srv/go ]; do usleep 5000; done; sh -c 'x=a; while :; do x=$x$x; done'; sleep 1000";
    let id = c.detached(&Config::plain().set("/linux/resources", memory).script(script))?;
    let running = c.spawn(&["events", "--interval", "1h", &id])?;
    // It watches once it waits in poll.
    c.until("events to watch", || Ok(kernel::wait_channel(running.pid()).contains("poll")))?;
    wait(&c.rootfs().join("srv/go"))?;
    c.until("an event of memory", || Ok(kinds(&running.capture.stdout()) == ["oom"]))?;
    same!(running.capture.stdout(), format!("{{\"type\":\"oom\",\"id\":\"{id}\"}}\n"), "the event");
    kill_process(Pid::from_raw(c.pid(&id)? as i32).context("a pid")?, Signal::KILL)?;
    running.finish()?.ok()?;
    c.delete(&id)
}

fn events_without_the_cgroup(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"memory": {"limit": 67_108_864}})))?;
    let folder = folder(c, &id)?;
    let running = c.spawn(&["events", "--interval", "1h", &id])?;
    c.until("events to watch", || Ok(kernel::wait_channel(running.pid()).contains("poll")))?;
    let other = kernel::cgroup_root().join(format!("{}-other", c.tag));
    fs::create_dir(&other)?;
    fs::write(other.join("cgroup.procs"), c.pid(&id)?.to_string())?;
    c.until("the cgroup to be empty", || Ok(fs::remove_dir(&folder).is_ok()))?;
    // Whatever poll says of files that are gone, it goes on waiting.
    let ticks = || -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", running.pid()))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("a name")?.1.split_whitespace().collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    };
    let before = ticks()?;
    std::thread::sleep(Duration::from_millis(500));
    let used = ticks()? - before;
    ensure!(used < 10, "{used} hundredths of a second of CPU time in half a second of waiting");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    running.finish()?.ok()?;
    c.delete(&id)?;
    c.until("the other cgroup to be empty", || Ok(fs::remove_dir(&other).is_ok()))
}

fn events_of_what_does_not_run(c: &Context) -> Result<()> {
    c.call(&["events", "nobody"])?.error(1, &["container does not exist"])?;
    let id = c.detached(&Config::plain().args(&["true"]))?;
    c.await_status(&id, "stopped")?;
    c.call(&["events", "--stats", &id])?.error(1, &[&format!("container with id {id} is not running")])?;
    for bad in ["0", "0s", "5", "-1s", "abc"] {
        c.call(&["events", &format!("--interval={bad}"), &id])?.error(1, &["--interval", "a time above zero"])?;
    }
    c.delete(&id)
}
