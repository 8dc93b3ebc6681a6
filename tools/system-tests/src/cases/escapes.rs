//! Attacks that worked on other runtimes, by the number under which they were
//! published. Each recipe is carried out against a busybox bundle, with a
//! folder of the host's as canary; in each the host must stay as it was and
//! the container must get no more than its configuration says.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;
use crate::terminal::{ConsoleSocket, Terminal, in_terminal};

cases!("escapes":
    cve_2016_3697_user_names_are_never_looked_up,
    cve_2016_9962_the_joining_process_shows_nothing_of_the_host,
    cve_2019_5736_the_binary_cannot_be_overwritten,
    cve_2019_5736_the_binary_is_no_entry_point,
    cve_2019_16884_proc_is_a_symlink,
    cve_2019_19921_proc_is_a_volume,
    cve_2025_52881_proc_writes_cannot_be_redirected,
    cve_2025_31133_masks_source_is_the_roots_null,
    cve_2025_52565_console_is_a_symlink,
    cve_2026_41579_dev_is_a_symlink,
    cve_2026_88265_null_is_a_symlink,
    cve_2021_30465_target_is_a_symlink,
    cve_2021_30465_target_is_swapped,
    cve_2024_45310_creation_follows_no_race,
    cve_2024_9407_propagation_is_validated,
    cve_2024_21626_no_descriptor_for_the_cwd,
    cve_2024_21626_no_descriptor_for_execs_cwd,
    cve_2021_43784_lengths_are_not_narrowed,
    cve_2022_29162_no_inheritable_or_ambient_capabilities,
    cve_2022_2989_groups_are_exact,
    cve_2023_25809_cgroup_mount_is_read_only,
    ghsa_g54h_m393_cpwq_devices_are_denied,
    cve_2017_5226_tiocsti_on_an_inherited_terminal,
    cve_2026_115521_read_only_root_through_a_fake_proc,
    cve_2026_84042_annotations_start_nothing,
    cve_2019_12439_state_is_not_shared,
    cve_2020_15257_no_abstract_sockets,
    cve_2018_6556_set_uid_gives_nothing,
    core_pattern_stays,
    environment_of_the_runtime_is_not_seen,
    chroot_escape,
    huge_and_deep_documents,
    a_cgroup_of_somebody_else_is_never_touched,
);

/// A folder of the host's that nothing may touch, with a file in it.
fn canary(c: &Context) -> Result<std::path::PathBuf> {
    let folder = c.folder("canary")?;
    fs::write(folder.join("file"), "untouched")?;
    Ok(folder)
}

/// Whether the canary is as `canary` made it.
fn untouched(folder: &Path) -> Result<()> {
    let names: Vec<_> = fs::read_dir(folder)?.flatten().map(|e| e.file_name()).collect();
    same!(names, ["file"], "names in the host's folder");
    same!(fs::read_to_string(folder.join("file"))?, "untouched", "the host's file");
    let meta = fs::metadata(folder.join("file"))?;
    same!((meta.uid(), meta.gid()), (0, 0), "owner of the host's file");
    same!(fs::metadata(folder)?.permissions().mode() & 0o7777, 0o755, "mode of the host's folder");
    Ok(())
}

/// Puts a symlink in place of something in the root file system.
fn replace(c: &Context, name: &str, target: &Path) -> Result<()> {
    let path = c.rootfs().join(name);
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    Ok(symlink(target, path)?)
}

/// Runs; whatever comes of it, within the time limit.
fn attempt(c: &Context, config: &Config) -> Result<crate::command::Output> {
    c.run(config)
}

fn cve_2016_3697_user_names_are_never_looked_up(c: &Context) -> Result<()> {
    fs::write(c.rootfs().join("etc/passwd"), "10:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/:/bin/sh\n")?;
    fs::write(c.rootfs().join("etc/group"), "10:x:0:\n")?;
    let id = c.sleeper()?;
    same!(c.call(&["exec", "--user", "10", &id, "id", "-u"])?.ok()?.stdout, "10\n", "exec --user 10");
    same!(c.call(&["exec", "--user", "10:10", &id, "id", "-g"])?.ok()?.stdout, "10\n", "exec --user 10:10");
    for bad in ["4294967296", "4294967295", "root", "99999999999999999999"] {
        let output = c.call(&["exec", "--user", bad, &id, "id", "-u"])?;
        ensure!([1, 255].contains(&output.status) && output.stdout.is_empty(), "exec --user {bad}: {output:?}");
    }
    c.delete(&id)?;
    let config = Config::plain().set("/process/user", json!({"uid": 10, "gid": 10})).args(&["id", "-u"]);
    same!(c.run(&config)?.ok()?.stdout, "10\n", "run as user 10");
    Ok(())
}

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
        for _ in 0..200 {
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
    let id = c.sleeper()?;
    for program in ["/proc/self/exe", "/bin/link", "/bin/script"] {
        let output = c.exec(&id, &[program])?;
        ensure!(output.status != 0, "exec of {program}: {output:?}");
    }
    c.delete(&id)?;
    same!(sum(c)?, before, "the binary's sum");
    Ok(())
}

