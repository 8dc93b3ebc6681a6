//! Namespaces: each type new, absent and by path; names, clocks, id maps and
//! the sysctls that belong to them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("namespaces":
    each_type_is_new_where_asked_for proves ["linux.namespaces[].type"],
    each_type_is_the_hosts_where_absent,
    each_type_by_path proves ["linux.namespaces[].path", "linux.namespaces[].type"],
    mount_namespace_by_path proves ["linux.namespaces[].path"],
    pid_namespace_by_path_is_not_led,
    user_namespace_maps_ids proves [
        "linux.gidMappings[].containerID", "linux.gidMappings[].hostID", "linux.gidMappings[].size",
        "linux.uidMappings[].containerID", "linux.uidMappings[].hostID", "linux.uidMappings[].size",
    ],
    user_namespace_with_several_ranges proves [
        "linux.gidMappings[].containerID", "linux.gidMappings[].hostID", "linux.gidMappings[].size",
        "linux.uidMappings[].containerID", "linux.uidMappings[].hostID", "linux.uidMappings[].size",
    ],
    user_namespace_without_proc,
    user_namespace_by_path proves ["linux.namespaces[].path"],
    time_namespace_with_offsets [Need::Path("/proc/self/timens_offsets")] proves [
        "linux.timeOffsets.boottime.nanosecs", "linux.timeOffsets.boottime.secs",
        "linux.timeOffsets.monotonic.nanosecs", "linux.timeOffsets.monotonic.secs",
    ],
    time_namespace_by_path [Need::Path("/proc/self/timens_offsets")] proves ["linux.namespaces[].path"],
    hostname_and_domainname proves ["domainname", "hostname"],
    names_need_a_namespace,
    loopback_is_up,
    sysctls_are_set proves ["linux.sysctl.*"],
    sysctls_with_slashes_or_dots,
    sysctls_of_the_host_are_refused,
    wrong_paths_are_refused,
    a_type_given_twice_is_refused,
    cgroup_namespace_hides_the_path,
    cgroup_belongs_to_the_containers_user,
    cgroup_path_absolute_relative_absent proves ["linux.cgroupsPath"],
);

/// Type in config.json, name under /proc/PID/ns.
const TYPES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
    ("time", "time"),
];

fn host_link(pid: &str, name: &str) -> Result<String> {
    Ok(fs::read_link(format!("/proc/{pid}/ns/{name}"))?.to_string_lossy().into_owned())
}

fn each_type_is_new_where_asked_for(c: &Context) -> Result<()> {
    for (kind, name) in TYPES {
        if !Path::new("/proc/self/ns").join(name).exists() {
            continue;
        }
        let mut config = Config::plain().namespace(kind, None);
        if kind == "user" {
            config = config.user_namespace(100_000, 65_536);
        }
        let seen = c.probe(&config, &["namespaces"])?;
        let link = seen["namespaces"][name].as_str().unwrap_or_default().to_string();
        ensure!(link.starts_with(&format!("{name}:[")), "{kind}: {link:?}");
        ensure!(link != host_link("self", name)?, "the {kind} namespace is the host's");
    }
    Ok(())
}

fn each_type_is_the_hosts_where_absent(c: &Context) -> Result<()> {
    for (kind, name) in TYPES {
        if kind == "mount" || !Path::new("/proc/self/ns").join(name).exists() {
            continue; // without a mount namespace there is no root file system
        }
        let mut config = Config::plain().without_namespace(kind);
        if kind == "uts" {
            config = config.remove("/hostname");
        }
        let seen = c.probe(&config, &["namespaces"])?;
        same!(seen["namespaces"][name], json!(host_link("self", name)?), "the {kind} namespace");
    }
    Ok(())
}

fn each_type_by_path(c: &Context) -> Result<()> {
    let other = c.detached(&Config::plain().set("/hostname", json!("other")).args(&["sleep", "1000"]))?;
    let pid = c.pid(&other)?.to_string();
    for (kind, name) in TYPES {
        if matches!(kind, "mount" | "user" | "time") {
            continue; // have their own cases
        }
        let path = format!("/proc/{pid}/ns/{name}");
        let mut config = Config::plain().namespace(kind, Some(&path));
        if kind == "uts" {
            config = config.remove("/hostname");
        }
        let seen = c.probe(&config, &["namespaces", "names"])?;
        same!(seen["namespaces"][name], json!(host_link(&pid, name)?), "the {kind} namespace");
        if kind == "uts" {
            same!(seen["names"]["/proc/sys/kernel/hostname"], "other", "the hostname");
        }
    }
    c.delete(&other)
}

