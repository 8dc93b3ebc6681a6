//! The way of a container: every command in every order, right and wrong.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

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
    state_has_the_fields_of_the_specification,
    a_created_container_has_not_started,
    start_twice_is_an_error,
    start_of_a_stopped_container_is_an_error,
    create_of_an_existing_id_is_an_error,
    unknown_ids,
    ids_that_are_refused,
    ids_that_are_taken,
    kill_takes_every_form_of_a_signal,
    kill_refuses_what_is_no_signal,
    kill_of_a_created_container,
    every_terminating_signal_ends_a_created_container,
    kill_of_a_stopped_container_is_an_error,
    kill_of_init_that_ignores_term,
    kill_without_a_pid_namespace_reaches_all,
    kill_all_is_accepted,
    delete_of_a_created_container_kills_it,
    delete_of_a_running_container_is_an_error,
    delete_force_of_a_running_container,
    delete_force_twice_is_success,
    a_zombie_counts_as_stopped,
    pid_file_holds_digits_only,
    pid_file_is_replaced_not_rewritten,
    list_shows_every_container,
    list_of_nothing,
    list_skips_foreign_files,
    ps_shows_host_pids,
    ps_of_a_stopped_container,
    root_may_be_joined_by_an_equals_sign,
    relative_root_and_bundle,
    bundle_by_its_flag,
    log_text,
    log_json_has_one_line_on_failure,
    log_is_empty_on_success,
    a_reused_pid_is_never_signalled,
    a_truncated_record_can_be_deleted,
    features_is_json_alone,
    version_is_three_lines,
    help_of_every_command,
    unknown_commands_and_flags,
    spec_writes_a_bundle_that_runs,
    spec_does_not_overwrite,
    nested_cgroups_are_removed,
    two_containers_side_by_side,
);

