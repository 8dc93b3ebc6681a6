//! Hooks: when they run, where, and what they are told.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::hooks_failing::is_gone;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("hooks":
    each_kind_at_its_moment_with_its_state proves [
        "hooks.createContainer[].path", "hooks.createRuntime[].path", "hooks.poststart[].path",
        "hooks.poststop[].path", "hooks.prestart[].path", "hooks.startContainer[].path",
    ],
    run_has_all_of_them_too,
    path_arguments_and_environment_are_exact proves [
        "hooks.createContainer[].args[]", "hooks.createContainer[].env[]", "hooks.createContainer[].path",
        "hooks.createRuntime[].args[]", "hooks.createRuntime[].env[]", "hooks.createRuntime[].path",
        "hooks.poststart[].args[]", "hooks.poststart[].env[]", "hooks.poststart[].path", "hooks.poststop[].args[]",
        "hooks.poststop[].env[]", "hooks.poststop[].path", "hooks.prestart[].args[]", "hooks.prestart[].env[]",
        "hooks.prestart[].path", "hooks.startContainer[].args[]", "hooks.startContainer[].env[]",
        "hooks.startContainer[].path",
    ],
    only_three_descriptors,
    in_a_user_namespace,
    the_configuration_is_that_of_create,
    what_one_says_is_a_warning,
    they_may_ask_for_their_container,
    they_do_not_call_delete_for_ever,
    as_with_runc [Need::Program("runc")],
    as_with_crun [Need::Program("crun")],
);

pub const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that is a script, with the case's mark in its environment.
pub fn script(c: &Context, text: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", text], "env": [format!("SYSTEM_TESTS_TAG={}", c.tag), "PATH=/bin:/usr/bin"]})
}

/// With a folder of the case's at /mnt, in which hooks on both sides write.
pub fn sharing(c: &Context) -> Result<(Config, PathBuf)> {
    let folder = c.folder("out")?;
    Ok((Config::plain().bind(&folder, "/mnt", &["bind"]), folder))
}

/// The shared folder, as hooks of `kind` see it.
pub fn seen_as<'a>(kind: &str, folder: &'a Path) -> std::borrow::Cow<'a, str> {
    if kind == "startContainer" { "/mnt".into() } else { folder.to_string_lossy() }
}

pub fn text(path: &Path) -> Result<String> {
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

pub fn order(folder: &Path) -> Result<Vec<String>> {
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
    let out = folder.join("out");
    for kind in KINDS {
        let out = seen_as(kind, &folder);
        // busybox takes its applet's name from the first argument.
        let command = format!(
            "for part in cmdline environ; do tr '\\0' '\\n' </proc/self/$part >>{out}/{kind}; done; \
             readlink /proc/self/cwd >>{out}/{kind}"
        );
        let hook =
            json!({"path": "/bin/busybox", "args": ["sh", "-c", command, "a b", ""], "env": ["B=2", "A=1=1", "B=3"]});
        c.run(&config.clone().push(&format!("/hooks/{kind}"), hook))?.ok()?;
        let seen = text(&folder.join(kind))?;
        let expected = format!("sh\n-c\n{command}\na b\n\nB=2\nA=1=1\nB=3\n");
        let cwd = seen.strip_prefix(&expected).with_context(|| format!("{kind}: {seen:?}, not {expected:?}"))?;
        if !matches!(kind, "createContainer" | "startContainer") {
            ensure!(c.bundle() == Path::new(cwd.trim_end()), "working directory of {kind}: {cwd}");
        }
    }
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
    c.open_way()?;
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

/// What hooks of another runtime are told, and where they are.
fn under(c: &Context, runtime: &str) -> Result<Vec<String>> {
    let (mut config, folder) = sharing(c)?;
    let _ = fs::remove_file(folder.join("order"));
    for kind in KINDS {
        let out = seen_as(kind, &folder);
        // The state by its members, the pid by what it is, and the rest of the world.
        let line = format!(
            "s=$(cat); p=$(echo $s | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'); \
             q=$(echo $s | sed -n 's/.*\"status\": *\"\\([a-z]*\\)\".*/\\1/p'); \
             [ \"$p\" = 1 ] || p=$([ \"${{p:-0}}\" = 0 ] && echo none || echo some); \
             echo {kind} $q $p $# $1 $(readlink /proc/self/ns/uts | grep -Fqx \"$(cat {out}/uts)\" && echo host) \
             $PATH $SYSTEM_TESTS_TAG ${{HOME-no home}} >>{out}/order"
        );
        let mut hook = script(c, &line);
        hook["args"].as_array_mut().context("args")?.extend([json!("sh"), json!("an argument")]);
        config = config.push(&format!("/hooks/{kind}"), hook);
    }
    fs::write(folder.join("uts"), fs::read_link("/proc/self/ns/uts")?.to_string_lossy().as_bytes())?;
    c.write(&config.args(&["sleep", "0.2"]))?;
    let mut command = crate::context::runtime(c, runtime)?;
    command.arg("--root").arg(c.dir.join(format!("state-{runtime}"))).args(["run", &c.id()]);
    c.surroundings(&mut command);
    c.finish(command)?.ok().with_context(|| runtime.to_string())?;
    order(&folder)
}

/// Both are told and given the same. `peculiar`: what differs for a reason.
fn as_with(c: &Context, other: &str, peculiar: impl Fn(&str) -> String) -> Result<()> {
    let (mut ours, mut theirs) = (under(c, "ocinit")?, under(c, other)?);
    same!(ours.len(), 6, "hooks that ran");
    for lines in [&mut ours, &mut theirs] {
        *lines = lines.iter().map(|line| peculiar(line)).collect();
        // Neither has poststart wait for startContainer.
        lines.sort();
    }
    same!(ours, theirs, "hooks under ocinit and {other}");
    Ok(())
}

fn as_with_runc(c: &Context) -> Result<()> {
    // The runc of Debian 12 says "created" after the start; later ones do not.
    as_with(c, "runc", |line| line.replace("poststart created", "poststart running"))
}

fn as_with_crun(c: &Context) -> Result<()> {
    // crun has words of its own for the statuses, and no pid for those inside.
    as_with(c, "crun", |line| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.drain(1..3);
        words.join(" ")
    })
}
