//! Hooks that fail, do not end, or leave something running: what becomes of them,
//! and of the container.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::hooks::{KINDS, order, script, seen_as, sharing, text};
use crate::bundle::Config;
use crate::context::{Context, signal};
use crate::kernel::alive;

cases!("failing_hooks":
    a_failing_one_before_start_undoes_the_container,
    a_failing_one_at_start_destroys_the_container,
    a_failing_one_under_run_destroys_the_container,
    a_failing_poststop_is_a_warning,
    one_that_cannot_be_executed,
    the_runtime_is_no_hook_in_the_container,
    a_timeout_ends_the_whole_tree proves [
        "hooks.createContainer[].timeout", "hooks.createRuntime[].timeout", "hooks.poststart[].timeout",
        "hooks.poststop[].timeout", "hooks.prestart[].timeout", "hooks.startContainer[].timeout",
    ],
    what_one_leaves_running_hangs_nobody,
    delete_force_interrupts_a_create,
    a_killed_create_takes_its_hook_along,
);

/// A configuration whose hooks of `kind` are a good one, one that is `bad`, and one
/// that must not run any more; whether the last and those of poststop did is told.
fn failing(c: &Context, kind: &str, bad: Value) -> Result<(Config, PathBuf)> {
    let (config, folder) = sharing(c)?;
    let _ = fs::remove_file(folder.join("order"));
    let out = seen_as(kind, &folder);
    let good = |word: &str| script(c, &format!("echo {word} >>{out}/order"));
    let config = config
        .set(&format!("/hooks/{kind}"), json!([good("first"), bad, good("third")]))
        .set("/hooks/poststop", json!([script(c, &format!("echo poststop >>{}/order", folder.display()))]))
        .args(&["sh", "-c", "echo program >>/mnt/order; sleep 1000"]);
    Ok((config, folder))
}

/// Nothing is left of a container that never came to be.
pub fn is_gone(c: &Context, id: &str) -> Result<()> {
    c.call(&["state", id])?.error(1, &["does not exist"])?;
    same!(c.call(&["list", "--quiet"])?.ok()?.stdout, "", "what is listed");
    ensure!(!c.state_dir().join(id).exists(), "its folder is there");
    same!(crate::kernel::cgroups_with(id), Vec::<PathBuf>::new(), "its cgroup");
    Ok(())
}

fn a_failing_one_before_start_undoes_the_container(c: &Context) -> Result<()> {
    for kind in &KINDS[..3] {
        for (bad, how) in [("echo boom >&2; exit 3", "ended with status 3: boom"), ("kill -9 $$", "ended by signal 9")]
        {
            let (config, folder) = failing(c, kind, script(c, bad))?;
            c.write(&config)?;
            let id = c.id();
            let place = format!("hooks.{kind}[1]: the hook /bin/sh");
            c.call(&["create", &id])?.error(1, &[&place, how])?;
            same!(order(&folder)?, ["first", "poststop"], "what ran around a bad {kind}");
            is_gone(c, &id)?;
        }
    }
    Ok(())
}

fn a_failing_one_at_start_destroys_the_container(c: &Context) -> Result<()> {
    for kind in ["startContainer", "poststart"] {
        let (config, folder) = failing(c, kind, script(c, "sleep 0.1; echo boom >&2; exit 3"))?;
        let id = c.create(&config)?;
        let pid = c.pid(&id)?;
        let place = format!("hooks.{kind}[1]: the hook /bin/sh ended with status 3: boom");
        c.call(&["start", &id])?.error(1, &[&place])?;
        let mut ran = order(&folder)?;
        ran.retain(|line| line != "program" || kind == "startContainer");
        same!(ran, ["first", "poststop"], "what ran around a bad {kind}");
        c.reap();
        ensure!(!alive(pid), "the process lives on after a bad {kind}");
        is_gone(c, &id)?;
    }
    Ok(())
}

