//! How a container ends: `kill` and `delete`, of what runs, waits or is gone.

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::lifecycle::sleeping;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::{Context, signal};
use crate::kernel;

cases!("ending":
    kill_takes_every_form_of_a_signal,
    kill_refuses_what_is_no_signal,
    kill_of_a_created_container,
    every_terminating_signal_ends_a_created_container,
    kill_of_a_stopped_container_is_an_error,
    kill_of_init_that_ignores_term,
    kill_without_a_pid_namespace_reaches_all,
    kill_all_is_accepted,
    kill_reaches_what_init_left_behind,
    delete_of_a_created_container_kills_it,
    delete_of_a_running_container_is_an_error,
    delete_force_of_a_running_container,
    delete_force_twice_is_success,
    delete_force_ends_a_start_that_hangs [Need::WaitChannel],
);

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

fn kill_reaches_what_init_left_behind(c: &Context) -> Result<()> {
    for all in [&["--all"][..], &[]] {
        let id = c.create(&Config::plain().without_namespace("pid").script("sleep 1004 & exec true"))?;
        c.call(&["start", &id])?.ok()?;
        c.await_status(&id, "stopped")?;
        let left = || Ok(kernel::cgroups_with(&id).iter().any(|folder| kernel::is_populated(folder)));
        ensure!(left()?, "the process in the background is gone");
        c.call(&[&["kill"], all, &[&id, "KILL"]].concat())?.ok()?;
        c.until("nothing to be left", || left().map(|left| !left))?;
        // With nothing left to kill, only the old flag makes it no error.
        c.call(&["kill", &id, "KILL"])?.error(1, &["container not running"])?;
        c.call(&["kill", "--all", &id, "KILL"])?.ok()?;
        c.call(&["delete", &id])?.ok()?;
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

fn delete_force_ends_a_start_that_hangs(c: &Context) -> Result<()> {
    let id = c.create(&sleeping())?;
    // As a file system that does not answer would, this holds up the process on
    // its way to its program. (A frozen one would not be started.)
    signal(c.pid(&id)?, Signal::STOP)?;
    let start = c.spawn(&["start", &id])?;
    let waits = || Ok(kernel::wait_channel(start.pid()).contains("poll"));
    c.until("start to wait for the process", waits)?;
    c.call(&["delete", "--force", &id])?.ok()?;
    drop(start.finish()?);
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}
