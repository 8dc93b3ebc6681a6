//! Attacks that worked on other runtimes, by the number under which they were
//! published: those by what a configuration or a process asks for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;
use crate::terminal::{Terminal, in_terminal};

cases!("escapes":
    cve_2016_3697_user_names_are_never_looked_up,
    cve_2021_43784_lengths_are_not_narrowed,
    cve_2022_29162_no_inheritable_or_ambient_capabilities,
    cve_2022_2989_groups_are_exact,
    cve_2023_25809_cgroup_mount_is_read_only,
    ghsa_g54h_m393_cpwq_devices_are_denied,
    cve_2017_5226_tiocsti_on_an_inherited_terminal,
    cve_2026_84042_annotations_start_nothing,
    cve_2019_12439_state_is_not_shared,
    cve_2020_15257_no_abstract_sockets,
    cve_2018_6556_set_uid_gives_nothing,
    core_pattern_stays,
    environment_of_the_runtime_is_not_seen,
    chroot_escape,
    huge_and_deep_documents,
    a_cgroup_of_somebody_else_is_never_touched,
);

/// A folder of the host's that nothing may touch, with a file in it.
pub(super) fn canary(c: &Context) -> Result<std::path::PathBuf> {
    let folder = c.folder("canary")?;
    fs::write(folder.join("file"), "untouched")?;
    Ok(folder)
}

/// Whether the canary is as `canary` made it.
pub(super) fn untouched(folder: &Path) -> Result<()> {
    let names: Vec<_> = fs::read_dir(folder)?.flatten().map(|e| e.file_name()).collect();
    same!(names, ["file"], "names in the host's folder");
    same!(fs::read_to_string(folder.join("file"))?, "untouched", "the host's file");
    let meta = fs::metadata(folder.join("file"))?;
    same!((meta.uid(), meta.gid()), (0, 0), "owner of the host's file");
    same!(fs::metadata(folder)?.permissions().mode() & 0o7777, 0o755, "mode of the host's folder");
    Ok(())
}

fn cve_2016_3697_user_names_are_never_looked_up(c: &Context) -> Result<()> {
    fs::write(c.rootfs().join("etc/passwd"), "10:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n")?;
    fs::write(c.rootfs().join("etc/group"), "10:x:0:\n")?;
    let id = c.sleeper()?;
    same!(c.call(&["exec", "--user", "10", &id, "id", "-u"])?.ok()?.stdout, "10\n", "exec --user 10");
    same!(c.call(&["exec", "--user", "10:10", &id, "id", "-g"])?.ok()?.stdout, "10\n", "exec --user 10:10");
    for bad in ["4294967296", "4294967295", "root", "99999999999999999999"] {
        let output = c.call(&["exec", "--user", bad, &id, "id", "-u"])?;
        ensure!([1, 255].contains(&output.status) && output.stdout.is_empty(), "exec --user {bad}: {output:?}");
    }
    c.delete(&id)?;
    let config = Config::plain().set("/process/user", json!({"uid": 10, "gid": 10})).args(&["id", "-u"]);
    same!(c.run(&config)?.ok()?.stdout, "10\n", "run as user 10");
    Ok(())
}

fn cve_2021_43784_lengths_are_not_narrowed(c: &Context) -> Result<()> {
    let path = format!("/proc/self/{}/ns/net", "x".repeat(70_000));
    c.run(&Config::plain().namespace("network", Some(&path)))?.error(1, &["namespaces"])?;
    let path = format!("{}/proc/1/ns/net", "/.".repeat(32_768 + 100));
    c.run(&Config::plain().namespace("network", Some(&path)))?.error(1, &["namespaces"])?;
    let map = |count: u32| -> Value {
        (0..count).map(|n| json!({"containerID": n, "hostID": 100_000 + 2 * n, "size": 1})).collect::<Vec<_>>().into()
    };
    // The kernel takes 340 lines and a page of text.
    for (count, may) in [(100, true), (5000, false)] {
        let config = Config::plain().namespace("user", None);
        let config = config.set("/linux/uidMappings", map(count)).set("/linux/gidMappings", map(count));
        let output = c.run(&config.args(&["cat", "/proc/self/uid_map"]))?;
        if may {
            same!(output.ok()?.lines().len(), count as usize, "lines of uid_map");
        } else {
            output.error(1, &[])?;
        }
    }
    Ok(())
}

