//! Broken configurations: each gets one line with its place, and leaves nothing.

use std::fs;

use anyhow::{Result, bail, ensure};
use corpus::Stage;
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;

cases!("bad_input":
    the_good_configuration_is_good,
    every_fault_gets_its_place,
    cut_at_every_byte,
    cut_where_the_kernel_would_notice,
    fields_that_are_not_carried_out_are_named,
    fields_of_other_platforms proves [
        "freebsd", "process.commandLine", "solaris", "vm", "windows", "zos",
    ],
    versions_of_the_specification proves ["ociVersion"],
    engines_configurations_name_what_is_left_out,
    errors_of_the_runtime_leave_nothing,
);

/// How many lines of a list of failures are worth reading.
const SHOWN: usize = 12;

/// Takes one broken document; what is wrong with the answer, if anything is.
fn judge(c: &Context, id: &str, bytes: &[u8], expected: &str, placed: bool) -> Result<Option<String>> {
    fs::write(c.bundle().join("config.json"), bytes)?;
    let output = c.call(&["create", id])?;
    let wrong = |why: &str| Ok(Some(format!("{why}: status {}, {:?}", output.status, output.stderr)));
    if output.status == 0 {
        c.delete(id)?;
        return wrong("accepted");
    }
    if output.status != 1 {
        return wrong("another status than 1");
    }
    if output.stderr.lines().count() != 1 || !output.stdout.is_empty() {
        return wrong("not one line");
    }
    if !output.stderr.contains(expected) {
        return wrong(&format!("without {expected:?}"));
    }
    // config.json:LINE:COLUMN: …
    let place = output.stderr.split_once("config.json:").map(|(_, rest)| rest).unwrap_or_default();
    let mut numbers = place.splitn(3, ':');
    let number = |text: Option<&str>| text.is_some_and(|t| t.parse::<u32>().is_ok_and(|n| n > 0));
    if placed && !(number(numbers.next()) && number(numbers.next())) {
        return wrong("without line and column");
    }
    if fs::read_dir(c.state_dir()).is_ok_and(|entries| entries.count() > 0) {
        c.delete(id)?;
        return wrong("state was left");
    }
    Ok(None)
}

/// Fails with the first few of many failures.
fn report(total: usize, failures: Vec<String>) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = failures.iter().take(SHOWN).cloned().collect();
    bail!("{} of {total}: {}", failures.len(), shown.join(" | "))
}

/// What must not be there after a broken configuration.
fn nothing_left(c: &Context, mounts: &[String]) -> Result<()> {
    same!(kernel::mount_table(), mounts, "the mount table");
    c.reap();
    let cgroups = kernel::cgroups_with("corpus");
    ensure!(cgroups.is_empty(), "cgroups left: {cgroups:?}");
    ensure!(kernel::children().is_empty(), "processes left: {:?}", kernel::children());
    Ok(())
}

/// The corpus maps root to somebody else, who must own what is made in.
fn owned_by_the_mapped_root(c: &Context) -> Result<()> {
    for folder in ["", "dev", "etc", "tmp"] {
        std::os::unix::fs::chown(c.rootfs().join(folder), Some(100_000), Some(100_000))?;
    }
    Ok(())
}

fn the_good_configuration_is_good(c: &Context) -> Result<()> {
    owned_by_the_mapped_root(c)?;
    fs::write(c.bundle().join("config.json"), corpus::GOOD)?;
    let id = c.id();
    c.call(&["create", &id])?.ok()?;
    c.delete(&id)?;
    clear();
    Ok(())
}

/// The corpus's `cgroupsPath` has a parent, which a container may share.
fn clear() {
    for folder in kernel::cgroups_with("corpus") {
        let _ = fs::remove_dir(folder);
    }
}

fn every_fault_gets_its_place(c: &Context) -> Result<()> {
    let all = corpus::all();
    ensure!(all.len() >= 200, "only {} cases", all.len());
    owned_by_the_mapped_root(c)?;
    let (mounts, id) = (kernel::mount_table(), c.id());
    let mut failures = Vec::new();
    for case in &all {
        // A document that is too large is refused by its size, unread.
        let placed = case.stage == Stage::Document && !case.name.ends_with("too-large");
        if let Some(why) = judge(c, &id, &case.bytes, &case.expected, placed)? {
            failures.push(format!("{}: {why}", case.name));
        }
    }
    clear();
    nothing_left(c, &mounts)?;
    report(all.len(), failures)
}

fn cut_at_every_byte(c: &Context) -> Result<()> {
    let (mounts, id) = (kernel::mount_table(), c.id());
    let (mut total, mut failures) = (0, Vec::new());
    for case in corpus::truncations() {
        total += 1;
        if let Some(why) = judge(c, &id, &case.bytes, &case.expected, true)? {
            failures.push(format!("{}: {why}", case.name));
        }
    }
    nothing_left(c, &mounts)?;
    report(total, failures)
}

fn cut_where_the_kernel_would_notice(c: &Context) -> Result<()> {
    // The document is whole, and followed by something.
    let good = corpus::GOOD.trim_end().as_bytes().to_vec();
    for end in [&b"}"[..], b"x", b"\0", b"{}", b"\xef\xbb\xbf"] {
        let bytes = [&good, end].concat();
        if let Some(why) = judge(c, &c.id(), &bytes, "", true)? {
            bail!("{end:?} behind the document: {why}");
        }
    }
    let bytes = [b"\xef\xbb\xbf", &*good].concat();
    if let Some(why) = judge(c, &c.id(), &bytes, "", true)? {
        bail!("a byte order mark: {why}");
    }
    Ok(())
}

