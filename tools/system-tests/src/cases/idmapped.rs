//! Mounts that show their files' ids through a map of their own, and sources that
//! only the host's root may reach: from inside a user namespace and without one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use rustix::mount::{MountFlags, mount_bind};
use serde_json::{Value, json};

use super::mounts::Mounted;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::harness::Skip;
use crate::kernel;

cases!("idmapped":
    owners_without_a_user_namespace proves [
        "mounts[].gidMappings[].containerID", "mounts[].gidMappings[].hostID", "mounts[].gidMappings[].size",
        "mounts[].uidMappings[].containerID", "mounts[].uidMappings[].hostID", "mounts[].uidMappings[].size",
    ],
    owners_with_the_containers_map,
    owners_with_another_map_in_a_user_namespace,
    only_ridmap_reaches_below,
    a_new_file_system [Need::Kernel(6, 3)],
    a_copied_tmpfs [Need::Kernel(6, 3)],
    a_user_namespace_by_path,
    what_cannot_be_mapped_is_named,
    mappings_that_do_not_fit,
    a_source_under_a_private_folder,
    a_root_under_a_private_folder,
    a_bundle_of_its_roots_alone,
    what_is_read_only_for_the_host_stays_so,
);

/// `f_type` of statfs(2).
const TMPFS: i64 = 0x0102_1994;
const OVERLAY: i64 = 0x794c_7630;

/// Whether this kernel can map ids of the file system that the case's folder is on.
fn can_map(c: &Context) -> Result<bool> {
    let kind = rustix::fs::statfs(&c.dir)?.f_type;
    Ok(kind != OVERLAY && (kind != TMPFS || kernel::version() >= (6, 3)))
}

/// A folder with files of root's, of user 1000's and of a subordinate id's.
fn volume(c: &Context) -> Result<PathBuf> {
    let volume = c.folder("volume")?;
    if !can_map(c)? {
        return Err(Skip("this kernel maps no ids of the file system that the tests' folders are on".into()).into());
    }
    for id in [0, 1000, 100_000] {
        let file = volume.join(id.to_string());
        fs::write(&file, "x")?;
        chown(&file, Some(id), Some(id + 1))?;
    }
    Ok(volume)
}

fn mapping(inside: u32, outside: u32, size: u32) -> Value {
    json!({"containerID": inside, "hostID": outside, "size": size})
}

/// A mount with maps: the groups' is one further than the users'.
fn mapped(kind: &str, source: &Path, options: &[&str], users: Value, groups: Value) -> Config {
    Config::plain().push(
        "/mounts",
        json!({"destination": "/mnt", "type": kind, "source": source, "options": options,
            "uidMappings": users, "gidMappings": groups}),
    )
}

const OWNERS: &str = "stat -c '%n %u:%g' *";

fn owners(c: &Context, config: &Config) -> Result<String> {
    let script = format!("cd /mnt && {OWNERS}");
    Ok(c.run(&config.clone().script(&script))?.ok()?.stdout)
}

fn owners_without_a_user_namespace(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let users = json!([mapping(0, 0, 1), mapping(1000, 2000, 1)]);
    let groups = json!([mapping(0, 0, 100), mapping(1001, 3000, 5)]);
    let config = mapped("bind", &volume, &["bind", "idmap"], users.clone(), groups.clone());
    // What is not mapped belongs to nobody (the kernel's overflow ids).
    let expected = "0 0:1\n1000 2000:3000\n100000 65534:65534\n";
    same!(owners(c, &config)?, expected, "the owners seen inside");
    // Without the option too, which came later than the mappings.
    let config = mapped("bind", &volume, &["bind"], users, groups);
    same!(owners(c, &config)?, expected, "without the option");
    // And back: who is 2000 inside leaves files of 1000's. (The folder is root's.)
    fs::set_permissions(&volume, PermissionsExt::from_mode(0o777))?;
    let config = config.set("/process/user", json!({"uid": 2000, "gid": 3001}));
    c.run(&config.script("touch /mnt/made"))?.ok()?;
    let made = fs::metadata(volume.join("made"))?;
    same!((made.uid(), made.gid()), (1000, 1002), "the owner of a file made inside");
    // The source itself is as it was.
    same!(fs::metadata(volume.join("1000"))?.uid(), 1000, "the owner outside");
    Ok(())
}

