//! The cases on an old kernel: Debian's 6.1 in a virtual machine without a
//! disk, emulated, since hardware help is often missing or broken where tests
//! run. There root has every capability, and the cgroup tree is v2 alone.
//!
//! Where the kernel or QEMU cannot be had, the guest's cases are skipped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bundle::old_kernel::OldKernel;

use crate::cases;
use crate::harness::{Count, Outcome};
use crate::kernel;

/// In front of the guest's cases' names.
const PREFIX: &str = "guest-6.1/";

/// Where the cases that are worth the emulation begin; the rest shows nothing
/// about the kernel, or takes too long.
const CHOSEN: &[&str] = &[
    "lifecycle/run_",
    "lifecycle/create_start",
    "lifecycle/a_reused",
    "lifecycle/nested",
    "ending/",
    "telling/ps_",
    "namespaces/",
    "mounts/",
    "mount_options/",
    "devices/",
    "resources/",
    "limits/",
    "updating/",
    "pausing/",
    "process/",
    "descriptors/",
    "identity/",
    "idmapped/",
    "rootless/",
    "terminals/",
    "exec/",
    "seccomp/",
    "seccomp_listener/",
    "joining/",
    "hooks/",
    "failing_hooks/",
    "schedule/",
    "labels/",
    "notify/",
    "resctrl/where",
    "escapes/cve_2019_16884",
    "escapes/cve_2019_19921",
    "escapes/cve_2021_30465_target_is_a_symlink",
    "escapes/cve_2022",
    "escapes/cve_2023",
    "escapes/cve_2025",
    "escapes/cve_2026",
    "bad_input/errors_of",
    "races/killed",
    "comparison/",
];

/// Those among them that are left out all the same.
const TOO_SLOW: &[&str] = &["joining/a_hundred_in_a_row", "mounts/five_hundred_mounts", "process/many_arguments"];

/// The emulation, from the first instruction to the last case.
const LIMIT: Duration = Duration::from_secs(900);

/// Programs of the host's that cases use, and other runtimes to compare with.
const PROGRAMS: &[&str] = &["bash", "setpriv", "unshare", "ldd", "runc", "crun", "env", "newuidmap", "newgidmap"];

/// Boots the guest, runs the cases chosen there and relays what it says.
pub fn run(filter: &[String], program: &Path, count: &mut Count) -> Result<()> {
    let name = |case: &str| format!("{PREFIX}{case}");
    let chosen: Vec<&str> = cases::all()
        .map(|case| case.name)
        .filter(|case| CHOSEN.iter().any(|start| case.starts_with(start)) && !TOO_SLOW.contains(case))
        .filter(|case| filter.is_empty() || filter.iter().any(|part| name(case).contains(part.as_str())))
        .collect();
    if chosen.is_empty() {
        return Ok(());
    }
    // A part of a case's own name is meant for the host, unless the guest is
    // named as well.
    if !filter.is_empty() && !filter.iter().any(|part| part.contains("guest")) {
        return Ok(());
    }
    let work = tempfile::Builder::new().prefix("ocinit-guest-").tempdir()?;
    let prepared = found().and_then(|boot| {
        make_initramfs(work.path(), program, &boot, &chosen)?;
        Ok(boot)
    });
    match prepared {
        Ok(boot) => relay(work.path(), &boot, chosen.len(), count),
        Err(why) => {
            count.report(PREFIX.trim_end_matches('/'), &Outcome::Skipped(format!("{why:#}")));
            Ok(())
        }
    }
}

/// The kernel; or why the guest cannot be had.
pub fn found() -> Result<OldKernel> {
    kernel::find_program("qemu-system-x86_64").context("no qemu-system-x86_64 here (Debian: qemu-system-x86)")?;
    OldKernel::find()
}

