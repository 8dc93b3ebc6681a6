//! Intel RDT: the class of the container's processes. The hardware is rare, so a
//! folder stands in for its file system, in which plain files take what is written
//! to the kernel's; what the kernel makes in new classes is there before.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::command::{Output, input};
use crate::context::Context;
use crate::harness::Skip;

cases!("resctrl":
    classes_and_schemata proves [
        "linux.intelRdt.closID", "linux.intelRdt.l3CacheSchema", "linux.intelRdt.memBwSchema",
        "linux.intelRdt.schemata[]",
    ],
    a_class_that_is_not_there,
    monitoring proves ["linux.intelRdt.enableMonitoring"],
    what_is_made_is_removed,
    update_writes_new_schemata,
    update_changes_all_or_nothing,
    where_the_kernel_lacks_it,
);

/// The stand-in, with these classes.
fn stand_in(c: &Context, classes: &[&str]) -> Result<PathBuf> {
    let fs = c.folder("fs")?;
    let root = fs.join("resctrl");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(fs.join("cgroup"))?;
    fs::create_dir_all(&root)?;
    for class in [&["."], classes].concat() {
        let class = root.join(class);
        fs::create_dir_all(class.join("mon_groups"))?;
        fs::write(class.join("tasks"), "")?;
        fs::write(class.join("schemata"), "")?;
    }
    Ok(root)
}

/// A command line of the runtime, with the stand-in in its place.
fn command(c: &Context, arguments: &[&str]) -> Command {
    let fs = c.dir.join("fs");
    let script =
        format!("mount --rbind /sys/fs/cgroup {0}/cgroup && mount --rbind {0} /sys/fs && exec \"$@\"", fs.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(arguments);
    c.surroundings(&mut command);
    command
}

fn with(rdt: Value) -> Config {
    Config::plain().set("/linux/intelRdt", rdt).args(&["sleep", "1000"])
}

fn classes_and_schemata(c: &Context) -> Result<()> {
    for (rdt, class, schemata) in [
        (json!({"closID": "gold"}), "gold", ""),
        (json!({"closID": "/"}), ".", ""),
        (json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}), "gold", "L3:0=f\n"),
        (json!({"closID": "gold", "memBwSchema": "MB:0=70"}), "gold", "MB:0=70\n"),
        (
            json!({"closID": "gold", "l3CacheSchema": "L3:0=f\nMB:0=20\nL3CODE:0=1\n", "memBwSchema": "MB:0=70"}),
            "gold",
            "L3:0=f\nL3CODE:0=1\nMB:0=70\n",
        ),
        (json!({"closID": "gold", "l3CacheSchema": "L3:0=f\nMB:0=20"}), "gold", "L3:0=f\nMB:0=20\n"),
        (
            json!({"closID": "gold", "memBwSchema": "MB:0=70", "schemata": ["L2:0=3", "MB:0=50"]}),
            "gold",
            "MB:0=70\nL2:0=3\nMB:0=50\n",
        ),
    ] {
        let root = stand_in(c, &["gold"])?;
        c.write(&with(rdt.clone()))?;
        let id = c.id();
        c.finish(command(c, &["run", "--detach", &id]))?.ok()?;
        let read = |file: &str| fs::read_to_string(root.join(class).join(file));
        same!(read("tasks")?, c.pid(&id)?.to_string(), "{rdt}: tasks");
        same!(read("schemata")?, schemata, "{rdt}: schemata");
        // A process of exec is no child of the container's.
        fs::write(root.join(class).join("tasks"), "")?;
        fs::write(root.join(class).join("schemata"), "")?;
        c.finish(command(c, &["exec", &id, "true"]))?.ok()?;
        ensure!(read("tasks")?.parse::<u32>().is_ok(), "{rdt}: tasks at exec: {:?}", read("tasks"));
        same!(read("schemata")?, "", "{rdt}: schemata at exec");
        c.finish(command(c, &["delete", "--force", &id]))?.ok()?;
        ensure!(root.join(class).exists(), "{rdt}: its class is gone");
    }
    Ok(())
}

fn a_class_that_is_not_there(c: &Context) -> Result<()> {
    let root = stand_in(c, &[])?;
    c.write(&with(json!({"closID": "silver"})))?;
    c.finish(command(c, &["create", &c.id()]))?
        .error(1, &["linux.intelRdt: cannot open its class, which must be there if it has no schemata"])?;
    ensure!(!root.join("silver").exists(), "it was made");
    for name in ["..", ".", "a/b", "/a"] {
        c.run(&with(json!({"closID": name})))?.error(1, &["linux.intelRdt.closID: "])?;
    }
    Ok(())
}

fn monitoring(c: &Context) -> Result<()> {
    let root = stand_in(c, &["gold"])?;
    c.write(&with(json!({"closID": "gold", "enableMonitoring": true})))?;
    let id = c.id();
    // The kernel would put files into the group that is made.
    c.finish(command(c, &["create", &id]))?.error(1, &["linux.intelRdt: cannot monitor the process"])?;
    ensure!(!root.join("gold/mon_groups").join(&id).exists(), "the group is there after a failure");
    same!(fs::read_to_string(root.join("gold/tasks"))?.parse::<u32>().is_ok(), true, "whether the class has it");
    Ok(())
}