fn a_failing_one_under_run_destroys_the_container(c: &Context) -> Result<()> {
    for kind in &KINDS[..5] {
        for detach in [&["run"][..], &["run", "--detach"]] {
            let (config, folder) = failing(c, kind, script(c, "exit 9"))?;
            c.write(&config)?;
            let id = c.id();
            let place = format!("hooks.{kind}[1]: ");
            c.call(&[detach, &[&id]].concat())?.error(1, &[&place, "status 9"])?;
            let mut ran = order(&folder)?;
            ran.retain(|line| line != "program" || *kind != "poststart");
            same!(ran, ["first", "poststop"], "what ran around a bad {kind}");
            is_gone(c, &id)?;
        }
    }
    Ok(())
}

fn a_failing_poststop_is_a_warning(c: &Context) -> Result<()> {
    let (config, folder) = sharing(c)?;
    let out = folder.display();
    let hooks = json!([script(c, "exit 3"), script(c, &format!("echo second >>{out}/order"))]);
    let id = c.create(&config.set("/hooks/poststop", hooks))?;
    let output = c.call(&["delete", "--force", &id])?.ok()?;
    holds!(output.stderr, "hooks.poststop[0]: the hook /bin/sh ended with status 3", "the warning");
    same!(order(&folder)?, ["second"], "what ran");
    is_gone(c, &id)
}

fn one_that_cannot_be_executed(c: &Context) -> Result<()> {
    for (kind, path) in
        [("prestart", "/no/such/hook"), ("createContainer", "/etc/passwd"), ("startContainer", "/nothing")]
    {
        let config = Config::plain().push(&format!("/hooks/{kind}"), json!({"path": path}));
        c.run(&config)?.error(1, &[&format!("hooks.{kind}[0]: "), path])?;
    }
    c.run(&Config::plain().push("/hooks/prestart", json!({"path": "/no/such/hook"})))?
        .error(1, &["no such file or directory"])?;
    Ok(())
}

fn the_runtime_is_no_hook_in_the_container(c: &Context) -> Result<()> {
    std::os::unix::fs::symlink("/proc/self/exe", c.rootfs().join("hook"))?;
    for path in ["/proc/self/exe", "/hook"] {
        let config =
            Config::plain().push("/hooks/startContainer", json!({"path": path, "args": ["ocinit", "--version"]}));
        c.run(&config)?.error(1, &["hooks.startContainer[0]: ", "it would execute the runtime itself"])?;
    }
    Ok(())
}

/// The processes whose numbers the file holds.
pub fn written(path: &Path) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|word| Ok(word.parse()?)).collect()
}

/// Starts processes in every way of getting out of sight, and hangs. Their numbers
/// are in the file `pids` in `out`.
pub fn hanging(out: &str) -> String {
    format!(
        "touch {out}/began; echo $$ >{out}/pids; sleep 1000 & echo $! >>{out}/pids; \
         (setsid sh -c 'echo $$ >>{out}/pids; trap \"\" TERM HUP; sleep 1000; true' &) ; \
         while [ $(wc -l <{out}/pids) -lt 3 ]; do sleep 0.01; done; echo here >&2; touch {out}/ready; sleep 1000"
    )
}

fn a_timeout_ends_the_whole_tree(c: &Context) -> Result<()> {
    for kind in &KINDS[..5] {
        let (config, folder) = sharing(c)?;
        for file in ["pids", "ready", "began", "over"] {
            let _ = fs::remove_file(folder.join(file));
        }
        let mut hook = script(c, &hanging(&seen_as(kind, &folder)));
        hook["timeout"] = json!(1);
        let over = script(c, &format!("touch {}/over", folder.display()));
        let config = config.push(&format!("/hooks/{kind}"), hook).push("/hooks/poststop", over);
        // The numbers of one inside are the namespace's own: without one they are the host's.
        let config = if seen_as(kind, &folder) == "/mnt" || *kind == "createContainer" {
            config.without_namespace("pid").bind(Path::new("/proc"), "/proc", &["rbind"]).remove("/mounts/0")
        } else {
            config
        };
        let place = format!("hooks.{kind}[0]: the hook /bin/sh did not end within 1 s: here");
        c.run(&config.args(&["sleep", "1000"]))?.error(1, &[&place])?;
        let pids = written(&folder.join("pids"))?;
        same!(pids.len(), 3, "processes of {kind}");
        c.until("all of them to end", || Ok(!pids.iter().any(|pid| alive(*pid))))
            .with_context(|| format!("{kind}: {pids:?}"))?;
        let time = |name: &str| -> Result<_> { Ok(fs::metadata(folder.join(name))?.modified()?) };
        let took = time("over")?.duration_since(time("began")?)?;
        // From the first thing that the hook did to the first that the next did.
        // An emulated machine takes its time to destroy the container in between.
        let most = if crate::case::Need::Host.missing().is_some() { 2000 } else { 1400 };
        ensure!((900..most).contains(&took.as_millis()), "{kind}: {took:?}");
    }
    // The last of them only warns, and the container goes all the same.
    let (config, folder) = sharing(c)?;
    let _ = fs::remove_file(folder.join("pids"));
    let mut hook = script(c, &hanging(&folder.to_string_lossy()));
    hook["timeout"] = json!(1);
    let began = Instant::now();
    let output = c.run(&config.push("/hooks/poststop", hook))?.ok()?;
    holds!(output.stderr, "hooks.poststop[0]: the hook /bin/sh did not end within 1 s: here", "the warning");
    ensure!((900..3000).contains(&began.elapsed().as_millis()), "poststop: {:?}", began.elapsed());
    let left: Vec<u32> = written(&folder.join("pids"))?.into_iter().filter(|pid| alive(*pid)).collect();
    same!(left, Vec::<u32>::new(), "what is left of poststop");
    Ok(())
}

