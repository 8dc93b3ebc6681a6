//! The root file system: mount types, binds, targets, and the root itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;

cases!("mounts":
    every_type proves ["mounts[].destination", "mounts[].source", "mounts[].type"],
    bind_of_a_folder_and_a_file proves ["mounts[].destination", "mounts[].options[]", "mounts[].source"],
    bind_source_missing,
    bind_without_a_type,
    recursive_bind_takes_what_is_below proves ["mounts[].options[]"],
    missing_targets_are_created,
    tmpcopyup proves ["mounts[].options[]"],
    symlinks_are_resolved_inside_the_root,
    order_is_kept,
    one_over_another,
    overlay_with_long_options,
    five_hundred_mounts,
    root_read_only proves ["root.readonly"],
    root_by_absolute_path proves ["root.path"],
    root_that_is_no_folder,
    no_pivot,
    cgroup_mount_shows_the_containers_own,
    cgroup_mount_of_the_hosts_namespace,
    devpts_is_its_own_instance,
    a_mount_on_the_root_itself,
    relative_destination,
    proc_cannot_be_a_volume_of_the_host,
);

/// The entry of the container's mount table at `point`, the topmost.
pub(super) fn at<'a>(seen: &'a Value, point: &str) -> Result<&'a Value> {
    let list = seen["mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().rev().find(|m| m["point"] == point).with_context(|| format!("no mount at {point} in {list:?}"))
}

pub(super) fn options(mount: &Value, field: &str) -> Vec<String> {
    mount[field].as_str().unwrap_or_default().split(',').map(String::from).collect()
}

fn every_type(c: &Context) -> Result<()> {
    let config = Config::plain()
        .mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev", "relatime"])
        .mount("/mnt/c2", "cgroup2", "cgroup2", &["ro"])
        .mount("/mnt/ram", "ramfs", "ramfs", &[])
        .mount("/mnt/tmp", "tmpfs", "named", &["size=1m"])
        .mount("/mnt/proc", "proc", "proc", &[])
        .bind(&c.folder("v")?, "/mnt/bind", &["bind"]);
    let seen = c.probe(&config, &["mounts"])?;
    for (point, kind, source) in [
        ("/proc", "proc", "proc"),
        ("/dev", "tmpfs", "tmpfs"),
        ("/dev/pts", "devpts", "devpts"),
        ("/dev/shm", "tmpfs", "shm"),
        ("/dev/mqueue", "mqueue", "mqueue"),
        ("/sys", "sysfs", "sysfs"),
        ("/sys/fs/cgroup", "cgroup2", "cgroup"),
        ("/mnt/c2", "cgroup2", "cgroup2"),
        ("/mnt/ram", "ramfs", "ramfs"),
        ("/mnt/tmp", "tmpfs", "named"),
        ("/mnt/proc", "proc", "proc"),
    ] {
        let mount = at(&seen, point)?;
        same!(mount["type"], kind, "type of {point}");
        if point != "/sys/fs/cgroup" {
            same!(mount["source"], source, "source of {point}");
        }
    }
    // A type that does not exist.
    let output = c.run(&Config::plain().mount("/mnt", "nosuchfs", "none", &[]))?;
    output.error(1, &["mounts[5]", "nosuchfs"])?;
    Ok(())
}

fn bind_of_a_folder_and_a_file(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    fs::write(volume.join("file"), "content\n")?;
    let config = Config::plain()
        .bind(&volume, "/mnt/folder", &["bind"])
        .bind(&volume.join("file"), "/mnt/name", &["rbind", "ro"])
        .bind(&volume.join("file"), "/etc/new/deep/name", &["bind"])
        .script("cat /mnt/folder/file /mnt/name /etc/new/deep/name; echo more > /mnt/folder/new; echo x > /mnt/name");
    let output = c.run(&config)?.status(1)?;
    same!(output.stdout, "content\n".repeat(3), "what was read");
    holds!(output.stderr, "Read-only", "writing to a read-only file");
    same!(fs::read_to_string(volume.join("new"))?, "more\n", "what was written in the folder");
    // A relative source is the bundle's.
    fs::create_dir(c.bundle().join("data"))?;
    fs::write(c.bundle().join("data/f"), "relative\n")?;
    let config = Config::plain().mount("/mnt", "bind", "data", &["bind"]).args(&["cat", "/mnt/f"]);
    let mut command = c.command(&["run", "--bundle", &c.bundle().to_string_lossy(), &c.id()]);
    c.write(&config)?;
    command.current_dir("/");
    same!(c.finish(command)?.ok()?.stdout, "relative\n", "a relative source");
    Ok(())
}