fn sleeping() -> Config {
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

fn kill_takes_every_form_of_a_signal(c: &Context) -> Result<()> {
    let script = "n=0; trap 'n=$((n+1)); echo usr1 $n' USR1; trap 'echo rt' 34; trap 'echo ended; exit 0' TERM
        echo ready; while :; do sleep 0.02; done";
    c.write(&Config::plain().script(script))?;
    let id = c.id();
    let running = c.spawn(&["run", &id])?;
    c.until("the container to be ready", || Ok(running.capture.stdout().contains("ready")))?;
    for (count, form) in ["USR1", "SIGUSR1", "10", "usr1", "sigusr1", "SigUsr1"].iter().enumerate() {
        c.call(&["kill", &id, form])?.ok()?;
        c.until(form, || Ok(running.capture.stdout().contains(&format!("usr1 {}", count + 1))))?;
    }
    c.call(&["kill", &id])?.ok()?; // TERM by default
    running.finish()?.ok()?;
    Ok(())
}

fn kill_refuses_what_is_no_signal(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for form in ["NOPE", "SIG", "", "65", "-1", "9x", "4294967305", "SIGSIGTERM"] {
        let output = c.call(&["kill", &id, form])?;
        ensure!(output.status == 1, "`kill` with {form:?} ended with {}: {}", output.status, output.stderr);
    }
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn kill_of_a_created_container(c: &Context) -> Result<()> {
    for name in ["KILL", "TERM"] {
        let id = c.create(&sleeping())?;
        c.call(&["kill", &id, name])?.ok()?;
        c.await_status(&id, "stopped")?;
        c.call(&["start", &id])?.error(1, &["stopped"])?;
        c.call(&["delete", &id])?.ok()?;
    }
    Ok(())
}

fn every_terminating_signal_ends_a_created_container(c: &Context) -> Result<()> {
    for number in ["1", "2", "3", "6", "10", "12", "13", "14", "15", "34", "64"] {
        let id = c.create(&sleeping())?;
        c.call(&["kill", &id, number])?.ok()?;
        c.await_status(&id, "stopped").map_err(|error| error.context(format!("signal {number}")))?;
        c.call(&["delete", &id])?.ok()?;
    }
    // And those that are ignored by default do nothing.
    let id = c.create(&Config::plain())?;
    for number in ["17", "18", "23", "28"] {
        c.call(&["kill", &id, number])?.ok()?;
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    same!(c.state(&id)?["status"], "created", "status after signals that are ignored by default");
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.delete(&id)
}

fn kill_of_a_stopped_container_is_an_error(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain())?;
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    for name in ["TERM", "KILL"] {
        c.call(&["kill", &id, name])?.error(1, &["container not running"])?;
    }
    c.delete(&id)
}

fn kill_of_init_that_ignores_term(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().script("trap '' TERM; while :; do sleep 0.05; done"))?;
    c.call(&["kill", &id, "TERM"])?.ok()?;
    std::thread::sleep(std::time::Duration::from_millis(100));
    same!(c.state(&id)?["status"], "running", "after TERM, which it ignores");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.call(&["delete", &id])?.ok()?;
    Ok(())
}

fn kill_without_a_pid_namespace_reaches_all(c: &Context) -> Result<()> {
    let config = Config::plain().without_namespace("pid").script("sleep 1001 & sleep 1002 & exec sleep 1003");
    let id = c.detached(&config)?;
    let mut pids = Vec::new();
    c.until("three processes", || {
        pids = serde_json::from_value(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?)?;
        Ok(pids.len() == 3)
    })?;
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.until("all to be gone", || Ok(pids.iter().all(|pid: &u32| !kernel::alive(*pid))))?;
    c.await_status(&id, "stopped")?;
    c.call(&["delete", &id])?.ok()?;
    Ok(())
}

fn kill_all_is_accepted(c: &Context) -> Result<()> {
    for flag in ["-a", "--all"] {
        let id = c.sleeper()?;
        c.call(&["kill", flag, &id, "KILL"])?.ok()?;
        c.await_status(&id, "stopped")?;
        c.delete(&id)?;
    }
    Ok(())
}

fn delete_of_a_created_container_kills_it(c: &Context) -> Result<()> {
    let id = c.create(&sleeping())?;
    let pid = c.pid(&id)?;
    c.call(&["delete", &id])?.ok()?;
    c.until("the waiting process to be gone", || Ok(!kernel::alive(pid)))?;
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}

fn delete_of_a_running_container_is_an_error(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["delete", &id])?.error(1, &["running"])?;
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn delete_force_of_a_running_container(c: &Context) -> Result<()> {
    for script in ["trap '' TERM INT HUP; while :; do sleep 0.05; done", "sleep 99 & sleep 99 & wait"] {
        let id = c.detached(&Config::plain().script(script))?;
        let pid = c.pid(&id)?;
        c.call(&["delete", "--force", &id])?.ok()?;
        ensure!(!kernel::alive(pid), "process {pid} lives after delete --force");
        c.call(&["state", &id])?.error(1, &["does not exist"])?;
    }
    Ok(())
}

fn delete_force_twice_is_success(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.call(&["delete", "-f", &id])?.ok()?;
    c.call(&["delete", "-f", &id])?.ok()?;
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

fn pid_file_holds_digits_only(c: &Context) -> Result<()> {
    let file = c.dir.join("pid");
    let path = file.to_string_lossy().into_owned();
    c.write(&sleeping())?;
    let id = c.id();
    c.call(&["create", "--pid-file", &path, &id])?.ok()?;
    let text = fs::read_to_string(&file)?;
    ensure!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()), "the pid file holds {text:?}");
    same!(text.parse::<u32>()?, c.pid(&id)?, "the pid in the file");
    c.delete(&id)?;
    fs::remove_file(&file)?;
    let id = c.id();
    c.call(&["run", "-d", "--pid-file", &path, &id])?.ok()?;
    same!(fs::read_to_string(&file)?.parse::<u32>()?, c.pid(&id)?, "the pid in the file of `run -d`");
    c.delete(&id)?;
    // A relative path is the caller's.
    let id = c.id();
    c.call(&["create", "--pid-file", "relative.pid", &id])?.ok()?;
    same!(fs::read_to_string(c.bundle().join("relative.pid"))?.parse::<u32>()?, c.pid(&id)?, "a relative path");
    c.delete(&id)?;
    // Where the file cannot be written, nothing is left.
    let id = c.id();
    c.call(&["create", "--pid-file", "/nowhere/pid", &id])?.error(1, &["/nowhere/pid"])?;
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}

