//! The command `ociboot run`: statuses, reports, signals, terminals, other users.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::tcgetattr;
use serde_json::Value;

use crate::context::{Context, name, need};

cases!("commands":
    reports_of_tap,
    as_nobody,
    a_terminal,
    units_at_a_terminal,
    in_the_background,
    told_to_stop,
    killed,
    mistakes,
    output_that_cannot_be_written,
);

fn reports_of_tap(context: &Context) -> Result<()> {
    let root = context.root()?.display().to_string();
    let script =
        "echo TAP version 13; echo 1..3; echo ok 1 - one; echo '# why'; echo not ok 2 - two; echo ok 3 '# SKIP'";
    let arguments = ["--tap", "--json", "r.json", "--junit", "r.xml", "--env", "A=b", &root, "--", "sh", "-c", script];
    let output = context.command(&arguments)?.output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "the status is {:?}: {errors}", output.status);
    ensure!(errors.contains("TAP: 1 passed, 1 failed, 1 skipped"), "{errors}");
    let report: Value = serde_json::from_slice(&fs::read(context.folder.join("r.json"))?)?;
    ensure!(report["status"] == 0 && report["outcome"]["result"] == "exit", "{report}");
    ensure!(report["tap"]["tests"][1]["verdict"] == "failed", "{report}");
    let time = |name: &str| report["guest_microseconds"][name].as_u64();
    let times = ["init", "start", "started", "outcome"].map(time);
    ensure!(times[0] > Some(0) && times.is_sorted(), "{report}");
    ensure!(report["events"][0]["event"] == "starting", "{report}");
    let xml = fs::read_to_string(context.folder.join("r.xml"))?;
    ensure!(xml.contains(r#"tests="4" failures="1" skipped="1""#) && xml.contains("why"), "{xml}");
    Ok(())
}

fn as_nobody(context: &Context) -> Result<()> {
    need("setpriv")?;
    fs::set_permissions(context.folder, fs::Permissions::from_mode(0o777))?;
    // Where the tests' kernel and programs are, nobody else can go.
    let root = context.root()?.display().to_string();
    let inner = context.command(&[&root, "--", "sh", "-c", "id -u; exit 3"])?;
    let copy = |path: &std::path::Path, name: &str| -> Result<String> {
        let target = context.folder.join(name);
        fs::copy(path, &target)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
        Ok(target.display().to_string())
    };
    let program = copy(std::path::Path::new(inner.get_program()), "ociboot")?;
    let ocinit = copy(&context.setup.ocinit, "ocinit")?;
    let kernel = copy(&context.setup.kernel.image, "vmlinuz")?;
    let modules = context.folder.join("modules");
    let from = context.setup.kernel.modules.clone().context("the kernel has no modules")?;
    crate::context::run_tool(Command::new("cp").arg("-r").arg(from).arg(&modules))?;
    crate::context::run_tool(Command::new("chmod").args(["-R", "a+rX"]).arg(&modules))?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]);
    command.args([&program, "run", "--ocinit", &ocinit, "--kernel", &kernel, "--modules"]).arg(&modules);
    command.args([
        "--machine",
        name(context.machine),
        "--boot-timeout",
        "120s",
        &root,
        "--",
        "sh",
        "-c",
        "id -u; exit 3",
    ]);
    let output = command.env("TMPDIR", context.folder).env("HOME", "/nonexistent").stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(3) && output.stdout == b"0\n", "{:?} {errors}", output.status);
    Ok(())
}

/// The two ends of a terminal: the user's, and the one that programs have.
fn terminal() -> Result<(OwnedFd, File)> {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let path = rustix::pty::ptsname(&master, Vec::new())?.into_string()?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(path, flags, Mode::empty())?;
    Ok((master, slave.into()))
}

/// All that is written to a terminal, until nobody has it open.
fn written(master: OwnedFd) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut reader, mut bytes) = (File::from(master), Vec::new());
        let _ = reader.read_to_end(&mut bytes); // its end is EIO
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn units_at_a_terminal(context: &Context) -> Result<()> {
    let (master, slave) = terminal()?;
    let config = context.config("exit 0")?;
    context.bundle("tree/containers/onboot/000-one", &config)?;
    let before = tcgetattr(&slave)?.local_modes;
    let mut command = context.command(&["tree"])?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?).env("TERM", "xterm");
    let mut child = command.spawn()?;
    drop(command);
    let said = written(master);
    let status = child.wait()?;
    let after = tcgetattr(&slave)?.local_modes;
    drop(slave);
    let said = said.join().unwrap_or_default();
    ensure!(status.success(), "the status is {status}: {said}");
    ensure!(after == before, "the terminal was changed");
    Ok(())
}

