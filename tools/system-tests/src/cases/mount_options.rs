//! Options of mounts, read back from the container's own mount table.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_change};
use serde_json::{Value, json};

use super::mounts::{Mounted, at, options};
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("mount_options":
    options_of_a_mount proves ["mounts[].options[]"],
    options_of_a_file_system proves ["mounts[].options[]"],
    the_last_of_contradicting_options_wins proves ["mounts[].options[]"],
    options_that_change_nothing_are_taken,
    unknown_options_are_errors,
    bind_options proves ["mounts[].options[]"],
    bind_keeps_locked_flags_in_a_user_namespace,
    recursive_options proves ["mounts[].options[]"],
    propagation_of_a_mount proves ["mounts[].options[]"],
    propagation_of_the_root proves ["linux.rootfsPropagation"],
    no_mount_reaches_the_host,
    host_mounts_reach_a_slave,
    id_mapped_bind [Need::Kernel(5, 15)] proves [
        "mounts[].gidMappings[].containerID", "mounts[].gidMappings[].hostID",
        "mounts[].uidMappings[].containerID", "mounts[].uidMappings[].hostID",
    ],
);

fn options_of_a_mount(c: &Context) -> Result<()> {
    // Options as configured; shown; not shown.
    let table: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &["rw", "relatime"], &["nosuid", "nodev", "noexec"]),
        (&["defaults"], &["rw", "relatime"], &["nosuid"]),
        (&["ro"], &["ro"], &["rw"]),
        (&["nosuid"], &["nosuid"], &[]),
        (&["nodev"], &["nodev"], &[]),
        (&["noexec"], &["noexec"], &[]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["relatime"], &["relatime"], &[]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["nosymfollow"], &["nosymfollow"], &[]),
        (&["nosuid", "nodev", "noexec", "ro"], &["ro", "nosuid", "nodev", "noexec"], &["rw"]),
        (&["noatime", "nodiratime"], &["noatime", "nodiratime"], &["relatime"]),
    ];
    let mut config = Config::plain();
    for (number, (given, _, _)) in table.iter().enumerate() {
        config = config.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", given);
    }
    let seen = c.probe(&config, &["mounts"])?;
    for (number, (given, shown, hidden)) in table.iter().enumerate() {
        let found = options(at(&seen, &format!("/mnt/{number}"))?, "options");
        for option in *shown {
            ensure!(found.iter().any(|o| o == option), "{given:?} gave {found:?}, which lacks {option}");
        }
        for option in *hidden {
            ensure!(!found.iter().any(|o| o == option), "{given:?} gave {found:?}, with {option}");
        }
    }
    Ok(())
}

/// What was given to the mount of each row's number is shown in `field` of it.
fn all_are_shown(seen: &Value, table: &[(&[&str], &[&str])], field: &str) -> Result<()> {
    for (number, (given, shown)) in table.iter().enumerate() {
        let found = options(at(seen, &format!("/mnt/{number}"))?, field);
        for option in *shown {
            ensure!(found.iter().any(|o| o == option), "{given:?} gave {found:?}, which lacks {option}");
        }
    }
    Ok(())
}

fn options_of_a_file_system(c: &Context) -> Result<()> {
    let table: &[(&[&str], &[&str])] = &[
        (&["size=1m"], &["size=1024k"]),
        (&["mode=700"], &["mode=700"]),
        (&["mode=1777", "size=65536k"], &["size=65536k"]),
        (&["nr_inodes=100"], &["nr_inodes=100"]),
        (&["uid=5", "gid=6"], &["uid=5", "gid=6"]),
        (&["sync"], &["sync"]),
        (&["dirsync"], &["dirsync"]),
        (&["lazytime"], &["lazytime"]),
        (&["size=1m,mode=750"], &["size=1024k", "mode=750"]),
    ];
    let mut config = Config::plain();
    for (number, (given, _)) in table.iter().enumerate() {
        config = config.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", given);
    }
    all_are_shown(&c.probe(&config, &["mounts"])?, table, "super")
}

fn the_last_of_contradicting_options_wins(c: &Context) -> Result<()> {
    let table: &[(&[&str], &str)] = &[
        (&["ro", "rw"], "rw"),
        (&["rw", "ro"], "ro"),
        (&["suid", "nosuid"], "nosuid"),
        (&["exec", "noexec"], "noexec"),
        (&["relatime", "noatime"], "noatime"),
        (&["noatime", "relatime"], "relatime"),
        (&["defaults", "ro"], "ro"),
    ];
    let mut config = Config::plain();
    for (number, (given, _)) in table.iter().enumerate() {
        config = config.mount(&format!("/mnt/{number}"), "tmpfs", "tmpfs", given);
    }
    config = config.mount("/mnt/x", "tmpfs", "tmpfs", &["nosuid", "suid", "noexec", "exec", "nodev", "dev"]);
    let seen = c.probe(&config, &["mounts"])?;
    for (number, (given, shown)) in table.iter().enumerate() {
        let found = options(at(&seen, &format!("/mnt/{number}"))?, "options");
        ensure!(found.iter().any(|o| o == shown), "{given:?} gave {found:?}");
    }
    let found = options(at(&seen, "/mnt/x")?, "options");
    ensure!(!found.iter().any(|o| o.starts_with("no")), "options taken back gave {found:?}");
    Ok(())
}

