//! Devices, the rules about them, masked and read-only paths.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::kernel;
use crate::ordinary::Ordinary;

cases!("devices":
    default_devices_and_links,
    default_devices_work,
    configured_devices proves [
        "linux.devices[].fileMode", "linux.devices[].gid", "linux.devices[].major", "linux.devices[].minor",
        "linux.devices[].path", "linux.devices[].type", "linux.devices[].uid",
    ],
    configured_device_over_a_default,
    configured_device_outside_dev proves ["linux.devices[].path"],
    devices_in_a_user_namespace_are_bound,
    the_hosts_multiplexer_is_not_made,
    without_a_dev_mount,
    everything_else_is_denied,
    a_rule_allows proves [
        "linux.resources.devices[].access", "linux.resources.devices[].allow", "linux.resources.devices[].major",
        "linux.resources.devices[].minor", "linux.resources.devices[].type",
    ],
    the_last_rule_wins proves ["linux.resources.devices[].allow"],
    rules_that_make_no_sense,
    a_multiplexer_that_is_there_stays,
    masked_files_and_folders proves ["linux.maskedPaths[]"],
    masked_paths_of_the_root_itself proves ["linux.maskedPaths[]"],
    read_only_paths proves ["linux.readonlyPaths[]"],
    guarded_paths_that_are_missing,
    of_the_host_in_the_engines_user_namespace [Need::Program("setpriv"), Need::Program("newuidmap")],
);

const DEFAULTS: [(&str, &str); 6] =
    [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];

/// Privileged engines list all that the host has.
fn the_hosts_multiplexer_is_not_made(c: &Context) -> Result<()> {
    let device =
        |name: &str, minor: u32| json!({"path": format!("/dev/{name}"), "type": "c", "major": 1, "minor": minor});
    let ptmx = json!({"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2, "fileMode": 0o666});
    let config = Config::plain().set("/linux/devices", json!([device("zero", 5), ptmx, device("full", 7)]));
    for config in [config.clone(), config.user_namespace(100_000, 65_536)] {
        let devices = &c.probe(&config, &["devices"])?["devices"];
        same!(devices["/dev/ptmx"], "link to pts/ptmx", "/dev/ptmx");
        for (name, number) in [("zero", "1:5"), ("full", "1:7"), ("null", "1:3")] {
            holds!(devices[&format!("/dev/{name}")].to_string(), format!("char {number} "), "/dev/{name}");
        }
    }
    Ok(())
}

fn default_devices_and_links(c: &Context) -> Result<()> {
    let seen = c.probe(&Config::plain(), &["devices"])?;
    let devices = &seen["devices"];
    for (name, number) in DEFAULTS {
        same!(devices[&format!("/dev/{name}")], json!(format!("char {number} mode 666 owner 0:0")), "/dev/{name}");
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        same!(devices[&format!("/dev/{name}")], json!(format!("link to {target}")), "/dev/{name}");
    }
    ensure!(devices["/dev/console"].is_null(), "/dev/console without a terminal: {}", devices["/dev/console"]);
    let mut names: Vec<&str> = devices.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| name.matches('/').count() == 2);
    names.sort_unstable();
    let mut expected: Vec<String> = DEFAULTS.iter().map(|(name, _)| format!("/dev/{name}")).collect();
    for name in ["fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm"] {
        expected.push(format!("/dev/{name}"));
    }
    // runc makes this link where the host has /proc/kcore.
    if names.contains(&"/dev/core") {
        expected.push("/dev/core".into());
    }
    expected.sort_unstable();
    same!(names, expected, "names in /dev");
    Ok(())
}

fn default_devices_work(c: &Context) -> Result<()> {
    let script = "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c
        head -c 5 /dev/random | wc -c; echo x > /dev/full; echo $?; : < /dev/tty; echo end";
    let output = c.run(&Config::plain().script(script))?;
    same!(output.lines()[..4], ["3", "4", "5", "1"], "reading and writing");
    holds!(output.stderr, "No space left", "writing to /dev/full");
    // Nobody's terminal: ENXIO, and not EPERM from the device rules.
    holds!(output.stderr, "No such device or address", "opening /dev/tty");
    Ok(())
}

fn configured_devices(c: &Context) -> Result<()> {
    let list = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 5, "gid": 6},
        {"path": "/dev/deep/er/disk", "type": "b", "major": 7, "minor": 0, "fileMode": 0o640},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
        {"path": "/dev/big", "type": "c", "major": 4000, "minor": 1_000_000, "fileMode": 0o666},
    ]);
    let config = Config::plain().set("/linux/devices", list);
    let config = config.set("/process/user/umask", json!(0o77));
    let seen = c.probe(&config, &["devices"])?;
    for (name, what) in [
        ("fuse", "char 10:229 mode 600 owner 5:6"),
        ("deep/er/disk", "block 7:0 mode 640 owner 0:0"),
        ("pipe", "fifo mode 622 owner 0:0"),
        ("big", "char 4000:1000000 mode 666 owner 0:0"),
    ] {
        same!(seen["devices"][&format!("/dev/{name}")], what, "/dev/{name}");
    }
    holds!(seen["devices"]["/dev/unbuffered"].to_string(), "char 1:3 mode", "/dev/unbuffered");
    Ok(())
}

