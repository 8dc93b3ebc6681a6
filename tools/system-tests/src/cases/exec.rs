//! `exec`, the second way into a container: its flags, and the process it makes.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;

cases!("exec":
    gives_the_process_status,
    gives_128_and_the_signal,
    own_errors_give_255,
    reaps_a_process_that_does_not_start,
    passes_standard_input_and_output,
    inherits_the_containers_process,
    cwd,
    env,
    user,
    additional_groups,
    capabilities_are_added,
    no_new_privileges,
    process_file,
    process_file_that_leaves_things_out,
    process_file_that_is_wrong,
    process_file_from_a_pipe,
    preserved_descriptors,
    only_three_descriptors,
    forwards_signals,
    flags_that_make_no_sense,
    words_after_the_command_are_its_own,
    does_not_lead_the_containers_session,
);

fn gives_the_process_status(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for status in [0, 1, 42, 126, 127, 254] {
        c.exec(&id, &["sh", "-c", &format!("exit {status}")])?.status(status)?;
    }
    c.delete(&id)
}

fn gives_128_and_the_signal(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for (name, number) in [("TERM", 15), ("KILL", 9), ("INT", 2)] {
        let output = c.exec(&id, &["sh", "-c", &format!("kill -{name} $$")])?.status(128 + number)?;
        same!(output.signal, None, "the runtime itself exits");
    }
    c.delete(&id)
}

fn own_errors_give_255(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    c.exec(&id, &["nothing-here"])?.error(255, &["executable file not found in $PATH"])?;
    c.exec(&id, &["/nothing/here"])?.error(255, &["no such file or directory"])?;
    c.exec(&id, &["/etc/passwd"])?.error(255, &["permission denied"])?;
    fs::write(c.rootfs().join("bin/bad"), "\x01\x02")?;
    fs::set_permissions(c.rootfs().join("bin/bad"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    c.exec(&id, &["/bin/bad"])?.error(255, &["exec format error"])?;
    c.call(&["exec", "--cwd", "/etc/passwd", &id, "true"])?.error(255, &["not a directory"])?;
    // Which engines make status 127 of. Only a container's own process has its folder made.
    c.call(&["exec", "--cwd", "/nowhere", &id, "true"])?.error(255, &["/nowhere", "no such file or directory"])?;
    ensure!(!c.rootfs().join("nowhere").exists(), "exec has made the folder");
    c.delete(&id)
}

/// Left to others, it would keep the container from ending until they reap it.
fn reaps_a_process_that_does_not_start(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    fs::write(c.rootfs().join("bin/bad"), "\x01\x02")?;
    fs::set_permissions(c.rootfs().join("bin/bad"), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for flags in [&[][..], &["-d"]] {
        for program in ["/bin/bad", "/nothing/here"] {
            let running = c.spawn(&[&["exec"], flags, &[&id, program]].concat())?;
            running.finish()?.status(255)?;
            same!(kernel::zombies(), [0u32; 0], "what `exec` of {program} leaves to be reaped");
        }
    }
    c.delete(&id)
}

fn process_file_from_a_pipe(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let mut command = Command::new("bash");
    let script = r#"exec "$@" -p <(sleep 0.2; echo '{"args": ["/bin/echo", "hello"], "cwd": "/"}') "$ID""#;
    command.args(["-c", script, "bash"]).arg(&c.program).arg("--root").arg(c.state_dir()).arg("exec").env("ID", &id);
    c.surroundings(&mut command);
    same!(c.finish(command)?.ok()?.stdout, "hello\n", "output");
    c.delete(&id)
}

fn passes_standard_input_and_output(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let mut command = c.command(&["exec", &id, "sh", "-c", "cat; echo error >&2"]);
    command.stdin(crate::command::input(&c.dir, b"input\n")?);
    let output = c.finish(command)?.ok()?;
    same!((&*output.stdout, &*output.stderr), ("input\n", "error\n"), "the streams");
    c.delete(&id)
}

/// What the probe sees when it is executed with these flags.
pub(super) fn probe(c: &Context, id: &str, flags: &[&str], sections: &[&str]) -> Result<Value> {
    let mut arguments = vec!["exec"];
    arguments.extend(flags);
    arguments.extend([id, "/probe"]);
    arguments.extend(sections);
    c.call(&arguments)?.ok()?.json()
}

fn inherits_the_containers_process(c: &Context) -> Result<()> {
    let config = Config::plain()
        .env("FROM=config")
        .set("/process/cwd", json!("/home"))
        .set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [9], "umask": 0o27}))
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]))
        .set("/process/oomScoreAdj", json!(321))
        .args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let seen = probe(c, &id, &[], &["status", "environment", "cwd", "limits", "process", "session"])?;
    same!(seen["cwd"], "/home", "cwd");
    same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
    same!(seen["status"]["Gid"], "1001 1001 1001 1001", "Gid");
    same!(seen["status"]["NoNewPrivs"], "1", "NoNewPrivs");
    same!(seen["status"]["CapBnd"], "0000000020000420", "CapBnd");
    same!(seen["limits"]["Max open files"], "77 88", "open files");
    same!(seen["process"]["/proc/self/oom_score_adj"], "321", "oom_score_adj");
    holds!(seen["environment"].to_string(), "FROM=config", "the environment");
    ensure!(seen["session"]["pid"] != 1, "the pid {}", seen["session"]["pid"]);
    c.delete(&id)
}