fn options_that_change_nothing_are_taken(c: &Context) -> Result<()> {
    for option in [
        "async",
        "atime",
        "dev",
        "diratime",
        "exec",
        "suid",
        "rw",
        "loud",
        "silent",
        "noiversion",
        "iversion",
        "nolazytime",
        "nomand",
        "mand",
        "norelatime",
        "nostrictatime",
        "symfollow",
        "private",
    ] {
        let config = Config::plain().mount("/mnt", "tmpfs", "tmpfs", &[option]);
        c.run(&config)?.ok().with_context(|| format!("option {option}"))?;
    }
    Ok(())
}

fn unknown_options_are_errors(c: &Context) -> Result<()> {
    // A file system's own business, which it refuses.
    c.run(&Config::plain().mount("/mnt", "tmpfs", "tmpfs", &["bogus"]))?.error(1, &["mounts[5]", "bogus"])?;
    c.run(&Config::plain().mount("/mnt", "tmpfs", "tmpfs", &["size=many"]))?.error(1, &["mounts[5]", "size"])?;
    // A bind mount has no file system to ask (Buildah CVE-2024-9407).
    let volume = c.folder("v")?;
    for bad in
        [vec!["rbind", "rprivate,bogus", "x=y"], vec!["bind", "bogus"], vec!["bind", "x=y"], vec!["bind", "size=1m"]]
    {
        c.run(&Config::plain().bind(&volume, "/mnt", &bad))?.error(1, &["mounts[5].options"])?;
    }
    Ok(())
}

fn bind_options(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    let table: &[(&[&str], &[&str])] = &[
        (&["bind", "ro"], &["ro"]),
        (&["rbind", "nosuid", "nodev", "noexec"], &["nosuid", "nodev", "noexec", "rw"]),
        (&["bind", "noatime"], &["noatime"]),
        (&["bind", "ro", "nosymfollow"], &["ro", "nosymfollow"]),
        (&["rbind", "rprivate", "ro", "nosuid", "noexec", "nodev"], &["ro", "nosuid", "noexec", "nodev"]),
    ];
    let mut config = Config::plain();
    for (number, (given, _)) in table.iter().enumerate() {
        config = config.bind(&volume, &format!("/mnt/{number}"), given);
    }
    all_are_shown(&c.probe(&config, &["mounts"])?, table, "options")
}

fn bind_keeps_locked_flags_in_a_user_namespace(c: &Context) -> Result<()> {
    // A mount that comes from a more privileged namespace keeps its flags
    // whatever is asked for (mount_namespaces(7)): asking for `ro` alone must
    // not be read as taking the others back.
    let source = Mounted::tmpfs(&c.folder("src")?, MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC)?;
    let config = Config::plain().bind(source.0.as_ref(), "/mnt", &["rbind", "ro"]).user_namespace(100_000, 65_536);
    let seen = c.probe(&config, &["mounts"])?;
    let found = options(at(&seen, "/mnt")?, "options");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        ensure!(found.iter().any(|o| o == option), "{found:?} lacks {option}");
    }
    // Without a user namespace, what the configuration takes back is taken back.
    let config = Config::plain().bind(source.0.as_ref(), "/mnt", &["rbind", "exec"]);
    let found = options(at(&c.probe(&config, &["mounts"])?, "/mnt")?, "options");
    ensure!(!found.iter().any(|o| o == "noexec"), "{found:?} has noexec");
    Ok(())
}

fn recursive_options(c: &Context) -> Result<()> {
    let top = Mounted::tmpfs(&c.folder("src")?, MountFlags::empty())?;
    let _below = Mounted::tmpfs(&Path::new(&top.0).join("below"), MountFlags::empty())?;
    for (option, shown) in [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let config = Config::plain().bind(top.0.as_ref(), "/mnt", &["rbind", option]);
        let seen = c.probe(&config, &["mounts"])?;
        for point in ["/mnt", "/mnt/below"] {
            let found = options(at(&seen, point)?, "options");
            ensure!(found.iter().any(|o| o == shown), "{option} gave {found:?} at {point}");
        }
    }
    // Without the r, only the topmost.
    let config = Config::plain().bind(top.0.as_ref(), "/mnt", &["rbind", "ro"]);
    let seen = c.probe(&config, &["mounts"])?;
    ensure!(options(at(&seen, "/mnt")?, "options").contains(&"ro".into()), "ro at the top");
    ensure!(options(at(&seen, "/mnt/below")?, "options").contains(&"rw".into()), "rw below");
    // Taken back, recursively.
    for option in ["rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime", "rrelatime", "rstrictatime", "rsymfollow"] {
        c.run(&Config::plain().bind(top.0.as_ref(), "/mnt", &["rbind", option]))?.ok().context(option)?;
    }
    Ok(())
}

