//! The well-known introduction to runc, word for word, with ocinit in its
//! place: in a real terminal (tmux), with a second one beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::bundle::copy_tree;
use crate::case::Need;
use crate::context::Context;

cases!("walkthrough":
    introduction_in_two_terminals [Need::Program("tmux"), Need::Host],
);

/// A tmux server of our own, gone when dropped.
struct Tmux<'a> {
    c: &'a Context,
    socket: String,
}

impl Tmux<'_> {
    fn call(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new("tmux");
        command.args(["-S", &self.socket]).args(words);
        self.c.surroundings(&mut command);
        command.env_remove("TMUX").env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
        Ok(self.c.finish(command)?.ok()?.stdout)
    }

    /// Types a line into a terminal.
    fn type_line(&self, terminal: &str, line: &str) -> Result<()> {
        self.call(&["send-keys", "-t", terminal, "-l", line])?;
        self.call(&["send-keys", "-t", terminal, "Enter"])?;
        Ok(())
    }

    /// Waits until the terminal shows what `wanted` looks for.
    fn until(&self, terminal: &str, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let end = Instant::now() + Duration::from_secs(8);
        loop {
            let screen = self.call(&["capture-pane", "-p", "-J", "-t", terminal])?;
            if wanted(&screen) {
                return Ok(screen);
            }
            if Instant::now() > end {
                bail!("terminal {terminal} never showed {what}, only {screen:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.call(&["kill-server"]);
    }
}

fn introduction_in_two_terminals(c: &Context) -> Result<()> {
    let bin = c.folder("bin")?;
    symlink(&c.program, bin.join("ocinit"))?;
    let home = c.folder("mycontainer")?;
    let tmux = Tmux { c, socket: c.dir.join("tmux").to_string_lossy().into_owned() };
    let shell = format!("env PATH={}:/usr/sbin:/usr/bin:/sbin:/bin PS1='$ ' sh", bin.display());
    tmux.call(&["-f", "/dev/null", "new-session", "-d", "-s", "one", "-x", "160", "-y", "40", &shell])?;
    tmux.call(&["new-session", "-d", "-s", "two", "-x", "160", "-y", "40", &shell])?;
    let id = c.id();

    tmux.type_line("one", &format!("cd {} && mkdir rootfs && echo made", home.display()))?;
    tmux.until("one", "the folder made", |screen| screen.contains("\nmade"))?;
    copy_tree(&c.rootfs(), &home.join("rootfs"))?;
    tmux.type_line("one", "ocinit spec; ls")?;
    tmux.until("one", "config.json", |screen| screen.contains("config.json"))?;

    // An interactive shell, seen from the second terminal.
    tmux.type_line("one", &format!("clear; ocinit run {id}"))?;
    tmux.until("one", "the container's prompt", |screen| screen.contains("/ #"))?;
    tmux.type_line("one", "hostname; ps | wc -l; echo $((6 * 7))")?;
    tmux.until("one", "the shell's answer", |screen| screen.contains("ocinit\n") && screen.contains("\n42"))?;
    tmux.type_line("two", "clear; ocinit list")?;
    tmux.until("two", "the container running", |screen| {
        screen.lines().any(|line| line.starts_with(&id) && line.contains("running"))
    })?;
    tmux.type_line("one", "exit")?;
    tmux.until("one", "the host's prompt", |screen| screen.trim_end().ends_with("\n$"))?;
    tmux.type_line("one", "echo back with $?")?;
    tmux.until("one", "the host's shell", |screen| screen.contains("back with 0"))?;
    tmux.type_line("two", "clear; ocinit list")?;
    tmux.until("two", "an empty list", |screen| screen.contains("STATUS") && !screen.contains(&id))?;

    // Step by step, with a process that needs no terminal.
    let path = home.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sleep", "2"]);
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    let shows = |status: &'static str| {
        let id = id.clone();
        move |screen: &str| screen.lines().any(|line| line.starts_with(&id) && line.contains(status))
    };
    tmux.type_line("one", &format!("clear; ocinit create {id} && ocinit list"))?;
    tmux.until("one", "the container created", shows("created"))?;
    tmux.type_line("one", &format!("clear; ocinit start {id} && ocinit list"))?;
    tmux.until("one", "the container running", shows("running"))?;
    std::thread::sleep(Duration::from_millis(2200));
    tmux.type_line("one", "clear; ocinit list")?;
    tmux.until("one", "the container stopped", shows("stopped"))?;
    tmux.type_line("one", &format!("clear; ocinit delete {id} && ocinit list"))?;
    let screen = tmux.until("one", "an empty list", |screen| screen.contains("STATUS"))?;
    ensure!(!screen.lines().any(|line| line.starts_with(&id)), "{screen:?}");
    Ok(())
}