fn what_one_leaves_running_hangs_nobody(c: &Context) -> Result<()> {
    let (config, folder) = sharing(c)?;
    let out = folder.display();
    // One of them goes on talking into the hook's standard error.
    let text = format!("sleep 1000 & echo $! >{out}/pids; setsid yes >&2 & echo $! >>{out}/pids; exit 0");
    c.write(&config.push("/hooks/prestart", script(c, &text)))?;
    let began = Instant::now();
    c.call(&["run", &c.id()])?.ok()?;
    ensure!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    let pids = written(&folder.join("pids"))?;
    ensure!(alive(pids[0]), "what it left running was killed");
    signal(pids[0], Signal::KILL)?;
    c.until("the one that talks to end of that", || {
        c.reap();
        Ok(!alive(pids[1]))
    })
}

fn delete_force_interrupts_a_create(c: &Context) -> Result<()> {
    for kind in &KINDS[..3] {
        let (config, folder) = sharing(c)?;
        let _ = fs::remove_file(folder.join("ready"));
        let over = script(c, &format!("echo over >>{}/over", folder.display()));
        let config = config.push("/hooks/poststop", over);
        c.write(&config.push(&format!("/hooks/{kind}"), script(c, &hanging(&seen_as(kind, &folder)))))?;
        let id = c.id();
        let create = c.spawn(&["create", &id])?;
        c.until("the hook", || Ok(folder.join("ready").exists()))?;
        same!(c.state(&id)?["status"], "creating", "the status meanwhile");
        let began = Instant::now();
        c.call(&["delete", "--force", &id])?.ok()?;
        ensure!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
        same!(create.finish()?.signal, Some(9), "how create ended");
        if *kind != "createContainer" {
            // Before delete is done, not some time after it.
            let left: Vec<u32> = written(&folder.join("pids"))?.into_iter().filter(|pid| alive(*pid)).collect();
            same!(left, Vec::<u32>::new(), "what is left of {kind}");
        }
        is_gone(c, &id)?;
    }
    same!(text(&c.dir.join("out/over"))?, "over\nover\nover\n", "the hooks after the end");
    Ok(())
}

fn a_killed_create_takes_its_hook_along(c: &Context) -> Result<()> {
    let (config, folder) = sharing(c)?;
    c.write(&config.push("/hooks/createRuntime", script(c, &hanging(&folder.to_string_lossy()))))?;
    let id = c.id();
    let mut create = c.spawn(&["create", &id])?;
    c.until("the hook", || Ok(folder.join("ready").exists()))?;
    create.child.kill()?;
    let pids = written(&folder.join("pids"))?;
    c.until("all of them to end", || {
        c.reap();
        Ok(!pids.iter().any(|pid| alive(*pid)))
    })?;
    same!(c.state(&id)?["status"], "stopped", "the status afterwards");
    c.delete(&id)?;
    is_gone(c, &id)
}