fn bind_source_missing(c: &Context) -> Result<()> {
    c.run(&Config::plain().bind(Path::new("/nowhere/x"), "/mnt", &["bind"]))?
        .error(1, &["mounts[5]", "/nowhere/x", "no such file or directory"])?;
    ensure!(!c.rootfs().join("mnt/x").exists());
    Ok(())
}

fn bind_without_a_type(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    fs::write(volume.join("f"), "x")?;
    for kind in [json!("none"), json!("bind"), json!(""), Value::Null] {
        let mut mount = json!({"destination": "/mnt", "source": volume, "options": ["rbind"]});
        if !kind.is_null() {
            mount["type"] = kind.clone();
        }
        let config = Config::plain().push("/mounts", mount).args(&["cat", "/mnt/f"]);
        same!(c.run(&config)?.ok().with_context(|| format!("type {kind}"))?.stdout, "x", "the file");
    }
    Ok(())
}

/// A mount of the harness's own namespace, gone when dropped.
pub(super) struct Mounted(pub(super) String);

impl Mounted {
    pub(super) fn tmpfs(point: &Path, flags: MountFlags) -> Result<Mounted> {
        fs::create_dir_all(point)?;
        mount("tmpfs", point, "tmpfs", flags, None)?;
        Ok(Mounted(point.to_string_lossy().into_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&*self.0, UnmountFlags::DETACH);
    }
}

fn recursive_bind_takes_what_is_below(c: &Context) -> Result<()> {
    let top = Mounted::tmpfs(&c.folder("src")?, MountFlags::empty())?;
    let below = Mounted::tmpfs(&Path::new(&top.0).join("below"), MountFlags::empty())?;
    fs::write(Path::new(&below.0).join("f"), "x")?;
    let look = |option| -> Result<String> {
        let config = Config::plain().bind(top.0.as_ref(), "/mnt", &[option]).args(&["ls", "/mnt/below"]);
        Ok(c.run(&config)?.ok()?.stdout)
    };
    same!(look("rbind")?, "f\n", "below, by rbind");
    same!(look("bind")?, "", "below, by bind");
    Ok(())
}

fn missing_targets_are_created(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    fs::write(volume.join("f"), "x")?;
    let config = Config::plain()
        .bind(&volume, "/new/a/b/folder", &["bind"])
        .bind(&volume.join("f"), "/new/a/file", &["bind"])
        .mount("/other/tmp", "tmpfs", "tmpfs", &[])
        .args(&["stat", "-c", "%F %a %n", "/new/a/b/folder", "/new/a/file", "/other", "/other/tmp"]);
    c.run(&config)?.ok()?;
    let meta = fs::metadata(c.rootfs().join("new/a/b/folder"))?;
    ensure!(meta.is_dir() && meta.permissions().mode() & 0o777 == 0o755, "the folder made: {:?}", meta.permissions());
    ensure!(fs::metadata(c.rootfs().join("new/a/file"))?.is_file(), "the file made");
    // A file in place of a folder on the way.
    fs::write(c.rootfs().join("plain"), "")?;
    c.run(&Config::plain().bind(&volume, "/plain/x", &["bind"]))?.error(1, &["mounts[5]", "not a directory"])?;
    Ok(())
}

fn tmpcopyup(c: &Context) -> Result<()> {
    let data = c.rootfs().join("data");
    fs::create_dir_all(data.join("sub/deep"))?;
    fs::write(data.join("file"), "copied")?;
    fs::write(data.join("sub/deep/big"), vec![b'x'; 300_000])?;
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o4640))?;
    fs::set_permissions(data.join("sub"), fs::Permissions::from_mode(0o711))?;
    std::os::unix::fs::chown(data.join("file"), Some(7), Some(8))?;
    fs::set_permissions(data.join("file"), fs::Permissions::from_mode(0o4640))?;
    symlink("/etc/passwd", data.join("link"))?;
    let config = Config::plain().mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "nosuid"]);
    let config = config.capabilities(&["CAP_DAC_OVERRIDE"]);
    let script = "cat /data/file; echo; stat -c '%a %u %g' /data/file; stat -c %a /data/sub; readlink /data/link
        wc -c < /data/sub/deep/big; echo new > /data/file; ls /data";
    let output = c.run(&config.script(script))?.ok()?;
    same!(
        output.lines(),
        ["copied", "4640 7 8", "711", "/etc/passwd", "300000", "file", "link", "sub"],
        "what the tmpfs holds"
    );
    same!(fs::read_to_string(data.join("file"))?, "copied", "the root file system's own file");
    // On a folder that does not exist, there is nothing to copy.
    c.run(&Config::plain().mount("/none/yet", "tmpfs", "tmpfs", &["tmpcopyup"]))?.ok()?;
    Ok(())
}