fn owners_with_the_containers_map(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let config = Config::plain().user_namespace(100_000, 65_536);
    let plain = config.clone().bind(&volume, "/mnt", &["rbind"]);
    same!(owners(c, &plain)?, "0 65534:65534\n1000 65534:65534\n100000 0:1\n", "the owners without the option");
    let config = config.bind(&volume, "/mnt", &["rbind", "idmap"]);
    same!(owners(c, &config)?, "0 0:1\n1000 1000:1001\n100000 65534:65534\n", "the owners seen inside");
    c.run(&config.script("touch /mnt/made && chown 5:6 /mnt/0 || exit 9"))?;
    let made = fs::metadata(volume.join("made"))?;
    same!((made.uid(), made.gid()), (0, 0), "the owner of a file made inside");
    Ok(())
}

fn owners_with_another_map_in_a_user_namespace(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let map = json!([mapping(1000, 100_000, 1), mapping(1001, 100_000, 1)]);
    let config = mapped("bind", &volume, &["bind", "idmap"], json!([mapping(1000, 100_000, 1)]), map);
    ensure!(c.run(&config)?.status == 1, "a map that gives two ids the same outside is refused");
    let config = mapped(
        "bind",
        &volume,
        &["bind", "idmap"],
        json!([mapping(1000, 100_000, 1)]),
        json!([mapping(1001, 100_000, 1)]),
    );
    let config = config.user_namespace(100_000, 65_536);
    same!(owners(c, &config)?, "0 65534:65534\n1000 0:0\n100000 65534:65534\n", "the owners seen inside");
    Ok(())
}

fn only_ridmap_reaches_below(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let (other, below) = (c.folder("other")?, c.folder("volume/below")?);
    fs::write(other.join("f"), "x")?;
    mount_bind(&other, &below)?;
    let _mounted = Mounted(below.to_string_lossy().into_owned());
    for (option, seen) in [("idmap", "65534\n"), ("ridmap", "0\n")] {
        let config = Config::plain().user_namespace(100_000, 65_536).bind(&volume, "/mnt", &["rbind", option]);
        let output = c.run(&config.clone().args(&["stat", "-c", "%u", "/mnt/below/f"]))?.ok()?;
        same!(output.stdout, seen, "the owner below with {option}");
        same!(c.run(&config.args(&["stat", "-c", "%u", "/mnt/0"]))?.ok()?.stdout, "0\n", "the owner with {option}");
    }
    Ok(())
}

fn a_new_file_system(c: &Context) -> Result<()> {
    let maps = || (json!([mapping(0, 7, 1), mapping(7, 0, 1)]), json!([mapping(0, 8, 1), mapping(8, 0, 1)]));
    let (users, groups) = maps();
    let config = mapped("tmpfs", Path::new("tmpfs"), &["mode=700", "idmap"], users, groups);
    same!(c.run(&config.args(&["stat", "-c", "%u:%g", "/mnt"]))?.ok()?.stdout, "7:8\n", "its root's owner");
    // In a user namespace: what is root of the file system is seen as id 7 there.
    let map = json!([mapping(0, 100_007, 1)]);
    let config = mapped("tmpfs", Path::new("tmpfs"), &["mode=700", "idmap"], map.clone(), map);
    let config = config.user_namespace(100_000, 65_536).args(&["stat", "-c", "%u:%g", "/mnt"]);
    same!(c.run(&config)?.ok()?.stdout, "7:7\n", "its root's owner in a user namespace");
    Ok(())
}

fn a_copied_tmpfs(c: &Context) -> Result<()> {
    fs::write(c.rootfs().join("mnt/f"), "x")?;
    let map = json!([mapping(0, 7, 1)]);
    let config = mapped("tmpfs", Path::new("tmpfs"), &["tmpcopyup", "idmap"], map.clone(), map);
    same!(c.run(&config.args(&["stat", "-c", "%u:%g", "/mnt/f"]))?.ok()?.stdout, "7:7\n", "the copy's owner");
    Ok(())
}

fn a_user_namespace_by_path(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let other = c.detached(&Config::plain().user_namespace(100_000, 65_536).args(&["sleep", "1000"]))?;
    let path = format!("/proc/{}/ns/user", c.pid(&other)?);
    let config = Config::plain().namespace("user", Some(&path)).bind(&volume, "/mnt", &["rbind", "idmap"]);
    same!(owners(c, &config)?, "0 0:1\n1000 1000:1001\n100000 65534:65534\n", "the owners seen inside");
    c.delete(&other)
}

fn what_cannot_be_mapped_is_named(c: &Context) -> Result<()> {
    let config = Config::plain().user_namespace(100_000, 65_536);
    // A file system that the container has made is in its user namespace already;
    // procfs has no support for it.
    for (kind, source) in [("tmpfs", "tmpfs"), ("bind", "/proc/sys/kernel")] {
        let config = config.clone().mount("/mnt", kind, source, &["idmap"]);
        c.run(&config)?.error(1, &["mounts[5]", "cannot map the ids", "invalid argument", "cannot do that"])?;
    }
    Ok(())
}

