//! Where a process lands that `exec` makes: namespaces, cgroup, terminal.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::exec::probe;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::kernel;
use crate::terminal::ConsoleSocket;

cases!("joining":
    detached_with_a_pid_file,
    detached_processes_end_with_the_container,
    into_the_containers_namespaces,
    into_a_user_namespace,
    into_a_user_namespace_as_another_user,
    into_a_pid_namespace_by_path,
    into_a_time_namespace [Need::Path("/proc/self/timens_offsets")],
    into_the_containers_cgroup,
    into_a_cgroup_below,
    into_a_cgroup_that_has_become_an_inner_node,
    of_a_container_that_has_left_its_cgroup,
    into_a_created_container,
    into_a_stopped_container_is_refused,
    with_a_console_socket,
    a_terminal_needs_a_console_socket_when_detached,
    a_hundred_in_a_row,
    ten_at_once,
);

fn detached_with_a_pid_file(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let file = c.dir.join("exec.pid");
    let path = file.to_string_lossy().into_owned();
    c.call(&["exec", "-d", "--pid-file", &path, &id, "sleep", "1001"])?.ok()?;
    let text = fs::read_to_string(&file)?;
    ensure!(text.bytes().all(|b| b.is_ascii_digit()), "the pid file holds {text:?}");
    holds!(kernel::command_line(text.parse()?), "sleep 1001", "the process of that pid");
    let pids: Vec<u32> = serde_json::from_value(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?)?;
    ensure!(pids.contains(&text.parse()?), "{text} in {pids:?}");
    // It is the caller's orphan, who reaps it.
    same!(kernel::state_and_parent(text.parse()?).map(|(_, parent)| parent), Some(std::process::id()), "its parent");
    // Also without --detach.
    let file = c.dir.join("second.pid");
    c.call(&["exec", "--pid-file", &file.to_string_lossy(), &id, "true"])?.ok()?;
    ensure!(fs::read_to_string(&file)?.parse::<u32>().is_ok(), "the pid file of a foreground exec");
    // Errors are told although nobody waits.
    c.call(&["exec", "-d", &id, "nothing-here"])?.error(255, &["executable file not found in $PATH"])?;
    c.delete(&id)
}

fn detached_processes_end_with_the_container(c: &Context) -> Result<()> {
    for config in [Config::plain(), Config::plain().without_namespace("pid")] {
        let id = c.detached(&config.args(&["sleep", "1000"]))?;
        let file = c.dir.join("p");
        c.call(&["exec", "-d", "--pid-file", &file.to_string_lossy(), &id, "sleep", "1001"])?.ok()?;
        let pid: u32 = fs::read_to_string(&file)?.parse()?;
        ensure!(kernel::alive(pid), "the process started");
        c.delete(&id)?;
        c.until("the process to be gone", || Ok(!kernel::alive(pid)))?;
    }
    Ok(())
}

fn links(pid: &str) -> Vec<(String, PathBuf)> {
    ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
        .into_iter()
        .filter_map(|name| Some((name.to_string(), fs::read_link(format!("/proc/{pid}/ns/{name}")).ok()?)))
        .collect()
}

fn into_the_containers_namespaces(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let seen = probe(c, &id, &[], &["namespaces", "processes", "names", "root"])?;
    for (name, link) in links(&c.pid(&id)?.to_string()) {
        same!(seen["namespaces"][&name], json!(link), "the {name} namespace");
    }
    same!(seen["names"]["/proc/sys/kernel/hostname"], "box", "hostname");
    let list: Vec<&str> = seen["processes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(list.len() == 2 && list[0] == "1 sleep" && list[1].ends_with(" probe"), "processes {list:?}");
    c.delete(&id)
}

fn into_a_user_namespace(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().user_namespace(100_000, 65_536).args(&["sleep", "1000"]))?;
    let seen = probe(c, &id, &[], &["namespaces", "status", "process"])?;
    for (name, link) in links(&c.pid(&id)?.to_string()) {
        same!(seen["namespaces"][&name], json!(link), "the {name} namespace");
    }
    same!(seen["status"]["Uid"], "0 0 0 0", "Uid");
    holds!(seen["process"]["/proc/self/uid_map"].to_string(), "100000", "uid_map");
    c.delete(&id)
}

