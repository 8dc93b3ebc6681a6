//! As whom the process runs: user, groups, capabilities, home.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;

cases!("identity":
    home_comes_from_the_passwd_file,
    user_and_groups proves ["process.user.additionalGids[]", "process.user.gid", "process.user.uid"],
    umask proves ["process.user.umask"],
    user_name_changes_nobody proves ["process.user.username"],
    capabilities_five_sets proves [
        "process.capabilities.ambient[]", "process.capabilities.bounding[]", "process.capabilities.inheritable[]",
        "process.capabilities.permitted[]",
    ],
    capabilities_before_the_program proves [
        "process.capabilities.bounding[]", "process.capabilities.effective[]", "process.capabilities.inheritable[]",
        "process.capabilities.permitted[]",
    ],
    capabilities_of_a_user_who_is_not_root,
    capabilities_absent_are_none,
    capabilities_unknown,
    no_new_privileges proves ["process.noNewPrivileges"],
);

fn home_comes_from_the_passwd_file(c: &Context) -> Result<()> {
    let home = |config: Config| -> Result<String> {
        let output = c.run(&config.script("echo \"$HOME\""))?.ok()?;
        Ok(output.stdout.trim().to_string())
    };
    same!(home(Config::plain())?, "/root", "HOME of root");
    let alice = json!({"uid": 1000, "gid": 1000});
    same!(home(Config::plain().set("/process/user", alice))?, "/home/alice", "HOME of a user");
    same!(home(Config::plain().set("/process/user", json!({"uid": 4242, "gid": 0})))?, "/", "HOME of an unknown user");
    same!(home(Config::plain().env("HOME=/x"))?, "/x", "HOME that is configured");
    // Not a name, and not more than the numeric field.
    fs::write(c.rootfs().join("etc/passwd"), "10:x:0:0::/wrong:/bin/sh\nx:x:10:10::/ten:/bin/sh\nbad line\n")?;
    same!(home(Config::plain().set("/process/user", json!({"uid": 10, "gid": 0})))?, "/ten", "HOME of user 10");
    fs::remove_file(c.rootfs().join("etc/passwd"))?;
    same!(home(Config::plain())?, "/", "HOME without a passwd file");
    symlink("/proc/self/environ", c.rootfs().join("etc/passwd"))?;
    same!(home(Config::plain())?, "/", "HOME with a link as passwd file");
    Ok(())
}

fn user_and_groups(c: &Context) -> Result<()> {
    let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 100_000, 7]});
    let seen = c.probe(&Config::plain().set("/process/user", user), &["status"])?;
    same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
    same!(seen["status"]["Gid"], "1001 1001 1001 1001", "Gid");
    same!(seen["status"]["Groups"], "5 7 100000", "Groups");
    let seen = c.probe(&Config::plain(), &["status"])?;
    same!(seen["status"]["Groups"], "", "Groups where none is configured");
    let many: Vec<u32> = (1000..1200).collect();
    let user = json!({"uid": 4_294_967_294u32, "gid": 4_294_967_294u32, "additionalGids": many});
    let seen = c.probe(&Config::plain().set("/process/user", user), &["status"])?;
    same!(seen["status"]["Uid"], json!(["4294967294"; 4].join(" ")), "the largest uid");
    same!(seen["status"]["Groups"].as_str().unwrap_or_default().split(' ').count(), 200, "number of groups");
    for uid in [json!(4_294_967_295u64), json!(4_294_967_296u64), json!(-1), json!("0"), json!(1.5)] {
        c.run(&Config::plain().set("/process/user/uid", uid))?.error(1, &["process.user.uid"])?;
    }
    Ok(())
}

fn umask(c: &Context) -> Result<()> {
    for (value, shown) in [(json!(0), "0000"), (json!(0o77), "0077"), (json!(0o22), "0022")] {
        let seen = c.probe(&Config::plain().set("/process/user/umask", value), &["status"])?;
        same!(seen["status"]["Umask"], shown, "Umask");
    }
    // Where it is not configured, it is not the caller's.
    c.write(&Config::plain().args(&["/probe", "status"]))?;
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0013; exec \"$@\"", "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let seen = c.finish(command)?.ok()?.json()?;
    same!(seen["status"]["Umask"], "0022", "Umask where none is configured");
    Ok(())
}

/// The name is another platform's way to say who the process is: on this one the
/// numbers alone do.
fn user_name_changes_nobody(c: &Context) -> Result<()> {
    for (name, id) in [("alice", 0), ("root", 1000), ("nobody-here", 1000)] {
        let user = json!({"username": name, "uid": id, "gid": id});
        let seen = c.probe(&Config::plain().set("/process/user", user), &["status", "environment"])?;
        for (field, shown) in [("Uid", id), ("Gid", id)] {
            same!(seen["status"][field], json!(format!("{shown} {shown} {shown} {shown}")), "{field} of {name}");
        }
        let home = if id == 0 { "HOME=/root" } else { "HOME=/home/alice" };
        holds!(seen["environment"].to_string(), home, "the environment of {name}");
    }
    Ok(())
}