fn configured_device_over_a_default(c: &Context) -> Result<()> {
    let device = json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600}]);
    let output = c.run(&Config::plain().set("/linux/devices", device).args(&["/probe", "devices"]))?;
    if output.status == 0 {
        same!(output.json()?["devices"]["/dev/null"], "char 1:5 mode 600 owner 0:0", "/dev/null");
    } else {
        output.error(1, &["linux.devices"])?;
    }
    Ok(())
}

fn configured_device_outside_dev(c: &Context) -> Result<()> {
    let config = Config::plain().mount("/mnt", "tmpfs", "tmpfs", &[]);
    let device = json!([{"path": "/mnt/new/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]);
    let config = config.set("/linux/devices", device).script("echo x > /mnt/new/null && stat -c '%t:%T' /mnt/new/null");
    same!(c.run(&config)?.ok()?.stdout, "1:3\n", "the device");
    for bad in [
        json!([{"path": "relative", "type": "c", "major": 1, "minor": 3}]),
        json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]),
        json!([{"path": "/dev/x", "type": "c"}]),
        json!([{"type": "c", "major": 1, "minor": 3}]),
        json!([{"path": "/dev/x", "type": "c", "major": -5, "minor": 3}]),
        json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 4_294_967_296u64}]),
    ] {
        c.run(&Config::plain().set("/linux/devices", bad))?.error(1, &["linux.devices[0]"])?;
    }
    Ok(())
}

fn devices_in_a_user_namespace_are_bound(c: &Context) -> Result<()> {
    let config = Config::plain().user_namespace(100_000, 65_536);
    let output =
        c.run(&config.clone().script("echo x > /dev/null && head -c 3 /dev/zero | wc -c; mknod /dev/new c 1 3"))?;
    same!(output.lines(), ["3"], "reading and writing");
    holds!(output.stderr, "not permitted", "mknod in a user namespace");
    let seen = c.probe(&config, &["devices"])?;
    for (name, number) in DEFAULTS {
        let found = seen["devices"][&format!("/dev/{name}")].to_string();
        holds!(found, format!("char {number} mode 666"), "/dev/{name}");
    }
    Ok(())
}

fn without_a_dev_mount(c: &Context) -> Result<()> {
    // The devices are made in the root file system itself, and stay there.
    let mut config = Config::plain();
    config.0["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    c.run(&config.clone().script("echo x > /dev/null; ls /dev"))?.ok()?;
    let meta = fs::metadata(c.rootfs().join("dev/null"))?;
    ensure!(meta.file_type().is_char_device() && meta.rdev() == 0x103, "/dev/null in the root file system");
    // And a second time, over what is there.
    c.run(&config.script("echo x > /dev/null"))?.ok()?;
    Ok(())
}

/// What came of opening some of the host's devices, whose nodes are in the
/// root file system already.
fn opening(c: &Context, config: Config) -> Result<Vec<String>> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    for (name, kind, major, minor) in [
        ("kmsg", FileType::CharacterDevice, 1, 11),
        ("mem", FileType::CharacterDevice, 1, 1),
        ("port", FileType::CharacterDevice, 1, 4),
        ("disk", FileType::BlockDevice, 254, 0),
        ("loop", FileType::BlockDevice, 7, 0),
    ] {
        let path = c.rootfs().join("srv").join(name);
        if !path.exists() {
            mknodat(CWD, &path, kind, Mode::from_raw_mode(0o666), makedev(major, minor))?;
        }
    }
    // `true` and not `:`, whose failed redirection would end the shell.
    let script = "for d in kmsg mem port disk loop; do true < /srv/$d && echo opened $d; done; true";
    let output = c.run(&config.capabilities(&["CAP_SYS_RAWIO", "CAP_SYSLOG"]).script(script))?.ok()?;
    Ok(output.stderr.lines().chain(output.stdout.lines()).map(String::from).collect())
}

