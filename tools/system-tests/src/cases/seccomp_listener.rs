//! Seccomp filters that ask: an agent is told of the container, and answers.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use filters::listener::refuse_one;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use super::seccomp::{GETPPID, but_for, calling, rule};
use crate::bundle::Config;
use crate::context::Context;

cases!("seccomp_listener":
    a_listener_answers proves ["linux.seccomp.listenerPath"],
    a_listener_is_told_of_the_container proves ["linux.seccomp.listenerMetadata"],
    nobody_listens,
    what_must_not_be_asked,
);

/// What an agent gets.
struct Told {
    state: Value,
    listener: OwnedFd,
}

/// Takes one connection and what comes over it, and answers `calls` calls.
fn agent(socket: UnixListener, calls: usize) -> thread::JoinHandle<Result<Told>> {
    thread::spawn(move || {
        let (connection, _) = accept(&socket)?;
        let told = receive(&connection)?;
        for _ in 0..calls {
            same!(refuse_one(told.listener.as_fd(), 71)?, 110, "the call that was asked about");
        }
        Ok(told)
    })
}

fn accept(socket: &UnixListener) -> Result<(UnixStream, ())> {
    let mut ready = [PollFd::new(socket, PollFlags::IN)];
    let most = Timespec { tv_sec: 10, tv_nsec: 0 };
    ensure!(poll(&mut ready, Some(&most))? == 1, "nobody came to the agent");
    Ok((socket.accept()?.0, ()))
}

fn receive(connection: &UnixStream) -> Result<Told> {
    let mut text = vec![0; 1 << 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(connection, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let listener = descriptors.last().context("no descriptor came along")?;
    // One message a connection, and then its end.
    let mut rest = [0; 1];
    ensure!(std::io::Read::read(&mut &*connection, &mut rest)? == 0, "more than one message");
    Ok(Told { state: serde_json::from_slice(&text[..message.bytes])?, listener })
}

/// A profile that asks about getppid, and the agent's socket.
fn asking(c: &Context) -> Result<(Value, UnixListener)> {
    let path = c.dir.join("agent");
    let _ = std::fs::remove_file(&path); // of an earlier round
    let mut profile = but_for(&[rule(&["getppid"], "NOTIFY", json!({}))]);
    profile["listenerPath"] = json!(path);
    Ok((profile, UnixListener::bind(&path)?))
}

fn end<T>(thread: thread::JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("the agent panicked"))?
}

fn a_listener_answers(c: &Context) -> Result<()> {
    for no_new_privileges in [true, false] {
        let (profile, socket) = asking(c)?;
        let agent = agent(socket, 2);
        let config = calling(&profile, &[GETPPID, GETPPID]).set("/process/noNewPrivileges", json!(no_new_privileges));
        let output = c.run(&config)?.ok()?;
        same!(output.stdout, format!("{GETPPID} -71\n{GETPPID} -71\n"), "what the agent answered");
        end(agent)?;
    }
    Ok(())
}

fn a_listener_is_told_of_the_container(c: &Context) -> Result<()> {
    let (mut profile, socket) = asking(c)?;
    profile["listenerMetadata"] = json!("tea \"for\"\ttwo");
    profile["flags"] = json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]);
    let script = format!("/caller {GETPPID}; exec sleep 1000");
    let config = Config::plain().script(&script).set("/linux/seccomp", profile).set("/annotations", json!({"a": "b"}));
    let id = c.create(&config)?;
    let pid = c.pid(&id)?;
    let others = socket.try_clone()?;
    let first = agent(socket, 1);
    c.call(&["start", &id])?.ok()?;
    let told = end(first)?;
    same!(told.state["fds"], json!(["seccompFd"]), "{}", told.state);
    same!(told.state["pid"], json!(pid), "{}", told.state);
    same!(told.state["metadata"], "tea \"for\"\ttwo", "{}", told.state);
    ensure!(told.state["ociVersion"].is_string(), "{}", told.state);
    let state = &told.state["state"];
    for (field, expected) in [
        ("id", json!(id)),
        ("status", json!("created")),
        ("pid", json!(pid)),
        ("bundle", json!(c.bundle())),
        ("annotations", json!({"a": "b"})),
    ] {
        same!(state[field], expected, "{field} of {state}");
    }
    // A process of exec has a filter and a listener of its own.
    let second = agent(others, 1);
    let output = c.exec(&id, &["/caller", GETPPID])?.ok()?;
    same!(output.stdout, format!("{GETPPID} -71\n"), "exec");
    let told = end(second)?;
    let of_exec = told.state["pid"].as_u64().unwrap_or(0);
    ensure!(of_exec > 0 && of_exec != u64::from(pid), "{}", told.state);
    same!(told.state["state"]["pid"], json!(pid), "{}", told.state);
    same!(told.state["state"]["status"], "running", "{}", told.state);
    c.delete(&id)
}

/// An error, and no process that would wait for an answer for ever.
fn nobody_listens(c: &Context) -> Result<()> {
    let (profile, socket) = asking(c)?;
    drop(socket);
    let config = calling(&profile, &[GETPPID]);
    c.run(&config)?.error(1, &["cannot connect to the seccomp agent", "connection refused"])?;
    let id = c.create(&config)?;
    c.call(&["start", &id])?.error(1, &["cannot connect to the seccomp agent", "connection refused"])?;
    c.await_status(&id, "stopped")?;
    c.delete(&id)
}

fn what_must_not_be_asked(c: &Context) -> Result<()> {
    for (names, expected) in [
        (&["write"][..], "SCMP_ACT_NOTIFY cannot be used for the write syscall"),
        (&["sendmsg"], "needs sendmsg to be allowed"),
    ] {
        let mut profile = but_for(&[rule(names, "NOTIFY", json!({}))]);
        profile["listenerPath"] = json!("/nowhere");
        c.run(&calling(&profile, &[GETPPID]))?.error(1, &["config.json:", expected])?;
    }
    let profile = json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/nowhere"});
    c.run(&calling(&profile, &[GETPPID]))?.error(1, &["SCMP_ACT_NOTIFY cannot be used as default action"])?;
    let profile = but_for(&[rule(&["getppid"], "NOTIFY", json!({}))]);
    c.run(&calling(&profile, &[GETPPID]))?.error(1, &["SCMP_ACT_NOTIFY needs \"listenerPath\""])?;
    Ok(())
}
