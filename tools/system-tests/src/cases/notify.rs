//! Readiness: what a container says to its NOTIFY_SOCKET, and what LISTEN_FDS
//! brings it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::bundle::Config;
use crate::context::Context;

cases!("notify":
    run_passes_readiness_on,
    start_waits_for_readiness,
    run_detached_waits_too,
    of_an_ordinary_user_in_a_user_namespace,
    an_abstract_socket,
    nobody_waits_for_one_that_ends,
    nobody_waits_for_those_that_it_leaves,
    without_a_socket_nothing_is_there,
);

/// The engine's end.
fn engine(c: &Context, name: &str) -> Result<UnixDatagram> {
    let socket = UnixDatagram::bind(c.dir.join(name))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

fn with_socket(c: &Context, arguments: &[&str], target: &str) -> Command {
    let mut command = c.command(arguments);
    command.env("NOTIFY_SOCKET", target);
    command
}

fn heard(socket: &UnixDatagram) -> Result<String> {
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).context("nothing was passed on")?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A process that says so when `go` appears in /mnt, and then stays.
fn service(c: &Context) -> Result<(Config, std::path::PathBuf)> {
    let folder = c.folder("shared")?;
    let config = Config::plain().bind(&folder, "/mnt", &["rbind"]);
    let script = "env >/mnt/environment; while [ ! -e /mnt/go ]; do sleep 0.01; done; \
                  /probe notify STATUS=almost; /probe notify 'READY=1\nSTATUS=there'; \
                  touch /mnt/said; exec sleep 1000";
    Ok((config.script(script), folder))
}

fn path(c: &Context, name: &str) -> String {
    c.dir.join(name).to_string_lossy().into_owned()
}

/// Of one that is being made by a command under way.
fn is_running(c: &Context, id: &str) -> Result<()> {
    c.until("the container", || {
        let output = c.call(&["state", id])?;
        Ok(output.status == 0 && output.json()?["status"] == "running")
    })
}

fn run_passes_readiness_on(c: &Context) -> Result<()> {
    let socket = engine(c, "notify")?;
    let (config, folder) = service(c)?;
    c.write(&config)?;
    let id = c.id();
    let run = c.start_command(with_socket(c, &["run", &id], &path(c, "notify")))?;
    is_running(c, &id)?;
    fs::write(folder.join("go"), "")?;
    same!(heard(&socket)?, "READY=1", "what is passed on in the foreground, where we are the main process");
    c.until("the rest", || Ok(folder.join("said").exists()))?;
    let environment = fs::read_to_string(folder.join("environment"))?;
    holds!(environment, "NOTIFY_SOCKET=/run/notify/notify.sock\n", "its environment");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    same!(run.finish()?.status, 137, "the status of run");
    Ok(())
}

fn start_waits_for_readiness(c: &Context) -> Result<()> {
    let socket = engine(c, "notify")?;
    let (config, folder) = service(c)?;
    c.write(&config)?;
    let id = c.id();
    c.finish(with_socket(c, &["create", &id], &path(c, "notify")))?.ok()?;
    let pid = c.pid(&id)?;
    let mut start = c.start_command(with_socket(c, &["start", &id], &path(c, "notify")))?;
    is_running(c, &id)?;
    std::thread::sleep(Duration::from_millis(50));
    ensure!(start.child.try_wait()?.is_none(), "start did not wait");
    // Nobody else has to wait for that.
    c.exec(&id, &["true"])?.ok()?;
    fs::write(folder.join("go"), "")?;
    same!(heard(&socket)?, format!("READY=1\nMAINPID={pid}"), "what is passed on");
    start.finish()?.ok()?;
    c.delete(&id)?;
    ensure!(!c.state_dir().join(&id).exists(), "the state is there");
    Ok(())
}

fn run_detached_waits_too(c: &Context) -> Result<()> {
    let socket = engine(c, "notify")?;
    let (config, folder) = service(c)?;
    c.write(&config)?;
    let id = c.id();
    let run = c.start_command(with_socket(c, &["run", "--detach", &id], &path(c, "notify")))?;
    is_running(c, &id)?;
    fs::write(folder.join("go"), "")?;
    let pid = c.pid(&id)?;
    same!(heard(&socket)?, format!("READY=1\nMAINPID={pid}"), "what is passed on");
    run.finish()?.ok()?;
    c.delete(&id)
}

fn of_an_ordinary_user_in_a_user_namespace(c: &Context) -> Result<()> {
    let socket = engine(c, "notify")?;
    let config =
        Config::plain().user_namespace(100_000, 65_536).set("/process/user", json!({"uid": 1000, "gid": 1000}));
    // The root file system does not belong to it.
    let config = config.mount("/run", "tmpfs", "tmpfs", &["mode=755"]);
    c.write(&config.args(&["/probe", "notify", "READY=1"]))?;
    c.open_way()?;
    c.finish(with_socket(c, &["run", &c.id()], &path(c, "notify")))?.ok()?;
    same!(heard(&socket)?, "READY=1", "what is passed on");
    Ok(())
}

fn an_abstract_socket(c: &Context) -> Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("{}-notify", c.tag);
    let socket = UnixDatagram::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name(&name)?)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    c.write(&Config::plain().args(&["/probe", "notify", "READY=1"]))?;
    c.finish(with_socket(c, &["run", &c.id()], &format!("@{name}")))?.ok()?;
    same!(heard(&socket)?, "READY=1", "what is passed on");
    Ok(())
}