fn cve_2022_29162_no_inheritable_or_ambient_capabilities(c: &Context) -> Result<()> {
    let config = Config::plain();
    let check = |seen: &Value, what: &str| -> Result<()> {
        for (name, mask) in [("CapInh", 0), ("CapAmb", 0), ("CapBnd", 0x2000_0420u64)] {
            let found = u64::from_str_radix(seen["status"][name].as_str().unwrap_or("x"), 16)?;
            same!(found, mask, "{name} of {what}");
        }
        Ok(())
    };
    check(&c.probe(&config, &["status"])?, "run")?;
    let id = c.sleeper()?;
    check(&c.exec(&id, &["/probe", "status"])?.ok()?.json()?, "exec")?;
    let seen = c.call(&["exec", "--user", "1000", &id, "/probe", "status"])?.ok()?.json()?;
    check(&seen, "exec as a user")?;
    c.delete(&id)
}

fn cve_2022_2989_groups_are_exact(c: &Context) -> Result<()> {
    // The caller's own groups do not come along.
    c.write(&Config::plain().set("/process/user", json!({"uid": 1000, "gid": 1000})).args(&["id", "-G"]))?;
    let mut command = Command::new(kernel::find_program("setpriv").context("no setpriv here")?);
    command.args(["--groups", "0,4,6"]).arg(&c.program).arg("--root").arg(c.state_dir()).args(["run", &c.id()]);
    c.surroundings(&mut command);
    same!(c.finish(command)?.ok()?.stdout, "1000\n", "id -G");
    let id = c.detached(&Config::plain().args(&["sleep", "1000"]))?;
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,4,6"]).arg(&c.program).arg("--root").arg(c.state_dir());
    command.args(["exec", "--user", "1000:1000", &id, "id", "-G"]);
    c.surroundings(&mut command);
    same!(c.finish(command)?.ok()?.stdout, "1000\n", "id -G by exec");
    c.delete(&id)
}

fn cve_2023_25809_cgroup_mount_is_read_only(c: &Context) -> Result<()> {
    let config = Config::plain()
        .without_namespace("cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"])
        .script("mkdir /sys/fs/cgroup/x; echo $? ; ls /sys/fs/cgroup; cat /proc/self/mountinfo");
    let output = c.run(&config)?.ok()?;
    same!(output.lines()[0], "1", "mkdir in the cgroup mount");
    holds!(output.stderr, "Read-only", "mkdir in the cgroup mount");
    Ok(())
}

fn ghsa_g54h_m393_cpwq_devices_are_denied(c: &Context) -> Result<()> {
    let disk = fs::metadata("/").map(|m| m.dev())?;
    let (major, minor) = (disk >> 8 & 0xfff, disk & 0xff);
    let config =
        Config::plain().remove("/linux/resources").capabilities(&["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let script = format!("mknod /tmp/disk b {major} {minor}; head -c 1 /tmp/disk; mount /tmp/disk /mnt");
    let output = c.run(&config.script(&script))?;
    ensure!(output.stdout.is_empty() && output.status != 0, "{output:?}");
    holds!(output.stderr, "not permitted", "opening the root disk");
    Ok(())
}

fn cve_2017_5226_tiocsti_on_an_inherited_terminal(c: &Context) -> Result<()> {
    // Without a terminal of its own, a container keeps the caller's as its
    // standard streams; as its controlling terminal it must not have it, or it
    // could type commands there.
    c.write(&Config::plain().script("true < /dev/tty && echo controlling; /probe session; echo end"))?;
    let mut terminal = Terminal::open()?;
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.expect("end")?;
    running.finish()?.ok()?;
    ensure!(!terminal.screen.contains("controlling"), "/dev/tty can be opened: {:?}", terminal.screen);
    holds!(terminal.screen, "\"tty_nr\":\"0\"", "the session");
    let id = c.sleeper()?;
    let mut terminal = Terminal::open()?;
    let command =
        c.command(&["exec", &id, "sh", "-c", "true < /dev/tty && echo controlling; /probe session; echo end"]);
    let running = c.start_command(in_terminal(&command, &terminal)?)?;
    terminal.expect("end")?;
    running.finish()?.ok()?;
    ensure!(!terminal.screen.contains("controlling"), "/dev/tty can be opened by exec: {:?}", terminal.screen);
    holds!(terminal.screen, "\"tty_nr\":\"0\"", "the session of exec");
    c.delete(&id)
}

fn cve_2026_84042_annotations_start_nothing(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let evil = c.dir.join("evil");
    fs::write(&evil, format!("#!/bin/sh\necho x > {}/ran\n", folder.display()))?;
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755))?;
    let path = json!(evil);
    let config = Config::plain().set(
        "/annotations",
        json!({
            "run.oci.handler": path, "run.oci.hooks.stdout": folder.join("out"), "run.oci.hooks.stderr": folder.join("err"),
            "run.oci.seccomp.receiver": path, "run.oci.systemd.force_cgroup_v1": path, "run.oci.mount_context_type": path,
            "run.oci.pidfd_receiver": path, "run.oci.timens_offset": "monotonic 1", "io.katacontainers.config": path,
            "org.criu.config": path,
        }),
    );
    fs::write(c.bundle().join("criu.conf"), "action-script ../evil\n")?;
    c.run(&config)?.ok()?;
    untouched(&folder)
}

