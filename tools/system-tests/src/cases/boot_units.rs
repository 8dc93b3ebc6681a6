//! ocinit as the first process: what is done around a unit, and what becomes of it
//! when whoever attends to it is killed.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::boot_image::Image;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("boot_units":
    a_dead_attendant_is_cleared_up_after [Need::Host],
    mounts_of_a_unit_that_shares_them [Need::Host],
    what_a_linuxkit_image_expects [Need::Host],
);

/// A service ends itself once, and then kills the process that attends to it: its
/// root and its cgroup are gone before it is started again, its last hooks have run,
/// and what its runtime.json mounts is mounted once.
fn a_dead_attendant_is_cleared_up_after(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.program("/bin/busybox", "bin/busybox")?;
    let script = "n=$(cat /mnt/count); echo $((n + 1)) >/mnt/count; touch /written-$n; \
                  echo START $n $(ls -d /written*) $(grep -c ' / / ' /proc/self/mountinfo); \
                  case $n in 0) exit 5;; 1) kill -9 $PPID; sleep 100;; esac; exit 6";
    let hook = json!([{"path": "/bin/busybox", "args": ["sh", "-c", "echo POSTSTOP >/dev/console"]}]);
    let service = Config::plain()
        .without_namespace("pid")
        .capabilities(&["CAP_KILL", "CAP_DAC_OVERRIDE"])
        .set("/root/readonly", json!(false))
        .set("/annotations", json!({"org.ocinit.restart": "on-failure", "org.ocinit.restart-budget": "2"}))
        .set("/hooks/poststop", hook)
        .bind(Path::new("/run/once"), "/mnt", &["bind"])
        .script(script);
    let folder = image.bundle("containers/services/dies", &service)?;
    fs::rename(folder.join("rootfs"), folder.join("lower"))?;
    fs::create_dir_all(folder.join("rootfs"))?;
    let runtime = json!({"mounts": [{"destination": "/run/once", "type": "tmpfs", "source": "once"}],
                         "bindNS": {"uts": "/run/uts"}});
    image.file("containers/services/dies/runtime.json", runtime.to_string())?;
    // The file's first content, once the service's mount is there: by a hook, as
    // those before see only what is under the mount.
    let first = json!([{"path": "/bin/busybox",
        "args": ["sh", "-c", "[ -e /run/once/count ] || echo 0 >/run/once/count"]}]);
    let path = folder.join("config.json");
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    let config = Config(text).set("/hooks/prestart", first);
    fs::write(&path, serde_json::to_vec(&config.0).context("it was JSON")?)?;
    let looks = Config::plain().without_namespace("pid").capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]).script(
        "m=/proc/1/mountinfo; echo MOUNTS $(grep -c ' /run/once ' $m) $(grep -c ' /run/uts ' $m) \
                 $(grep -c services/dies $m)",
    );
    image.bundle("containers/onshutdown/010-looks", &looks)?;
    image.module("fs/overlayfs/overlay.ko")?;
    let said = image.boot("")?;
    said.in_order(&[
        "START 0 /written-0",
        "POSTSTOP",
        "dies ended with status 5",
        "START 1 /written-1",
        "dies: the process that attends to it was ended by signal 9",
        "POSTSTOP",
        "START 2 /written-2",
        "dies ended with status 6",
        "MOUNTS 1 1 0",
    ])?;
    Ok(())
}

/// What a unit mounts reaches the others where it has asked for that, and not otherwise.
fn mounts_of_a_unit_that_shares_them(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.file("var/shared/canary", "")?;
    let mounts = |name: &str| {
        let script = format!(
            "mkdir -p /mnt/{name} && mount -t tmpfs {name} /mnt/{name} && echo {name} >/mnt/{name}/file && cat /mnt/*/file"
        );
        Config::plain()
            .capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"])
            .bind(Path::new("/var/shared"), "/mnt", &["rbind", "rshared"])
            .script(&script)
    };
    image.bundle("containers/onboot/010-own", &mounts("own"))?;
    let shares = mounts("all").set("/linux/rootfsPropagation", json!("shared"));
    image.bundle("containers/onboot/020-all", &shares)?;
    let overlaid = mounts("overlaid").set("/linux/rootfsPropagation", json!("rshared"));
    let folder = image.bundle("containers/onboot/030-overlaid", &overlaid)?;
    fs::rename(folder.join("rootfs"), folder.join("lower"))?;
    let sees = Config::plain()
        .bind(Path::new("/var/shared"), "/mnt", &["rbind"])
        .script("echo SEES $(cat /mnt/*/file); ls -d /mnt/own");
    image.bundle("containers/onboot/040-sees", &sees)?;
    let looks = Config::plain()
        .without_namespace("pid")
        .capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"])
        .script("echo LEFT $(grep -c containers/ /proc/1/mountinfo)");
    image.bundle("containers/onshutdown/010-looks", &looks)?;
    image.module("fs/overlayfs/overlay.ko")?;
    let said = image.boot("")?;
    said.in_order(&[
        "010-own ended with status 0",
        "020-all ended with status 0",
        "030-overlaid ended with status 0",
        "SEES all overlaid\n/mnt/own\n",
        "LEFT 0",
    ])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 0}), "the outcome");
    Ok(())
}

fn what_a_linuxkit_image_expects(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    fs::create_dir_all(image.tree.join("etc"))?;
    std::os::unix::fs::symlink("../run/resolvconf/resolv.conf", image.tree.join("etc/resolv.conf"))?;
    let links = "for each in fd stdin stdout stderr; do readlink /mnt/$each; done; ";
    let config = Config::plain()
        .bind(Path::new("/dev"), "/mnt", &["rbind"])
        .bind(Path::new("/etc/resolv.conf"), "/etc/resolv.conf", &["bind"])
        .script(&format!("{links} cat /etc/resolv.conf && echo READ"));
    image.bundle("containers/onboot/010-looks", &config)?;
    let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n";
    image.boot("")?.in_order(&[&format!("{links}READ\n")])?;
    let said = image.boot("ocinit.dns=10.1.2.3")?;
    said.in_order(&["nameserver 10.1.2.3\nREAD\n"])?;
    Ok(())
}
