//! The process itself: what it runs, as whom, and in which condition it finds
//! itself when it starts.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::{CAP_SYS_RESOURCE, Need};
use crate::context::Context;

cases!("process":
    the_last_of_duplicate_variables_wins,
    environment_is_exactly_as_configured,
    path_is_searched_in_the_container,
    not_found_says_so_in_create,
    not_executable_says_so_in_create,
    start_reports_what_execve_refuses,
    home_comes_from_the_passwd_file,
    user_and_groups,
    umask,
    working_directory,
    working_directory_that_is_missing,
    working_directory_outside_is_refused,
    capabilities_five_sets,
    capabilities_of_a_user_who_is_not_root,
    capabilities_absent_are_none,
    capabilities_unknown,
    rlimits,
    rlimits_can_be_raised [Need::Capability(CAP_SYS_RESOURCE)],
    rlimits_unknown_or_twice,
    no_new_privileges,
    oom_score_adj,
    oom_score_adj_below_ours [Need::Capability(CAP_SYS_RESOURCE)],
    signals_are_reset_and_unblocked,
    standard_streams_belong_to_the_user,
    only_three_descriptors,
    preserved_descriptors,
    listen_fds,
    session_of_its_own,
    arguments_are_passed_exactly,
    many_arguments,
    first_process_is_number_one,
    no_zombie_is_left_by_the_runtime,
    not_dumpable_is_undone,
    scheduling_fields_or_an_error,
);

fn the_last_of_duplicate_variables_wins(c: &Context) -> Result<()> {
    let config = Config::plain().env("A=1").env("B=2").env("A=3").env("PATH=/bin:/x").env("EMPTY=").env("E=a=b=c");
    let output = c.run(&config.args(&["env"]))?.ok()?;
    for (line, count) in [("A=3", 1), ("A=1", 0), ("B=2", 1), ("PATH=/bin:/x", 1), ("EMPTY=", 1), ("E=a=b=c", 1)] {
        same!(output.lines().iter().filter(|l| **l == line).count(), count, "{line} in {:?}", output.stdout);
    }
    Ok(())
}