fn cve_2019_12439_state_is_not_shared(c: &Context) -> Result<()> {
    // Made with the umask open: private all the same.
    c.write(&Config::plain().args(&["sleep", "1000"]))?;
    let id = c.id();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["create", &id]);
    c.surroundings(&mut command);
    c.finish(command)?.ok()?;
    let mode = |path: &Path| -> Result<u32> { Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777) };
    same!(mode(&c.state_dir())? & 0o077, 0, "others' rights on the state directory");
    same!(mode(&c.state_dir().join(&id))?, 0o700, "mode of the container's directory");
    for entry in fs::read_dir(c.state_dir().join(&id))? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_file() {
            same!(mode(&path)? & 0o022, 0, "others' rights to write {}", path.display());
        }
    }
    c.delete(&id)?;
    // A link in the place of a container's directory, or of the whole.
    let folder = canary(c)?;
    let id = c.id();
    symlink(&folder, c.state_dir().join(&id))?;
    for words in
        [&["create", &id] as &[&str], &["run", &id], &["state", &id], &["kill", &id], &["delete", "--force", &id]]
    {
        let output = c.call(words)?;
        ensure!(output.status != 0 || words[0] == "delete", "{output:?}");
        untouched(&folder)?;
    }
    let _ = fs::remove_file(c.state_dir().join(&id));
    // Another user's directory.
    let id = c.id();
    let foreign = c.state_dir().join(&id);
    fs::create_dir(&foreign)?;
    fs::write(foreign.join("state.json"), "{}")?;
    std::os::unix::fs::chown(&foreign, Some(1000), Some(1000))?;
    for words in [&["create", &id] as &[&str], &["state", &id], &["start", &id], &["kill", &id]] {
        let output = c.call(words)?;
        ensure!(output.status != 0, "{output:?}");
    }
    fs::remove_dir_all(&foreign)?;
    // A state directory that is a link, or that everybody may write.
    let link = c.dir.join("link-to-state");
    symlink(c.folder("elsewhere")?, &link)?;
    let mut command = Command::new(&c.program);
    command.arg("--root").arg(&link).args(["create", &c.id()]);
    c.surroundings(&mut command);
    let output = c.finish(command)?;
    ensure!(output.status == 1, "a link as state directory: {output:?}");
    let open = c.folder("open")?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let mut command = Command::new(&c.program);
    command.arg("--root").arg(&open).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let _ = c.finish(command)?;
    Ok(())
}

fn cve_2020_15257_no_abstract_sockets(c: &Context) -> Result<()> {
    let before = fs::read_to_string("/proc/net/unix")?;
    let id = c.create(&Config::plain().without_namespace("network").args(&["sleep", "1000"]))?;
    let after = fs::read_to_string("/proc/net/unix")?;
    for line in after.lines() {
        let name = line.split_whitespace().nth(7).unwrap_or_default();
        ensure!(!name.starts_with('@') || before.contains(name), "an abstract socket: {line}");
    }
    c.delete(&id)
}

fn cve_2018_6556_set_uid_gives_nothing(c: &Context) -> Result<()> {
    // In a folder that a stranger can reach.
    let binary = c.dir.join("setuid");
    fs::copy(&c.program, &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o4755))?;
    c.write(&Config::plain())?;
    let mut command = Command::new(kernel::find_program("setpriv").context("no setpriv here")?);
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    command.arg("--root").arg(c.dir.join("setuid-state")).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let output = c.finish(command)?;
    ensure!(output.status != 0, "{output:?}");
    ensure!(!c.dir.join("setuid-state").exists(), "a state directory was made");
    Ok(())
}