fn into_a_user_namespace_as_another_user(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().user_namespace(100_000, 65_536).args(&["sleep", "1000"]))?;
    let seen = probe(c, &id, &["--user", "1000:1001", "-g", "5"], &["status"])?;
    same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
    same!(seen["status"]["Gid"], "1001 1001 1001 1001", "Gid");
    same!(seen["status"]["Groups"], "5", "Groups");
    c.call(&["exec", "--user", "70000", &id, "true"])?.status(255)?;
    c.delete(&id)
}

fn into_a_pid_namespace_by_path(c: &Context) -> Result<()> {
    let other = c.sleeper()?;
    let path = format!("/proc/{}/ns/pid", c.pid(&other)?);
    let id = c.detached(&Config::plain().namespace("pid", Some(&path)).args(&["sleep", "1001"]))?;
    let seen = probe(c, &id, &[], &["namespaces"])?;
    same!(seen["namespaces"]["pid"], json!(fs::read_link(&path)?), "the pid namespace");
    c.delete(&id)?;
    same!(c.state(&other)?["status"], "running", "the other container");
    c.delete(&other)
}

fn into_a_time_namespace(c: &Context) -> Result<()> {
    let config = Config::plain().namespace("time", None);
    let config = config.set("/linux/timeOffsets", json!({"boottime": {"secs": 172_800, "nanosecs": 0}}));
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    let seen = probe(c, &id, &[], &["namespaces"])?;
    let link = fs::read_link(format!("/proc/{}/ns/time", c.pid(&id)?))?;
    same!(seen["namespaces"]["time"], json!(link), "the time namespace");
    let uptime = c.exec(&id, &["cat", "/proc/uptime"])?.ok()?.stdout;
    ensure!(uptime.split(' ').next().unwrap_or("0").parse::<f64>()? > 172_800.0, "uptime {uptime}");
    c.delete(&id)
}

/// The cgroup2 path of a process, as the host sees it.
fn cgroup_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_string()
}

fn exec_detached(c: &Context, id: &str, flags: &[&str]) -> Result<u32> {
    let file = c.dir.join("pid");
    let path = file.to_string_lossy().into_owned();
    let mut arguments = vec!["exec", "-d", "--pid-file", &*path];
    arguments.extend(flags);
    arguments.extend([id, "sleep", "1001"]);
    c.call(&arguments)?.ok()?;
    Ok(fs::read_to_string(&file)?.parse()?)
}

fn into_the_containers_cgroup(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let pid = exec_detached(c, &id, &[])?;
    same!(cgroup_of(pid), cgroup_of(c.pid(&id)?), "the cgroup");
    c.delete(&id)
}

fn into_a_cgroup_below(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let own = cgroup_of(c.pid(&id)?);
    fs::create_dir(kernel::cgroup_root().join(own.trim_start_matches('/')).join("below"))?;
    let pid = exec_detached(c, &id, &["--cgroup", "below"])?;
    same!(cgroup_of(pid), format!("{own}/below"), "the cgroup");
    for outside in ["..", "../..", "below/../../..", "/nowhere"] {
        c.call(&["exec", "--cgroup", outside, &id, "true"])?.status(255)?;
    }
    c.delete(&id)
}

fn into_a_cgroup_that_has_become_an_inner_node(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let own = cgroup_of(c.pid(&id)?);
    let folder = kernel::cgroup_root().join(own.trim_start_matches('/'));
    fs::create_dir(folder.join("init"))?;
    fs::write(folder.join("init/cgroup.procs"), c.pid(&id)?.to_string())?;
    // An inner node takes no processes once it has controllers for children.
    if kernel::controllers().iter().any(|name| name == "pids") {
        let _ = fs::write(folder.join("cgroup.subtree_control"), "+pids");
    }
    let pid = exec_detached(c, &id, &[])?;
    ensure!(cgroup_of(pid).starts_with(&own), "the cgroup {} lies below {own}", cgroup_of(pid));
    c.delete(&id)?;
    ensure!(!folder.exists(), "the cgroup is still there");
    Ok(())
}

