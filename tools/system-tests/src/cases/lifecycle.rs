//! The way of a container: create, start, run and state, in every order, right
//! and wrong.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use crate::bundle::Config;
use crate::context::{Context, signal};
use crate::kernel;

cases!("lifecycle":
    run_gives_the_process_status,
    run_gives_128_and_the_signal,
    run_deletes_the_container,
    run_keep_leaves_it_stopped,
    run_detached,
    run_forwards_signals,
    run_passes_standard_input_and_output,
    create_start_state_kill_delete,
    state_has_the_fields_of_the_specification proves ["annotations.*"],
    a_created_container_has_not_started,
    start_twice_is_an_error,
    start_of_a_stopped_container_is_an_error,
    create_of_an_existing_id_is_an_error,
    unknown_ids,
    ids_that_are_refused,
    ids_that_are_taken,
    a_zombie_counts_as_stopped,
    root_may_be_joined_by_an_equals_sign,
    relative_root_and_bundle,
    bundle_by_its_flag,
    a_reused_pid_is_never_signalled,
    a_truncated_record_can_be_deleted,
    nested_cgroups_are_removed,
    a_cgroup_of_before_stays_as_it_was,
    two_containers_side_by_side,
);

pub(super) fn sleeping() -> Config {
    Config::plain().args(&["sleep", "1000"])
}

fn run_gives_the_process_status(c: &Context) -> Result<()> {
    for status in [0, 1, 7, 126, 127, 128, 200, 255] {
        c.run(&Config::plain().script(&format!("exit {status}")))?.status(status)?;
    }
    Ok(())
}

fn run_gives_128_and_the_signal(c: &Context) -> Result<()> {
    // Process 1 of a pid namespace cannot be ended by its own signals: without
    // a pid namespace, it can.
    for (name, number) in [("TERM", 15), ("KILL", 9), ("SEGV", 11)] {
        let config = Config::plain().without_namespace("pid").script(&format!("kill -{name} $$"));
        let output = c.run(&config)?.status(128 + number)?;
        same!(output.signal, None, "the runtime exits rather than dying of the signal itself");
    }
    Ok(())
}

fn run_deletes_the_container(c: &Context) -> Result<()> {
    c.run(&Config::plain())?.ok()?;
    c.call(&["state", &format!("{}-1", c.tag)])?.error(1, &["does not exist"])?;
    Ok(())
}

fn run_keep_leaves_it_stopped(c: &Context) -> Result<()> {
    c.write(&Config::plain().script("exit 3"))?;
    let id = c.id();
    c.call(&["run", "--keep", &id])?.status(3)?;
    same!(c.state(&id)?["status"], "stopped", "status");
    c.call(&["delete", &id])?.ok()?;
    Ok(())
}

fn run_detached(c: &Context) -> Result<()> {
    for flag in ["-d", "--detach"] {
        c.write(&sleeping())?;
        let id = c.id();
        c.call(&["run", flag, &id])?.ok()?;
        same!(c.state(&id)?["status"], "running", "status");
        ensure!(kernel::alive(c.pid(&id)?));
        c.call(&["kill", &id, "KILL"])?.ok()?;
        c.await_status(&id, "stopped")?;
        c.call(&["delete", &id])?.ok()?;
    }
    Ok(())
}

fn run_forwards_signals(c: &Context) -> Result<()> {
    let script = "trap 'echo got term; exit 42' TERM; trap 'echo got hup' HUP; trap 'echo got usr1' USR1
        echo ready; while :; do sleep 0.05; done";
    c.write(&Config::plain().script(script))?;
    let id = c.id();
    let running = c.spawn(&["run", &id])?;
    c.until("the container to be ready", || Ok(running.capture.stdout().contains("ready")))?;
    for (number, word) in [(Signal::HUP, "hup"), (Signal::USR1, "usr1"), (Signal::TERM, "term")] {
        signal(running.pid(), number)?;
        c.until(word, || Ok(running.capture.stdout().contains(&format!("got {word}"))))?;
    }
    running.finish()?.status(42)?;
    Ok(())
}