fn core_pattern_stays(c: &Context) -> Result<()> {
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    for name in ["kernel.core_pattern", "kernel/core_pattern", "net.../kernel/core_pattern"] {
        let config = Config::plain().set("/linux/sysctl", json!({name: "|/bin/false"})).script("echo ran");
        let output = c.run(&config)?.status(1)?;
        same!(output.stdout, "", "what the process printed");
    }
    same!(fs::read_to_string("/proc/sys/kernel/core_pattern")?, before, "core_pattern");
    Ok(())
}

fn environment_of_the_runtime_is_not_seen(c: &Context) -> Result<()> {
    c.write(&Config::plain().args(&["/probe", "environment"]))?;
    let mut command = c.command(&["run", &c.id()]);
    command.env("SECRET_OF_THE_HOST", "x").env("LD_PRELOAD", "/x").env("_OCINIT_STAGE", "1");
    let output = c.finish(command)?.ok()?;
    ensure!(!output.stdout.contains("SECRET") && !output.stdout.contains("LD_PRELOAD"), "{}", output.stdout);
    let id = c.sleeper()?;
    let mut command = c.command(&["exec", &id, "/probe", "environment"]);
    command.env("SECRET_OF_THE_HOST", "x");
    ensure!(!c.finish(command)?.ok()?.stdout.contains("SECRET"), "exec shows the host's environment");
    // A created container's process shows it no more than a running one.
    c.delete(&id)
}

fn chroot_escape(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let config = Config::plain().capabilities(&["CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let up = "../".repeat(30);
    let script = format!(
        "mkdir -p /tmp/jail; cp /bin/busybox /tmp/jail/; cd /; chroot /tmp/jail /busybox ls {up}{}; ls {up}{}",
        folder.display(),
        folder.display()
    );
    for flags in [&["run"] as &[&str], &["run", "--no-pivot"]] {
        c.write(&config.clone().script(&script))?;
        let mut arguments = flags.to_vec();
        let id = c.id();
        arguments.push(&id);
        let output = c.call(&arguments)?;
        ensure!(!output.stdout.contains("file"), "{flags:?}: the host's folder is seen: {output:?}");
    }
    Ok(())
}

fn huge_and_deep_documents(c: &Context) -> Result<()> {
    let write = |bytes: &[u8]| -> Result<crate::command::Output> {
        fs::write(c.bundle().join("config.json"), bytes)?;
        c.call(&["run", &c.id()])
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    write(deep.as_bytes())?.error(1, &["config.json"])?;
    write(format!("{{\"a\": {deep}}}").as_bytes())?.error(1, &["config.json"])?;
    write(&vec![b' '; 2 << 20])?.error(1, &["config.json"])?;
    write(b"{\"ociVersion\": \"1.0.2\", \"process\": {\"cwd\": \"/\xff\"}}")?.error(1, &["config.json"])?;
    // 100 MiB, without writing them.
    let mut file = fs::File::create(c.bundle().join("config.json"))?;
    file.write_all(b"{")?;
    file.set_len(100 << 20)?;
    c.call(&["run", &c.id()])?.error(1, &["config.json"])?;
    // What is no file is not waited for.
    fs::remove_file(c.bundle().join("config.json"))?;
    let fifo = c.bundle().join("config.json");
    crate::command::host(&c.dir, "mkfifo", &[&fifo])?;
    ensure!(fs::metadata(&fifo)?.file_type().is_fifo());
    c.call(&["run", &c.id()])?.error(1, &["config.json"])?;
    Ok(())
}

fn a_cgroup_of_somebody_else_is_never_touched(c: &Context) -> Result<()> {
    // It exists already, with a process in it.
    let name = format!("{}-theirs", c.tag);
    let folder = kernel::cgroup_root().join(&name);
    fs::create_dir(&folder)?;
    let mut theirs = Command::new("sleep").arg("1000").env("SYSTEM_TESTS_TAG", &c.tag).spawn()?;
    fs::write(folder.join("cgroup.procs"), theirs.id().to_string())?;
    let config = Config::plain().set("/linux/cgroupsPath", json!(format!("/{name}")));
    c.write(&config.args(&["sleep", "1000"]))?;
    let id = c.id();
    let output = c.call(&["create", &id])?;
    c.delete(&id)?;
    let alive = kernel::alive(theirs.id());
    let there = folder.exists();
    theirs.kill()?;
    theirs.wait()?;
    let _ = fs::remove_dir(&folder);
    ensure!(alive && there, "their process lives: {alive}; their cgroup is there: {there}; {output:?}");
    Ok(())
}