fn environment_is_exactly_as_configured(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/env", json!(["PATH=/bin", "HOME=/home/x"]));
    let seen = c.probe(&config, &["environment"])?;
    let mut found: Vec<&str> = seen["environment"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    found.sort_unstable();
    same!(found, ["HOME=/home/x", "PATH=/bin"], "the environment");
    // Without any environment at all, the process is found by its whole path.
    let seen = c.probe(&Config::plain().remove("/process/env"), &["environment"])?;
    let found = seen["environment"].as_array().map_or(0, Vec::len);
    ensure!(found <= 2, "{}", seen["environment"]);
    // A string that is no variable.
    for bad in ["NOEQUALS", "=x", ""] {
        let output = c.run(&Config::plain().env(bad))?;
        ensure!(output.status <= 1, "environment {bad:?}: {output:?}");
    }
    Ok(())
}

fn path_is_searched_in_the_container(c: &Context) -> Result<()> {
    let root = c.rootfs();
    fs::create_dir_all(root.join("opt/a"))?;
    fs::create_dir_all(root.join("opt/b"))?;
    for (folder, mode) in [("a", 0o644), ("b", 0o755)] {
        let file = root.join("opt").join(folder).join("tool");
        fs::write(&file, format!("#!/bin/sh\necho from {folder}\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    // What cannot be executed is passed over, as execvp(3) does.
    let config = Config::plain().set("/process/env", json!(["PATH=/nowhere:/opt/a:/opt/b:/bin"])).args(&["tool"]);
    same!(c.run(&config)?.ok()?.stdout, "from b\n", "the tool found");
    // A name with a slash is not searched for, and is relative to the cwd.
    let config = Config::plain().set("/process/cwd", json!("/opt")).args(&["b/tool"]);
    same!(c.run(&config)?.ok()?.stdout, "from b\n", "a relative path");
    // A folder of that name is not a program.
    fs::create_dir_all(root.join("opt/a/dir"))?;
    let config = Config::plain().set("/process/env", json!(["PATH=/opt/a"])).args(&["dir"]);
    c.run(&config)?.error(1, &["$PATH"])?;
    // PATH without a slash in front belongs to the cwd.
    let config =
        Config::plain().set("/process/env", json!(["PATH=b"])).set("/process/cwd", json!("/opt")).args(&["tool"]);
    let output = c.run(&config)?;
    ensure!(output.stdout == "from b\n" || output.status == 1, "{output:?}");
    Ok(())
}

fn not_found_says_so_in_create(c: &Context) -> Result<()> {
    for command in ["create", "run"] {
        for (args, text) in [
            (&["nothing-here"], "executable file not found in $PATH"),
            (&["/bin/nothing-here"], "no such file or directory"),
            (&["./nothing-here"], "no such file or directory"),
        ] {
            c.write(&Config::plain().args(args))?;
            c.call(&[command, &c.id()])?.error(1, &[text])?;
        }
    }
    symlink("/nowhere", c.rootfs().join("bin/dangling"))?;
    c.run(&Config::plain().args(&["/bin/dangling"]))?.error(1, &["no such file or directory"])?;
    Ok(())
}

fn not_executable_says_so_in_create(c: &Context) -> Result<()> {
    fs::write(c.rootfs().join("bin/data"), "text")?;
    fs::set_permissions(c.rootfs().join("bin/data"), fs::Permissions::from_mode(0o644))?;
    c.write(&Config::plain().args(&["/bin/data"]))?;
    c.call(&["create", &c.id()])?.error(1, &["permission denied"])?;
    c.write(&Config::plain().args(&["/bin"]))?;
    let output = c.call(&["create", &c.id()])?.status(1)?;
    ensure!(output.stderr.contains("is a directory") || output.stderr.contains("permission denied"), "{output:?}");
    // A mount without exec.
    let volume = c.folder("v")?;
    fs::copy(c.rootfs().join("bin/busybox"), volume.join("true"))?;
    c.write(&Config::plain().bind(&volume, "/mnt", &["bind", "noexec"]).args(&["/mnt/true"]))?;
    c.call(&["run", &c.id()])?.error(1, &["permission denied"])?;
    Ok(())
}

fn start_reports_what_execve_refuses(c: &Context) -> Result<()> {
    let root = c.rootfs();
    for (name, content, text) in [
        ("noformat", &b"\x01\x02\x03 no format"[..], "exec format error"),
        ("empty", b"", "exec format error"),
        ("nointerpreter", b"#!/nowhere/sh\n", "no such file or directory"),
    ] {
        fs::write(root.join("bin").join(name), content)?;
        fs::set_permissions(root.join("bin").join(name), fs::Permissions::from_mode(0o755))?;
        let id = c.create(&Config::plain().args(&[&format!("/bin/{name}")]))?;
        c.call(&["start", &id])?.error(1, &[text])?;
        c.await_status(&id, "stopped")?;
        c.delete(&id)?;
        c.run(&Config::plain().args(&[&format!("/bin/{name}")]))?.error(1, &[text])?;
    }
    Ok(())
}

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

fn working_directory(c: &Context) -> Result<()> {
    for (cwd, seen) in [("/", "/"), ("/home/alice", "/home/alice"), ("/home/../tmp/.", "/tmp"), ("/proc", "/proc")] {
        let found = c.probe(&Config::plain().set("/process/cwd", json!(cwd)), &["cwd"])?;
        same!(found["cwd"], seen, "the cwd for {cwd}");
    }
    symlink("/home/alice", c.rootfs().join("link"))?;
    same!(c.probe(&Config::plain().set("/process/cwd", json!("/link")), &["cwd"])?["cwd"], "/home/alice", "by a link");
    // A folder only its owner may enter, for that owner.
    fs::set_permissions(c.rootfs().join("home/alice"), fs::Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(c.rootfs().join("home/alice"), Some(1000), Some(1000))?;
    let config = Config::plain().set("/process/cwd", json!("/home/alice"));
    let config = config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    same!(c.probe(&config, &["cwd"])?["cwd"], "/home/alice", "of the user's own");
    Ok(())
}

fn working_directory_that_is_missing(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/cwd", json!("/new/deep/folder"));
    same!(c.probe(&config, &["cwd"])?["cwd"], "/new/deep/folder", "a missing cwd is made");
    fs::write(c.rootfs().join("plain"), "")?;
    c.run(&Config::plain().set("/process/cwd", json!("/plain")))?.error(1, &["not a directory"])?;
    c.run(&Config::plain().set("/process/cwd", json!("relative")))?.error(1, &["process.cwd"])?;
    c.run(&Config::plain().remove("/process/cwd"))?.error(1, &["cwd"])?;
    Ok(())
}

fn working_directory_outside_is_refused(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/cwd", json!("/proc/self/fd/3")).script("pwd; ls");
    let output = c.run(&config)?;
    ensure!(output.status != 0 || !output.stdout.contains("config.json"), "{output:?}");
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

fn rlimits(c: &Context) -> Result<()> {
    let list = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 4_194_304, "hard": 8_388_608},
        {"type": "RLIMIT_CPU", "soft": 1000, "hard": 2000},
        {"type": "RLIMIT_FSIZE", "soft": 1_000_000, "hard": 2_000_000},
    ]);
    let seen = c.probe(&Config::plain().set("/process/rlimits", list), &["limits"])?;
    for (name, value) in [
        ("Max open files", "100 200"),
        ("Max core file size", "0 0"),
        ("Max stack size", "4194304 8388608"),
        ("Max cpu time", "1000 2000"),
        ("Max file size", "1000000 2000000"),
    ] {
        same!(seen["limits"][name], value, "{name}");
    }
    // What is not configured is inherited.
    let own = crate::command::host(&c.dir, "cat", &["/proc/self/limits"])?;
    let seen = c.probe(&Config::plain(), &["limits"])?;
    for line in own.lines().skip(1).filter(|line| line.starts_with("Max open files") || line.starts_with("Max core")) {
        let name = line[..26].trim();
        let values: Vec<_> = line[26..].split_whitespace().take(2).collect();
        same!(seen["limits"][name], json!(values.join(" ")), "{name}, inherited");
    }
    Ok(())
}

fn rlimits_can_be_raised(c: &Context) -> Result<()> {
    let list = json!([
        {"type": "RLIMIT_NOFILE", "soft": 1_048_576, "hard": 1_048_576},
        {"type": "RLIMIT_MEMLOCK", "soft": 18_446_744_073_709_551_615u64, "hard": 18_446_744_073_709_551_615u64},
    ]);
    let seen = c.probe(&Config::plain().set("/process/rlimits", list), &["limits"])?;
    same!(seen["limits"]["Max open files"], "1048576 1048576", "open files");
    same!(seen["limits"]["Max locked memory"], "unlimited unlimited", "locked memory");
    Ok(())
}

fn rlimits_unknown_or_twice(c: &Context) -> Result<()> {
    for list in [
        json!([{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]),
        json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 2, "hard": 2}]),
        json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 5}]),
        json!([{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 5}]),
    ] {
        c.run(&Config::plain().set("/process/rlimits", list))?.error(1, &["process.rlimits"])?;
    }
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