fn cve_2019_16884_proc_is_a_symlink(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    fs::create_dir_all(c.rootfs().join("x/proc/self/attr"))?;
    for target in [Path::new("x/proc"), &folder, Path::new("/x/proc")] {
        replace(c, "proc", target)?;
        let output = attempt(c, &Config::plain().script("echo ran; grep -c . /proc/self/mountinfo"))?;
        untouched(&folder)?;
        if output.status == 0 {
            // Mounted inside the root, at what the link says there.
            ensure!(output.stdout.starts_with("ran\n"), "{output:?}");
        } else {
            same!(output.stdout, "", "what the process printed");
        }
    }
    Ok(())
}

fn cve_2019_19921_proc_is_a_volume(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    for kind in ["bind", "tmpfs"] {
        let mut config = Config::plain().script("echo ran");
        config.0["mounts"][0] = match kind {
            "bind" => json!({"destination": "/proc", "type": "bind", "source": folder, "options": ["bind"]}),
            _ => json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}),
        };
        let output = c.run(&config)?.error(1, &["proc"])?;
        same!(output.stdout, "", "what the process printed");
    }
    untouched(&folder)
}

fn cve_2025_52881_proc_writes_cannot_be_redirected(c: &Context) -> Result<()> {
    // A mount below /proc that would catch the write of a sysctl.
    let config = Config::plain().mount("/proc/sys", "tmpfs", "tmpfs", &[]);
    let config = config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    let output = attempt(c, &config.script("echo ran"))?;
    ensure!(output.status == 1 && output.stdout.is_empty() || output.status == 0, "{output:?}");
    let volume = c.folder("fake")?;
    fs::create_dir_all(volume.join("net/ipv4"))?;
    fs::write(volume.join("net/ipv4/ip_forward"), "")?;
    let config = Config::plain().bind(&volume, "/proc/sys", &["bind"]);
    attempt(c, &config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})))?;
    same!(fs::read_to_string(volume.join("net/ipv4/ip_forward"))?, "", "the fake sysctl");
    Ok(())
}