fn symlinks_are_resolved_inside_the_root(c: &Context) -> Result<()> {
    let canary = c.folder("v")?;
    symlink(&canary, c.rootfs().join("abs"))?;
    symlink("../../../../../../../../srv", c.rootfs().join("up"))?;
    symlink("up", c.rootfs().join("twice"))?;
    let volume = c.folder("volume")?;
    fs::write(volume.join("f"), "x")?;
    let config = Config::plain()
        .bind(&volume, "/abs/new", &["bind"])
        .bind(&volume, "/twice/new", &["bind"])
        .script("cat /abs/new/f /srv/new/f");
    same!(c.run(&config)?.ok()?.stdout, "xx", "the files");
    same!(fs::read_dir(&canary)?.count(), 0, "things in the host's folder");
    // A loop is an error.
    symlink("loop", c.rootfs().join("loop"))?;
    c.run(&Config::plain().bind(&volume, "/loop/x", &["bind"]))?.error(1, &["mounts[5]"])?;
    Ok(())
}

fn order_is_kept(c: &Context) -> Result<()> {
    let (one, two) = (c.folder("one")?, c.folder("two")?);
    fs::write(one.join("f"), "one")?;
    fs::write(two.join("f"), "two")?;
    let config = Config::plain().bind(&one, "/mnt", &["bind"]).bind(&two, "/mnt", &["bind"]).args(&["cat", "/mnt/f"]);
    same!(c.run(&config)?.ok()?.stdout, "two", "the later one is on top");
    Ok(())
}

fn one_over_another(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    fs::write(volume.join("f"), "inner")?;
    let config = Config::plain()
        .mount("/mnt", "tmpfs", "tmpfs", &[])
        .bind(&volume, "/mnt/a/b", &["bind", "ro"])
        .mount("/mnt/c", "tmpfs", "tmpfs", &["ro"])
        .script("cat /mnt/a/b/f; touch /mnt/x && ! touch /mnt/c/x && ! touch /mnt/a/b/x");
    same!(c.run(&config)?.ok()?.stdout, "inner", "the file");
    Ok(())
}

fn overlay_with_long_options(c: &Context) -> Result<()> {
    // Values beyond 255 bytes are more than one fsconfig(2) takes.
    let long = "n".repeat(120);
    let mut lower = Vec::new();
    for number in 0..4 {
        let folder = c.folder(&format!("{long}/layer{number}"))?;
        fs::write(folder.join(format!("f{number}")), number.to_string())?;
        lower.push(folder.to_string_lossy().into_owned());
    }
    let base = Mounted::tmpfs(&c.folder("rw")?, MountFlags::empty())?;
    let (upper, work) = (format!("{}/upper", base.0), format!("{}/work", base.0));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let config = Config::plain().mount(
        "/mnt",
        "overlay",
        "overlay",
        &[&format!("lowerdir={}", lower.join(":")), &format!("upperdir={upper}"), &format!("workdir={work}")],
    );
    let output = c.run(&config.script("cat /mnt/f0 /mnt/f1 /mnt/f2 /mnt/f3; echo new > /mnt/new"))?.ok()?;
    same!(output.stdout, "0123", "the layers' files");
    same!(fs::read_to_string(format!("{upper}/new"))?, "new\n", "the upper layer");
    Ok(())
}