fn run_passes_standard_input_and_output(c: &Context) -> Result<()> {
    c.write(&Config::plain().script("cat; echo to stderr >&2"))?;
    let mut command = c.command(&["run", &c.id()]);
    command.stdin(crate::command::input(&c.dir, b"one\ntwo\n")?);
    let output = c.finish(command)?.ok()?;
    same!(output.stdout, "one\ntwo\n", "standard output");
    same!(output.stderr, "to stderr\n", "standard error");
    Ok(())
}

fn create_start_state_kill_delete(c: &Context) -> Result<()> {
    let id = c.create(&sleeping())?;
    same!(c.state(&id)?["status"], "created", "after create");
    c.call(&["start", &id])?.ok()?;
    same!(c.state(&id)?["status"], "running", "after start");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    same!(c.state(&id)?["pid"], 0, "the pid once stopped");
    c.call(&["delete", &id])?.ok()?;
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}

fn state_has_the_fields_of_the_specification(c: &Context) -> Result<()> {
    let notes = json!({"org.example.a": "one", "org.example.quote": "say \"é\"\n"});
    let id = c.create(&sleeping().set("/annotations", notes.clone()))?;
    let state = c.state(&id)?;
    same!(state["id"], json!(id), "id");
    same!(state["status"], "created", "status");
    same!(state["annotations"], notes, "annotations");
    same!(state["bundle"], json!(c.bundle()), "bundle");
    same!(state["rootfs"], json!(c.rootfs()), "rootfs");
    ensure!(state["ociVersion"].as_str().is_some_and(|v| v.starts_with("1.")), "ociVersion in {state}");
    ensure!(state["owner"].is_string(), "owner in {state}");
    let created = state["created"].as_str().unwrap_or_default().to_string();
    ensure!(created.len() >= 20 && created.contains('T') && created.ends_with('Z'), "created: {created:?}");
    let year = crate::command::host(&c.dir, "date", &["-u", "+%Y-%m-%dT"])?;
    ensure!(created.starts_with(year.trim()), "created {created:?} on {year:?}");
    ensure!(kernel::alive(c.pid(&id)?), "the pid is a live process");
    c.delete(&id)
}

fn a_created_container_has_not_started(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain().script("echo ran > /ran"))?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    ensure!(!c.rootfs().join("ran").exists(), "the process ran before `start`");
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    ensure!(c.rootfs().join("ran").exists(), "the process did not run after `start`");
    c.delete(&id)
}

fn start_twice_is_an_error(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["start", &id])?.error(1, &["running"])?;
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn start_of_a_stopped_container_is_an_error(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain())?;
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.call(&["start", &id])?.error(1, &["stopped"])?;
    c.call(&["exec", &id, "true"])?.error(255, &["not running"])?;
    c.delete(&id)
}

fn create_of_an_existing_id_is_an_error(c: &Context) -> Result<()> {
    let id = c.create(&sleeping())?;
    for arguments in [vec!["create", &id], vec!["run", &id], vec!["run", "-d", &id]] {
        c.call(&arguments)?.error(1, &["container with given ID already exists"])?;
        same!(c.state(&id)?["status"], "created", "the first container's status after {arguments:?}");
    }
    c.call(&["start", &id])?.ok()?;
    c.delete(&id)
}

fn unknown_ids(c: &Context) -> Result<()> {
    let id = c.id();
    for command in ["start", "state", "kill", "delete", "ps"] {
        c.call(&[command, &id])?.error(1, &["container does not exist"])?;
    }
    c.call(&["exec", &id, "true"])?.error(255, &["container does not exist"])?;
    c.call(&["delete", "--force", &id])?.ok()?;
    c.call(&["delete", "-f", &id])?.ok()?;
    Ok(())
}