fn of_a_container_that_has_left_its_cgroup(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let own = super::resources::folder(c, &id)?;
    let outside = kernel::cgroup_root().join(format!("{}-outside", c.tag));
    fs::create_dir(&outside)?;
    fs::write(outside.join("cgroup.procs"), c.pid(&id)?.to_string())?;
    same!(super::resources::folder(c, &id)?, outside, "the cgroup of the first process");
    let file = c.dir.join("p");
    c.call(&["exec", "-d", "--pid-file", &file.to_string_lossy(), &id, "sleep", "1001"])?.ok()?;
    let pid = fs::read_to_string(&file)?;
    holds!(fs::read_to_string(own.join("cgroup.procs"))?, pid, "the processes of the container's cgroup");
    // Only where that is gone there is nowhere to be born.
    fs::write(outside.join("cgroup.procs"), pid)?;
    fs::remove_dir(&own)?;
    c.exec(&id, &["true"])?.error(255, &["cgroup", "does not exist"])?;
    c.delete(&id)?;
    c.until("the cgroup to be empty", || Ok(fs::remove_dir(&outside).is_ok()))
}

fn into_a_created_container(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain().args(&["sleep", "1000"]))?;
    same!(c.exec(&id, &["hostname"])?.ok()?.stdout, "box\n", "hostname");
    same!(c.state(&id)?["status"], "created", "status");
    c.call(&["start", &id])?.ok()?;
    c.delete(&id)
}

fn into_a_stopped_container_is_refused(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.exec(&id, &["true"])?.error(255, &["not running"])?;
    c.call(&["exec", "-d", &id, "true"])?.error(255, &["not running"])?;
    c.delete(&id)
}

fn with_a_console_socket(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let socket = ConsoleSocket::bind(&c.dir)?;
    let path = socket.path.to_string_lossy().into_owned();
    let script = "tty; stty size; echo done; read line; echo got $line";
    c.call(&["exec", "-d", "-t", "--console-socket", &path, &id, "sh", "-c", script])?.ok()?;
    let (mut terminal, name) = socket.receive()?;
    ensure!(name.contains("pts") || name.contains("ptmx"), "the message that came with it: {name:?}");
    terminal.expect("/dev/pts/")?;
    terminal.expect("done")?;
    terminal.send("hello\n")?;
    terminal.expect("got hello")?;
    terminal.drain()?;
    c.delete(&id)
}

fn a_terminal_needs_a_console_socket_when_detached(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let output = c.call(&["exec", "-d", "-t", &id, "true"])?.status(255)?;
    holds!(output.stderr, "console", "the error");
    let output = c.call(&["exec", "--console-socket", "/nowhere/socket", "-t", "-d", &id, "true"])?.status(255)?;
    holds!(output.stderr, "/nowhere/socket", "the error");
    c.delete(&id)
}

fn a_hundred_in_a_row(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for number in 0..100 {
        same!(c.exec(&id, &["echo", &number.to_string()])?.ok()?.stdout, format!("{number}\n"), "its output");
    }
    let pids: Vec<u32> = serde_json::from_value(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?)?;
    same!(pids.len(), 1, "processes left in the container");
    c.delete(&id)
}

fn ten_at_once(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let mut running = Vec::new();
    for number in 0..10 {
        running.push(c.spawn(&["exec", &id, "sh", "-c", &format!("sleep 0.1; exit {number}")])?);
    }
    for (number, one) in running.into_iter().enumerate() {
        one.finish()?.status(number as i32)?;
    }
    c.delete(&id)
}