fn everything_else_is_denied(c: &Context) -> Result<()> {
    // Without a rule, with an explicit one, without `resources`: always denied
    // by default (runc GHSA-g54h-m393-cpwq).
    let deny = json!([{"allow": false, "access": "rwm"}]);
    for config in [
        Config::plain(),
        Config::plain().set("/linux/resources", json!({})),
        Config::plain().set("/linux/resources/devices", json!([])),
        Config::plain().set("/linux/resources/devices", deny),
    ] {
        for line in opening(c, config)? {
            ensure!(line.contains("not permitted"), "opening a device: {line}");
        }
    }
    // Making a node is no harm, and allowed as with runc; opening it is not.
    let script = "mknod /tmp/kmsg c 1 11 && true < /tmp/kmsg";
    let output = c.run(&Config::plain().capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]).script(script))?.status(1)?;
    holds!(output.stderr, "not permitted", "opening a new node");
    Ok(())
}

fn a_rule_allows(c: &Context) -> Result<()> {
    let rule = |value: Value| {
        Config::plain().set("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}, value]))
    };
    let open = |config: Config, mode: &str| -> Result<bool> {
        let script = match mode {
            "m" => "mknod /tmp/n c 1 11",
            "r" => "mknod /tmp/n c 1 11 && true < /tmp/n",
            _ => "mknod /tmp/n c 1 11 && true > /tmp/n",
        };
        let output = c.run(&config.capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]).script(script))?;
        let _ = fs::remove_file(c.rootfs().join("tmp/n"));
        Ok(output.status == 0)
    };
    let given = |access: &str| json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": access});
    for (access, read, write) in [("rwm", true, true), ("rm", true, false), ("wm", false, true), ("m", false, false)] {
        same!(open(rule(given(access)), "r")?, read, "reading with {access}");
        same!(open(rule(given(access)), "w")?, write, "writing with {access}");
    }
    same!(open(rule(given("rw")), "m")?, true, "mknod of any device is allowed, as with runc");
    for wide in [
        json!({"allow": true, "type": "c", "major": 1, "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": 1, "minor": -1, "access": "rwm"}),
        json!({"allow": true, "type": "c", "access": "rwm"}),
        json!({"allow": true, "type": "a", "access": "rwm"}),
        json!({"allow": true, "access": "rwm"}),
    ] {
        same!(open(rule(wide.clone()), "r")?, true, "reading with {wide}");
    }
    for other in [
        json!({"allow": true, "type": "b", "major": 1, "minor": 11, "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": 2, "minor": 11, "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": 1, "minor": 12, "access": "rwm"}),
        json!({"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm"}),
    ] {
        same!(open(rule(other.clone()), "r")?, false, "reading with {other}");
    }
    Ok(())
}

fn the_last_rule_wins(c: &Context) -> Result<()> {
    let rules = json!([
        {"allow": true, "access": "rwm"},
        {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
    ]);
    let found = opening(c, Config::plain().set("/linux/resources/devices", rules))?;
    ensure!(found.iter().any(|line| line.contains("kmsg") && line.contains("not permitted")), "{found:?}");
    let rules = json!([
        {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm"},
        {"allow": true, "access": "rwm"},
    ]);
    let found = opening(c, Config::plain().set("/linux/resources/devices", rules))?;
    ensure!(found.iter().any(|line| line == "opened kmsg"), "{found:?}");
    Ok(())
}

fn rules_that_make_no_sense(c: &Context) -> Result<()> {
    for bad in [
        json!([{"allow": true, "type": "x", "access": "rwm"}]),
        json!([{"allow": true, "type": "c", "access": "rwz"}]),
        json!([{"allow": "yes"}]),
        json!([{"allow": true, "type": "c", "major": "1"}]),
        json!({"allow": true}),
    ] {
        c.run(&Config::plain().set("/linux/resources/devices", bad))?.error(1, &["linux.resources.devices"])?;
    }
    Ok(())
}

fn a_multiplexer_that_is_there_stays(c: &Context) -> Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let ptmx = c.rootfs().join("dev/ptmx");
    mknodat(CWD, &ptmx, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(5, 2))?;
    // As with devtmpfs, which no test may change: /dev is there as it is.
    let config = Config::plain().remove("/mounts/1").script("ls /dev/pts; exec 3<>/dev/ptmx && ls /dev/pts");
    same!(c.run(&config)?.ok()?.stdout, "ptmx\n0\nptmx\n", "what is in /dev/pts");
    same!(fs::symlink_metadata(&ptmx)?.rdev(), makedev(5, 2), "the device at /dev/ptmx");
    // Whatever else is there does not.
    fs::remove_file(&ptmx)?;
    fs::write(&ptmx, "")?;
    c.run(&config)?.ok()?;
    let link = fs::read_link(&ptmx)?;
    same!(link.to_str(), Some("pts/ptmx"), "the link");
    Ok(())
}

fn masked_files_and_folders(c: &Context) -> Result<()> {
    let paths =
        json!(["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/interrupts", "/proc/nope"]);
    let seen = c.probe(&Config::plain().set("/linux/maskedPaths", paths), &["masked", "mounts"])?;
    let masked = &seen["masked"];
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        if masked[path] != "error ENOENT" {
            same!(masked[path], "char 1:3 mode 666 owner 0:0, empty", "{path}");
        }
    }
    if masked["/sys/firmware"] != "error ENOENT" {
        let found = masked["/sys/firmware"].to_string();
        ensure!(found.contains("folder") && found.contains("empty") && !found.contains("not empty"), "{found}");
    }
    // A masked folder cannot be filled either.
    let config = Config::plain().set("/linux/maskedPaths", json!(["/home"])).script("touch /home/x; ls /home");
    let output = c.run(&config)?;
    same!(output.stdout, "", "what is in a masked folder");
    holds!(output.stderr, "Read-only", "writing in a masked folder");
    Ok(())
}