fn cwd(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    same!(probe(c, &id, &["--cwd", "/tmp"], &["cwd"])?["cwd"], "/tmp", "--cwd /tmp");
    same!(probe(c, &id, &["--cwd=/etc"], &["cwd"])?["cwd"], "/etc", "--cwd=/etc");
    c.delete(&id)
}

fn env(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().env("A=config").env("B=config").args(&["sleep", "1000"]))?;
    let seen = probe(c, &id, &["-e", "A=flag", "--env", "C=flag", "-e", "C=later", "--env=D="], &["environment"])?;
    let found: Vec<&str> = seen["environment"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for variable in ["A=flag", "B=config", "C=later", "D="] {
        same!(found.iter().filter(|v| **v == variable).count(), 1, "{variable} in {found:?}");
    }
    ensure!(!found.contains(&"A=config") && !found.contains(&"C=flag"), "{found:?}");
    c.delete(&id)
}

fn user(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let seen = probe(c, &id, &["--user", "1000:1001"], &["status", "environment"])?;
    same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
    same!(seen["status"]["Gid"], "1001 1001 1001 1001", "Gid");
    holds!(seen["environment"].to_string(), "HOME=/home/alice", "HOME");
    let seen = probe(c, &id, &["-u", "1234"], &["status"])?;
    same!(seen["status"]["Uid"], "1234 1234 1234 1234", "Uid");
    same!(seen["status"]["Gid"], "0 0 0 0", "Gid");
    for bad in ["alice", "-1", "4294967296", "4294967295", "1:", ":1", "1:x", "1:2:3", "0x10", "", " 1"] {
        let output = c.call(&["exec", "--user", bad, &id, "true"])?;
        ensure!(output.status != 0, "--user {bad:?} ended with 0");
    }
    c.delete(&id)
}

fn additional_groups(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/user", json!({"uid": 0, "gid": 0, "additionalGids": [5]}));
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    let seen = probe(c, &id, &["-g", "10", "--additional-gids", "20"], &["status"])?;
    same!(seen["status"]["Groups"], "5 10 20", "Groups");
    c.delete(&id)
}

fn capabilities_are_added(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let seen = probe(c, &id, &["-c", "CAP_CHOWN", "--cap", "CAP_SETUID"], &["status"])?;
    let mask = |name: &str| u64::from_str_radix(seen["status"][name].as_str().unwrap_or("x"), 16).unwrap_or(0);
    for name in ["CapBnd", "CapEff", "CapPrm"] {
        same!(mask(name), 0x2000_0420 | 1 | 1 << 7, "{name}");
    }
    same!(mask("CapInh"), 0, "CapInh (CVE-2022-29162)");
    same!(mask("CapAmb"), 0, "CapAmb");
    let output = c.call(&["exec", "--cap", "CAP_NONSENSE", &id, "true"])?;
    ensure!(output.stderr.contains("CAP_NONSENSE"), "{output:?}");
    c.delete(&id)
}

fn no_new_privileges(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/noNewPrivileges", json!(false)).args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    same!(probe(c, &id, &[], &["status"])?["status"]["NoNewPrivs"], "0", "NoNewPrivs");
    same!(probe(c, &id, &["--no-new-privs"], &["status"])?["status"]["NoNewPrivs"], "1", "NoNewPrivs");
    c.delete(&id)
}

fn process_file(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let file = c.dir.join("process.json");
    let process = json!({
        "terminal": false,
        "user": {"uid": 1000, "gid": 7, "additionalGids": [8, 9]},
        "args": ["/probe", "status", "environment", "cwd", "limits", "arguments"],
        "env": ["PATH=/bin", "ONLY=this"],
        "cwd": "/tmp",
        "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "permitted": ["CAP_KILL"],
            "effective": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}],
        "noNewPrivileges": true,
    });
    fs::write(&file, process.to_string())?;
    for flag in ["--process", "-p"] {
        let seen = c.call(&["exec", flag, &file.to_string_lossy(), &id])?.ok()?.json()?;
        same!(seen["status"]["Uid"], "1000 1000 1000 1000", "Uid");
        same!(seen["status"]["Groups"], "8 9", "Groups");
        same!(seen["status"]["CapAmb"], "0000000000000020", "CapAmb");
        same!(seen["cwd"], "/tmp", "cwd");
        same!(seen["limits"]["Max open files"], "55 66", "open files");
        holds!(seen["environment"].to_string(), "ONLY=this", "the environment");
    }
    c.delete(&id)
}