fn mount_namespace_by_path(c: &Context) -> Result<()> {
    let holder = c.start_command({
        let mut command = std::process::Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sleep", "1000"]);
        c.surroundings(&mut command);
        command
    })?;
    let pid = holder.pid().to_string();
    c.until("the holder", || Ok(host_link(&pid, "mnt")? != host_link("self", "mnt")?))?;
    let link = host_link(&pid, "mnt")?;
    let config = Config::plain().namespace("mount", Some(&format!("/proc/{pid}/ns/mnt")));
    let seen = c.probe(&config, &["namespaces", "root"])?;
    same!(seen["namespaces"]["mnt"], json!(link), "the mount namespace");
    ensure!(seen["root"].to_string().contains("probe"), "the container's root: {}", seen["root"]);
    Ok(())
}

fn pid_namespace_by_path_is_not_led(c: &Context) -> Result<()> {
    let other = c.sleeper()?;
    let path = format!("/proc/{}/ns/pid", c.pid(&other)?);
    let config = Config::plain().namespace("pid", Some(&path)).args(&["sleep", "1001"]);
    let id = c.detached(&config)?;
    let seen: serde_json::Value = c.exec(&id, &["/probe", "processes", "session"])?.ok()?.json()?;
    let list = seen["processes"].to_string();
    ensure!(list.contains("1 sleep") && list.matches("sleep").count() == 2, "processes: {list}");
    c.call(&["kill", &id, "KILL"])?.ok()?;
    c.await_status(&id, "stopped")?;
    same!(c.state(&other)?["status"], "running", "the container whose namespace it joined");
    c.delete(&id)?;
    c.delete(&other)
}

fn user_namespace_maps_ids(c: &Context) -> Result<()> {
    let config = Config::plain().user_namespace(100_000, 65_536);
    let seen = c.probe(&config, &["process", "status"])?;
    let map: Vec<_> = seen["process"]["/proc/self/uid_map"].as_str().unwrap_or_default().split_whitespace().collect();
    same!(map, ["0", "100000", "65536"], "uid_map");
    let map: Vec<_> = seen["process"]["/proc/self/gid_map"].as_str().unwrap_or_default().split_whitespace().collect();
    same!(map, ["0", "100000", "65536"], "gid_map");
    same!(seen["status"]["Uid"], "0 0 0 0", "Uid");
    // What its root makes belongs to the mapped id outside.
    let folder = c.folder("shared")?;
    std::os::unix::fs::chown(&folder, Some(100_000), Some(100_000))?;
    c.run(&config.bind(&folder, "/mnt", &["bind"]).script("touch /mnt/file && chown 7:8 /mnt/file || exit 9"))?;
    let meta = fs::metadata(folder.join("file"))?;
    ensure!(
        [(100_000, 100_000), (100_007, 100_008)].contains(&(meta.uid(), meta.gid())),
        "{}:{}",
        meta.uid(),
        meta.gid()
    );
    Ok(())
}

/// Nothing that a container need not have may be needed to start it.
fn user_namespace_without_proc(c: &Context) -> Result<()> {
    let config = Config::plain().user_namespace(200_000, 65_536).remove("/mounts/0"); // proc
    c.run(&config.args(&["id", "-u"]))?.ok()?;
    Ok(())
}

