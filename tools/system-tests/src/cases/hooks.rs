//! Hooks: when they run, where, what they are told, and what comes of one that
//! fails or does not end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::{Context, signal};
use crate::kernel::alive;

cases!("hooks":
    each_kind_at_its_moment_with_its_state,
    run_has_all_of_them_too,
    path_arguments_and_environment_are_exact,
    only_three_descriptors,
    in_a_user_namespace,
    the_configuration_is_that_of_create,
    what_one_says_is_a_warning,
    a_failing_one_before_start_undoes_the_container,
    a_failing_one_at_start_destroys_the_container,
    a_failing_one_under_run_destroys_the_container,
    a_failing_poststop_is_a_warning,
    one_that_cannot_be_executed,
    the_runtime_is_no_hook_in_the_container,
    a_timeout_ends_the_whole_tree,
    what_one_leaves_running_hangs_nobody,
    they_may_ask_for_their_container,
    delete_force_interrupts_a_create,
    a_killed_create_takes_its_hook_along,
    they_do_not_call_delete_for_ever,
);

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that is a script, with the case's mark in its environment.
fn script(c: &Context, text: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", text], "env": [format!("SYSTEM_TESTS_TAG={}", c.tag), "PATH=/bin:/usr/bin"]})
}

/// With a folder of the case's at /mnt, in which hooks on both sides write.
fn sharing(c: &Context) -> Result<(Config, PathBuf)> {
    let folder = c.folder("out")?;
    Ok((Config::plain().bind(&folder, "/mnt", &["bind"]), folder))
}

/// The shared folder, as hooks of `kind` see it.
fn seen_as<'a>(kind: &str, folder: &'a Path) -> std::borrow::Cow<'a, str> {
    if kind == "startContainer" { "/mnt".into() } else { folder.to_string_lossy() }
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A hook of each kind that writes down that it ran, its state, and where it is.
fn recording(c: &Context) -> Result<(Config, PathBuf)> {
    let (mut config, folder) = sharing(c)?;
    for kind in KINDS {
        let out = seen_as(kind, &folder);
        let lines = format!(
            "echo {kind} >>{out}/order; cat >{out}/{kind}.json; readlink /proc/self/ns/uts >{out}/{kind}.uts; \
             cat /proc/self/mountinfo >{out}/{kind}.mounts"
        );
        config = config.push(&format!("/hooks/{kind}"), script(c, &lines));
    }
    let config = config.args(&["sh", "-c", "echo program >>/mnt/order; sleep 1000"]);
    Ok((config.set("/annotations", json!({"org.example": "\"x\""})), folder))
}

fn order(folder: &Path) -> Result<Vec<String>> {
    Ok(fs::read_to_string(folder.join("order")).unwrap_or_default().lines().map(String::from).collect())
}

fn each_kind_at_its_moment_with_its_state(c: &Context) -> Result<()> {
    let (config, folder) = recording(c)?;
    let id = c.create(&config)?;
    same!(order(&folder)?, KINDS[..3], "what ran at create");
    let pid = c.pid(&id)?;
    c.call(&["start", &id])?.ok()?;
    c.until("the program", || Ok(order(&folder)?.iter().any(|line| line == "program")))?;
    let mut ran = order(&folder)?;
    ran.retain(|line| line != "program");
    same!(ran, KINDS[..5], "what ran until start");
    same!(order(&folder)?[3], "startContainer", "what runs before the program");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    c.call(&["delete", &id])?.ok()?;
    same!(order(&folder)?.pop().unwrap_or_default(), "poststop", "what runs last");
    let own = fs::read_link("/proc/self/ns/uts")?.to_string_lossy().into_owned();
    let statuses = ["creating", "creating", "creating", "created", "running", "stopped"];
    for (kind, status) in KINDS.into_iter().zip(statuses) {
        let state: Value = serde_json::from_str(&text(&folder.join(format!("{kind}.json")))?)?;
        same!(state["status"], status, "status for {kind}");
        let inside = matches!(kind, "createContainer" | "startContainer");
        let expected = if kind == "poststop" {
            0
        } else if inside {
            1
        } else {
            pid
        };
        same!(state["pid"], json!(expected), "pid for {kind}");
        same!(state["id"], json!(id), "id for {kind}");
        same!(state["bundle"], json!(c.bundle()), "bundle for {kind}");
        same!(state["annotations"], json!({"org.example": "\"x\""}), "annotations for {kind}");
        ensure!(state["ociVersion"].is_string(), "ociVersion for {kind}: {state}");
        let uts = text(&folder.join(format!("{kind}.uts")))?;
        same!(uts.trim() == own, !inside, "whether the namespace of {kind} is the runtime's");
    }
    // Everything is mounted, and the old root is still the root.
    let mounts = text(&folder.join("createContainer.mounts"))?;
    holds!(mounts, format!(" {}/dev/shm ", c.rootfs().display()), "the mounts for createContainer");
    let mounts = text(&folder.join("startContainer.mounts"))?;
    holds!(mounts, " / /dev/shm ", "the mounts for startContainer");
    Ok(())
}