fn five_hundred_mounts(c: &Context) -> Result<()> {
    let mut config = Config::plain();
    for number in 0..500 {
        config = config.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", &["size=4k"]);
    }
    same!(c.run(&config.script("grep -c ' /mnt/' /proc/self/mountinfo"))?.ok()?.stdout, "500\n", "mounts");
    Ok(())
}

fn root_read_only(c: &Context) -> Result<()> {
    let config = Config::plain().set("/root/readonly", json!(true));
    let seen = c.probe(&config, &["mounts"])?;
    let found = options(at(&seen, "/")?, "options");
    ensure!(found.contains(&"ro".into()), "the root's options {found:?}");
    let output = c.run(&config.script("touch /x; touch /tmp/x; touch /dev/shm/x && echo shm"))?.ok()?;
    same!(output.stdout, "shm\n", "what could be written");
    ensure!(!c.rootfs().join("x").exists() && output.stderr.matches("Read-only").count() == 2, "{}", output.stderr);
    let seen = c.probe(&Config::plain(), &["mounts"])?;
    ensure!(options(at(&seen, "/")?, "options").contains(&"rw".into()), "a root that is not read-only");
    Ok(())
}

fn root_by_absolute_path(c: &Context) -> Result<()> {
    // Which root it is, something in it tells.
    fs::write(c.rootfs().join("which"), "of the bundle")?;
    let other = c.folder("other")?;
    for name in ["dev", "proc", "sys"] {
        fs::create_dir(other.join(name))?;
    }
    fs::copy(c.rootfs().join("bin/busybox"), other.join("cat"))?;
    fs::copy(c.rootfs().join("bin/busybox"), c.rootfs().join("cat"))?;
    fs::write(other.join("which"), "another")?;
    symlink(c.rootfs(), c.bundle().join("link"))?;
    symlink(&other, c.bundle().join("away"))?;
    for (path, which) in [
        (json!(c.rootfs()), "of the bundle"),
        (json!("./rootfs/"), "of the bundle"),
        (json!("link"), "of the bundle"),
        (json!(other), "another"),
        (json!("../other"), "another"),
        (json!("away"), "another"),
    ] {
        let config = Config::plain().set("/root/path", path.clone()).args(&["/cat", "/which"]);
        same!(c.run(&config)?.ok()?.stdout, which, "the root at {path}");
    }
    Ok(())
}

fn root_that_is_no_folder(c: &Context) -> Result<()> {
    fs::write(c.bundle().join("file"), "")?;
    c.run(&Config::plain().set("/root/path", json!("file")))?.error(1, &["file"])?;
    c.run(&Config::plain().set("/root/path", json!("nowhere")))?.error(1, &["nowhere", "no such file or directory"])?;
    c.run(&Config::plain().remove("/root"))?.error(1, &["root"])?;
    Ok(())
}

fn no_pivot(c: &Context) -> Result<()> {
    c.write(&Config::plain().args(&["/probe", "mounts", "root", "cwd"]))?;
    let seen = c.call(&["run", "--no-pivot", &c.id()])?.ok()?.json()?;
    ensure!(seen["root"].to_string().contains("probe"), "the root: {}", seen["root"]);
    same!(seen["cwd"], "/", "cwd");
    Ok(())
}

fn cgroup_mount_shows_the_containers_own(c: &Context) -> Result<()> {
    for namespace in [true, false] {
        let mut config =
            Config::plain().mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]);
        if !namespace {
            config = config.without_namespace("cgroup");
        }
        // Process 1 of the container is in the cgroup at the mount's root, and
        // nothing can be made there (runc CVE-2023-25809).
        let script = "cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>&1; ls /sys/fs/cgroup | grep -c st";
        let output = c.run(&config.script(script))?;
        let lines = output.lines();
        if namespace {
            ensure!(lines.contains(&"1"), "cgroup.procs, namespace {namespace}: {lines:?}");
        }
        holds!(output.stdout, "Read-only", "mkdir in the cgroup mount");
    }
    Ok(())
}

/// What stands in mountinfo of the cgroup2 mount at `point`: its root and its options as a
/// file system.
fn cgroup2_at(mountinfo: &str, point: &str) -> Result<(String, String)> {
    let words = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = words.into_iter().find(|words| words.get(4) == Some(&point) && words.contains(&"cgroup2"));
    let words = found.with_context(|| format!("no cgroup2 at {point} in {mountinfo}"))?;
    Ok((words[3].into(), words[words.len() - 1].into()))
}

