//! A command that is asked to end while it waits for what may never come: it ends
//! with an error, and nothing is left of what it was making.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::Signal;
use serde_json::json;

use super::hooks::{script, seen_as, sharing};
use super::hooks_failing::{hanging, is_gone, written};
use crate::bundle::Config;
use crate::case::Need;
use crate::command::Running;
use crate::context::{Context, signal};
use crate::kernel::{self, alive};

cases!("interrupting":
    a_mount_that_hangs [Need::Path("/dev/fuse")],
    a_bundle_that_hangs [Need::Path("/dev/fuse")],
    a_hook_that_hangs,
    an_exec_into_a_frozen_container,
    ignored_signals_end_nothing [Need::Path("/dev/fuse")],
);

/// A file system whose server never answers.
struct Hung {
    point: PathBuf,
    /// As long as it is open there is a server.
    _server: OwnedFd,
}

impl Hung {
    fn mount(point: PathBuf) -> Result<Hung> {
        use std::os::fd::AsRawFd;
        let server = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = std::ffi::CString::new(options)?;
        mount("hung", &point, "fuse", MountFlags::empty(), Some(options.as_c_str())).context("cannot mount fuse")?;
        Ok(Hung { point, _server: server })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = unmount(&self.point, UnmountFlags::DETACH);
    }
}

/// Asks a command to end that has nothing else to wait for.
fn interrupt(running: Running, with: Signal, status: i32) -> Result<()> {
    let began = Instant::now();
    signal(running.pid(), with)?;
    running.finish()?.error(status, &[&format!("interrupted by signal {}", with.as_raw())])?;
    ensure!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    Ok(())
}

/// A configuration that binds a file in there.
fn binding(hung: &Hung) -> Config {
    Config::plain().bind(&hung.point.join("file"), "/mnt", &["bind"])
}

/// Waits until a process of the command waits for the file system, as far as this
/// kernel tells; after two seconds it does in any case.
fn until_hung(running: &Running) {
    let waits =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stack")).is_ok_and(|stack| stack.contains("fuse"));
    let path = format!("/proc/{0}/task/{0}/children", running.pid());
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|word| word.parse().ok());
        if children.chain([running.pid()]).any(waits) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_mount_that_hangs(c: &Context) -> Result<()> {
    let hung = Hung::mount(c.folder("hung")?)?;
    c.write(&binding(&hung))?;
    for (command, with) in [
        (&["create"][..], Signal::TERM),
        (&["create"], Signal::INT),
        (&["run"], Signal::INT),
        (&["run"], Signal::HUP),
        (&["run", "--detach"], Signal::QUIT),
    ] {
        let id = c.id();
        let running = c.spawn(&[command, &[&id]].concat())?;
        until_hung(&running);
        interrupt(running, with, 1)?;
        is_gone(c, &id)?;
        ensure!(kernel::children().is_empty(), "processes left: {:?}", kernel::children());
    }
    Ok(())
}

fn a_bundle_that_hangs(c: &Context) -> Result<()> {
    let hung = Hung::mount(c.folder("hung")?)?;
    let id = c.id();
    let root = json!(hung.point.join("rootfs"));
    c.write(&Config::plain().set("/root/path", root))?;
    let running = c.spawn(&["create", &id])?;
    until_hung(&running);
    signal(running.pid(), Signal::TERM)?;
    // There is nothing to undo yet.
    same!(running.finish()?.signal, Some(15), "how create ended");
    is_gone(c, &id)
}

fn a_hook_that_hangs(c: &Context) -> Result<()> {
    for kind in ["prestart", "createContainer", "startContainer", "poststart"] {
        let (config, folder) = sharing(c)?;
        for file in ["pids", "ready", "over"] {
            let _ = std::fs::remove_file(folder.join(file));
        }
        let config = config.push(&format!("/hooks/{kind}"), script(c, &hanging(&seen_as(kind, &folder))));
        let over = script(c, &format!("touch {}/over", folder.display()));
        // The numbers of those inside are the host's.
        let config = config.push("/hooks/poststop", over).without_namespace("pid");
        let config = config.bind(Path::new("/proc"), "/proc", &["rbind"]).remove("/mounts/0");
        c.write(&config.args(&["sleep", "1000"]))?;
        let id = c.id();
        let running = c.spawn(&["run", &id])?;
        c.until("the hook", || Ok(folder.join("ready").exists()))?;
        interrupt(running, Signal::TERM, 1).with_context(|| kind.to_string())?;
        let left: Vec<u32> = written(&folder.join("pids"))?.into_iter().filter(|pid| alive(*pid)).collect();
        same!(left, Vec::<u32>::new(), "what is left of {kind}");
        ensure!(folder.join("over").exists(), "no poststop after {kind}");
        is_gone(c, &id)?;
    }
    Ok(())
}

fn an_exec_into_a_frozen_container(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["pause", &id])?.ok()?;
    let running = c.spawn(&["exec", "--ignore-paused", &id, "true"])?;
    c.until("the process of exec to be there", || {
        Ok(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?.as_array().is_some_and(|pids| pids.len() > 1))
    })?;
    interrupt(running, Signal::TERM, 255)?;
    c.call(&["resume", &id])?.ok()?;
    same!(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?.as_array().map(Vec::len), Some(1), "processes left");
    c.delete(&id)
}

fn ignored_signals_end_nothing(c: &Context) -> Result<()> {
    let hung = Hung::mount(c.folder("hung")?)?;
    c.write(&binding(&hung))?;
    let id = c.id();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["create", &id]);
    c.surroundings(&mut command);
    let mut running = c.start_command(command)?;
    until_hung(&running);
    signal(running.pid(), Signal::HUP)?;
    std::thread::sleep(Duration::from_millis(100));
    ensure!(running.child.try_wait()?.is_none(), "an ignored signal has ended it");
    interrupt(running, Signal::TERM, 1)?;
    is_gone(c, &id)
}