fn process_file_that_leaves_things_out(c: &Context) -> Result<()> {
    let config = Config::plain()
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]))
        .set("/process/oomScoreAdj", json!(321))
        .args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let file = c.dir.join("process.json");
    let args = json!(["/probe", "status", "limits", "process"]);
    let plain = json!({"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/"});
    let with = |name: &str, value: Value| {
        let mut process = plain.clone();
        process[name] = value;
        process
    };
    let own = ["0000000020000420", "1", "77 88", "321"];
    for (process, expected) in [
        (plain.clone(), own),
        (with("rlimits", json!([])), own),
        (with("capabilities", json!({})), ["0000000000000000", own[1], own[2], own[3]]),
        (with("noNewPrivileges", json!(false)), [own[0], "0", own[2], own[3]]),
        (
            with("rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 70, "hard": 80}])),
            [own[0], own[1], "70 80", own[3]],
        ),
        (with("oomScoreAdj", json!(0)), [own[0], own[1], own[2], "0"]),
    ] {
        fs::write(&file, process.to_string())?;
        let seen = c.call(&["exec", "--process", &file.to_string_lossy(), &id])?.ok()?.json()?;
        let seen = [
            &seen["status"]["CapBnd"],
            &seen["status"]["NoNewPrivs"],
            &seen["limits"]["Max open files"],
            &seen["process"]["/proc/self/oom_score_adj"],
        ];
        same!(seen, expected, "capabilities, no_new_privs, limit and score with {process}");
    }
    c.delete(&id)
}

fn process_file_that_is_wrong(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let file = c.dir.join("process.json");
    let path = file.to_string_lossy().into_owned();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{\"args\": [\"true\"]}",
        "{\"cwd\": \"/\"}",
        "{\"cwd\": \"/\", \"args\": []}",
        "{\"cwd\": \"/\", \"args\": [\"true\"], \"user\": {\"uid\": \"0\"}}",
        "{\"cwd\": \"relative\", \"args\": [\"true\"], \"user\": {\"uid\": 0, \"gid\": 0}}",
    ] {
        fs::write(&file, text)?;
        c.call(&["exec", "--process", &path, &id])?.error(255, &["process.json"])?;
    }
    fs::remove_file(&file)?;
    c.call(&["exec", "--process", &path, &id])?.error(255, &["process.json", "no such file or directory"])?;
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn preserved_descriptors(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    fs::write(c.dir.join("three"), "three\n")?;
    let mut command = Command::new("bash");
    command.args(["-c", "exec 3<../three 4</; exec \"$@\"", "bash"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["exec", "--preserve-fds", "1", &id]);
    command.args(["sh", "-c", "cat <&3; /probe descriptors"]);
    c.surroundings(&mut command);
    let output = c.finish(command)?.ok()?;
    same!(output.lines()[0], "three", "descriptor 3");
    let seen: Value = serde_json::from_str(output.lines()[1])?;
    same!(seen["descriptors"].as_array().map_or(0, Vec::len), 4, "descriptors {seen}");
    c.delete(&id)
}

fn only_three_descriptors(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let mut command = Command::new("bash");
    command.args(["-c", "exec 3</etc/passwd 7</ 99</proc/self/ns/net; exec \"$@\"", "bash"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["exec", &id, "/probe", "descriptors"]);
    c.surroundings(&mut command);
    let seen = c.finish(command)?.ok()?.json()?;
    same!(seen["descriptors"].as_array().map_or(0, Vec::len), 3, "descriptors {seen}");
    c.delete(&id)
}

fn forwards_signals(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let script = "trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let running = c.spawn(&["exec", &id, "sh", "-c", script])?;
    c.until("the process to be ready", || Ok(running.capture.stdout().contains("ready")))?;
    crate::context::signal(running.pid(), rustix::process::Signal::TERM)?;
    let output = running.finish()?.status(5)?;
    holds!(output.stdout, "term", "what the process said");
    same!(c.state(&id)?["status"], "running", "status of the container");
    c.delete(&id)
}

fn flags_that_make_no_sense(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for flags in [
        &["--nonsense"] as &[&str],
        &["--user"],
        &["--preserve-fds", "x"],
        &["--preserve-fds", "-1"],
        &["--preserve-fds", "99999999999"],
        &["--cwd", "relative"],
        &["-g", "x"],
        &["-g", "4294967295"],
    ] {
        let mut arguments = vec!["exec"];
        arguments.extend(flags);
        arguments.extend([&*id, "true"]);
        let output = c.call(&arguments)?;
        ensure!(output.status != 0 && !output.stderr.is_empty(), "{flags:?}: {output:?}");
    }
    let output = c.call(&["exec", &id])?;
    ensure!(output.status != 0, "exec without a command: {output:?}");
    c.delete(&id)
}

fn words_after_the_command_are_its_own(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    same!(c.exec(&id, &["echo", "-d", "--user", "x", "-h"])?.ok()?.stdout, "-d --user x -h\n", "flags of the command");
    c.delete(&id)
}

fn does_not_lead_the_containers_session(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let seen = probe(c, &id, &[], &["session"])?;
    same!(seen["session"]["session"], json!(seen["session"]["pid"].to_string()), "a session of its own");
    same!(seen["session"]["tty_nr"], "0", "controlling terminal");
    c.delete(&id)
}