fn cve_2025_31133_masks_source_is_the_roots_null(c: &Context) -> Result<()> {
    let victim = c.rootfs().join("victim");
    for target in [Path::new("/victim"), Path::new("/proc/sys/kernel/core_pattern"), Path::new("/proc/sysrq-trigger")] {
        fs::write(&victim, "victim")?;
        fs::write(c.rootfs().join("secret"), "secret")?;
        replace(c, "dev/null", target)?;
        let mut config = Config::plain();
        // No mount at /dev: the root file system's own is used.
        config.0["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
        let config = config.set("/linux/maskedPaths", json!(["/secret"]));
        let output = attempt(c, &config.script("cat /secret; echo pwned > /secret; echo ran"))?;
        ensure!(output.status == 1 && output.stdout.is_empty() || output.stdout.starts_with("ran"), "{output:?}");
        same!(fs::read_to_string(&victim)?, "victim", "the file to which /dev/null led");
        same!(fs::read_to_string(c.rootfs().join("secret"))?, "secret", "the masked file");
    }
    Ok(())
}

fn cve_2025_52565_console_is_a_symlink(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    for (name, target) in [
        ("dev/console", folder.join("owned")),
        ("dev/console", "/proc/sysrq-trigger".into()),
        ("dev/ptmx", folder.join("ptmx")),
        ("dev/pts", folder.clone()),
    ] {
        let _ = fs::remove_file(c.rootfs().join("dev/console"));
        replace(c, name, &target)?;
        let mut config = Config::plain().set("/process/terminal", json!(true)).script("echo ran; read x");
        config.0["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
        let socket = ConsoleSocket::bind(&c.dir)?;
        c.write(&config)?;
        let id = c.id();
        let _ = c.call(&["run", "-d", "--console-socket", &socket.path.to_string_lossy(), &id])?;
        untouched(&folder)?;
        c.delete(&id)?;
    }
    Ok(())
}

fn cve_2026_41579_dev_is_a_symlink(c: &Context) -> Result<()> {
    let folder = c.folder("canary")?;
    fs::write(folder.join("ptmx"), "untouched")?;
    for mounts in
        [json!([{"destination": "/proc", "type": "proc", "source": "proc"}]), Config::plain().0["mounts"].clone()]
    {
        replace(c, "dev", &folder)?;
        let mut config = Config::plain().script("echo ran");
        config.0["mounts"] = mounts;
        attempt(c, &config)?;
        let names: Vec<_> = fs::read_dir(&folder)?.flatten().map(|e| e.file_name()).collect();
        same!(names, ["ptmx"], "names in the host's folder");
        same!(fs::read_to_string(folder.join("ptmx"))?, "untouched", "the host's file");
    }
    Ok(())
}

fn cve_2026_88265_null_is_a_symlink(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let mut config = Config::plain().bind(&folder, "/mnt", &["bind"]);
    config.0["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/mnt", "type": "bind", "source": folder, "options": ["bind"]},
    ]);
    replace(c, "dev/null", Path::new("/mnt/file"))?;
    c.write(&config.set("/process/user", json!({"uid": 1000, "gid": 1000})).script("echo out; echo err >&2"))?;
    let mut command = c.command(&["run", &c.id()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let _ = command.output()?;
    untouched(&folder)
}

fn cve_2021_30465_target_is_a_symlink(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let volume = c.folder("volume")?;
    fs::write(volume.join("f"), "x")?;
    replace(c, "mnt", &folder)?;
    for destination in ["/mnt", "/mnt/x", "/mnt/x/y", "/mnt/file", "/mnt/../x", "/proc/self/root/x", "/proc/1/cwd/x"] {
        let config = Config::plain().bind(&volume, destination, &["bind"]).script("cat /proc/self/mountinfo");
        let before = kernel::mount_table();
        attempt(c, &config)?;
        untouched(&folder)?;
        same!(kernel::mount_table(), before, "the host's mount table");
        let config = Config::plain().bind(&volume.join("f"), destination, &["bind"]);
        attempt(c, &config)?;
        untouched(&folder)?;
    }
    Ok(())
}

/// Exchanges two names until told to stop.
fn exchange(first: std::path::PathBuf, second: std::path::PathBuf, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let _ = renameat_with(CWD, &first, CWD, &second, RenameFlags::EXCHANGE);
        count += 1;
    }
    count
}

/// Runs `config` again and again for two seconds while two names of the root
/// file system are exchanged, and looks at the canary after each.
fn race(c: &Context, first: &str, second: &str, config: &Config, folder: &Path) -> Result<()> {
    let stop = AtomicBool::new(false);
    let (one, two) = (c.rootfs().join(first), c.rootfs().join(second));
    let canary_path = folder.to_string_lossy().into_owned();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| exchange(one, two, &stop));
        let end = Instant::now() + Duration::from_secs(2);
        let mut result = Ok(());
        while result.is_ok() && Instant::now() < end {
            result = attempt(c, config).and_then(|output| {
                untouched(folder)?;
                // A mount whose root is the host's folder would be the prize.
                ensure!(!output.stdout.contains(&format!(" {canary_path} ")), "a foreign root: {}", output.stdout);
                Ok(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        let count = thread.join().unwrap_or(0);
        result?;
        ensure!(count > 1000, "only {count} exchanges");
        Ok(())
    })
}

fn cve_2021_30465_target_is_swapped(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let volume = c.folder("volume")?;
    fs::create_dir(c.rootfs().join("swap"))?;
    symlink(&folder, c.rootfs().join("other"))?;
    let config = Config::plain()
        .mount("/swap/a", "tmpfs", "tmpfs", &[])
        .bind(&volume, "/swap/b/c", &["bind"])
        .script("cat /proc/self/mountinfo");
    race(c, "swap", "other", &config, &folder)
}

fn cve_2024_45310_creation_follows_no_race(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let volume = c.folder("volume")?;
    fs::write(volume.join("f"), "x")?;
    fs::create_dir_all(c.rootfs().join("deep/swap"))?;
    symlink(&folder, c.rootfs().join("deep/other"))?;
    let config = Config::plain()
        .bind(&volume.join("f"), "/deep/swap/new/file", &["bind"])
        .bind(&volume, "/deep/swap/new/folder", &["bind"])
        .set("/process/cwd", json!("/deep/swap/cwd"))
        .set("/linux/devices", json!([{"path": "/deep/swap/null", "type": "c", "major": 1, "minor": 3}]))
        .script("cat /proc/self/mountinfo");
    race(c, "deep/swap", "deep/other", &config, &folder)
}

fn cve_2024_9407_propagation_is_validated(c: &Context) -> Result<()> {
    let volume = c.folder("volume")?;
    for options in [&["rprivate,bogus", "x=y"] as &[&str], &["rbind", "rprivate,bogus"], &["bind", "rshared=1"]] {
        let output = c.run(&Config::plain().bind(&volume, "/mnt/new", options).script("echo ran"))?;
        ensure!(output.status == 1 && output.stdout.is_empty(), "{options:?}: {output:?}");
        ensure!(!c.rootfs().join("mnt/new").exists(), "{options:?}: the target was made");
    }
    Ok(())
}

fn cve_2024_21626_no_descriptor_for_the_cwd(c: &Context) -> Result<()> {
    for number in (0..24).chain([63, 100, 255, 1023]) {
        for form in ["/proc/self/fd", "/proc/1/fd", "/proc/self/task/1/fd"] {
            let cwd = format!("{form}/{number}");
            // The folder that is asked for may not be there, or be a file.
            let config =
                Config::plain().set("/process/cwd", json!(cwd)).args(&["/bin/sh", "-c", "pwd -P; ls; ls ../../.."]);
            let output = attempt(c, &config)?;
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

fn cve_2021_43784_lengths_are_not_narrowed(c: &Context) -> Result<()> {
    let path = format!("/proc/self/{}/ns/net", "x".repeat(70_000));
    c.run(&Config::plain().namespace("network", Some(&path)))?.error(1, &["namespaces"])?;
    let path = format!("{}/proc/1/ns/net", "/.".repeat(32_768 + 100));
    c.run(&Config::plain().namespace("network", Some(&path)))?.error(1, &["namespaces"])?;
    let map = |count: u32| -> Value {
        (0..count).map(|n| json!({"containerID": n, "hostID": 100_000 + 2 * n, "size": 1})).collect::<Vec<_>>().into()
    };
    // The kernel takes 340 lines and a page of text.
    for (count, may) in [(100, true), (5000, false)] {
        let config = Config::plain().namespace("user", None);
        let config = config.set("/linux/uidMappings", map(count)).set("/linux/gidMappings", map(count));
        let output = c.run(&config.args(&["cat", "/proc/self/uid_map"]))?;
        if may {
            same!(output.ok()?.lines().len(), count as usize, "lines of uid_map");
        } else {
            output.error(1, &[])?;
        }
    }
    Ok(())
}

fn cve_2022_29162_no_inheritable_or_ambient_capabilities(c: &Context) -> Result<()> {
    let config = Config::plain();
    let check = |seen: &Value, what: &str| -> Result<()> {
        for (name, mask) in [("CapInh", 0), ("CapAmb", 0), ("CapBnd", 0x2000_0420u64)] {
            let found = u64::from_str_radix(seen["status"][name].as_str().unwrap_or("x"), 16)?;
            same!(found, mask, "{name} of {what}");
        }
        Ok(())
    };
    check(&c.probe(&config, &["status"])?, "run")?;
    let id = c.sleeper()?;
    check(&c.exec(&id, &["/probe", "status"])?.ok()?.json()?, "exec")?;
    let seen = c.call(&["exec", "--user", "1000", &id, "/probe", "status"])?.ok()?.json()?;
    check(&seen, "exec as a user")?;
    c.delete(&id)
}

fn cve_2022_2989_groups_are_exact(c: &Context) -> Result<()> {
    // The caller's own groups do not come along.
    c.write(&Config::plain().set("/process/user", json!({"uid": 1000, "gid": 1000})).args(&["id", "-G"]))?;
    let mut command = Command::new(kernel::find_program("setpriv").context("no setpriv here")?);
    command.args(["--groups", "0,4,6"]).arg(&c.program).arg("--root").arg(c.state_dir()).args(["run", &c.id()]);
    c.surroundings(&mut command);
    same!(c.finish(command)?.ok()?.stdout, "1000\n", "id -G");
    let id = c.detached(&Config::plain().args(&["sleep", "1000"]))?;
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,4,6"]).arg(&c.program).arg("--root").arg(c.state_dir());
    command.args(["exec", "--user", "1000:1000", &id, "id", "-G"]);
    c.surroundings(&mut command);
    same!(c.finish(command)?.ok()?.stdout, "1000\n", "id -G by exec");
    c.delete(&id)
}

fn cve_2023_25809_cgroup_mount_is_read_only(c: &Context) -> Result<()> {
    let config = Config::plain()
        .without_namespace("cgroup")
        .mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"])
        .script("mkdir /sys/fs/cgroup/x; echo $? ; ls /sys/fs/cgroup; cat /proc/self/mountinfo");
    let output = c.run(&config)?.ok()?;
    same!(output.lines()[0], "1", "mkdir in the cgroup mount");
    holds!(output.stderr, "Read-only", "mkdir in the cgroup mount");
    Ok(())
}

fn ghsa_g54h_m393_cpwq_devices_are_denied(c: &Context) -> Result<()> {
    let disk = fs::metadata("/").map(|m| m.dev())?;
    let (major, minor) = (disk >> 8 & 0xfff, disk & 0xff);
    let config =
        Config::plain().remove("/linux/resources").capabilities(&["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let script = format!("mknod /tmp/disk b {major} {minor}; head -c 1 /tmp/disk; mount /tmp/disk /mnt");
    let output = c.run(&config.script(&script))?;
    ensure!(output.stdout.is_empty() && output.status != 0, "{output:?}");
    holds!(output.stderr, "not permitted", "opening the root disk");
    Ok(())
}

fn cve_2017_5226_tiocsti_on_an_inherited_terminal(c: &Context) -> Result<()> {
    // Without a terminal of its own, a container keeps the caller's as its
    // standard streams; as its controlling terminal it must not have it, or it
    // could type commands there.
    c.write(&Config::plain().script("true < /dev/tty && echo controlling; /probe session; echo end"))?;
    let mut terminal = Terminal::open()?;
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.expect("end")?;
    running.finish()?.ok()?;
    ensure!(!terminal.screen.contains("controlling"), "/dev/tty can be opened: {:?}", terminal.screen);
    holds!(terminal.screen, "\"tty_nr\":\"0\"", "the session");
    let id = c.sleeper()?;
    let mut terminal = Terminal::open()?;
    let command =
        c.command(&["exec", &id, "sh", "-c", "true < /dev/tty && echo controlling; /probe session; echo end"]);
    let running = c.start_command(in_terminal(&command, &terminal)?)?;
    terminal.expect("end")?;
    running.finish()?.ok()?;
    ensure!(!terminal.screen.contains("controlling"), "/dev/tty can be opened by exec: {:?}", terminal.screen);
    holds!(terminal.screen, "\"tty_nr\":\"0\"", "the session of exec");
    c.delete(&id)
}

fn cve_2026_115521_read_only_root_through_a_fake_proc(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    fs::create_dir_all(c.rootfs().join("proc/self/fd"))?;
    for number in 0..64 {
        let _ = symlink(&folder, c.rootfs().join(format!("proc/self/fd/{number}")));
    }
    let mut config = Config::plain().set("/root/readonly", json!(true)).script("touch /x; echo $?");
    config.0["mounts"] = json!([]);
    let output = attempt(c, &config)?;
    if output.status == 0 {
        same!(output.stdout, "1\n", "touch on a read-only root");
        holds!(output.stderr, "Read-only", "touch on a read-only root");
    }
    ensure!(!c.rootfs().join("x").exists(), "the root was writable");
    untouched(&folder)
}

fn cve_2026_84042_annotations_start_nothing(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let evil = c.dir.join("evil");
    fs::write(&evil, format!("#!/bin/sh\necho x > {}/ran\n", folder.display()))?;
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755))?;
    let path = json!(evil);
    let config = Config::plain().set(
        "/annotations",
        json!({
            "run.oci.handler": path, "run.oci.hooks.stdout": folder.join("out"), "run.oci.hooks.stderr": folder.join("err"),
            "run.oci.seccomp.receiver": path, "run.oci.systemd.force_cgroup_v1": path, "run.oci.mount_context_type": path,
            "run.oci.pidfd_receiver": path, "run.oci.timens_offset": "monotonic 1", "io.katacontainers.config": path,
            "org.criu.config": path,
        }),
    );
    fs::write(c.bundle().join("criu.conf"), "action-script ../evil\n")?;
    c.run(&config)?.ok()?;
    untouched(&folder)
}

fn cve_2019_12439_state_is_not_shared(c: &Context) -> Result<()> {
    // Made with the umask open: private all the same.
    c.write(&Config::plain().args(&["sleep", "1000"]))?;
    let id = c.id();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(&c.program);
    command.arg("--root").arg(c.state_dir()).args(["create", &id]);
    c.surroundings(&mut command);
    c.finish(command)?.ok()?;
    let mode = |path: &Path| -> Result<u32> { Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777) };
    same!(mode(&c.state_dir())? & 0o077, 0, "others' rights on the state directory");
    same!(mode(&c.state_dir().join(&id))?, 0o700, "mode of the container's directory");
    for entry in fs::read_dir(c.state_dir().join(&id))? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_file() {
            same!(mode(&path)? & 0o022, 0, "others' rights to write {}", path.display());
        }
    }
    c.delete(&id)?;
    // A link in the place of a container's directory, or of the whole.
    let folder = canary(c)?;
    let id = c.id();
    symlink(&folder, c.state_dir().join(&id))?;
    for words in
        [&["create", &id] as &[&str], &["run", &id], &["state", &id], &["kill", &id], &["delete", "--force", &id]]
    {
        let output = c.call(words)?;
        ensure!(output.status != 0 || words[0] == "delete", "{output:?}");
        untouched(&folder)?;
    }
    let _ = fs::remove_file(c.state_dir().join(&id));
    // Another user's directory.
    let id = c.id();
    let foreign = c.state_dir().join(&id);
    fs::create_dir(&foreign)?;
    fs::write(foreign.join("state.json"), "{}")?;
    std::os::unix::fs::chown(&foreign, Some(1000), Some(1000))?;
    for words in [&["create", &id] as &[&str], &["state", &id], &["start", &id], &["kill", &id]] {
        let output = c.call(words)?;
        ensure!(output.status != 0, "{output:?}");
    }
    fs::remove_dir_all(&foreign)?;
    // A state directory that is a link, or that everybody may write.
    let link = c.dir.join("link-to-state");
    symlink(c.folder("elsewhere")?, &link)?;
    let mut command = Command::new(&c.program);
    command.arg("--root").arg(&link).args(["create", &c.id()]);
    c.surroundings(&mut command);
    let output = c.finish(command)?;
    ensure!(output.status == 1, "a link as state directory: {output:?}");
    let open = c.folder("open")?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777))?;
    let mut command = Command::new(&c.program);
    command.arg("--root").arg(&open).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let _ = c.finish(command)?;
    Ok(())
}

fn cve_2020_15257_no_abstract_sockets(c: &Context) -> Result<()> {
    let before = fs::read_to_string("/proc/net/unix")?;
    let id = c.create(&Config::plain().without_namespace("network").args(&["sleep", "1000"]))?;
    let after = fs::read_to_string("/proc/net/unix")?;
    for line in after.lines() {
        let name = line.split_whitespace().nth(7).unwrap_or_default();
        ensure!(!name.starts_with('@') || before.contains(name), "an abstract socket: {line}");
    }
    c.delete(&id)
}

fn cve_2018_6556_set_uid_gives_nothing(c: &Context) -> Result<()> {
    // In a folder that a stranger can reach.
    let binary = c.dir.join("setuid");
    fs::copy(&c.program, &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o4755))?;
    c.write(&Config::plain())?;
    let mut command = Command::new(kernel::find_program("setpriv").context("no setpriv here")?);
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
    command.arg("--root").arg(c.dir.join("setuid-state")).args(["run", &c.id()]);
    c.surroundings(&mut command);
    let output = c.finish(command)?;
    ensure!(output.status != 0, "{output:?}");
    ensure!(!c.dir.join("setuid-state").exists(), "a state directory was made");
    Ok(())
}