fn masked_paths_of_the_root_itself(c: &Context) -> Result<()> {
    fs::write(c.rootfs().join("secret"), "secret")?;
    fs::create_dir(c.rootfs().join("secrets"))?;
    fs::write(c.rootfs().join("secrets/one"), "secret")?;
    symlink("/secret", c.rootfs().join("link"))?;
    let config =
        Config::plain().set("/linux/maskedPaths", json!(["/link", "/secrets"])).script("cat /secret; ls /secrets");
    same!(c.run(&config)?.ok()?.stdout, "", "what can be read");
    same!(fs::read_to_string(c.rootfs().join("secret"))?, "secret", "the file outside");
    for bad in [json!(["relative"]), json!([""]), json!([5]), json!("/proc/kcore"), json!(["/"]), json!(["/tmp/.."])] {
        c.run(&Config::plain().set("/linux/maskedPaths", bad))?.error(1, &["linux.maskedPaths"])?;
    }
    Ok(())
}

fn read_only_paths(c: &Context) -> Result<()> {
    let paths = json!(["/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/fs", "/proc/irq", "/etc", "/home"]);
    let config = Config::plain().set("/linux/readonlyPaths", paths);
    let seen = c.probe(&config, &["readonly", "mounts"])?;
    for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/fs", "/proc/irq"] {
        let found = &seen["readonly"][path];
        ensure!(*found == "EROFS" || *found == "ENOENT", "writing to {path}: {found}");
    }
    let script =
        "touch /etc/x; touch /home/alice/x; echo 1 > /proc/sys/net/ipv4/ip_forward; echo x > /etc/passwd; touch /tmp/x";
    let output = c.run(&config.script(script))?.ok()?;
    same!(output.stderr.matches("Read-only file system").count(), 4, "refusals in {:?}", output.stderr);
    // Of the root only itself.
    let config = Config::plain().set("/linux/readonlyPaths", json!(["/", "/nowhere/.."]));
    let output = c.run(&config.script("touch /x; touch /dev/shm/x"))?.ok()?;
    same!(output.stderr, "touch: /x: Read-only file system\n", "what is refused");
    // The mount's other flags stay as they were.
    let config = Config::plain().mount("/mnt", "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec"]);
    let seen = c.probe(&config.set("/linux/readonlyPaths", json!(["/mnt"])), &["mounts"])?;
    let list = seen["mounts"].as_array().cloned().unwrap_or_default();
    let options =
        list.iter().rev().find(|m| m["point"] == "/mnt").map(|m| m["options"].to_string()).unwrap_or_default();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        holds!(options, option, "options of a read-only path");
    }
    Ok(())
}

fn guarded_paths_that_are_missing(c: &Context) -> Result<()> {
    let config = Config::plain()
        .set("/linux/maskedPaths", json!(["/nowhere", "/etc/passwd/x"]))
        .set("/linux/readonlyPaths", json!(["/nowhere/deep", "/etc/passwd/x"]));
    c.run(&config)?.ok()?;
    ensure!(!c.rootfs().join("nowhere").exists(), "a missing path was made");
    Ok(())
}

/// A rootless engine is root of a user namespace that it has made itself, and its
/// containers have none of their own: as podman.
fn of_the_host_in_the_engines_user_namespace(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let config = Config::plain().remove("/mounts/2/options/5"); // gid=5
    c.write(&config.script("for d in null zero tty; do stat -c '%t:%T %u' /dev/$d; done; echo x >/dev/null"))?;
    let unshare = kernel::find_program("unshare").context("unshare")?;
    let (program, state, id) = (user.home.join("ocinit"), c.state_dir(), c.id());
    let (program, state) = (program.to_string_lossy(), state.to_string_lossy());
    let all = ["-U", "--map-root-user", "--map-auto", &*program, "--root", &*state, "run", &id];
    let output = c.finish(user.any_command(&unshare, &all))?.ok()?;
    same!(output.lines(), ["1:3 65534", "1:5 65534", "5:0 65534"], "the devices");
    Ok(())
}