/// The words, and what mountinfo says of such a mount.
const PROPAGATIONS: [(&str, &str); 8] = [
    ("private", ""),
    ("rprivate", ""),
    ("shared", "shared:"),
    ("rshared", "shared:"),
    ("slave", "master:"),
    ("rslave", "master:"),
    ("unbindable", "unbindable"),
    ("runbindable", "unbindable"),
];

fn propagation_of_a_mount(c: &Context) -> Result<()> {
    let source = Mounted::tmpfs(&c.folder("src")?, MountFlags::empty())?;
    for (option, shown) in PROPAGATIONS {
        let config = Config::plain().bind(source.0.as_ref(), "/mnt", &["rbind", option]);
        // The root must not be private: peers would have nothing to come from.
        let config = config.set("/linux/rootfsPropagation", json!("rslave"));
        let seen = c.probe(&config, &["mounts"])?;
        let found = at(&seen, "/mnt")?["propagation"].to_string();
        let right = if shown.is_empty() { found == "[]" } else { found.contains(shown) };
        ensure!(right, "{option} gave {found}");
    }
    Ok(())
}

fn propagation_of_the_root(c: &Context) -> Result<()> {
    for (option, shown) in PROPAGATIONS {
        let config = Config::plain().set("/linux/rootfsPropagation", json!(option));
        let seen = c.probe(&config, &["mounts"])?;
        let found = at(&seen, "/")?["propagation"].to_string();
        let right = if shown.is_empty() { !found.contains("shared") } else { found.contains(shown) };
        ensure!(right, "rootfsPropagation {option} gave {found}");
    }
    c.run(&Config::plain().set("/linux/rootfsPropagation", json!("sideways")))?.error(1, &["rootfsPropagation"])?;
    Ok(())
}

fn no_mount_reaches_the_host(c: &Context) -> Result<()> {
    let before = crate::kernel::mount_table();
    let caps = ["CAP_SYS_ADMIN"];
    for propagation in [None, Some("rprivate"), Some("rslave")] {
        let mut config = Config::plain().capabilities(&caps).script("mount -t tmpfs none /mnt && sleep 1000");
        if let Some(value) = propagation {
            config = config.set("/linux/rootfsPropagation", json!(value));
        }
        let id = c.detached(&config)?;
        let inside = format!("/proc/{}/mountinfo", c.pid(&id)?);
        c.until("the mount inside", || Ok(fs::read_to_string(&inside)?.contains(" /mnt ")))?;
        same!(crate::kernel::mount_table(), before, "the host's mount table, with {propagation:?}");
        c.delete(&id)?;
    }
    Ok(())
}

fn host_mounts_reach_a_slave(c: &Context) -> Result<()> {
    let top = Mounted::tmpfs(&c.folder("src")?, MountFlags::empty())?;
    mount_change(&*top.0, MountPropagationFlags::SHARED)?;
    let config = Config::plain().bind(top.0.as_ref(), "/mnt", &["rbind", "rslave"]).args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let late = Mounted::tmpfs(&Path::new(&top.0).join("late"), MountFlags::empty())?;
    fs::write(Path::new(&late.0).join("f"), "x")?;
    same!(c.exec(&id, &["ls", "/mnt/late"])?.ok()?.stdout, "f\n", "a mount made on the host later");
    c.delete(&id)
}

fn id_mapped_bind(c: &Context) -> Result<()> {
    let volume = c.folder("v")?;
    fs::write(volume.join("f"), "x")?;
    std::os::unix::fs::chown(volume.join("f"), Some(1000), Some(1000))?;
    let map = json!([{"containerID": 1000, "hostID": 2000, "size": 1}, {"containerID": 0, "hostID": 0, "size": 1}]);
    let mount = json!({"destination": "/mnt", "type": "bind", "source": volume, "options": ["bind"],
        "uidMappings": map, "gidMappings": map});
    let config = Config::plain().push("/mounts", mount).args(&["stat", "-c", "%u:%g", "/mnt/f"]);
    same!(c.run(&config)?.ok()?.stdout, "2000:2000\n", "the owner seen inside");
    Ok(())
}