fn oom_score_adj(c: &Context) -> Result<()> {
    for value in [500, 1000] {
        let config = Config::plain().set("/process/oomScoreAdj", json!(value));
        let seen = c.probe(&config, &["process"])?;
        same!(seen["process"]["/proc/self/oom_score_adj"], json!(value.to_string()), "oom_score_adj");
    }
    let own = fs::read_to_string("/proc/self/oom_score_adj")?;
    let seen = c.probe(&Config::plain(), &["process"])?;
    same!(seen["process"]["/proc/self/oom_score_adj"], json!(own.trim()), "oom_score_adj where it is absent");
    for value in [1001, -1001] {
        c.run(&Config::plain().set("/process/oomScoreAdj", json!(value)))?.error(1, &["process.oomScoreAdj"])?;
    }
    Ok(())
}

fn oom_score_adj_below_ours(c: &Context) -> Result<()> {
    let seen = c.probe(&Config::plain().set("/process/oomScoreAdj", json!(-999)), &["process"])?;
    same!(seen["process"]["/proc/self/oom_score_adj"], "-999", "oom_score_adj");
    Ok(())
}

fn signals_are_reset_and_unblocked(c: &Context) -> Result<()> {
    // Engines written in Go and Rust start us with SIGPIPE ignored; a shell
    // that blocks or ignores more is as good a caller.
    c.write(&Config::plain().args(&["grep", "^Sig[BIC]", "/proc/self/status"]))?;
    let id = c.id();
    let helper = std::env::current_exe()?;
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' PIPE HUP USR1 INT QUIT TERM CHLD 34 64; exec \"$@\"", "sh"]).arg(helper);
    command.args(["--helper", "block", "1", "2", "10", "12", "14", "15", "17", "--"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["run", &id]);
    c.surroundings(&mut command);
    let output = c.finish(command)?.ok()?;
    for line in output.lines() {
        let (name, mask) = line.split_once(':').context("no colon")?;
        ensure!(u64::from_str_radix(mask.trim(), 16)? == 0, "{name} is {mask}");
    }
    same!(output.lines().len(), 3, "lines");
    Ok(())
}

fn standard_streams_belong_to_the_user(c: &Context) -> Result<()> {
    // A user who is not root may open /dev/stdout again, as shells and nginx do.
    let config = Config::plain().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let config = config.script("echo again > /dev/stdout; echo err > /dev/stderr; echo $?");
    c.write(&config)?;
    let mut command = c.command(&["run", &c.id()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output()?;
    same!(String::from_utf8_lossy(&output.stdout), "again\n0\n", "standard output, a pipe");
    same!(String::from_utf8_lossy(&output.stderr), "err\n", "standard error, a pipe");
    // The null device stays root's: it is everybody's.
    let before = fs::metadata("/dev/null")?;
    c.write(&config)?;
    let mut command = c.command(&["run", &c.id()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status()?;
    let after = fs::metadata("/dev/null")?;
    same!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()), "/dev/null");
    Ok(())
}

fn descriptors(seen: &Value) -> Vec<String> {
    seen["descriptors"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(String::from)).collect()
}

fn only_three_descriptors(c: &Context) -> Result<()> {
    // Whatever the caller left open without CLOEXEC.
    c.write(&Config::plain().args(&["/probe", "descriptors"]))?;
    let mut command = Command::new("bash");
    command.args(["-c", "exec 3</etc/passwd 7</ 9</proc/self/ns/net 200</dev/null; exec \"$@\"", "bash"]);
    command.arg(&c.program).arg("--root").arg(c.state_dir()).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let found = descriptors(&c.finish(command)?.ok()?.json()?);
    same!(found.len(), 3, "descriptors {found:?}");
    ensure!(found[0].starts_with("0 ") && found[1].starts_with("1 ") && found[2].starts_with("2 "), "{found:?}");
    Ok(())
}

fn preserved_descriptors(c: &Context) -> Result<()> {
    fs::write(c.dir.join("three"), "three\n")?;
    fs::write(c.dir.join("four"), "four\n")?;
    c.write(&Config::plain().script("cat <&3; cat <&4; /probe descriptors"))?;
    let with = |flags: &[&str], opened: &str| -> Result<crate::command::Output> {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("exec {opened}; exec \"$@\""), "bash"]).arg(&c.program);
        command.arg("--root").arg(c.state_dir()).arg("run").args(flags).arg(c.id());
        c.surroundings(&mut command);
        command.current_dir(c.bundle());
        c.finish(command)
    };
    let output = with(&["--preserve-fds", "2"], "3<../three 4<../four 5</")?.ok()?;
    ensure!(output.stdout.starts_with("three\nfour\n"), "{:?}", output.stdout);
    let last: Value = serde_json::from_str(output.lines().last().copied().unwrap_or_default())?;
    same!(descriptors(&last).len(), 5, "descriptors {last}");
    let output = with(&["--preserve-fds=1"], "3<../three 4<../four")?;
    ensure!(output.stdout.starts_with("three\n") && !output.stdout.contains("four\n"), "{:?}", output.stdout);
    // One that is not open is an error before anything happens.
    with(&["--preserve-fds", "3"], "3<../three")?.error(1, &["preserve"])?;
    with(&["--preserve-fds", "-1"], "3<../three")?.status(1)?;
    with(&["--preserve-fds", "many"], "3<../three")?.status(1)?;
    Ok(())
}

fn listen_fds(c: &Context) -> Result<()> {
    fs::write(c.dir.join("three"), "three\n")?;
    c.write(&Config::plain().script("cat <&3; echo \"$LISTEN_FDS $LISTEN_PID\"; /probe descriptors"))?;
    let mut command = Command::new("bash");
    command.args(["-c", "exec 3<../three; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "bash"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let output = c.finish(command)?.ok()?;
    let lines = output.lines();
    same!(lines[0], "three", "what descriptor 3 holds");
    same!(lines[1], "1 1", "LISTEN_FDS and LISTEN_PID");
    same!(descriptors(&serde_json::from_str(lines[2])?).len(), 4, "descriptors {}", lines[2]);
    Ok(())
}

fn session_of_its_own(c: &Context) -> Result<()> {
    let seen = c.probe(&Config::plain(), &["session"])?;
    for name in ["pid", "pgrp", "session"] {
        ensure!(seen["session"][name] == "1" || seen["session"][name] == 1, "{name} in {}", seen["session"]);
    }
    same!(seen["session"]["tty_nr"], "0", "controlling terminal");
    same!(seen["session"]["ppid"], "0", "parent");
    Ok(())
}

fn arguments_are_passed_exactly(c: &Context) -> Result<()> {
    let odd = ["", " ", "a b", "\"quoted\"", "é€😀", "\n", "$HOME", "-x", "--", "\\"];
    let mut args = vec!["/probe", "arguments"];
    args.extend(odd);
    let output = c.run(&Config::plain().args(&args))?.ok()?;
    let seen: Value = output.json()?;
    let found: Vec<&str> = seen["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    same!(found[2..], odd[..], "the arguments");
    c.run(&Config::plain().set("/process/args", json!([])))?.error(1, &["process.args"])?;
    c.run(&Config::plain().remove("/process/args"))?.error(1, &["process"])?;
    c.run(&Config::plain().args(&[""]))?.status(1)?;
    // A NUL cannot be passed on.
    c.run(&Config::plain().args(&["echo", "a\u{0}b"]))?.error(1, &["process.args[1]"])?;
    Ok(())
}

fn many_arguments(c: &Context) -> Result<()> {
    let mut args = vec!["sh", "-c", "echo $#", "sh"];
    let word = "word".to_string();
    args.extend(std::iter::repeat_n(word.as_str(), 20_000));
    same!(c.run(&Config::plain().args(&args))?.ok()?.stdout, "20000\n", "number of arguments");
    // Longer than the kernel takes (MAX_ARG_STRLEN).
    let long = "x".repeat(140_000);
    c.run(&Config::plain().args(&["true", &long]))?.error(1, &["argument list too long"])?;
    Ok(())
}

fn first_process_is_number_one(c: &Context) -> Result<()> {
    let seen = c.probe(&Config::plain(), &["processes"])?;
    same!(seen["processes"], json!(["1 probe"]), "processes");
    Ok(())
}

fn no_zombie_is_left_by_the_runtime(c: &Context) -> Result<()> {
    // After `create` the only process of ours is the one that waits.
    let id = c.create(&Config::plain().args(&["sleep", "1000"]))?;
    let found: Vec<u32> = serde_json::from_value(c.call(&["ps", "-f", "json", &id])?.ok()?.json()?)?;
    same!(found, [c.pid(&id)?], "processes of a created container");
    let ours: Vec<u32> = crate::kernel::children();
    same!(ours, [c.pid(&id)?], "orphans of `create`");
    c.delete(&id)
}

fn not_dumpable_is_undone(c: &Context) -> Result<()> {
    // A process of root's that may not be dumped cannot look at itself: the
    // files in /proc/self belong to root all the same, so a user shows it.
    let config = Config::plain().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let config = config.args(&["stat", "-c", "%u", "/proc/self/status", "/proc/self/fd"]);
    same!(c.run(&config)?.ok()?.stdout, "1000\n1000\n", "owner of the process's own files");
    Ok(())
}

fn scheduling_fields_or_an_error(c: &Context) -> Result<()> {
    // Carried out or refused by name, never dropped.
    for (field, value) in [
        ("scheduler", json!({"policy": "SCHED_BATCH", "nice": 5})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6})),
        ("execCPUAffinity", json!({"initial": "0", "final": "0"})),
    ] {
        let output = c.run(&Config::plain().set(&format!("/process/{field}"), value).args(&["/probe", "session"]))?;
        if output.status == 0 {
            if field == "scheduler" {
                same!(output.json()?["session"]["policy"], "3", "the scheduling policy");
            }
        } else {
            output.error(1, &[&format!("process.{field}")])?;
        }
    }
    Ok(())
}
