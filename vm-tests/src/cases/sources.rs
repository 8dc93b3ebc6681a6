//! What can be booted: roots, images, units.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use ociboot::run::outcome::{Kind, Outcome};
use serde_json::json;

use crate::context::{Context, Ended, need, run_tool};

cases!("sources":
    a_root,
    what_a_root_may_do,
    a_layout_by_umoci,
    an_archive_by_skopeo,
    an_archive_by_podman,
    units,
);

const HELLO: &str = "echo hello; echo trouble >&2; exit 42";

fn hello(ended: &Ended) -> Result<()> {
    ended.expect(&Outcome::Exit(42))?.expect_stdout("hello\n")?;
    ensure!(ended.stderr == b"trouble\n", "standard error is {:?}", String::from_utf8_lossy(&ended.stderr));
    let times: Vec<u64> = ended.report.seen.events.iter().map(|event| event.us).collect();
    ensure!(times.is_sorted() && times.first() > Some(&0), "the times are {times:?}");
    Ok(())
}

fn a_root(context: &Context) -> Result<()> {
    hello(&context.script(&mut context.options(), HELLO)?)
}

fn what_a_root_may_do(context: &Context) -> Result<()> {
    let script = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr -d '\\n'; touch /tmp/x && chown 7:8 /tmp/x && \
        stat -c ' %u:%g' /tmp/x; test $(ulimit -n) -gt 1024 -o $(ulimit -Hn) -gt 1024 || echo few files";
    let expected = "CapEff:\t00000000a80425fbCapBnd:\t00000000a80425fbNoNewPrivs:\t0 7:8\n";
    context.script(&mut context.options(), script)?.expect(&Outcome::Exit(0))?.expect_stdout(expected)?;
    Ok(())
}

/// An image of a busybox root with a command and a variable of its own.
fn layout(context: &Context) -> Result<PathBuf> {
    need("umoci")?;
    let (root, layout) = (context.root()?, context.folder.join("layout"));
    let image = format!("{}:latest", layout.display());
    let umoci = |arguments: &[&str]| run_tool(Command::new("umoci").args(arguments));
    umoci(&["init", "--layout", &layout.display().to_string()])?;
    umoci(&["new", "--image", &image])?;
    let map = ["--uid-map", "0:0:1", "--gid-map", "0:0:1"];
    let insert = ["insert", "--image", &image];
    umoci(&[&insert[..], &map, &[&root.display().to_string(), "/"]].concat())?;
    let script = "echo $WORD; echo trouble >&2; exit 42";
    umoci(&[
        "config",
        "--image",
        &image,
        "--config.entrypoint",
        "sh",
        "--config.entrypoint",
        "-c",
        "--config.cmd",
        script,
        "--config.env",
        "WORD=hello",
        "--config.env",
        "PATH=/bin",
        "--config.workingdir",
        "/tmp",
    ])?;
    Ok(layout)
}

fn a_layout_by_umoci(context: &Context) -> Result<()> {
    hello(&context.boot(&layout(context)?, &context.options())?)
}

fn an_archive_by_skopeo(context: &Context) -> Result<()> {
    need("skopeo")?;
    let archive = context.folder.join("docker.tar");
    let from = format!("oci:{}:latest", layout(context)?.display());
    let to = format!("docker-archive:{}:hello:latest", archive.display());
    run_tool(Command::new("skopeo").args(["--insecure-policy", "copy", &from, &to]))?;
    hello(&context.boot(&archive, &context.options())?)
}