fn mappings_that_do_not_fit(c: &Context) -> Result<()> {
    let volume = volume(c)?;
    let config = Config::plain().bind(&volume, "/mnt", &["bind", "idmap"]);
    c.run(&config)?.error(1, &["mounts[5]", "\"idmap\" without mappings", "user namespace"])?;
    let one = json!([mapping(0, 0, 1)]);
    for (users, groups, said) in [
        (one.clone(), json!([]), "mounts[5]: \"uidMappings\" and \"gidMappings\" go together"),
        (one.clone(), json!([mapping(0, 0, 0)]), "mounts[5].gidMappings[0]"),
        (json!([mapping(0, 0, 2), mapping(1, 5, 1)]), one, "mounts[5].uidMappings[1]"),
    ] {
        c.run(&mapped("bind", &volume, &["bind", "idmap"], users, groups))?.error(1, &[said])?;
    }
    Ok(())
}

/// Makes a folder that only this user may enter, and one in it.
fn private(c: &Context, owner: u32) -> Result<PathBuf> {
    let private = c.folder("private")?;
    let inner = c.folder("private/volume")?;
    fs::write(inner.join("note"), "found\n")?;
    fs::set_permissions(&private, PermissionsExt::from_mode(0o700))?;
    chown(&private, Some(owner), Some(owner))?;
    Ok(inner)
}

fn a_source_under_a_private_folder(c: &Context) -> Result<()> {
    for owner in [0, 1000] {
        let volume = private(c, owner)?;
        let mapped = if can_map(c)? { &["rbind", "idmap"] } else { &["rbind", "nosuid"] };
        for options in [&["rbind", "ro"][..], &["bind"], mapped] {
            let config = Config::plain().user_namespace(100_000, 65_536).bind(&volume, "/mnt", options);
            same!(c.run(&config.args(&["cat", "/mnt/note"]))?.ok()?.stdout, "found\n", "{options:?}, owner {owner}");
        }
        // A file, and one that is not there.
        let config = Config::plain().user_namespace(100_000, 65_536);
        let there = config.clone().bind(&volume.join("note"), "/etc/group", &["bind"]);
        same!(c.run(&there.args(&["cat", "/etc/group"]))?.ok()?.stdout, "found\n", "a file, owner {owner}");
        let absent = config.bind(&volume.join("none"), "/etc/group", &["bind"]);
        c.run(&absent)?.error(1, &["mounts[5].source", "none"])?;
    }
    Ok(())
}

fn a_root_under_a_private_folder(c: &Context) -> Result<()> {
    for owner in [0, 1000] {
        let folder = c.folder(&format!("private-{owner}"))?;
        crate::bundle::copy_tree(&c.rootfs(), &folder.join("root"))?;
        fs::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
        chown(&folder, Some(owner), Some(owner))?;
        let config = Config::plain().user_namespace(100_000, 65_536).set("/root/path", json!(folder.join("root")));
        same!(c.run(&config.args(&["echo", "here"]))?.ok()?.stdout, "here\n", "a root in the folder of {owner}");
    }
    Ok(())
}

/// As podman makes one. Many times: the maker may be slower than a failing process.
fn a_bundle_of_its_roots_alone(c: &Context) -> Result<()> {
    let config = Config::plain().user_namespace(100_000, 65_536).args(&["cat", "/proc/self/uid_map"]);
    fs::set_permissions(c.bundle(), PermissionsExt::from_mode(0o700))?;
    for owner in [0, 100_000] {
        chown(c.bundle(), Some(owner), Some(owner))?;
        for _ in 0..5 {
            holds!(c.run(&config)?.ok()?.stdout, "100000", "the map where the bundle is of {owner}");
        }
    }
    chown(c.bundle(), Some(1000), Some(1000))?;
    for _ in 0..20 {
        c.run(&config)?.error(1, &["cannot enter the bundle", "permission denied"])?;
    }
    Ok(())
}

/// What the maker opens for the container is locked as what the container opens
/// itself: its root, with every right in its user namespace, cannot undo it.
fn what_is_read_only_for_the_host_stays_so(c: &Context) -> Result<()> {
    let volume = private(c, 1000)?;
    let _mounted = Mounted::tmpfs(&volume, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV)?;
    let config = Config::plain().user_namespace(100_000, 65_536).bind(&volume, "/mnt", &["rbind"]);
    let config = config.capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let output =
        c.run(&config.script("mount -o remount,bind,rw /mnt; touch /mnt/x; grep ' /mnt ' /proc/mounts"))?.ok()?;
    holds!(output.stderr, "Read-only file system", "what touch says");
    holds!(output.stdout, " ro,nosuid,nodev", "the mount's options");
    Ok(())
}
