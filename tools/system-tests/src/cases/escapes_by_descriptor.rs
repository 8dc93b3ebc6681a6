//! Attacks by what a process of ours holds while it enters a container: its
//! binary, its folders, its descriptors.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tracer::{Action, Event, Tracer, Until};

use crate::bundle::Config;
use crate::context::Context;

cases!("escapes":
    cve_2016_9962_the_joining_process_shows_nothing_of_the_host,
    the_joining_process_has_no_more_rights_than_it_needs,
    cve_2019_5736_the_binary_cannot_be_overwritten,
    cve_2019_5736_the_binary_is_no_entry_point,
    cve_2024_21626_no_descriptor_for_the_cwd,
    cve_2024_21626_no_descriptor_for_execs_cwd,
    nothing_is_made_through_a_descriptor,
    no_program_passes_for_the_runtime,
);

fn cve_2016_9962_the_joining_process_shows_nothing_of_the_host(c: &Context) -> Result<()> {
    // A loop inside looks at every process that appears, while others join.
    let script = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue
        for f in $p/fd/*; do readlink $f; done; readlink $p/cwd; readlink $p/root; readlink $p/exe; done; done 2>/dev/null";
    for ptrace in [false, true] {
        let mut names = vec!["CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"];
        if ptrace {
            // Who may trace all sees every process; folders of the host must
            // not be among what they hold all the same.
            names.push("CAP_SYS_PTRACE");
        }
        c.write(&Config::plain().capabilities(&names).script(script))?;
        let id = c.id();
        let capture = crate::command::Capture::new(&c.dir);
        let mut command = c.command(&["run", "-d", &id]);
        capture.attach(&mut command)?;
        ensure!(command.status()?.success(), "cannot run the loop: {}", capture.stderr());
        // An emulated machine does less in the same time.
        let end = Instant::now() + Duration::from_secs(30);
        for number in 0..200 {
            if number >= 40 && Instant::now() > end {
                break;
            }
            c.exec(&id, &["/bin/true"])?.ok()?;
        }
        c.delete(&id)?;
        let host = c.dir.to_string_lossy().into_owned();
        for line in capture.stdout().lines() {
            // The streams that exec is given are files in the case's own folder.
            let stream = ["out.", "err."].iter().any(|name| line.starts_with(&format!("{host}/{name}")));
            let inside = ["/", "/bin/busybox", "/dev/null", "/probe"].contains(&line) || line.starts_with("pipe:");
            let folder = line.starts_with(&host)
                || line.contains("cgroup")
                || line.contains("config.json")
                || line.starts_with("mnt:")
                || line.starts_with("net:")
                || line.starts_with("/proc/")
                || line.starts_with("/tmp")
                || line.starts_with("/run");
            ensure!(stream || inside || ptrace && !folder, "seen from inside, with ptrace {ptrace}: {line}");
        }
    }
    Ok(())
}

fn the_joining_process_has_no_more_rights_than_it_needs(c: &Context) -> Result<()> {
    // CHOWN, DAC_OVERRIDE, SETGID, SETUID, SETPCAP: to become the user.
    const NEEDED: u64 = 1 | 1 << 1 | 1 << 6 | 1 << 7 | 1 << 8;
    const SYS_PTRACE: u64 = 1 << 19;
    let field = |status: &str, name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    c.write(&Config::plain().capabilities(&["CAP_SYS_PTRACE"]).remove("/process/rlimits").args(&["sleep", "1000"]))?;
    let id = c.id();
    c.call(&["run", "-d", &id])?.ok()?;
    let mut command = c.command(&["exec", "--user", "1000", &id, "/bin/true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (mut seen, mut too_much) = (0, BTreeSet::new());
    let end = Tracer::spawn(command, Until::CommandGone)?.follow(|event| {
        let (Event::Enter { tid, .. } | Event::Leave { tid, .. } | Event::Spawned { child: tid, .. }) = *event else {
            return Action::Continue;
        };
        let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
        // Seen by those in the container: it has a number there too.
        if status.lines().any(|line| line.starts_with("NSpid:") && line.split_whitespace().count() > 2) {
            seen += 1;
            for set in ["CapPrm:", "CapEff:", "CapInh:", "CapBnd:"] {
                let has = field(&status, set).unwrap_or(u64::MAX);
                if has & !(NEEDED | SYS_PTRACE) != 0 {
                    too_much.insert(format!("{set} {has:x}"));
                }
            }
        }
        Action::Continue
    })?;
    ensure!(end.success() && seen > 20, "exec ended with {end:?}, and was seen {seen} times");
    ensure!(too_much.is_empty(), "seen from inside: {too_much:?}");
    c.delete(&id)
}

/// A sum of the runtime's own binary.
fn sum(c: &Context) -> Result<String> {
    crate::command::host(&c.dir, "cksum", &[&c.program])
}

fn cve_2019_5736_the_binary_cannot_be_overwritten(c: &Context) -> Result<()> {
    let before = sum(c)?;
    let id = c.create(&Config::plain().args(&["sleep", "1000"]))?;
    let pid = c.pid(&id)?;
    // The created container's process still is the runtime. Its binary is
    // held open, then written once the process is another program.
    let script = format!(
        "exec 9</proc/{pid}/exe; \"$@\"; (echo x > /proc/self/fd/9) 2>&1; echo \"status $?\"; readlink /proc/self/fd/9"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash"]).arg(&c.program).arg("--root").arg(c.state_dir()).args(["start", &id]);
    c.surroundings(&mut command);
    let output = c.finish(command)?;
    ensure!(output.stdout.contains("status 1"), "writing to the binary: {output:?}");
    same!(sum(c)?, before, "the binary's sum");
    c.delete(&id)?;
    // From inside, during exec: each process that joins is looked at.
    let loop_ = "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || (echo x >> $p/exe) 2>/dev/null; done; done";
    let config = Config::plain().capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]).script(loop_);
    let id = c.detached(&config)?;
    for _ in 0..100 {
        // The loop may write to busybox itself, which the exec then refuses.
        let _ = c.exec(&id, &["/probe", "cwd"])?;
    }
    c.delete(&id)?;
    same!(sum(c)?, before, "the binary's sum");
    Ok(())
}

fn cve_2019_5736_the_binary_is_no_entry_point(c: &Context) -> Result<()> {
    let before = sum(c)?;
    c.run(&Config::plain().args(&["/proc/self/exe"]))?.status(1)?;
    let script = c.rootfs().join("bin/script");
    fs::write(&script, "#!/proc/self/exe\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let output = c.run(&Config::plain().args(&["/bin/script"]))?;
    ensure!(output.status != 0, "{output:?}");
    symlink("/proc/self/exe", c.rootfs().join("bin/link"))?;
    c.run(&Config::plain().args(&["/bin/link"]))?.status(1)?;
    // One that its user may execute but not read is read by the kernel all the same.
    let unreadable = c.rootfs().join("bin/unreadable");
    fs::copy(&script, &unreadable)?;
    std::os::unix::fs::chown(&unreadable, Some(5), Some(5))?;
    fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o111))?;
    let refused = ["permission denied: it would execute the runtime itself"];
    for (uid, name) in [(1000, "/bin/unreadable"), (0, "unreadable")] {
        let config = Config::plain().set("/process/user/uid", json!(uid)).args(&[name]);
        c.run(&config)?.error(1, &refused)?;
    }
    let id = c.sleeper()?;
    for program in ["/proc/self/exe", "/bin/link", "/bin/script"] {
        let output = c.exec(&id, &[program])?;
        ensure!(output.status != 0, "exec of {program}: {output:?}");
    }
    c.call(&["exec", "--user", "1000", &id, "/bin/unreadable"])?.error(255, &refused)?;
    c.delete(&id)?;
    same!(sum(c)?, before, "the binary's sum");
    Ok(())
}

fn cve_2024_21626_no_descriptor_for_the_cwd(c: &Context) -> Result<()> {
    for number in (0..24).chain([63, 100, 255, 1023]) {
        for form in ["/proc/self/fd", "/proc/1/fd", "/proc/self/task/1/fd"] {
            let cwd = format!("{form}/{number}");
            // The folder that is asked for may not be there, or be a file.
            let config =
                Config::plain().set("/process/cwd", json!(cwd)).args(&["/bin/sh", "-c", "pwd -P; ls; ls ../../.."]);
            let output = c.run(&config)?;
            for word in ["config.json", "rootfs", "cgroup.procs", "state.json"] {
                ensure!(!output.stdout.contains(word), "with cwd {cwd} the host shows: {:?}", output.stdout);
            }
            if form != "/proc/self/fd" {
                continue;
            }
            ensure!(output.status != 0 || output.stdout.starts_with('/'), "cwd {cwd}: {output:?}");
        }
    }
    Ok(())
}

fn cve_2024_21626_no_descriptor_for_execs_cwd(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    // And by a link, which the configuration cannot see.
    symlink("/proc/self/fd/7", c.rootfs().join("seven"))?;
    for cwd in (3..24).map(|number| format!("/proc/self/fd/{number}")).chain(["/seven".into()]) {
        let output = c.call(&["exec", "--cwd", &cwd, &id, "/bin/sh", "-c", "pwd -P; ls; ls ../../.."])?;
        for word in ["config.json", "rootfs", "cgroup.procs", "state.json"] {
            ensure!(!output.stdout.contains(word), "with cwd {cwd} the host shows: {:?}", output.stdout);
        }
    }
    c.delete(&id)
}

fn nothing_is_made_through_a_descriptor(c: &Context) -> Result<()> {
    // A missing cwd is made: not in what the runtime has open.
    let id = c.sleeper()?;
    symlink("/proc/self/fd", c.rootfs().join("all"))?;
    for number in 3..40 {
        for form in ["/proc/self/fd", "/proc/thread-self/fd", "/all"] {
            let cwd = format!("{form}/{number}/made-by-cwd/deep");
            let output = c.run(&Config::plain().set("/process/cwd", json!(cwd)))?;
            ensure!(output.status != 0, "cwd {cwd}: {output:?}");
            let output = c.call(&["exec", "--cwd", &cwd, &id, "/bin/true"])?;
            ensure!(output.status != 0, "exec with cwd {cwd}: {output:?}");
        }
    }
    c.delete(&id)?;
    let found = crate::command::host(&c.dir, "find", &[&c.dir, Path::new("/sys/fs/cgroup")].map(Path::as_os_str))?;
    let made: Vec<&str> = found.lines().filter(|line| line.ends_with("made-by-cwd")).collect();
    same!(made, Vec::<&str>::new(), "folders that were made outside");
    Ok(())
}

fn no_program_passes_for_the_runtime(c: &Context) -> Result<()> {
    // As the link in /proc of our own copy begins.
    fs::create_dir(c.rootfs().join("memfd:ocinit"))?;
    fs::copy(c.rootfs().join("bin/busybox"), c.rootfs().join("memfd:ocinit/busybox"))?;
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    c.write(&Config::plain().args(&["/memfd:ocinit/busybox", "sh", "-c", script]))?;
    let id = c.id();
    let running = c.spawn(&["run", &id])?;
    c.await_status(&id, "running")?;
    ensure!(c.pid(&id)? > 0, "no pid");
    same!(c.exec(&id, &["echo", "inside"])?.ok()?.stdout, "inside\n", "exec");
    c.call(&["kill", &id, "TERM"])?.ok()?;
    same!(running.finish()?.status, 7, "status");
    Ok(())
}
