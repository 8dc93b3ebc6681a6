//! Ordinary users: the whole life of a container without root anywhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::Need;
use crate::command::Output;
use crate::context::Context;
use crate::kernel;
use crate::ordinary::{ID, Ordinary, SUBORDINATE};

const SETPRIV: Need = Need::Program("setpriv");
const MAPPERS: Need = Need::Program("newuidmap");

cases!("rootless":
    a_map_of_its_own_id [SETPRIV],
    maps_of_subordinate_ids [SETPRIV, MAPPERS]
        proves ["linux.uidMappings[].containerID", "linux.uidMappings[].hostID", "linux.uidMappings[].size",
            "linux.gidMappings[].containerID", "linux.gidMappings[].hostID", "linux.gidMappings[].size"],
    ids_of_others_are_refused [SETPRIV, MAPPERS],
    podman_2022_2989_groups_are_the_configurations [SETPRIV, MAPPERS],
    every_command_with_a_cgroup [SETPRIV, MAPPERS],
    every_command_without_a_cgroup [SETPRIV],
    limits_in_a_delegated_cgroup [SETPRIV, Need::Controller("pids")],
    a_cgroup_that_is_asked_for_is_needed [SETPRIV],
    the_default_state_directory [SETPRIV],
    the_bundle_that_spec_writes [SETPRIV],
    spec_is_what_runc_writes [SETPRIV, Need::Program("runc")],
    oom_score_of_run_and_exec [SETPRIV],
    devices_are_the_hosts [SETPRIV],
    a_bundle_under_a_private_folder [SETPRIV],
    a_user_namespace_by_path [SETPRIV, MAPPERS],
    time_offsets [SETPRIV, Need::Path("/proc/self/timens_offsets")],
    a_masked_proc_is_named [SETPRIV],
    ids_of_mounts_cannot_be_mapped [SETPRIV],
    without_a_user_namespace [SETPRIV],
    as_runc_has_it [SETPRIV, MAPPERS, Need::Program("runc")],
    as_crun_has_it [SETPRIV, MAPPERS, Need::Program("crun")],
);

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!({"containerID": inside, "hostID": outside, "size": size})
}

/// With the maps, and without the group that the user has none of.
fn config(maps: Value) -> Config {
    Config::plain()
        .remove("/mounts/2/options/5") // gid=5
        .namespace("user", None)
        .set("/linux/uidMappings", maps.clone())
        .set("/linux/gidMappings", maps)
}

fn own_id() -> Config {
    config(json!([map(0, ID, 1)]))
}

