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
