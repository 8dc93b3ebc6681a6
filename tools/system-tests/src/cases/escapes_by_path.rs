//! Attacks by what the root file system holds: links, races, volumes. Published
//! under these numbers for other runtimes; here the host must stay as it was.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::escapes::{canary, untouched};
use super::hooks;
use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;
use crate::terminal::ConsoleSocket;

cases!("escapes":
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
    cve_2026_115521_read_only_root_through_a_fake_proc,
    no_working_directory_uncovers_what_is_masked,
    what_is_masked_cannot_be_renamed_away,
);

/// Puts a symlink in place of something in the root file system.
fn replace(c: &Context, name: &str, target: &Path) -> Result<()> {
    let path = c.rootfs().join(name);
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    Ok(symlink(target, path)?)
}

fn cve_2019_16884_proc_is_a_symlink(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    fs::create_dir_all(c.rootfs().join("x/proc/self/attr"))?;
    for target in [Path::new("x/proc"), &folder, Path::new("/x/proc")] {
        replace(c, "proc", target)?;
        let output = c.run(&Config::plain().script("echo ran; grep -c . /proc/self/mountinfo"))?;
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
    let output = c.run(&config.script("echo ran"))?;
    ensure!(output.status == 1 && output.stdout.is_empty() || output.status == 0, "{output:?}");
    let volume = c.folder("fake")?;
    fs::create_dir_all(volume.join("net/ipv4"))?;
    fs::write(volume.join("net/ipv4/ip_forward"), "")?;
    let config = Config::plain().bind(&volume, "/proc/sys", &["bind"]);
    c.run(&config.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"})))?;
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
        let output = c.run(&config.script("cat /secret; echo pwned > /secret; echo ran"))?;
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
        c.run(&config)?;
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
        c.run(&config)?;
        untouched(&folder)?;
        same!(kernel::mount_table(), before, "the host's mount table");
        let config = Config::plain().bind(&volume.join("f"), destination, &["bind"]);
        c.run(&config)?;
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
            result = c.run(config).and_then(|output| {
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

fn cve_2026_115521_read_only_root_through_a_fake_proc(c: &Context) -> Result<()> {
    let folder = canary(c)?;
    fs::create_dir_all(c.rootfs().join("proc/self/fd"))?;
    for number in 0..64 {
        let _ = symlink(&folder, c.rootfs().join(format!("proc/self/fd/{number}")));
    }
    let mut config = Config::plain().set("/root/readonly", json!(true)).script("touch /x; echo $?");
    config.0["mounts"] = json!([]);
    let output = c.run(&config)?;
    if output.status == 0 {
        same!(output.stdout, "1\n", "touch on a read-only root");
        holds!(output.stderr, "Read-only", "touch on a read-only root");
    }
    ensure!(!c.rootfs().join("x").exists(), "the root was writable");
    untouched(&folder)
}

/// What lies over the kernel's own files, as the container sees it.
const COVERS: &str = "grep -o ' /\\(proc\\|sys\\)/[^ ]* r[ow]' /proc/self/mountinfo | sort";

/// One that is on no list of ours, too.
fn masking() -> Config {
    let masked = ["/proc/version", "/sys/firmware", "/sys/devices/virtual"];
    Config::plain()
        .set("/linux/maskedPaths", json!(masked))
        .set("/linux/readonlyPaths", json!(["/proc/bus", "/proc/sys"]))
}

fn no_working_directory_uncovers_what_is_masked(c: &Context) -> Result<()> {
    let with_hook = |kind: &str| masking().set(&format!("/hooks/{kind}"), json!([hooks::script(c, "true")]));
    symlink("/proc/self/root/tmp", c.rootfs().join("work"))?;
    let expected = c.run(&masking().script(COVERS))?.ok()?.stdout;
    for cover in ["/proc/version r", "/proc/sys ro", "/sys/devices/virtual ro", "/sys/firmware ro"] {
        holds!(expected, cover, "what is covered");
    }
    for cwd in ["/", "/tmp", "/proc/self/root/tmp", "/proc/self/root", "/work"] {
        for hook in ["prestart", "createRuntime", "createContainer", "none"] {
            let config = if hook == "none" { masking() } else { with_hook(hook) };
            c.write(&config.set("/process/cwd", json!(cwd)).script(COVERS))?;
            for notified in [false, true] {
                let mut command = c.command(&["run", &c.id()]);
                if notified {
                    command.env("NOTIFY_SOCKET", c.dir.join("notify"));
                }
                let output = c.finish(command)?;
                // Or it is refused, where it would not be seen to lie in the root.
                if output.status == 0 {
                    same!(output.stdout, expected, "in {cwd}, hook {hook}, notified: {notified}");
                } else {
                    same!(output.stdout, "", "what the process printed");
                }
            }
        }
    }
    Ok(())
}

fn what_is_masked_cannot_be_renamed_away(c: &Context) -> Result<()> {
    let (root, expected) = (c.rootfs(), c.run(&masking().script(COVERS))?.ok()?.stdout);
    // By whoever can write there, in the host's mount namespace, where nothing is mounted.
    for name in ["proc", "sys"] {
        let script = format!("cd {} && mv {name} moved && mkdir {name}", root.display());
        let config = masking().set("/hooks/createRuntime", json!([hooks::script(c, &script)])).script("echo ran");
        let output = c.run(&config)?.error(1, &[&format!("what was mounted at /{name} is not there any more")])?;
        same!(output.stdout, "", "what the process printed");
        fs::remove_dir(root.join(name))?;
        fs::rename(root.join("moved"), root.join(name))?;
    }
    // What a hook mounts below is a hook's right, and takes no mask away.
    let script = format!("mount -t tmpfs -o ro none {}/proc/fs", root.display());
    let config = masking().set("/hooks/createContainer", json!([hooks::script(c, &script)])).script(COVERS);
    let output = c.run(&config)?.ok()?;
    let seen: BTreeSet<&str> = output.stdout.lines().collect();
    same!(seen, expected.lines().chain([" /proc/fs ro"]).collect(), "what is covered");
    // Nor can it cover all of them.
    let script = format!("mount -t proc none {}/proc", root.display());
    let config = masking().set("/hooks/createContainer", json!([hooks::script(c, &script)])).script("echo ran");
    c.run(&config)?.error(1, &["what was mounted at /proc is not there any more"])?;
    // While it is renamed all the time: the process has all covers, or there is none.
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, root.join("sys"), CWD, root.join("moved"), RenameFlags::empty());
                let _ = renameat_with(CWD, root.join("moved"), CWD, root.join("sys"), RenameFlags::empty());
            }
        });
        let end = Instant::now() + Duration::from_secs(5);
        let result = (|| {
            while Instant::now() < end {
                // The one that is on no list shows what became of the others.
                let covers = "grep -c ' /[^ ]*/devices/virtual ro' /proc/self/mountinfo; grep -c ' - sysfs ' /proc/self/mountinfo";
                let output = c.run(&masking().script(covers))?;
                if output.status == 0 {
                    ensure!(output.stdout != "0\n1\n", "sysfs without its masks");
                }
            }
            Ok(())
        })();
        stop.store(true, Ordering::Relaxed);
        result
    })?;
    Ok(())
}