fn core_pattern_stays(c: &Context) -> Result<()> {
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    for name in ["kernel.core_pattern", "kernel/core_pattern", "net.../kernel/core_pattern"] {
        let config = Config::plain().set("/linux/sysctl", json!({name: "|/bin/false"})).script("echo ran");
        let output = c.run(&config)?.status(1)?;
        same!(output.stdout, "", "what the process printed");
    }
    same!(fs::read_to_string("/proc/sys/kernel/core_pattern")?, before, "core_pattern");
    Ok(())
}

fn environment_of_the_runtime_is_not_seen(c: &Context) -> Result<()> {
    c.write(&Config::plain().args(&["/probe", "environment"]))?;
    let mut command = c.command(&["run", &c.id()]);
    command.env("SECRET_OF_THE_HOST", "x").env("LD_PRELOAD", "/x").env("_OCINIT_STAGE", "1");
    let output = c.finish(command)?.ok()?;
    ensure!(!output.stdout.contains("SECRET") && !output.stdout.contains("LD_PRELOAD"), "{}", output.stdout);
    let id = c.sleeper()?;
    let mut command = c.command(&["exec", &id, "/probe", "environment"]);
    command.env("SECRET_OF_THE_HOST", "x");
    ensure!(!c.finish(command)?.ok()?.stdout.contains("SECRET"), "exec shows the host's environment");
    // A created container's process shows it no more than a running one.
    c.delete(&id)
}