fn ids_that_are_refused(c: &Context) -> Result<()> {
    c.write(&Config::plain())?;
    let long = "x".repeat(300);
    for id in ["", ".", "..", "a/b", "/a", "../a", "a b", "a\nb", "a:b", "é", "a*b", "a@b", "a%b", &long] {
        for command in ["create", "run", "state", "kill", "start"] {
            let output = c.call(&[command, id])?;
            ensure!(output.status == 1, "`{command}` of id {id:?} ended with {}", output.status);
            ensure!(!output.stderr.is_empty(), "`{command}` of id {id:?} said nothing");
        }
        ensure!(c.call(&["exec", id, "true"])?.status != 0, "exec of id {id:?}");
    }
    // Nothing came to be outside of the state directory either.
    ensure!(!c.dir.join("a").exists());
    Ok(())
}

fn ids_that_are_taken(c: &Context) -> Result<()> {
    let longest = format!("{}{}", c.tag, "x".repeat(200 - c.tag.len()));
    for end in ["a", "A-b_c.d+e", "0", "-", "."] {
        let id = format!("{}{end}", c.tag);
        c.write(&Config::plain())?;
        c.call(&["run", &id])?.ok()?;
    }
    c.call(&["run", &longest])?.ok()?;
    Ok(())
}

fn a_zombie_counts_as_stopped(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().args(&["sleep", "1000"]))?;
    let pid = c.pid(&id)?;
    signal(pid, Signal::KILL)?;
    // Nobody reaps it: `call` would, a bare command does not.
    c.until("the zombie", || Ok(kernel::state_and_parent(pid).is_some_and(|(state, _)| state == 'Z')))?;
    let output = c.spawn(&["state", &id])?.finish()?.ok()?;
    same!(output.json()?["status"], "stopped", "status of a container whose process is a zombie");
    c.spawn(&["kill", &id, "TERM"])?.finish()?.error(1, &["container not running"])?;
    c.spawn(&["delete", &id])?.finish()?.ok()?;
    c.reap();
    Ok(())
}

fn root_may_be_joined_by_an_equals_sign(c: &Context) -> Result<()> {
    c.write(&sleeping())?;
    let id = c.id();
    let mut command = Command::new(&c.program);
    command.arg(format!("--root={}", c.state_dir().display())).args(["create", &id]);
    c.surroundings(&mut command);
    c.finish(command)?.ok()?;
    same!(c.state(&id)?["status"], "created", "status, asked for by --root DIR");
    c.delete(&id)
}

fn relative_root_and_bundle(c: &Context) -> Result<()> {
    c.write(&sleeping())?;
    let id = c.id();
    let mut command = Command::new(&c.program);
    command.args(["--root", "state", "create", "--bundle", "bundle", &id]);
    c.surroundings(&mut command);
    command.current_dir(&c.dir);
    c.finish(command)?.ok()?;
    let state = c.state(&id)?;
    same!(state["bundle"], json!(c.bundle()), "the bundle's absolute path");
    c.delete(&id)
}

fn bundle_by_its_flag(c: &Context) -> Result<()> {
    c.write(&Config::plain())?;
    let bundle = c.bundle().to_string_lossy().into_owned();
    for flag in ["-b", "--bundle"] {
        let mut command = c.command(&["run", flag, &bundle, &c.id()]);
        command.current_dir("/");
        c.finish(command)?.ok()?;
    }
    let mut command = c.command(&["run", &format!("--bundle={bundle}"), &c.id()]);
    command.current_dir("/");
    c.finish(command)?.ok()?;
    c.call(&["run", "-b", "/nowhere", &c.id()])?.error(1, &["/nowhere"])?;
    // A bundle without a configuration.
    fs::remove_file(c.bundle().join("config.json"))?;
    c.call(&["run", &c.id()])?.error(1, &["config.json", "no such file or directory"])?;
    Ok(())
}