fn what_is_made_is_removed(c: &Context) -> Result<()> {
    for rdt in [json!({"enableMonitoring": false, "schemata": ["L3:0=f"]}), json!({"memBwSchema": "MB:0=1"})] {
        let root = stand_in(c, &[])?;
        c.write(&with(rdt))?;
        let id = c.id();
        // The stand-in does not fill the class that is made: it is, and is gone again.
        c.finish(command(c, &["create", &id]))?.error(1, &["linux.intelRdt: cannot write its schemata"])?;
        ensure!(!root.join(&id).exists(), "the class is there after a failure");
        ensure!(!c.state_dir().join(&id).exists(), "the state is there after a failure");
    }
    // One of that name is somebody else's.
    let id = c.id();
    let root = stand_in(c, &[&id])?;
    c.write(&with(json!({"memBwSchema": "MB:0=1"})))?;
    c.finish(command(c, &["create", &id]))?.error(1, &["linux.intelRdt: there is a group"])?;
    ensure!(root.join(&id).join("tasks").exists(), "somebody else's class is gone");
    Ok(())
}

/// `update` with these resources and flags.
fn update(c: &Context, id: &str, resources: &Value, flags: &[&str]) -> Result<Output> {
    let mut command = command(c, &[&["update", "--resources", "-"], flags, &[id]].concat());
    command.stdin(input(&c.dir, resources.to_string().as_bytes())?);
    c.finish(command)
}

fn update_writes_new_schemata(c: &Context) -> Result<()> {
    const L3: &str = "--l3-cache-schema";
    const MB: &str = "--mem-bw-schema";
    let root = stand_in(c, &["gold"])?;
    for (name, class) in [("gold", "gold"), ("/", ".")] {
        c.write(&with(json!({"closID": name, "l3CacheSchema": "L3:0=f"})))?;
        let id = c.id();
        c.finish(command(c, &["run", "--detach", &id]))?.ok()?;
        let schemata = root.join(class).join("schemata");
        for (flags, expected) in [
            (&[L3, "L3:0=3;1=f"][..], "L3:0=3;1=f\n"),
            (&[MB, "MB:0=70"], "MB:0=70\n"),
            (&[L3, "L3:0=f\nMB:0=20\nL3CODE:0=1\n", MB, "MB:0=50"], "L3:0=f\nL3CODE:0=1\nMB:0=50\n"),
            (&[L3, "", MB, ""], ""),
        ] {
            for resources in [None, Some(json!({}))] {
                fs::write(&schemata, "")?;
                match resources {
                    None => c.finish(command(c, &[&["update"], flags, &[&id]].concat()))?.ok()?,
                    Some(resources) => update(c, &id, &resources, flags)?.ok()?,
                };
                same!(fs::read_to_string(&schemata)?, expected, "the schemata after `update {flags:?}`");
            }
        }
        c.finish(command(c, &["delete", "--force", &id]))?.ok()?;
    }
    Ok(())
}

fn update_changes_all_or_nothing(c: &Context) -> Result<()> {
    const LINE: [&str; 2] = ["--mem-bw-schema", "MB:0=70"];
    let root = stand_in(c, &["gold"])?;
    let schemata = root.join("gold/schemata");
    c.write(&with(json!({"closID": "gold"})))?;
    let id = c.id();
    c.finish(command(c, &["run", "--detach", &id]))?.ok()?;
    let folder = super::resources::folder(c, &id)?;
    let (good, bad) = (json!({"cgroup.max.depth": "5"}), json!({"cgroup.max.depth": "x"}));
    let (good, bad) = (json!({"unified": good}), json!({"unified": bad}));
    update(c, &id, &bad, &LINE)?.error(1, &["cannot write \"x\" to cgroup.max.depth"])?;
    same!(fs::read_to_string(&schemata)?, "", "the schemata after a limit that was refused");
    update(c, &id, &good, &["--mem-bw-schema", "L3:0=f"])?.error(1, &["schemata:1:", "memBwSchema: "])?;
    // What cannot be read could not be given back.
    fs::remove_file(&schemata)?;
    update(c, &id, &good, &LINE)?.error(
        1,
        &["cannot read the schemata of class gold in /sys/fs/resctrl: no such file or directory", "is taken back"],
    )?;
    same!(super::resources::file(&folder, "cgroup.max.depth")?, "max", "the limit after schemata that were refused");
    fs::remove_dir_all(root.join("gold"))?;
    update(c, &id, &json!({}), &LINE)?.error(1, &["cannot find the schemata of class gold"])?;
    c.finish(command(c, &["delete", "--force", &id]))?.ok()?;
    let id = c.sleeper()?;
    update(c, &id, &good, &LINE)?.error(1, &[&format!("container {id} has no class of service")])?;
    let folder = super::resources::folder(c, &id)?;
    same!(super::resources::file(&folder, "cgroup.max.depth")?, "max", "the limit of a container without a class");
    c.delete(&id)
}

fn where_the_kernel_lacks_it(c: &Context) -> Result<()> {
    if std::path::Path::new("/sys/fs/resctrl/tasks").exists() {
        return Err(Skip("this kernel has resctrl".into()).into());
    }
    // Nothing is asked for.
    c.run(&with(json!({"closID": "", "enableMonitoring": false})).args(&["true"]))?.ok()?;
    c.run(&with(json!({"closID": "gold"})))?.error(
        1,
        &["linux.intelRdt: the kernel has no resctrl mounted at /sys/fs/resctrl: no such file or directory"],
    )?;
    Ok(())
}