fn user_namespace_with_several_ranges(c: &Context) -> Result<()> {
    let maps = json!([
        {"containerID": 0, "hostID": 200_000, "size": 10},
        {"containerID": 10, "hostID": 300_000, "size": 1},
        {"containerID": 1000, "hostID": 1000, "size": 1},
    ]);
    let config = Config::plain().namespace("user", None).set("/linux/uidMappings", maps.clone());
    let config = config.set("/linux/gidMappings", maps).set("/process/user", json!({"uid": 1000, "gid": 10}));
    let seen = c.probe(&config, &["process", "status"])?;
    let map = seen["process"]["/proc/self/uid_map"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    same!(map, ["0", "200000", "10", "10", "300000", "1", "1000", "1000", "1"], "uid_map");
    same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
    same!(seen["status"]["Gid"], "10 10 10 10", "Gid");
    Ok(())
}

fn user_namespace_by_path(c: &Context) -> Result<()> {
    let other = c.detached(&Config::plain().user_namespace(100_000, 65_536).args(&["sleep", "1000"]))?;
    let pid = c.pid(&other)?.to_string();
    let config = Config::plain().namespace("user", Some(&format!("/proc/{pid}/ns/user")));
    let seen = c.probe(&config, &["namespaces", "process"])?;
    same!(seen["namespaces"]["user"], json!(host_link(&pid, "user")?), "the user namespace");
    ensure!(seen["namespaces"]["pid"] != json!(host_link(&pid, "pid")?), "the pid namespace is new");
    holds!(seen["process"]["/proc/self/uid_map"].to_string(), "100000", "uid_map");
    // With its network namespace, which belongs to it.
    let config = config.namespace("network", Some(&format!("/proc/{pid}/ns/net")));
    let seen = c.probe(&config, &["namespaces"])?;
    same!(seen["namespaces"]["net"], json!(host_link(&pid, "net")?), "the network namespace");
    c.delete(&other)
}

fn time_namespace_with_offsets(c: &Context) -> Result<()> {
    let config = Config::plain().namespace("time", None).set(
        "/linux/timeOffsets",
        json!({"monotonic": {"secs": 86_400, "nanosecs": 5}, "boottime": {"secs": 172_800, "nanosecs": 7}}),
    );
    let seen = c.probe(&config, &["process", "namespaces"])?;
    let words: Vec<_> =
        seen["process"]["/proc/self/timens_offsets"].as_str().unwrap_or_default().split_whitespace().collect();
    same!(words, ["monotonic", "86400", "5", "boottime", "172800", "7"], "timens_offsets");
    same!(
        seen["namespaces"]["time"],
        seen["namespaces"]["time_for_children"],
        "the process is in the namespace itself"
    );
    let uptime = c.run(&config.args(&["cat", "/proc/uptime"]))?.ok()?.stdout;
    let seconds: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
    ensure!(seconds > 172_800.0, "uptime {uptime}");
    Ok(())
}

fn time_namespace_by_path(c: &Context) -> Result<()> {
    let config = Config::plain().namespace("time", None);
    let config = config.set("/linux/timeOffsets", json!({"boottime": {"secs": 172_800, "nanosecs": 0}}));
    let other = c.detached(&config.args(&["sleep", "1000"]))?;
    let path = format!("/proc/{}/ns/time", c.pid(&other)?);
    let joined = Config::plain().namespace("time", Some(&path));
    let seen = c.probe(&joined, &["namespaces"])?;
    same!(seen["namespaces"]["time"], json!(host_link(&c.pid(&other)?.to_string(), "time")?), "the time namespace");
    c.delete(&other)
}

fn hostname_and_domainname(c: &Context) -> Result<()> {
    let config = Config::plain().set("/hostname", json!("name-1")).set("/domainname", json!("example.org"));
    let seen = c.probe(&config, &["names"])?;
    same!(seen["names"]["/proc/sys/kernel/hostname"], "name-1", "hostname");
    same!(seen["names"]["/proc/sys/kernel/domainname"], "example.org", "domainname");
    // The kernel's limit is 64 bytes.
    let config = Config::plain().set("/hostname", json!("x".repeat(64)));
    same!(c.probe(&config, &["names"])?["names"]["/proc/sys/kernel/hostname"], json!("x".repeat(64)), "64 bytes");
    c.run(&Config::plain().set("/hostname", json!("x".repeat(65))))?.error(1, &["hostname"])?;
    Ok(())
}

fn names_need_a_namespace(c: &Context) -> Result<()> {
    let before = fs::read_to_string("/proc/sys/kernel/hostname")?;
    c.run(&Config::plain().without_namespace("uts"))?.error(1, &["hostname"])?;
    let config = Config::plain().without_namespace("uts").remove("/hostname").set("/domainname", json!("x.org"));
    c.run(&config)?.error(1, &["domainname"])?;
    same!(fs::read_to_string("/proc/sys/kernel/hostname")?, before, "the host's name");
    Ok(())
}

fn loopback_is_up(c: &Context) -> Result<()> {
    let output = c.run(&Config::plain().script("cat /sys/class/net/lo/flags; ls /sys/class/net"))?.ok()?;
    let flags = u32::from_str_radix(output.lines()[0].trim_start_matches("0x"), 16)?;
    ensure!(flags & 1 == 1, "the loopback device's flags {flags:#x} hold IFF_UP");
    Ok(())
}

fn sysctls_are_set(c: &Context) -> Result<()> {
    let config = Config::plain().set(
        "/linux/sysctl",
        json!({
            "net.ipv4.ip_forward": "1",
            "net.ipv4.ping_group_range": "0 2147483647",
            "net.ipv4.ip_unprivileged_port_start": "80",
            "kernel.msgmax": "65536",
            "kernel.shmmax": "68719476736",
            "fs.mqueue.msg_max": "20",
        }),
    );
    let seen = c.probe(&config, &["sysctl"])?;
    for (name, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/ping_group_range", "0\t2147483647"),
        ("net/ipv4/ip_unprivileged_port_start", "80"),
        ("kernel/msgmax", "65536"),
        ("kernel/shmmax", "68719476736"),
        ("fs/mqueue/msg_max", "20"),
    ] {
        same!(seen["sysctl"][&format!("/proc/sys/{name}")], value, "{name}");
    }
    // They are set although /proc/sys is read-only in the end.
    let config = config.set("/linux/readonlyPaths", json!(["/proc/sys"])).set("/root/readonly", json!(true));
    same!(c.probe(&config, &["sysctl"])?["sysctl"]["/proc/sys/net/ipv4/ip_forward"], "1", "with a read-only /proc/sys");
    Ok(())
}

fn sysctls_with_slashes_or_dots(c: &Context) -> Result<()> {
    // sysctl(8): a name may be written with slashes, which then keep the dots.
    let config = Config::plain().set("/linux/sysctl", json!({"net/ipv4/conf/lo/forwarding": "1"}));
    let config = config.args(&["cat", "/proc/sys/net/ipv4/conf/lo/forwarding"]);
    same!(c.run(&config)?.ok()?.stdout, "1\n", "lo's forwarding");
    Ok(())
}

fn sysctls_of_the_host_are_refused(c: &Context) -> Result<()> {
    let core = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    for name in [
        "kernel.core_pattern",
        "kernel.modprobe",
        "vm.overcommit_memory",
        "fs.file-max",
        "kernel.panic",
        "kernel.../../x",
        "net.ipv4.../../../kernel/core_pattern",
        "net/../kernel/core_pattern",
        "kernel/core_pattern",
        "net",
        "",
        ".",
        "kernel.msgmax/../core_pattern",
    ] {
        let config = Config::plain().set("/linux/sysctl", json!({name: "|/bin/false"}));
        c.run(&config)?.error(1, &["sysctl"]).map_err(|error| error.context(format!("sysctl {name:?}")))?;
    }
    same!(fs::read_to_string("/proc/sys/kernel/core_pattern")?, core, "the host's core_pattern");
    // Namespaced ones, where the namespace is the host's: absent, or by path.
    for (namespace, file, name) in [
        ("network", "net", "net.ipv4.ip_forward"),
        ("ipc", "ipc", "kernel.msgmax"),
        ("ipc", "ipc", "fs.mqueue.msg_max"),
    ] {
        // The value that is there, lest a failure change the host.
        let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")))?;
        let sysctl = json!({name: value.trim()});
        let config = Config::plain().without_namespace(namespace).set("/linux/sysctl", sysctl.clone());
        c.run(&config)?.error(1, &[name]).context("without a namespace")?;
        let path = format!("/proc/{}/ns/{file}", std::process::id());
        let config = Config::plain().namespace(namespace, Some(&path)).set("/linux/sysctl", sysctl);
        c.run(&config)?.error(1, &["namespace", "sysctl"]).context("with the host's namespace by its path")?;
    }
    // A value that the kernel does not take.
    let config = Config::plain().set("/linux/sysctl", json!({"net.ipv4.ip_forward": "many"}));
    c.run(&config)?.error(1, &["net.ipv4.ip_forward"])?;
    let config = Config::plain().set("/linux/sysctl", json!({"net.ipv4.no_such_thing": "1"}));
    c.run(&config)?.error(1, &["net.ipv4.no_such_thing"])?;
    Ok(())
}

fn wrong_paths_are_refused(c: &Context) -> Result<()> {
    let file = c.dir.join("file");
    fs::write(&file, "")?;
    for (kind, path, part) in [
        ("network", "/nowhere/net", "/nowhere/net"),
        ("network", &*file.to_string_lossy(), "namespaces"),
        ("network", "/proc/self/ns/uts", "namespaces"),
        ("pid", "/proc/self/ns/net", "namespaces"),
        ("ipc", "/dev/null", "namespaces"),
        ("uts", "relative/path", "namespaces"),
        ("mount", "/proc/self/ns/mnt", "the host's own namespace"),
    ] {
        let config = Config::plain().namespace(kind, Some(path)).remove("/hostname");
        c.run(&config)?.error(1, &[part]).map_err(|error| error.context(format!("{kind} at {path}")))?;
    }
    Ok(())
}

fn a_type_given_twice_is_refused(c: &Context) -> Result<()> {
    let config = Config::plain().push("/linux/namespaces", json!({"type": "pid"}));
    c.run(&config)?.error(1, &["namespaces"])?;
    c.run(&Config::plain().push("/linux/namespaces", json!({"type": "galaxy"})))?.error(1, &["galaxy"])?;
    Ok(())
}

fn cgroup_namespace_hides_the_path(c: &Context) -> Result<()> {
    let path = format!("/{}/inner", c.tag);
    let config = Config::plain().set("/linux/cgroupsPath", json!(path));
    let line = |seen: serde_json::Value| -> String {
        let text = seen["process"]["/proc/self/cgroup"].as_str().unwrap_or_default().to_string();
        text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_string()
    };
    same!(line(c.probe(&config, &["process"])?), "/", "the cgroup seen from its namespace");
    let config = config.without_namespace("cgroup");
    same!(line(c.probe(&config, &["process"])?), path, "the cgroup seen without a namespace");
    let _ = fs::remove_dir(crate::kernel::cgroup_root().join(&c.tag));
    Ok(())
}

fn cgroup_belongs_to_the_containers_user(c: &Context) -> Result<()> {
    let with = |options: &[&str]| {
        let config =
            Config::plain().user_namespace(100_000, 65_536).mount("/sys/fs/cgroup/", "cgroup", "cgroup", options);
        config.set("/process/user", json!({"uid": 5, "gid": 6})).args(&["sleep", "1000"])
    };
    let writable = with(&["nosuid", "noexec", "nodev", "rw"]);
    for (config, expected) in [
        (writable.clone(), 100_005),
        (with(&["nosuid", "ro"]), 0),
        (writable.clone().without_namespace("cgroup"), 0),
        (writable.clone().set("/mounts/5/destination", json!("/mnt")), 0),
    ] {
        let id = c.detached(&config)?;
        let folder = super::resources::folder(c, &id)?;
        let owner = |name: &str| -> Result<(u32, u32)> {
            let status = fs::metadata(folder.join(name))?;
            Ok((status.uid(), status.gid()))
        };
        for name in [".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            same!(owner(name)?, (expected, 0), "the owner of {name}");
        }
        for name in ["cgroup.freeze", "cgroup.max.depth", "cgroup.kill"] {
            if folder.join(name).exists() {
                same!(owner(name)?, (0, 0), "the owner of {name}");
            }
        }
        if expected != 0 {
            let script = "cd /sys/fs/cgroup && mkdir -p a/b && echo $$ > a/b/cgroup.procs && cat /proc/self/cgroup";
            holds!(c.exec(&id, &["sh", "-c", script])?.ok()?.stdout, "0::/a/b\n", "a cgroup of its own making");
        }
        c.delete(&id)?;
        ensure!(!folder.exists(), "the cgroup is left");
    }
    Ok(())
}

fn cgroup_path_absolute_relative_absent(c: &Context) -> Result<()> {
    for path in [Some(format!("/{}-abs/a/b", c.tag)), Some(format!("{}-rel/a", c.tag)), None] {
        let mut config = Config::plain().args(&["sleep", "1000"]);
        if let Some(path) = &path {
            config = config.set("/linux/cgroupsPath", json!(path));
        }
        let id = c.detached(&config)?;
        let text = fs::read_to_string(format!("/proc/{}/cgroup", c.pid(&id)?))?;
        let found = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_string();
        let part = path.clone().unwrap_or_else(|| id.clone());
        holds!(found, part.trim_start_matches('/'), "the cgroup");
        ensure!(found != "/", "the container is in the root cgroup");
        let folder = crate::kernel::cgroup_root().join(found.trim_start_matches('/'));
        c.delete(&id)?;
        ensure!(!folder.exists(), "{} is still there", folder.display());
        // The parents were made as well, but may be another container's too.
        for parent in folder.ancestors().skip(1) {
            if !parent.to_string_lossy().contains(&c.tag) || fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }
    for path in ["../up", "/../up", "a/../../b"] {
        let config = Config::plain().set("/linux/cgroupsPath", json!(format!("{path}-{}", c.tag)));
        let output = c.run(&config)?;
        ensure!(output.status <= 1, "{output:?}");
    }
    Ok(())
}