fn pid_file_is_replaced_not_rewritten(c: &Context) -> Result<()> {
    // A reader that holds the old file open never sees half a number: the new
    // one is renamed into place. A hard link to the old one stays as it was.
    let (file, old) = (c.dir.join("pid"), c.dir.join("old"));
    fs::write(&file, "old content")?;
    fs::hard_link(&file, &old)?;
    c.write(&sleeping())?;
    let id = c.id();
    c.call(&["create", "--pid-file", &file.to_string_lossy(), &id])?.ok()?;
    same!(fs::read_to_string(&old)?, "old content", "the old file");
    let names: Vec<_> = fs::read_dir(&c.dir)?.flatten().map(|e| e.file_name()).collect();
    ensure!(!names.iter().any(|n| n.to_string_lossy().contains("pid") && n != "pid"), "left beside: {names:?}");
    c.delete(&id)
}

fn list_shows_every_container(c: &Context) -> Result<()> {
    let created = c.create(&sleeping().set("/annotations", json!({"a": "b"})))?;
    let running = c.sleeper()?;
    let stopped = c.create(&Config::plain())?;
    c.call(&["start", &stopped])?.ok()?;
    c.await_status(&stopped, "stopped")?;
    for flag in ["-f", "--format"] {
        let list = c.call(&["list", flag, "json"])?.ok()?.json()?;
        let items = list.as_array().cloned().unwrap_or_default();
        same!(items.len(), 3, "containers in the list");
        for (id, status) in [(&created, "created"), (&running, "running"), (&stopped, "stopped")] {
            let item = items.iter().find(|item| item["id"] == json!(id)).cloned().unwrap_or(Value::Null);
            same!(item["status"], status, "status of {id}");
            same!(item["bundle"], json!(c.bundle()), "bundle");
            same!(item["rootfs"], json!(c.rootfs()), "rootfs");
            let pid = if status == "stopped" { 0 } else { c.pid(id)? };
            same!(item["pid"], json!(pid), "pid of {id}");
            ensure!(item["created"].is_string() && item["owner"].is_string(), "created and owner in {item}");
        }
    }
    let table = c.call(&["list"])?.ok()?;
    let lines = table.lines();
    same!(lines.len(), 4, "lines of the table");
    let head: Vec<_> = lines[0].split_whitespace().collect();
    same!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], "the table's head");
    let line = lines.iter().find(|line| line.starts_with(&running)).copied().unwrap_or_default();
    let cells: Vec<_> = line.split_whitespace().collect();
    let (pid, bundle) = (c.pid(&running)?.to_string(), c.bundle().to_string_lossy().into_owned());
    same!(cells[..4], [&*running, &*pid, "running", &*bundle], "a line");
    same!(cells[5], "root", "the owner in the table");
    // Columns stand under their heads.
    same!(line.find("running"), lines[0].find("STATUS"), "the column of the status");
    for flag in ["-q", "--quiet"] {
        let mut ids: Vec<String> = c.call(&["list", flag])?.ok()?.lines().iter().map(|s| s.to_string()).collect();
        ids.sort();
        let mut expected = vec![created.clone(), running.clone(), stopped.clone()];
        expected.sort();
        same!(ids, expected, "list {flag}");
    }
    c.call(&["list", "-f", "yaml"])?.error(1, &["yaml"])?;
    for id in [created, running, stopped] {
        c.delete(&id)?;
    }
    Ok(())
}

fn list_of_nothing(c: &Context) -> Result<()> {
    for _ in 0..2 {
        // First without a state directory, then with an empty one.
        let json = c.call(&["list", "-f", "json"])?.ok()?.stdout;
        ensure!(matches!(json.trim(), "[]" | "null"), "an empty list in JSON: {json:?}");
        same!(c.call(&["list", "-q"])?.ok()?.stdout, "", "an empty list of ids");
        same!(c.call(&["list"])?.ok()?.lines().len(), 1, "lines of an empty table");
        c.run(&Config::plain())?.ok()?;
    }
    Ok(())
}

fn list_skips_foreign_files(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    fs::write(c.state_dir().join("a file"), "x")?;
    fs::create_dir(c.state_dir().join("empty"))?;
    let output = c.call(&["list", "-q"])?.ok()?;
    ensure!(output.lines().contains(&&*id), "{:?}", output.stdout);
    fs::remove_file(c.state_dir().join("a file"))?;
    let _ = fs::remove_dir(c.state_dir().join("empty"));
    c.delete(&id)
}