/// The five sets as masks: inheritable, permitted, effective, bounding, ambient.
fn sets(seen: &Value) -> [u64; 5] {
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .map(|name| u64::from_str_radix(seen["status"][name].as_str().unwrap_or("x"), 16).unwrap_or(u64::MAX))
}

fn capabilities_five_sets(c: &Context) -> Result<()> {
    let config = Config::plain().set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETUID"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "inheritable": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_NET_BIND_SERVICE"],
        }),
    );
    // A user who is not root gets at execve what is ambient, and no more
    // (capabilities(7)); inheritable and bounding stay.
    let user = config.clone().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let [inheritable, permitted, effective, bounding, ambient] = sets(&c.probe(&user, &["status"])?);
    same!(bounding, 1 << 0 | 1 << 5 | 1 << 10 | 1 << 7, "CapBnd");
    same!(inheritable, 1 << 5 | 1 << 10, "CapInh");
    same!(ambient, 1 << 10, "CapAmb");
    same!(permitted, 1 << 10, "CapPrm");
    same!(effective, 1 << 10, "CapEff");
    // Root gets at execve the bounding set, unless new privileges are barred.
    let free = config.clone().set("/process/noNewPrivileges", json!(false));
    let [inheritable, permitted, effective, bounding, _] = sets(&c.probe(&free, &["status"])?);
    same!(bounding, 1 << 0 | 1 << 5 | 1 << 10 | 1 << 7, "CapBnd of root");
    same!((inheritable, permitted, effective), (1 << 5 | 1 << 10, bounding, bounding), "sets of root");
    let [_, permitted, effective, _, _] = sets(&c.probe(&config, &["status"])?);
    same!((permitted, effective), (1 << 0 | 1 << 5 | 1 << 10, 1 << 0 | 1 << 5 | 1 << 10), "sets of root, barred");
    Ok(())
}

/// At execve the effective set is made anew (capabilities(7)), so what it was
/// configured to be is seen in the process that waits for `start`.
fn capabilities_before_the_program(c: &Context) -> Result<()> {
    let config = Config::plain().set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETUID"],
            "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "inheritable": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_CHOWN"],
        }),
    );
    for user in [0, 1000] {
        let config = config.clone().set("/process/user", json!({"uid": user, "gid": user}));
        let id = c.create(&config.args(&["true"]))?;
        let pid = c.pid(&id)?.to_string();
        for (name, mask) in [
            ("CapBnd", 1 << 0 | 1 << 5 | 1 << 7 | 1 << 10),
            ("CapPrm", 1 << 0 | 1 << 5 | 1 << 10),
            ("CapInh", 1 << 5 | 1 << 10),
            ("CapEff", 1 << 0),
        ] {
            let found = kernel::status_field(&pid, name).unwrap_or_default();
            same!(u64::from_str_radix(&found, 16)?, mask, "{name} of user {user}");
        }
        c.delete(&id)?;
    }
    Ok(())
}

fn capabilities_of_a_user_who_is_not_root(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let [inheritable, permitted, effective, bounding, ambient] = sets(&c.probe(&config, &["status"])?);
    same!((inheritable, permitted, effective, ambient), (0, 0, 0, 0), "sets of a user without ambient capabilities");
    same!(bounding, 1 << 29 | 1 << 5 | 1 << 10, "CapBnd");
    Ok(())
}

fn capabilities_absent_are_none(c: &Context) -> Result<()> {
    for config in
        [Config::plain().set("/process/capabilities", json!({})), Config::plain().remove("/process/capabilities")]
    {
        same!(sets(&c.probe(&config, &["status"])?), [0; 5], "the five sets");
    }
    Ok(())
}

fn capabilities_unknown(c: &Context) -> Result<()> {
    // The specification: what cannot be granted is a warning, not an error;
    // a name that is none at all is a mistake that runc lets pass with a
    // warning too.
    let output = c.run(&Config::plain().capabilities(&["CAP_KILL", "CAP_NONSENSE"]))?;
    ensure!(output.status == 0 && output.stderr.contains("CAP_NONSENSE"), "{output:?}");
    Ok(())
}

fn no_new_privileges(c: &Context) -> Result<()> {
    for (value, shown) in [(json!(true), "1"), (json!(false), "0")] {
        let seen = c.probe(&Config::plain().set("/process/noNewPrivileges", value), &["status"])?;
        same!(seen["status"]["NoNewPrivs"], shown, "NoNewPrivs");
    }
    let seen = c.probe(&Config::plain().remove("/process/noNewPrivileges"), &["status"])?;
    same!(seen["status"]["NoNewPrivs"], "0", "NoNewPrivs where it is absent");
    Ok(())
}