/// A folder's tree with all that the guest needs, packed for the kernel.
fn make_initramfs(work: &Path, program: &Path, boot: &OldKernel, chosen: &[&str]) -> Result<()> {
    let tree = work.join("tree");
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp", "run", "root", "new", "modules"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("no static busybox (busybox-static)")?;
    let list = Command::new("/bin/busybox").arg("--list").output()?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    fs::copy(program, tree.join("ocinit"))?;
    add(&tree, &std::env::current_exe()?, "system-tests")?;
    for name in PROGRAMS {
        if let Some(path) = kernel::find_program(name) {
            let _ = fs::remove_file(tree.join("bin").join(name));
            add(&tree, &path, &format!("bin/{name}"))?;
        }
    }
    for module in ["fs/overlayfs/overlay.ko", "drivers/block/loop.ko"] {
        let path = boot.modules.join("kernel").join(module);
        if let Some(name) = path.file_name().filter(|_| path.exists()) {
            fs::copy(&path, tree.join("modules").join(name))?;
        }
    }
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(tree.join("etc/group"), "root:x:0:\n")?;
    for (file, mapper) in [("subuid", "newuidmap"), ("subgid", "newgidmap")] {
        fs::write(tree.join("etc").join(file), "")?;
        let mapper = tree.join("bin").join(mapper);
        if mapper.exists() {
            fs::set_permissions(mapper, fs::Permissions::from_mode(0o4755))?;
        }
    }
    fs::write(tree.join("init"), INIT)?;
    fs::set_permissions(tree.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(tree.join("cases"), chosen.join("\n") + "\n")?;
    let script = "find . | /bin/busybox cpio -o -H newc >../initramfs 2>/dev/null";
    let status = Command::new("sh").args(["-c", script]).current_dir(&tree).status()?;
    ensure!(status.success(), "cannot pack the initramfs");
    Ok(())
}

/// Copies a program and the libraries that ldd(1) names.
/// Copies a program and the libraries that it needs to a place in a tree.
pub fn add(tree: &Path, program: &Path, place: &str) -> Result<()> {
    fs::copy(program, tree.join(place)).with_context(|| format!("cannot copy {}", program.display()))?;
    let output = Command::new("ldd").arg(program).output().context("no ldd")?;
    for word in String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let target = tree.join(word.trim_start_matches('/'));
        if !target.exists() {
            fs::create_dir_all(target.parent().context("a library has a folder")?)?;
            fs::copy(word, &target)?;
        }
    }
    Ok(())
}

/// The guest's first process. The first root cannot be pivoted away from, so
/// all goes to a tmpfs before anything else.
const INIT: &str = r#"#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
if [ ! -e /moved ]; then
    mount -t tmpfs -o size=90% tmpfs /new
    cp -a /bin /etc /root /tmp /run /modules /ocinit /system-tests /cases /init /new/
    for folder in /lib /lib64 /usr; do [ -d $folder ] && cp -a $folder /new/; done
    mkdir -p /new/dev /new/proc /new/sys
    touch /new/moved
    exec switch_root /new /init
fi
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
ln -s /proc/self/fd /dev/fd # as udev does
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo +$controller >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
done
chmod 1777 /tmp
ip link set lo up
for module in /modules/*.ko; do insmod $module; done
# A file system whose ids this kernel can map for a mount, which it cannot of a tmpfs.
truncate -s 512M /disk && mke2fs -F /disk >/dev/null && mount -t ext4 -o loop /disk /tmp && chmod 1777 /tmp
echo "guest: Linux $(uname -r)"
# One half of the cases for each processor.
export SYSTEM_TESTS_GUEST=1
half() { [ -z "$1" ] || /system-tests --exact --ocinit /ocinit $1 </dev/null 2>&1; }
half "$(sed -n 'p;n' /cases)" &
half "$(sed -n 'n;p' /cases)"
wait
echo "guest: end"
poweroff -f
"#;

/// Boots and passes on each case's line.
fn relay(work: &Path, boot: &OldKernel, expected: usize, count: &mut Count) -> Result<()> {
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
        .arg("-kernel")
        .arg(&boot.image)
        .arg("-initrd")
        .arg(work.join("initramfs"))
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start QEMU")?;
    let output = child.stdout.take().context("its output is a pipe")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_string()).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + LIMIT;
    let (mut seen, mut last) = (0, String::new());
    let ended = loop {
        let Ok(line) = receiver.recv_timeout(end.saturating_duration_since(Instant::now())) else { break false };
        if line == "guest: end" {
            break true;
        }
        let (word, rest) = line.split_once(' ').unwrap_or_default();
        let (name, why) = rest.split_once(": ").unwrap_or((rest, ""));
        let outcome = match word {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed(why.into()),
            "skipped" => Outcome::Skipped(why.into()),
            _ => {
                last = line;
                continue;
            }
        };
        seen += 1;
        count.report(&format!("{PREFIX}{name}"), &outcome);
    };
    let _ = child.kill();
    let _ = child.wait();
    if !ended || seen != expected {
        let why = format!("the guest ended after {seen} of {expected} cases; its last words: {last:?}");
        count.report(PREFIX.trim_end_matches('/'), &Outcome::Failed(why));
    }
    if seen == 0 && !ended {
        bail!("the guest did not start: {last:?}");
    }
    Ok(())
}