fn ps_shows_host_pids(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().script("sleep 1001 & exec sleep 1002"))?;
    let mut pids: Vec<u32> = Vec::new();
    c.until("two processes", || {
        pids = serde_json::from_value(c.call(&["ps", "--format", "json", &id])?.ok()?.json()?)?;
        Ok(pids.len() == 2)
    })?;
    ensure!(pids.contains(&c.pid(&id)?), "{pids:?} holds the first process");
    for pid in &pids {
        holds!(kernel::command_line(*pid), "sleep 100", "the process {pid} of the host");
    }
    let table = c.call(&["ps", &id])?.ok()?;
    let lines = table.lines();
    same!(lines.len(), 3, "lines of the table: {:?}", table.stdout);
    holds!(lines[0], "PID", "the table's head");
    for pid in pids {
        ensure!(lines.iter().any(|l| l.split_whitespace().any(|w| w == pid.to_string())), "{pid} in {lines:?}");
    }
    c.delete(&id)
}

fn ps_of_a_stopped_container(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain())?;
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    let output = c.call(&["ps", "-f", "json", &id])?;
    ensure!(output.status == 1 || matches!(output.stdout.trim(), "[]" | "null"), "{output:?}");
    c.delete(&id)
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

fn log_text(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    let path = log.to_string_lossy().into_owned();
    c.call(&["--log", &path, "state", &c.id()])?.status(1)?;
    holds!(fs::read_to_string(&log)?, "container does not exist", "the log");
    Ok(())
}

fn log_json_has_one_line_on_failure(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    let path = log.to_string_lossy().into_owned();
    c.write(&Config::plain().args(&["/nowhere"]))?;
    let id = c.id();
    let commands: [(&[&str], &str); 4] = [
        (&["create", &id], "no such file or directory"),
        (&["start", &id], "container does not exist"),
        (&["kill", &id, "9"], "container does not exist"),
        (&["run", "-b", "/say \"no\"", &id], "/say \"no\""),
    ];
    for (words, part) in commands {
        let _ = fs::remove_file(&log);
        let mut arguments = vec!["--log", &*path, "--log-format", "json"];
        arguments.extend(words);
        c.call(&arguments)?.status(1)?;
        let text = fs::read_to_string(&log)?;
        same!(text.lines().count(), 1, "lines of the log {text:?}");
        let entry: Value = serde_json::from_str(&text)?;
        same!(entry["level"], "error", "level");
        holds!(entry["msg"].as_str().unwrap_or_default(), part, "msg");
        let time = entry["time"].as_str().unwrap_or_default();
        ensure!(time.len() >= 20 && time.as_bytes()[10] == b'T', "time {time:?} is RFC 3339");
    }
    // A second failure is added to the same file.
    let mut arguments = vec!["--log", &*path, "--log-format=json"];
    arguments.extend(["start", &id]);
    c.call(&arguments)?.status(1)?;
    same!(fs::read_to_string(&log)?.lines().count(), 2, "lines of the log after a second failure");
    c.call(&["--log-format", "xml", "list"])?.error(1, &["xml"])?;
    Ok(())
}

fn log_is_empty_on_success(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    c.write(&Config::plain())?;
    c.call(&["--log", &log.to_string_lossy(), "--log-format", "json", "run", &c.id()])?.ok()?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    ensure!(!text.contains("\"error\""), "the log after a success: {text:?}");
    Ok(())
}