fn run_has_all_of_them_too(c: &Context) -> Result<()> {
    let (config, folder) = recording(c)?;
    let config = config.args(&["sh", "-c", "echo program >>/mnt/order; sleep 0.3"]);
    c.run(&config)?.ok()?;
    let mut ran = order(&folder)?;
    ran.retain(|line| line != "program");
    same!(ran, KINDS, "what ran");
    let id = c.detached(&config)?;
    c.await_status(&id, "stopped")?;
    c.delete(&id)?;
    same!(order(&folder)?.len(), 14, "what ran, detached too");
    Ok(())
}

fn path_arguments_and_environment_are_exact(c: &Context) -> Result<()> {
    let (config, folder) = sharing(c)?;
    // busybox takes its applet's name from the first argument.
    let out = folder.join("out");
    let command = format!(
        "for part in cmdline environ; do tr '\\0' '\\n' </proc/$$/$part >>{}; done; readlink /proc/self/cwd >>{0}",
        out.display()
    );
    let hook =
        json!({"path": "/bin/busybox", "args": ["sh", "-c", command, "a b", ""], "env": ["B=2", "A=1=1", "B=3"]});
    c.run(&config.clone().push("/hooks/createRuntime", hook))?.ok()?;
    let expected = format!("sh\n-c\n{command}\na b\n\nB=2\nA=1=1\nB=3\n{}\n", c.bundle().display());
    same!(text(&out)?, expected, "command line, environment and working directory");
    // Without arguments the path is the one there is, and there is no environment.
    let file = folder.join("hook");
    fs::write(
        &file,
        format!(
            "#!/bin/busybox sh\ntr '\\0' ' ' </proc/$$/cmdline >{0}; /bin/busybox wc -c </proc/$$/environ >>{0}",
            out.display()
        ),
    )?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    c.run(&config.push("/hooks/prestart", json!({"path": file})))?.ok()?;
    same!(
        text(&out)?,
        format!("/bin/busybox sh {} 0\n", file.display()),
        "command line and environment of a path alone"
    );
    Ok(())
}

fn only_three_descriptors(c: &Context) -> Result<()> {
    let (mut config, folder) = sharing(c)?;
    for kind in KINDS {
        let out = seen_as(kind, &folder);
        // The shell has the folder open while it looks, and may keep a copy of a descriptor above 9.
        config = config.push(
            &format!("/hooks/{kind}"),
            script(
                c,
                &format!(
                    "for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$f ] && echo $f; done >{out}/{kind}; true"
                ),
            ),
        );
    }
    c.write(&config)?;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 3</dev/null 4</dev/null 7</; exec \"$@\"", "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["run", "--preserve-fds", "2", &c.id()]);
    c.surroundings(&mut command);
    c.finish(command)?.ok()?;
    for kind in KINDS {
        same!(text(&folder.join(kind))?, "0\n1\n2\n", "descriptors of {kind}");
    }
    Ok(())
}