fn cgroup_mount_of_the_hosts_namespace(c: &Context) -> Result<()> {
    let root = kernel::cgroup_root();
    let host = || cgroup2_at(&fs::read_to_string("/proc/self/mountinfo")?, &root.to_string_lossy());
    let before = host()?;
    let folder = root.join(format!("{}-there", c.tag));
    fs::create_dir(&folder)?;
    let plain = Config::plain().mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw", "nosuid", "noexec", "nodev"]);
    let own = "/proc/self/ns/cgroup";
    let script = "cat /proc/self/mountinfo; grep 0:: /proc/self/cgroup; mkdir /sys/fs/cgroup/x 2>&1";
    for (config, flags, is_own) in [
        (plain.clone().without_namespace("cgroup"), &["--cgroup-manager", "disabled"][..], false),
        (plain.clone().namespace("cgroup", Some(own)), &["--cgroup-manager", "disabled"], false),
        (
            plain.clone().without_namespace("cgroup").user_namespace(100_000, 1000),
            &["--cgroup-manager", "disabled"],
            false,
        ),
        (plain.clone().namespace("cgroup", Some(own)), &[], true),
    ] {
        c.write(&config.script(script))?;
        let mut command = Command::new("sh");
        let into = "echo $$ > \"$1\" && shift && exec \"$@\"";
        command.args(["-c", into, "sh"]).arg(folder.join("cgroup.procs")).arg(&c.program);
        command.arg("--root").arg(c.state_dir()).args(flags).args(["run", &c.id()]);
        c.surroundings(&mut command);
        let output = c.finish(command)?;
        let (shown, _) = cgroup2_at(&output.stdout, "/sys/fs/cgroup").with_context(|| output.stderr.clone())?;
        let of_process = output.stdout.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup")?;
        same!(shown, of_process, "the part that is shown, with {flags:?}");
        same!(shown == format!("/{}-there", c.tag), !is_own, "{shown} is the caller's cgroup");
        same!(output.stdout.contains("Read-only"), !is_own, "mkdir in the cgroup mount is refused");
    }
    same!(host()?, before, "the host's own mount");
    c.until("the cgroup to be empty", || Ok(fs::remove_dir(&folder).is_ok()))
}

fn devpts_is_its_own_instance(c: &Context) -> Result<()> {
    let output = c.run(&Config::plain().script("ls /dev/pts; stat -c %a /dev/pts/ptmx; readlink /dev/ptmx"))?.ok()?;
    same!(output.lines(), ["ptmx", "666", "pts/ptmx"], "/dev/pts");
    Ok(())
}

fn a_mount_on_the_root_itself(c: &Context) -> Result<()> {
    // Nothing sensible can come of it: refused or done, never on the host.
    let volume = c.folder("v")?;
    for destination in ["/", "/.", "/../.."] {
        let output = c.run(&Config::plain().bind(&volume, destination, &["bind"]))?;
        ensure!(output.status <= 127, "{output:?}");
    }
    Ok(())
}

fn relative_destination(c: &Context) -> Result<()> {
    // The specification wants it absolute; older engines were not so strict,
    // and runc takes it as if it began with a slash.
    let output =
        c.run(&Config::plain().mount("mnt", "tmpfs", "tmpfs", &[]).script("grep -c ' /mnt ' /proc/self/mountinfo"))?;
    ensure!(
        output.status == 1 && output.stderr.contains("mounts[5].destination") || output.stdout == "1\n",
        "{output:?}"
    );
    Ok(())
}

fn proc_cannot_be_a_volume_of_the_host(c: &Context) -> Result<()> {
    // A bind of a folder with a faked /proc/self/attr would catch our writes
    // (runc CVE-2019-16884).
    let fake = c.folder("fake")?;
    fs::create_dir_all(fake.join("self/attr"))?;
    fs::write(fake.join("self/attr/exec"), "")?;
    let config = Config::plain().remove("/mounts/0").bind(&fake, "/proc", &["bind"]).script("echo ran");
    let output = c.run(&config)?.error(1, &["/proc"])?;
    same!(output.stdout, "", "what the process printed");
    ensure!(fs::metadata(fake.join("self/attr/exec"))?.size() == 0, "something was written into the fake /proc");
    Ok(())
}
