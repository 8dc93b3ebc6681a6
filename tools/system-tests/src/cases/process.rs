//! The process itself: what it runs, as whom, and in which condition it finds
//! itself when it starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::{CAP_SYS_RESOURCE, Need};
use crate::context::Context;

cases!("process":
    the_last_of_duplicate_variables_wins proves ["process.env[]"],
    environment_is_exactly_as_configured proves ["process.env[]"],
    path_is_searched_in_the_container,
    not_found_says_so_in_create,
    not_executable_says_so_in_create,
    start_reports_what_execve_refuses,
    working_directory proves ["process.cwd"],
    working_directory_that_is_missing,
    working_directory_outside_is_refused,
    rlimits proves ["process.rlimits[].hard", "process.rlimits[].soft", "process.rlimits[].type"],
    rlimits_can_be_raised [Need::Capability(CAP_SYS_RESOURCE)] proves [
        "process.rlimits[].hard", "process.rlimits[].soft", "process.rlimits[].type",
    ],
    rlimits_of_few_descriptors proves ["process.rlimits[].hard", "process.rlimits[].soft"],
    rlimits_unknown_or_twice,
    oom_score_adj proves ["process.oomScoreAdj"],
    oom_score_adj_below_ours [Need::Capability(CAP_SYS_RESOURCE)] proves ["process.oomScoreAdj"],
    signals_are_reset_and_unblocked,
    session_of_its_own,
    arguments_are_passed_exactly proves ["process.args[]"],
    many_arguments proves ["process.args[]"],
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
    // Some engines know 126 by the one, others by the other.
    c.call(&["create", &c.id()])?.error(1, &["permission denied", "is a directory"])?;
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
    let config = Config::plain().set("/root/readonly", json!(true)).mount("/mnt", "tmpfs", "tmpfs", &["ro"]);
    for cwd in ["/other/one", "/mnt/one"] {
        let config = config.clone().set("/process/cwd", json!(cwd)).script("pwd; touch x");
        let output = c.run(&config)?.status(1)?;
        same!(output.stdout, format!("{cwd}\n"), "one that is made before all is read-only");
        holds!(output.stderr, "Read-only", "writing there");
    }
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

fn rlimits_of_few_descriptors(c: &Context) -> Result<()> {
    for (soft, hard) in [(3, 3), (3, 4000), (63, 63), (4, 5)] {
        let config =
            Config::plain().set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}]));
        for config in [config.clone(), config.user_namespace(100_000, 65_536)] {
            let id = c.create(&config.args(&["sleep", "1000"]))?;
            same!(c.state(&id)?["status"], "created", "the status with {soft} descriptors");
            c.call(&["start", &id])?.ok()?;
            let text = fs::read_to_string(format!("/proc/{}/limits", c.pid(&id)?))?;
            let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
            let found: Vec<&str> = line[26..].split_whitespace().take(2).collect();
            same!(found, [soft.to_string(), hard.to_string()], "its limits");
            c.delete(&id)?;
        }
    }
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