fn subordinate() -> Config {
    config(json!([map(0, ID, 1), map(1, SUBORDINATE, 65_536)]))
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

const IDENTITY: &str = "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id -u; id -g; id -G";

fn a_map_of_its_own_id(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let output = user.run(&own_id().script(&format!("{IDENTITY}; touch /made")))?.ok()?;
    same!(words(&output.stdout), ["0", "1000", "1", "0", "1000", "1", "deny", "0", "0", "0"], "maps and ids");
    same!(output.stderr.matches("no cgroup").count(), 1, "warnings of a missing cgroup in {:?}", output.stderr);
    let made = fs::metadata(c.rootfs().join("made"))?;
    same!((made.uid(), made.gid()), (ID, ID), "the owner of what its root has made");
    // Another id inside.
    let other = config(json!([map(7, ID, 1)])).set("/process/user", json!({"uid": 7, "gid": 7}));
    let output = user.run(&other.script("id -u; id -g; cat /proc/self/uid_map"))?.ok()?;
    same!(words(&output.stdout), ["7", "7", "7", "1000", "1"], "as id 7");
    Ok(())
}

fn maps_of_subordinate_ids(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let script = format!("{IDENTITY}; touch /made && chown 5:6 /made; stat -c %u:%g /made");
    let config = subordinate().capabilities(&["CAP_CHOWN"]);
    let output = user.run(&config.script(&script))?.ok()?;
    let expected = [
        "0", "1000", "1", "1", "100000", "65536", "0", "1000", "1", "1", "100000", "65536", "allow", "0", "0", "0",
        "5:6",
    ];
    same!(words(&output.stdout), expected, "maps, ids and the file's owner");
    let made = fs::metadata(c.rootfs().join("made"))?;
    same!((made.uid(), made.gid()), (SUBORDINATE + 4, SUBORDINATE + 5), "the file's owner outside");
    let config = subordinate().set("/process/user", json!({"uid": 33, "gid": 34, "additionalGids": [35, 36]}));
    let output = user.run(&config.script("id -u; id -G"))?.ok()?;
    same!(words(&output.stdout), ["33", "34", "35", "36"], "another user's ids");
    Ok(())
}

fn ids_of_others_are_refused(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    for maps in [
        json!([map(0, 0, 1)]),
        json!([map(0, ID, 2)]),
        json!([map(0, ID, 1), map(1, SUBORDINATE, 65_537)]),
        json!([map(0, 200_000, 65_536)]),
    ] {
        let output = user.run(&config(maps.clone()))?.status(1)?;
        holds!(output.stderr, "newgidmap has refused the map", "{maps}");
    }
    // The groups are allowed, the users are not.
    let config = own_id().set("/linux/uidMappings", json!([map(0, 0, 1)]));
    holds!(user.run(&config)?.status(1)?.stderr, "newuidmap has refused the map", "the user's map");
    Ok(())
}

fn podman_2022_2989_groups_are_the_configurations(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let groups = |config: Config, gids: Value| config.set("/process/user/additionalGids", gids);
    // One that the user is not in, and none could be left (kernel CVE-2014-8989).
    let output = user.run(&groups(own_id(), json!([0])))?.status(1)?;
    holds!(output.stderr, "the user namespace denies setgroups", "additional groups without the right to");
    let output = user.run(&groups(subordinate(), json!([4242])).args(&["id", "-G"]))?.ok()?;
    same!(output.stdout, "0 4242\n", "the groups");
    same!(user.run(&subordinate().args(&["id", "-G"]))?.ok()?.stdout, "0\n", "no additional groups");
    let id = user.detached(&subordinate().args(&["sleep", "1000"]))?;
    same!(user.call(&["exec", "-g", "9", &id, "id", "-G"])?.ok()?.stdout, "0 9\n", "the groups in exec");
    same!(user.call(&["exec", &id, "id", "-G"])?.ok()?.stdout, "0\n", "no groups in exec");
    user.call(&["delete", "--force", &id])?.ok()?;
    Ok(())
}

/// create, list, state, start, exec, ps, kill, delete. Gives the pid's cgroup.
fn every_command(c: &Context, user: &Ordinary<'_>, config: &Config) -> Result<String> {
    c.write(config)?;
    let id = c.id();
    user.call(&["create", &id])?.ok()?;
    let state = user.call(&["state", &id])?.ok()?.json()?;
    same!(state["status"], "created", "the status");
    same!(state["owner"], "#1000", "the owner");
    holds!(user.call(&["list"])?.ok()?.stdout, "#1000", "the list");
    user.call(&["start", &id])?.ok()?;
    let state = user.call(&["state", &id])?.ok()?.json()?;
    same!(state["status"], "running", "the status");
    let pid = state["pid"].as_u64().context("a pid")?;
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let script = "cat /proc/self/uid_map; id -u; ls -d /proc/1; cat /proc/1/comm";
    let output = user.call(&["exec", &id, "sh", "-c", script])?.ok()?;
    holds!(output.stdout, "0\n/proc/1\nsleep\n", "what exec sees");
    same!(user.call(&["exec", "--user", "0:0", &id, "sh", "-c", "exit 7"])?.status, 7, "the status of exec");
    user.call(&["kill", &id, "KILL"])?.ok()?;
    c.until("the end", || {
        c.reap();
        Ok(user.call(&["state", &id])?.ok()?.json()?["status"] == "stopped")
    })?;
    user.call(&["delete", &id])?.ok()?;
    same!(user.call(&["list", "--quiet"])?.ok()?.stdout, "", "what is left");
    // And by force.
    let id = user.detached(config)?;
    user.call(&["delete", "--force", &id])?.ok()?;
    Ok(cgroup)
}

fn every_command_with_a_cgroup(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?.with_cgroup()?;
    let config = subordinate().args(&["sleep", "1000"]);
    for config in [config.clone(), config.set("/process/user", json!({"uid": 33, "gid": 33}))] {
        let cgroup = every_command(c, &user, &config.clone().set("/process/user", json!({"uid": 0, "gid": 0})))?;
        holds!(cgroup, format!("/{}-user/{}-", c.tag, c.tag), "the cgroup of the process");
        let id = user.detached(&config)?;
        let pids: Vec<u32> = serde_json::from_value(user.call(&["ps", "--format", "json", &id])?.ok()?.json()?)?;
        same!(pids.len(), 1, "the processes");
        user.call(&["delete", "--force", &id])?.ok()?;
    }
    user.remove_cgroup()
}

fn every_command_without_a_cgroup(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    same!(every_command(c, &user, &own_id().args(&["sleep", "1000"]))?, own, "the cgroup of the process");
    Ok(())
}

fn limits_in_a_delegated_cgroup(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?.with_cgroup()?;
    let config = own_id().set("/linux/resources", json!({"pids": {"limit": 17}})).args(&["sleep", "1000"]);
    let id = user.detached(&config)?;
    let folder = user.cgroup.as_deref().and_then(Path::parent).context("a cgroup")?.join(&id);
    same!(fs::read_to_string(folder.join("pids.max"))?, "17\n", "pids.max");
    user.call(&["delete", "--force", &id])?.ok()?;
    ensure!(!folder.exists(), "the cgroup is left");
    user.remove_cgroup()
}

fn a_cgroup_that_is_asked_for_is_needed(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let place = format!("/{}", c.tag);
    user.run(&own_id().set("/linux/cgroupsPath", json!(place)))?.error(1, &["cannot make cgroup", "denied"])?;
    let limits = own_id().set("/linux/resources", json!({"pids": {"limit": 17}}));
    user.run(&limits)?.error(1, &["cannot make cgroup", "denied"])?;
    c.write(&own_id())?;
    user.call(&["--rootless", "false", "run", &c.id()])?.error(1, &["cannot make cgroup", "denied"])?;
    let output = user.call(&["--rootless", "true", "run", &c.id()])?.ok()?;
    holds!(output.stderr, "the container has no cgroup", "the warning");
    // Nobody would find all of its processes.
    let config = own_id().without_namespace("pid").remove("/mounts/0");
    holds!(user.run(&config)?.ok()?.stderr, "nor a pid namespace", "the warning");
    Ok(())
}

fn the_default_state_directory(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    c.write(&own_id())?;
    let id = c.id();
    user.call_without_root(&["create", &id])?.ok()?;
    let folder = user.home.join("run/ocinit");
    ensure!(folder.join(&id).is_dir(), "no {id} in {}", folder.display());
    same!(fs::metadata(&folder)?.permissions().mode() & 0o777, 0o700, "its mode");
    // Root of a user namespace is an ordinary user, too.
    let unshare = kernel::find_program("unshare").context("unshare")?;
    let program = user.home.join("ocinit");
    let arguments = ["-U", "-r", &*program.to_string_lossy(), "list", "--quiet"];
    let output = c.finish(user.any_command(&unshare, &arguments))?.ok()?;
    same!(output.stdout, format!("{id}\n"), "the list in a user namespace");
    user.call_without_root(&["delete", "--force", &id])?.ok()?;
    Ok(())
}

fn the_bundle_that_spec_writes(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    user.call(&["spec", "--rootless"])?.ok()?;
    let written = fs::read(c.bundle().join("config.json"))?;
    let config = Config(serde_json::from_slice(&written)?).set("/process/terminal", json!(false));
    let output = user.run(&config.script("cat /proc/self/uid_map; ls -d /sys/kernel; touch /x"))?;
    same!(words(&output.stdout), ["0", "1000", "1", "/sys/kernel"], "what it sees");
    holds!(output.stderr, "Read-only file system", "what touch says");
    Ok(())
}

fn spec_is_what_runc_writes(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let file = c.bundle().join("config.json");
    let read = || -> Result<Value> {
        let value = serde_json::from_slice(&fs::read(&file)?)?;
        fs::remove_file(&file)?;
        Ok(value)
    };
    user.call(&["spec", "--rootless"])?.ok()?;
    let mut ours = read()?;
    let runc = kernel::find_program("runc").context("runc")?;
    c.finish(user.any_command(&runc, &["spec", "--rootless"]))?.ok()?;
    let mut theirs = read()?;
    for value in [&mut ours, &mut theirs] {
        // The version of the specification, our name, the order of the namespaces,
        // what runc adds where cgroups are of version 2, and sets that are no more.
        for place in ["ociVersion", "hostname"] {
            value[place] = Value::Null;
        }
        let kinds = value["linux"]["namespaces"].as_array_mut().context("namespaces")?;
        kinds.retain(|kind| kind["type"] != "cgroup");
        kinds.sort_by_key(|kind| kind["type"].to_string());
        let sets = value["process"]["capabilities"].as_object_mut().context("capabilities")?;
        sets.retain(|name, _| !matches!(name.as_str(), "ambient" | "inheritable"));
    }
    same!(ours, theirs, "the document");
    Ok(())
}

fn oom_score_of_run_and_exec(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let config = own_id().set("/process/oomScoreAdj", json!(500)).args(&["sleep", "1000"]);
    let id = user.detached(&config)?;
    let script = "cat /proc/1/oom_score_adj /proc/self/oom_score_adj";
    same!(user.call(&["exec", &id, "sh", "-c", script])?.ok()?.stdout, "500\n500\n", "the scores");
    user.call(&["delete", "--force", &id])?.ok()?;
    let output = user.run(&config.set("/process/oomScoreAdj", json!(-500)))?.status(1)?;
    holds!(output.stderr, "cannot set oom_score_adj to -500", "a better place than the user's");
    Ok(())
}

fn devices_are_the_hosts(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let config = own_id().capabilities(&["CAP_MKNOD"]).script(
        "for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; echo x >/dev/null; \
         head -c 3 /dev/zero | wc -c; mknod /dev/mine c 1 3 2>/dev/null && echo made; stat -c %u /dev/null",
    );
    let output = user.run(&config)?.ok()?;
    same!(words(&output.stdout), ["3", "65534"], "what is wrong with the devices");
    Ok(())
}

fn a_bundle_under_a_private_folder(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    fs::set_permissions(c.bundle(), PermissionsExt::from_mode(0o700))?;
    let config = own_id().bind(&c.rootfs().join("etc"), "/mnt", &["rbind"]).args(&["ls", "/mnt/passwd"]);
    same!(user.run(&config)?.ok()?.stdout, "/mnt/passwd\n", "what is bound");
    Ok(())
}

fn a_user_namespace_by_path(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let other = user.detached(&subordinate().args(&["sleep", "1000"]))?;
    let pid = user.call(&["state", &other])?.ok()?.json()?["pid"].to_string();
    let path = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let config = subordinate().namespace("user", Some(&path("user"))).namespace("network", Some(&path("net")));
    let output = user.run(&config.script("readlink /proc/self/ns/user; readlink /proc/self/ns/net; id -u"))?.ok()?;
    let link = |kind| Ok::<_, anyhow::Error>(fs::read_link(path(kind))?.to_string_lossy().into_owned());
    same!(words(&output.stdout), [&*link("user")?, &*link("net")?, "0"], "the namespaces joined");
    user.call(&["delete", "--force", &other])?.ok()?;
    Ok(())
}

fn time_offsets(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let config = own_id().namespace("time", None).set("/linux/timeOffsets", json!({"boottime": {"secs": 172_800}}));
    let output = user.run(&config.args(&["cat", "/proc/self/timens_offsets"]))?.ok()?;
    same!(words(&output.stdout), ["monotonic", "0", "0", "boottime", "172800", "0"], "the offsets");
    Ok(())
}

fn a_masked_proc_is_named(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    c.write(&own_id())?;
    let mut command = std::process::Command::new("unshare");
    let inner = user.command(&["run", &c.id()]);
    command.args(["-m", "--propagation", "private", "sh", "-c"]);
    command
        .arg("mount -t tmpfs none /proc/irq && exec \"$@\"")
        .arg("sh")
        .arg(inner.get_program())
        .args(inner.get_args());
    c.surroundings(&mut command);
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let output: Output = c.finish(command)?.status(1)?;
    holds!(output.stderr, "cannot mount proc at /proc (it would show what /proc/irq covers outside)", "the error");
    Ok(())
}

fn ids_of_mounts_cannot_be_mapped(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    let output = user.run(&own_id().bind(&c.rootfs(), "/mnt", &["rbind", "idmap"]))?.status(1)?;
    holds!(output.stderr, "mounts[5]: an ordinary user may not map the ids of a mount", "the error");
    Ok(())
}

fn without_a_user_namespace(c: &Context) -> Result<()> {
    let user = Ordinary::new(c)?;
    user.run(&Config::plain())?.error(1, &["an ordinary user", "needs a user namespace"])?;
    Ok(())
}

/// What a container is like under another runtime, and under ours.
fn compare(c: &Context, runtime: &str, arguments: &[&str]) -> Result<()> {
    let user = Ordinary::new(c)?;
    let other = kernel::find_program(runtime).context("the other runtime")?;
    let state = user.home.join("run/other").to_string_lossy().into_owned();
    let script = format!(
        "{IDENTITY}; grep -E '^(Cap|Groups|NoNewPrivs|Uid|Gid)' /proc/self/status; stat -c '%n %F %u:%g' /dev/null /proc \
         /sys /dev/pts /mnt; touch /tmp/made; stat -c %u /tmp/made; rm /tmp/made; cat /proc/self/oom_score_adj; hostname"
    );
    let other_user = subordinate().set("/process/user", json!({"uid": 5, "gid": 6}));
    for config in [own_id(), subordinate(), other_user] {
        let config = config.set("/process/oomScoreAdj", json!(500)).script(&script);
        let ours = user.run(&config)?.ok()?.stdout;
        let id = c.id();
        let mut all = vec!["--root", &*state];
        all.extend(arguments);
        all.extend(["run", &*id]);
        let theirs = c.finish(user.any_command(&other, &all))?.ok()?.stdout;
        same!(ours, theirs, "the container under ocinit and {runtime}");
    }
    Ok(())
}

fn as_runc_has_it(c: &Context) -> Result<()> {
    compare(c, "runc", &[])
}

fn as_crun_has_it(c: &Context) -> Result<()> {
    compare(c, "crun", &["--cgroup-manager=disabled"])
}
