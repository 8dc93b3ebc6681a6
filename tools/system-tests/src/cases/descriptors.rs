//! What the process finds open, and to whom it belongs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;

cases!("descriptors":
    standard_streams_belong_to_the_user,
    only_three_descriptors,
    preserved_descriptors,
    listen_fds,
    listen_fds_of_another_process,
);

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

/// An engine that was itself started for a socket hands its environment down.
fn listen_fds_of_another_process(c: &Context) -> Result<()> {
    c.write(&Config::plain().script("echo \"$LISTEN_FDS\"; /probe descriptors"))?;
    let mut command = c.command(&["run", &c.id()]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let output = c.finish(command)?.ok()?;
    same!(output.lines()[0], "", "LISTEN_FDS");
    same!(descriptors(&serde_json::from_str(output.lines()[1])?).len(), 3, "descriptors");
    Ok(())
}