fn a_reused_pid_is_never_signalled(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    // What the record says of the process.
    let link = crate::cases::record(c, &id)?.with_file_name("init");
    let text = fs::read_link(&link)?.into_os_string().into_string().unwrap_or_default();
    let write = |text: &str| -> Result<()> {
        fs::remove_file(&link)?;
        Ok(std::os::unix::fs::symlink(text, &link)?)
    };
    let pid = c.pid(&id)?;
    let start = kernel::start_time(pid).unwrap_or(0);
    // A stranger has the number now: the record's start time is another one's.
    let mut stranger = crate::command::Running::start(
        {
            let mut s = Command::new("sleep");
            s.arg("1000").env("SYSTEM_TESTS_TAG", &c.tag);
            s
        },
        &c.dir,
    )?;
    ensure!(text.contains(&start.to_string()), "the record holds the start time {start}: {text}");
    let changed = text.replace(&pid.to_string(), &stranger.pid().to_string());
    write(&changed)?;
    same!(c.state(&id)?["status"], "stopped", "status of a record whose pid is a stranger's");
    c.call(&["kill", &id, "KILL"])?.error(1, &["container not running"])?;
    ensure!(kernel::alive(stranger.pid()), "the stranger was killed by `kill`");
    c.call(&["exec", &id, "true"])?.error(255, &["not running"])?;
    write(&text)?;
    same!(c.state(&id)?["status"], "running", "status of the true record");
    write(&changed)?;
    c.call(&["delete", "--force", &id])?.ok()?;
    ensure!(kernel::alive(stranger.pid()), "the stranger was killed by `delete --force`");
    stranger.child.kill()?;
    stranger.child.wait()?;
    // What the record no longer names was found by the cgroup.
    c.until("the container's process to be gone", || Ok(!kernel::alive(pid)))
}

fn a_truncated_record_can_be_deleted(c: &Context) -> Result<()> {
    for part in [0, 1, 10, 50, 90] {
        let id = c.sleeper()?;
        let pid = c.pid(&id)?;
        let file = crate::cases::record(c, &id)?;
        let text = fs::read(&file)?;
        fs::write(&file, &text[..text.len() * part / 100])?;
        let state = c.call(&["state", &id])?;
        ensure!(state.status == 1, "state of a truncated record ended with {}", state.status);
        c.call(&["list"])?.ok()?;
        c.call(&["delete", "--force", &id])?.ok()?;
        c.until("the process to be gone", || Ok(!kernel::alive(pid)))?;
        c.call(&["state", &id])?.error(1, &["does not exist"])?;
    }
    Ok(())
}

fn nested_cgroups_are_removed(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let own = fs::read_to_string(format!("/proc/{}/cgroup", c.pid(&id)?))?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default().to_string();
    holds!(path, c.tag, "the container's cgroup");
    let folder = kernel::cgroup_root().join(path);
    fs::create_dir_all(folder.join("a/b/c"))?;
    fs::create_dir_all(folder.join("d"))?;
    c.call(&["exec", "-d", &id, "sleep", "1000"])?.ok()?;
    c.delete(&id)?;
    ensure!(!folder.exists(), "{} is still there", folder.display());
    Ok(())
}

/// The kernel takes 64 device programs on one cgroup: none may be left on it.
fn a_cgroup_of_before_stays_as_it_was(c: &Context) -> Result<()> {
    let path = format!("/{}-before", c.tag);
    let folder = kernel::cgroup_root().join(&path[1..]);
    fs::create_dir(&folder)?;
    c.write(&Config::plain().set("/linux/cgroupsPath", json!(path)).args(&["true"]))?;
    let bundle = c.bundle().to_string_lossy().into_owned();
    let outcome = (0..70).try_for_each(|_| {
        c.call(&["run", "--bundle", &bundle, &c.id()])?.ok()?;
        ensure!(folder.exists(), "the cgroup is gone");
        Ok(())
    });
    fs::remove_dir(&folder)?;
    outcome
}

fn two_containers_side_by_side(c: &Context) -> Result<()> {
    let first = c.detached(&sleeping().set("/hostname", json!("first")))?;
    let second = c.detached(&sleeping().set("/hostname", json!("second")))?;
    same!(c.exec(&first, &["hostname"])?.ok()?.stdout, "first\n", "the first's name");
    same!(c.exec(&second, &["hostname"])?.ok()?.stdout, "second\n", "the second's name");
    c.delete(&first)?;
    same!(c.exec(&second, &["hostname"])?.ok()?.stdout, "second\n", "the second's name, alone");
    c.delete(&second)
}