fn in_the_background(context: &Context) -> Result<()> {
    need("setsid")?;
    let (master, slave) = terminal()?;
    let root = context.root()?.display().to_string();
    let inner = context.command(&[&root, "--", "sh", "-c", "cat; echo the end; exit 6"])?;
    // A session with that terminal, whose shell has a job beside itself.
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", "sh", "-mc", "\"$@\" & wait $!; echo ended with $?", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?);
    command.env("TMPDIR", context.folder).current_dir(context.folder);
    let mut typed = File::from(master.try_clone()?);
    typed.write_all(b"for the shell\n")?;
    let mut child = command.spawn()?;
    drop((command, slave));
    let said = written(master).join().unwrap_or_default();
    let status = child.wait()?;
    ensure!(said.contains("ended with 6") && said.contains("the end"), "{status}: {said}");
    Ok(())
}

fn a_terminal(context: &Context) -> Result<()> {
    let (master, slave) = terminal()?;
    let size = rustix::termios::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size)?;
    let before = tcgetattr(&slave)?.local_modes;
    let root = context.root()?.display().to_string();
    let mut command = context.command(&[&root, "--", "sh"])?;
    let mut child = command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave.try_clone()?).spawn()?;
    let mut writer = File::from(master.try_clone()?);
    writer.write_all(b"")?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut reader = File::from(master);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut piece) {
            if sender.send(piece[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let mut until = |part: &str| -> Result<()> {
        let end = Instant::now() + Duration::from_secs(120);
        while !seen.contains(part) {
            let left = end.saturating_duration_since(Instant::now());
            let bytes = receiver.recv_timeout(left).with_context(|| format!("no {part:?} in {seen:?}"))?;
            seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ok(())
    };
    let mut talk = || -> Result<()> {
        until("# ")?;
        writer.write_all(b"echo $((6*7))-$(tty); stty size\r")?;
        until("42-/dev/pts/0")?;
        until("33 77")?;
        writer.write_all(b"exit 5\r")?;
        Ok(())
    };
    let talked = talk();
    if talked.is_err() {
        let _ = child.kill();
    }
    let status = child.wait()?;
    talked?;
    ensure!(status.code() == Some(5), "the status is {status}");
    ensure!(tcgetattr(&slave)?.local_modes == before, "the terminal was left as it was for the guest");
    Ok(())
}

/// Starts a guest that goes on for ever; returns once its command runs.
fn endless(context: &Context) -> Result<std::process::Child> {
    let root = context.root()?.display().to_string();
    let mut command = context.command(&[&root, "--", "sh", "-c", "echo begun; sleep 1000"])?;
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("it is a pipe")?).read_line(&mut line)?;
    if line != "begun\n" {
        let _ = child.kill();
        let status = child.wait()?;
        anyhow::bail!("it did not begin: {line:?}, {status}");
    }
    Ok(child)
}

/// QEMUs that belong to a process.
fn children(parent: u32) -> Vec<u32> {
    let fits = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        fields.get(1) == Some(&parent.to_string().as_str())
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(fits).collect()
}

fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn stopped_by(context: &Context, signal: Signal, expected: Option<i32>) -> Result<()> {
    let mut child = endless(context)?;
    let guests = children(child.id());
    let pid = Pid::from_child(&child);
    kill_process(pid, signal)?;
    let status = child.wait()?;
    ensure!(guests.len() == 1, "its children are {guests:?}");
    ensure!(status.code() == expected, "the status is {status}");
    let end = Instant::now() + Duration::from_secs(5);
    while !guests.iter().all(|guest| is_gone(*guest)) {
        ensure!(Instant::now() < end, "QEMU goes on without it");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn left_in(context: &Context) -> Result<Vec<String>> {
    let names = fs::read_dir(context.folder)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name != "root").collect())
}

fn told_to_stop(context: &Context) -> Result<()> {
    stopped_by(context, Signal::TERM, Some(143))?;
    let left = left_in(context)?;
    ensure!(left.is_empty(), "it left {left:?}");
    Ok(())
}

fn killed(context: &Context) -> Result<()> {
    stopped_by(context, Signal::KILL, None)
}

fn mistakes(context: &Context) -> Result<()> {
    let root = context.root()?.display().to_string();
    for (arguments, part) in [
        (&["no-such-source"][..], "no-such-source"),
        (&["--artifact", "relative:x", &root], "must begin with a slash"),
        (&["--share", "no-such-folder:/x", &root, "--", "true"], "no-such-folder"),
    ] {
        let output = context.command(&[])?.args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(errors.contains(part), "{arguments:?}: {errors}");
        ensure!(output.status.code() == Some(125), "{arguments:?}: the status is {}", output.status);
    }
    let left = left_in(context)?;
    ensure!(left.is_empty(), "it left {left:?}");
    Ok(())
}

fn output_that_cannot_be_written(context: &Context) -> Result<()> {
    let root = context.root()?.display().to_string();
    let mut command = context.command(&[&root, "--", "sh", "-c", "echo lost; exit 0"])?;
    let output = command.stdout(File::options().write(true).open("/dev/full")?).output()?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(errors.contains("standard output could not be written as a whole: No space left on device"), "{errors}");
    ensure!(output.status.code() == Some(125), "the status is {}", output.status);
    Ok(())
}