fn chroot_escape(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    let config = Config::plain().capabilities(&["CAP_SYS_CHROOT", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    let up = "../".repeat(30);
    let script = format!(
        "mkdir -p /tmp/jail; cp /bin/busybox /tmp/jail/; cd /; chroot /tmp/jail /busybox ls {up}{}; ls {up}{}",
        folder.display(),
        folder.display()
    );
    for flags in [&["run"] as &[&str], &["run", "--no-pivot"]] {
        c.write(&config.clone().script(&script))?;
        let mut arguments = flags.to_vec();
        let id = c.id();
        arguments.push(&id);
        let output = c.call(&arguments)?;
        ensure!(!output.stdout.contains("file"), "{flags:?}: the host's folder is seen: {output:?}");
    }
    Ok(())
}

fn huge_and_deep_documents(c: &Context) -> Result<()> {
    let write = |bytes: &[u8]| -> Result<crate::command::Output> {
        fs::write(c.bundle().join("config.json"), bytes)?;
        c.call(&["run", &c.id()])
    };
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    write(deep.as_bytes())?.error(1, &["config.json"])?;
    write(format!("{{\"a\": {deep}}}").as_bytes())?.error(1, &["config.json"])?;
    write(&vec![b' '; 2 << 20])?.error(1, &["config.json"])?;
    write(b"{\"ociVersion\": \"1.0.2\", \"process\": {\"cwd\": \"/\xff\"}}")?.error(1, &["config.json"])?;
    // 100 MiB, without writing them.
    let mut file = fs::File::create(c.bundle().join("config.json"))?;
    file.write_all(b"{")?;
    file.set_len(100 << 20)?;
    c.call(&["run", &c.id()])?.error(1, &["config.json"])?;
    // What is no file is not waited for.
    fs::remove_file(c.bundle().join("config.json"))?;
    let fifo = c.bundle().join("config.json");
    crate::command::host(&c.dir, "mkfifo", &[&fifo])?;
    ensure!(fs::metadata(&fifo)?.file_type().is_fifo());
    c.call(&["run", &c.id()])?.error(1, &["config.json"])?;
    Ok(())
}

fn a_cgroup_of_somebody_else_is_never_touched(c: &Context) -> Result<()> {
    // It exists already, with a process in it.
    let name = format!("{}-theirs", c.tag);
    let folder = kernel::cgroup_root().join(&name);
    fs::create_dir(&folder)?;
    let mut theirs = Command::new("sleep").arg("1000").env("SYSTEM_TESTS_TAG", &c.tag).spawn()?;
    fs::write(folder.join("cgroup.procs"), theirs.id().to_string())?;
    let config = Config::plain().set("/linux/cgroupsPath", json!(format!("/{name}")));
    c.write(&config.args(&["sleep", "1000"]))?;
    let id = c.id();
    let output = c.call(&["create", &id])?;
    c.delete(&id)?;
    let alive = kernel::alive(theirs.id());
    let there = folder.exists();
    theirs.kill()?;
    theirs.wait()?;
    let _ = fs::remove_dir(&folder);
    ensure!(alive && there, "their process lives: {alive}; their cgroup is there: {there}; {output:?}");
    Ok(())
}