fn nobody_waits_for_one_that_ends(c: &Context) -> Result<()> {
    let _socket = engine(c, "notify")?;
    c.write(&Config::plain().args(&["sleep", "0.2"]))?;
    let id = c.id();
    c.finish(with_socket(c, &["run", "--detach", &id], &path(c, "notify")))?.ok()?;
    c.delete(&id)?;
    let id = c.id();
    c.finish(with_socket(c, &["create", &id], &path(c, "notify")))?.ok()?;
    c.finish(with_socket(c, &["start", &id], &path(c, "notify")))?.ok()?;
    c.delete(&id)?;
    // Where it cannot be passed on, the container runs all the same.
    c.write(&Config::plain().args(&["/probe", "notify", "READY=1"]))?;
    let output = c.finish(with_socket(c, &["run", &c.id()], &path(c, "nobody")))?.ok()?;
    holds!(output.stderr, "that the container is ready: no such file or directory", "the warning");
    Ok(())
}

fn nobody_waits_for_those_that_it_leaves(c: &Context) -> Result<()> {
    let _socket = engine(c, "notify")?;
    let script = "/probe flood STATUS=busy & sleep 0.3";
    c.write(&Config::plain().without_namespace("pid").script(script))?;
    for commands in [&["run --detach"][..], &["create", "start"]] {
        let id = c.id();
        for command in commands {
            // A queue that is never empty, however the processes take turns.
            let script = "echo 100000 > /proc/sys/net/unix/max_dgram_qlen && exec \"$@\"";
            let mut unshare = Command::new("unshare");
            unshare.args(["--net", "sh", "-c", script, "sh"]).arg(&c.program).arg("--root").arg(c.state_dir());
            unshare.args(command.split(' ')).arg(&id).env("NOTIFY_SOCKET", path(c, "notify"));
            c.surroundings(&mut unshare);
            c.finish(unshare)?.ok()?;
        }
        c.await_status(&id, "stopped")?;
        c.delete(&id)?;
    }
    Ok(())
}

fn without_a_socket_nothing_is_there(c: &Context) -> Result<()> {
    let config = Config::plain().script("ls -d /run/notify; echo \"<$NOTIFY_SOCKET>\"; true");
    c.write(&config)?;
    for target in [None, Some("")] {
        let id = c.id();
        let mut command = c.command(&["run", &id]);
        match target {
            Some(target) => command.env("NOTIFY_SOCKET", target),
            None => command.env_remove("NOTIFY_SOCKET"),
        };
        same!(c.finish(command)?.ok()?.stdout, "<>\n", "what is there");
    }
    // Made by create alone: nobody wants to know at start.
    let _socket = engine(c, "notify")?;
    let id = c.id();
    c.finish(with_socket(c, &["create", &id], &path(c, "notify")))?.ok()?;
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.delete(&id)?;
    ensure!(Path::new(&path(c, "notify")).exists(), "the engine's socket is gone");
    Ok(())
}