fn a_reused_pid_is_never_signalled(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let file = crate::cases::record(c, &id)?;
    let text = fs::read_to_string(&file)?;
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
    fs::write(&file, &changed)?;
    same!(c.state(&id)?["status"], "stopped", "status of a record whose pid is a stranger's");
    c.call(&["kill", &id, "KILL"])?.error(1, &["container not running"])?;
    ensure!(kernel::alive(stranger.pid()), "the stranger was killed by `kill`");
    c.call(&["exec", &id, "true"])?.error(255, &["not running"])?;
    fs::write(&file, &text)?;
    same!(c.state(&id)?["status"], "running", "status of the true record");
    fs::write(&file, &changed)?;
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

fn features_is_json_alone(c: &Context) -> Result<()> {
    let output = c.call(&["features"])?.ok()?;
    same!(output.stderr, "", "standard error");
    let features = output.json()?;
    for name in ["ociVersionMin", "ociVersionMax"] {
        ensure!(features[name].is_string(), "{name} in {features}");
    }
    let options: Vec<&str> =
        features["mountOptions"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
    for option in ["ro", "rbind", "rslave", "tmpcopyup", "rro"] {
        ensure!(options.contains(&option), "{option} in mountOptions {options:?}");
    }
    let kinds: Vec<&str> =
        features["linux"]["namespaces"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        ensure!(kinds.contains(&kind), "{kind} in namespaces {kinds:?}");
    }
    Ok(())
}

fn version_is_three_lines(c: &Context) -> Result<()> {
    for flag in ["--version", "-v"] {
        let output = c.call(&[flag])?.ok()?;
        let lines = output.lines();
        ensure!(lines.len() >= 3, "{lines:?}");
        let words: Vec<&str> = lines[0].split(' ').collect();
        ensure!(words.len() == 3 && words[1] == "version", "the first line: {:?}", lines[0]);
        ensure!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: "), "{lines:?}");
    }
    Ok(())
}

fn help_of_every_command(c: &Context) -> Result<()> {
    let all = c.call(&["--help"])?.ok()?.stdout;
    for name in ["spec", "run", "create", "start", "state", "exec", "kill", "delete", "list", "ps", "features"] {
        holds!(all, name, "--help");
        for flag in ["--help", "-h"] {
            let output = c.call(&[name, flag])?.ok()?;
            holds!(output.stdout, name, "{name} {flag}");
            same!(output.stderr, "", "standard error of {name} {flag}");
        }
    }
    Ok(())
}

fn unknown_commands_and_flags(c: &Context) -> Result<()> {
    let id = c.id();
    for words in [
        &["nonsense"] as &[&str],
        &["run", "--nonsense", &id],
        &["--nonsense", "list"],
        &["state"],
        &["state", &id, "more"],
        &["kill"],
        &["create"],
        &["start"],
        &["delete"],
        &["exec"],
        &["run", "--bundle"],
        &["list", "more"],
    ] {
        let output = c.call(words)?;
        ensure!(output.status != 0, "{words:?} ended with 0");
        ensure!(!output.stderr.is_empty(), "{words:?} said nothing");
    }
    Ok(())
}

fn spec_writes_a_bundle_that_runs(c: &Context) -> Result<()> {
    c.call(&["spec"])?.ok()?;
    let mut config: Value = serde_json::from_slice(&fs::read(c.bundle().join("config.json"))?)?;
    ensure!(config["process"]["terminal"] == true, "a terminal is asked for");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/probe", "names", "status"]);
    let output = c.run(&Config(config))?.ok()?;
    same!(output.stderr, "", "warnings about the bundle that it wrote itself");
    let seen = output.json()?;
    ensure!(seen["status"]["NoNewPrivs"] == "1", "{seen}");
    let other = c.folder("other")?;
    c.call(&["spec", "--bundle", &other.to_string_lossy()])?.ok()?;
    ensure!(other.join("config.json").is_file(), "spec --bundle");
    let rootless = c.folder("rootless")?;
    c.call(&["spec", "--rootless", "-b", &rootless.to_string_lossy()])?.ok()?;
    let config: Value = serde_json::from_slice(&fs::read(rootless.join("config.json"))?)?;
    ensure!(config["linux"]["uidMappings"].is_array(), "spec --rootless has id mappings");
    Ok(())
}

fn spec_does_not_overwrite(c: &Context) -> Result<()> {
    fs::write(c.bundle().join("config.json"), "mine")?;
    c.call(&["spec"])?.error(1, &["config.json", "exist"])?;
    same!(fs::read_to_string(c.bundle().join("config.json"))?, "mine", "the file");
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

fn two_containers_side_by_side(c: &Context) -> Result<()> {
    let first = c.detached(&sleeping().set("/hostname", json!("first")))?;
    let second = c.detached(&sleeping().set("/hostname", json!("second")))?;
    same!(c.exec(&first, &["hostname"])?.ok()?.stdout, "first\n", "the first's name");
    same!(c.exec(&second, &["hostname"])?.ok()?.stdout, "second\n", "the second's name");
    c.delete(&first)?;
    same!(c.exec(&second, &["hostname"])?.ok()?.stdout, "second\n", "the second's name, alone");
    c.delete(&second)
}