fn in_a_user_namespace(c: &Context) -> Result<()> {
    let (config, folder) = recording(c)?;
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let mut at = c.bundle();
    while at.starts_with("/tmp/") && at.parent().is_some() {
        fs::set_permissions(&at, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        at.pop();
    }
    fs::write(folder.join("order"), "")?;
    fs::set_permissions(folder.join("order"), std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    let id = c.detached(&config.user_namespace(100_000, 65_536))?;
    same!(order(&folder)?[..3], KINDS[..3], "what ran at create");
    let state: Value = serde_json::from_str(&text(&folder.join("startContainer.json"))?)?;
    same!(state["pid"], 1, "pid for startContainer");
    c.delete(&id)
}

fn the_configuration_is_that_of_create(c: &Context) -> Result<()> {
    let (config, folder) = recording(c)?;
    let id = c.create(&config)?;
    fs::write(c.bundle().join("config.json"), "{}")?;
    c.call(&["start", &id])?.ok()?;
    fs::remove_file(c.bundle().join("config.json"))?;
    c.delete(&id)?;
    let mut ran = order(&folder)?;
    ran.retain(|line| line != "program");
    same!(ran, KINDS, "what ran");
    Ok(())
}

fn what_one_says_is_a_warning(c: &Context) -> Result<()> {
    let config =
        Config::plain().set("/hooks/prestart", json!([script(c, "true"), script(c, "echo one; echo two >&2")]));
    let output = c.run(&config)?.ok()?;
    same!(output.stdout, "", "standard output, which is the container's");
    holds!(output.stderr, "hooks.prestart[1]: the hook /bin/sh says: one?two", "the warning");
    same!(output.stderr.lines().count(), 1, "lines of it");
    Ok(())
}

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
fn is_gone(c: &Context, id: &str) -> Result<()> {
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
fn written(path: &Path) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(|word| Ok(word.parse()?)).collect()
}

/// Starts processes in every way of getting out of sight, and hangs. Their numbers
/// are in the file `pids` in `out`.
fn hanging(out: &str) -> String {
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
        ensure!((900..1150).contains(&took.as_millis()), "{kind}: {took:?}");
    }
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

fn they_may_ask_for_their_container(c: &Context) -> Result<()> {
    let (mut config, folder) = sharing(c)?;
    let (program, root, out) = (c.program.display(), c.state_dir(), folder.display());
    let id = c.id();
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let ask = format!(
            "{program} --root {0} state {id} >{out}/{kind}.state; {program} --root {0} list -q >{out}/{kind}.list; \
             {program} --root {0} delete {id} 2>{out}/{kind}.delete; {program} --root {0} start {id} 2>{out}/{kind}.start; \
             true",
            root.display()
        );
        config = config.push(&format!("/hooks/{kind}"), script(c, &ask));
    }
    c.write(&config.args(&["sleep", "1000"]))?;
    c.call(&["create", &id])?.ok()?;
    let pid = c.pid(&id)?;
    c.call(&["start", &id])?.ok()?;
    c.call(&["delete", "--force", &id])?.ok()?;
    for (kind, status, delete, start) in [
        ("prestart", "creating", "not stopped: creating", "creating state"),
        ("createRuntime", "creating", "not stopped: creating", "creating state"),
        ("poststart", "running", "not stopped: running", "running state"),
        ("poststop", "stopped", "is being deleted", "stopped state"),
    ] {
        let state: Value = serde_json::from_str(&text(&folder.join(format!("{kind}.state")))?)?;
        same!(state["status"], status, "what state says to {kind}");
        same!(state["pid"], json!(if kind == "poststop" { 0 } else { pid }), "the pid for {kind}");
        same!(text(&folder.join(format!("{kind}.list")))?, format!("{id}\n"), "what list says to {kind}");
        holds!(text(&folder.join(format!("{kind}.delete")))?, delete, "what delete says to {kind}");
        holds!(text(&folder.join(format!("{kind}.start")))?, start, "what start says to {kind}");
    }
    // And kill it: nothing can come of the container then.
    let kill = format!("{program} --root {} kill {id} KILL", root.display());
    c.write(&Config::plain().push("/hooks/createRuntime", script(c, &kill)))?;
    let output = c.call(&["create", &id])?;
    ensure!(output.status == 1, "{output:?}");
    is_gone(c, &id)
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

fn they_do_not_call_delete_for_ever(c: &Context) -> Result<()> {
    let (config, folder) = sharing(c)?;
    let (program, root, out) = (c.program.display(), c.state_dir(), folder.display());
    let id = c.id();
    let ask =
        format!("echo poststop >>{out}/order; {program} --root {} delete {id} 2>{out}/said; true", root.display());
    c.write(&config.push("/hooks/poststop", script(c, &ask)))?;
    c.call(&["create", &id])?.ok()?;
    c.call(&["delete", &id])?.ok()?;
    same!(order(&folder)?, ["poststop"], "what ran");
    holds!(text(&folder.join("said"))?, "is being deleted", "what it was told");
    // By force it kills the one that runs it, and so itself; another finds it all.
    let force = format!("{program} --root {} delete --force {id}", root.display());
    let config = Config::plain()
        .push("/hooks/poststop", script(c, &format!("[ -e {out}/again ] || {{ touch {out}/again; {force}; }}")));
    c.write(&config)?;
    c.call(&["create", &id])?.ok()?;
    same!(c.call(&["delete", &id])?.signal, Some(9), "how delete ended");
    c.call(&["delete", "--force", &id])?.ok()?;
    is_gone(c, &id)
}