fn an_archive_by_podman(context: &Context) -> Result<()> {
    need("podman")?;
    let archive = context.folder.join("podman.tar");
    let tar = context.folder.join("root.tar");
    run_tool(Command::new("tar").arg("-C").arg(context.root()?).arg("-cf").arg(&tar).arg("."))?;
    let podman = |arguments: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(context.folder.join("storage")).arg("--runroot").arg(context.folder.join("run"));
        command.arg("--tmpdir").arg(context.folder.join("podman-tmp"));
        run_tool(command.args(["--storage-driver", "vfs"]).args(arguments))
    };
    let change = format!("CMD [\"/bin/sh\",\"-c\",\"{HELLO}\"]");
    podman(&["import", "--change", &change, &tar.display().to_string(), "hello:latest"])?;
    podman(&["save", "-o", &archive.display().to_string(), "hello:latest"])?;
    hello(&context.boot(&archive, &context.options())?)
}

/// Two steps, three services of which one fails until its budget is spent,
/// and one last step, in LinuxKit's layout; the second step has an overlay and
/// a runtime.json.
fn units(context: &Context) -> Result<()> {
    let tree = context.folder.join("tree");
    let unit = |place: &str, script: &str, annotations: serde_json::Value| -> Result<PathBuf> {
        let mut config = context.config(script)?;
        config["annotations"] = annotations;
        config["root"]["readonly"] = json!(false);
        config["mounts"].as_array_mut().into_iter().for_each(|mounts| {
            mounts.push(json!({ "destination": "/shared", "type": "bind", "source": "/run/shared", "options": ["rbind", "rw"] }));
        });
        context.bundle(&format!("tree/containers/{place}"), &config)
    };
    let first = unit("onboot/000-first", "echo 1st >>/shared/log; exit 3", json!({}))?;
    make_runtime_json(&first)?;
    let second = unit("onboot/001-second", "echo 2nd >>/shared/log; touch /written", json!({}))?;
    fs::rename(second.join("rootfs"), second.join("lower"))?;
    unit("services/crash", "exit 7", json!({ "org.ocinit.restart": "on-failure", "org.ocinit.restart-budget": "2" }))?;
    unit("services/once", "echo once >>/shared/log", json!({}))?;
    unit("services/quick", "sleep 1; echo quick >>/shared/log", json!({}))?;
    unit("onshutdown/000-last", "sort /shared/log | tr '\\n' ' ' | grep -qx '1st 2nd once quick '", json!({}))?;
    let mut options = context.options();
    options.command = None;
    let ended = context.boot(&tree, &options)?;
    let ends = |name: &str| -> Vec<Outcome> {
        let events = ended.report.seen.events.iter();
        events
            .filter_map(|event| match &event.kind {
                Kind::Exited { unit, outcome } if unit == name => Some(outcome.clone()),
                _ => None,
            })
            .collect()
    };
    let said = || format!("{:?}; the console: {}", ended.report.seen.events, ended.report.seen.console.tail());
    for (name, expected) in [
        ("000-first", vec![Outcome::Exit(3)]),
        ("001-second", vec![Outcome::Exit(0)]),
        ("crash", vec![Outcome::Exit(7); 3]),
        ("once", vec![Outcome::Exit(0)]),
        ("quick", vec![Outcome::Exit(0)]),
        ("000-last", vec![Outcome::Exit(0)]),
    ] {
        ensure!(ends(name) == expected, "{name} ended {:?}, not {expected:?}: {}", ends(name), said());
    }
    let order: Vec<&str> = ended
        .report
        .seen
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Exited { unit, .. } => Some(unit.as_str()),
            _ => None,
        })
        .collect();
    ensure!(order.starts_with(&["000-first", "001-second"]) && order.ends_with(&["000-last"]), "{}", said());
    ensure!(!matches!(ended.report.outcome(), Outcome::Failed(_)), "{:?}: {}", ended.report.outcome(), said());
    Ok(())
}

fn make_runtime_json(unit: &Path) -> Result<()> {
    let runtime = json!({ "mkdir": ["/run/shared"], "mounts": [{ "type": "tmpfs", "source": "tmpfs", "destination": "/run/shared" }] });
    Ok(fs::write(unit.join("runtime.json"), serde_json::to_vec(&runtime)?)?)
}