fn fields_that_are_not_carried_out_are_named(c: &Context) -> Result<()> {
    for (pointer, value) in [
        ("/linux/resources/memory", json!({"limit": 67_108_864})),
        ("/linux/resources/pids", json!({"limit": 100})),
        ("/linux/resources/cpu", json!({"shares": 100})),
    ] {
        let output = c.run(&Config::plain().set(pointer, value))?;
        let name = pointer.trim_start_matches('/').replace('/', ".");
        // Carried out one day; until then by name, never silently.
        ensure!(output.status == 0 || output.stderr.contains(&name), "{pointer}: {output:?}");
        ensure!(output.status == 0 || output.stderr.contains("config.json:"), "{pointer}: {output:?}");
    }
    Ok(())
}

/// By name, and before anything is made; empty ones ask for nothing.
fn fields_of_other_platforms(c: &Context) -> Result<()> {
    let plain = Config::plain().args(&["touch", "/ran"]);
    for (pointer, value) in [
        ("/freebsd", json!({"devices": [{"path": "null"}]})),
        ("/solaris", json!({"milestone": "svc:/milestone/container:default"})),
        ("/vm", json!({"kernel": {"path": "/boot/vmlinuz"}})),
        ("/windows", json!({"layerFolders": ["C:\\Layers\\layer1"]})),
        ("/zos", json!({"namespaces": [{"type": "ipc"}]})),
        ("/process/commandLine", json!("touch /ran")),
    ] {
        let name = pointer.trim_start_matches('/').replace('/', ".");
        let config = plain.clone().set(pointer, value);
        c.run(&config)?.error(1, &["config.json:", &format!("{name}: for another platform than Linux")])?;
        ensure!(!c.rootfs().join("ran").exists(), "{name}: the process ran");
        ensure!(kernel::cgroups_with(&c.tag).is_empty() && !c.state_dir().exists(), "{name}: something was made");
        if name != "process.commandLine" {
            c.run(&plain.clone().set(pointer, json!({})))?.ok()?;
            fs::remove_file(c.rootfs().join("ran"))?;
            fs::remove_dir_all(c.state_dir())?;
        }
    }
    Ok(())
}

/// All of 1.x is taken, and what came before; no other.
fn versions_of_the_specification(c: &Context) -> Result<()> {
    let ran = c.rootfs().join("ran");
    for (version, known) in [
        ("1.0.0", true),
        ("1.0.2-dev", true),
        ("1.3.0", true),
        ("1.3.0+build.5", true),
        ("1.99.0", true),
        ("2.0.0", false),
        ("0.5.0-dev", true),
        ("1.0", false),
        ("", false),
    ] {
        let output = c.run(&Config::plain().set("/ociVersion", json!(version)).args(&["touch", "/ran"]))?;
        same!(ran.exists(), known, "whether the process ran, of version {version:?}: {output:?}");
        match known {
            true => fs::remove_file(&ran)?,
            false => drop(output.error(1, &["config.json:", "ociVersion: "])?),
        }
    }
    c.run(&Config::plain().remove("/ociVersion"))?.error(1, &["\"ociVersion\" is missing"])?;
    Ok(())
}

fn engines_configurations_name_what_is_left_out(c: &Context) -> Result<()> {
    for (name, text) in super::comparison::ENGINES {
        let config: Value = serde_json::from_str(text)?;
        let mut config = Config(config).set("/linux/cgroupsPath", json!(format!("/{}-{name}", c.tag)));
        super::comparison::real_sources(c, &mut config)?;
        let output = c.run(&config)?;
        ensure!(
            output.status == 0 || ["linux.resources", "process.rlimits"].iter().any(|f| output.stderr.contains(f)),
            "{name}: {output:?}"
        );
    }
    Ok(())
}

fn errors_of_the_runtime_leave_nothing(c: &Context) -> Result<()> {
    // One that is found late, in each of the steps.
    let mounts = kernel::mount_table();
    for (what, config) in [
        ("a mount's source", Config::plain().mount("/mnt", "bind", "/nowhere", &["bind"])),
        ("a mount's type", Config::plain().mount("/mnt", "nosuchfs", "x", &[])),
        ("the executable", Config::plain().args(&["/nowhere"])),
        ("the cwd", Config::plain().set("/process/cwd", json!("/etc/passwd"))),
        ("a sysctl", Config::plain().set("/linux/sysctl", json!({"net.ipv4.ip_forward": "many"}))),
        ("a namespace", Config::plain().namespace("network", Some("/nowhere"))),
        (
            "a device",
            Config::plain()
                .set("/linux/devices", json!([{"path": "/etc/passwd/x", "type": "c", "major": 1, "minor": 3}])),
        ),
        ("the root", Config::plain().set("/root/path", json!("nowhere"))),
        ("a long hostname", Config::plain().set("/hostname", json!("x".repeat(65)))),
    ] {
        c.write(&config)?;
        for command in [&["create"] as &[&str], &["run"], &["run", "-d"]] {
            let id = c.id();
            let mut arguments = command.to_vec();
            arguments.push(&id);
            let output = c.call(&arguments)?.error(1, &[])?;
            c.call(&["state", &id])?.error(1, &["does not exist"])?;
            ensure!(kernel::cgroups_with(&id).is_empty(), "{what}: a cgroup was left; {}", output.stderr);
        }
        nothing_left(c, &mounts).map_err(|error| error.context(what))?;
    }
    Ok(())
}
