//! The cases on an old kernel: Debian's 6.1 in a virtual machine that ociboot boots,
//! with the program under test as its init. They run in a unit that is no container:
//! it has the init's own namespaces and root, and every capability, and the cgroup
//! tree there is v2 alone.
//!
//! Where the kernel or QEMU cannot be had, the guest's cases are skipped. The same
//! cases run under User Mode Linux where the filter names them `guest-uml/…`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bundle::old_kernel::OldKernel;
use ociboot::run::outcome::Outcome as Ended;
use ociboot::run::report::Report;
use ociboot::run::watch::Limits;
use ociboot::run::{Options, Streams};
use serde_json::{Value, json};

use crate::cases;
use crate::harness::{Count, Outcome};
use crate::kernel;
use crate::uml;

/// In front of the guests' cases' names.
const EMULATED: &str = "guest-6.1/";
const UML: &str = "guest-uml/";

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

/// The emulation, up to the first case and from there to the last.
const LIMITS: Limits = Limits { boot: Duration::from_secs(120), run: Some(Duration::from_secs(900)) };

/// Programs of the host's that cases use, and other runtimes to compare with.
const PROGRAMS: &[&str] = &["bash", "setpriv", "unshare", "ldd", "runc", "crun", "env", "newuidmap", "newgidmap"];

/// Boots the guests, runs the cases chosen there and relays what they say.
pub fn run(filter: &[String], program: &Path, count: &mut Count) -> Result<()> {
    // A part of a case's own name is meant for the host, unless the guest is
    // named as well.
    if filter.is_empty() || filter.iter().any(|part| part.contains("guest")) {
        let boot = |tree: &Path, kernel: &OldKernel, lines: &Sender<String>| emulate(tree, program, kernel, lines);
        guest(EMULATED, "virtio:ocinit.stdout", filter, program, count, found, boot)?;
    }
    if filter.iter().any(|part| part.contains(UML.trim_end_matches('/'))) {
        let boot = |tree: &Path, kernel: &uml::Uml, lines: &Sender<String>| uml::boot(kernel, tree, program, lines);
        guest(UML, "console", filter, program, count, uml::found, boot)?;
    }
    Ok(())
}

/// One guest, where a case was chosen and the kernel can be had.
fn guest<Kernel: Sync>(
    prefix: &str,
    stdout: &str,
    filter: &[String],
    program: &Path,
    count: &mut Count,
    found: impl Fn() -> Result<Kernel>,
    boot: impl Fn(&Path, &Kernel, &Sender<String>) -> Result<Option<String>> + Sync,
) -> Result<()> {
    let name = |case: &str| format!("{prefix}{case}");
    let chosen: Vec<&str> = cases::all()
        .map(|case| case.name)
        .filter(|case| CHOSEN.iter().any(|start| case.starts_with(start)) && !TOO_SLOW.contains(case))
        .filter(|case| filter.is_empty() || filter.iter().any(|part| name(case).contains(part.as_str())))
        .collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let work = tempfile::Builder::new().prefix("ocinit-guest-").tempdir()?;
    let prepared = found().and_then(|kernel| {
        make_tree(work.path(), program, stdout, &chosen)?;
        Ok(kernel)
    });
    match prepared {
        Ok(kernel) => relay(prefix, chosen.len(), count, |lines| boot(work.path(), &kernel, lines)),
        Err(why) => count.report(prefix.trim_end_matches('/'), &Outcome::Skipped(format!("{why:#}"))),
    }
    Ok(())
}

/// The kernel; or why the guest cannot be had.
pub fn found() -> Result<OldKernel> {
    ociboot::run::qemu::program()?;
    OldKernel::find()
}

/// The guest's root, with a unit that runs the cases.
fn make_tree(tree: &Path, program: &Path, stdout: &str, chosen: &[&str]) -> Result<()> {
    // Other users go through it.
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755))?;
    for folder in ["bin", "etc", "root", "tmp", UNIT] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("no static busybox (busybox-static)")?;
    let list = Command::new("/bin/busybox").arg("--list").output()?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    add(tree, &std::env::current_exe()?, "system-tests")?;
    for name in PROGRAMS {
        if let Some(path) = kernel::find_program(name) {
            let _ = fs::remove_file(tree.join("bin").join(name));
            add(tree, &path, &format!("bin/{name}"))?;
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
    fs::write(tree.join("cases"), chosen.join("\n") + "\n")?;
    fs::write(tree.join(UNIT).join("config.json"), serde_json::to_vec(&config(program, stdout)?)?)?;
    Ok(())
}

/// Where the unit is; ociboot finds units in folders of these names.
const UNIT: &str = "containers/onboot/cases";

/// A unit without any namespace of its own, whose root is the init's: what it does it
/// does to the guest itself, as a person who has logged in would.
fn config(program: &Path, stdout: &str) -> Result<Value> {
    let output = Command::new(program).arg("features").output().context("cannot run the program under test")?;
    let features: Value = serde_json::from_slice(&output.stdout).context("`features` is no JSON")?;
    let all = &features["linux"]["capabilities"];
    ensure!(all.is_array(), "`features` has no linux.capabilities");
    Ok(json!({
        "ociVersion": "1.2.0",
        "root": {"path": "/"},
        "process": {
            "args": ["/bin/sh", "-c", SCRIPT],
            "cwd": "/",
            "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "SYSTEM_TESTS_GUEST=1"],
            "capabilities": {"bounding": all, "effective": all, "permitted": all},
        },
        "linux": {},
        "annotations": {"org.ocinit.stdout": stdout},
    }))
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

/// What the unit runs: one half of the cases for each processor.
const SCRIPT: &str = r#"
echo 0 >/sys/fs/cgroup/cgroup.procs # where a system's first processes are
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd # as udev does
# A file system whose ids this kernel can map for a mount, which it cannot of a tmpfs.
truncate -s 512M /disk && mke2fs -F /disk >/dev/null && mount -t ext4 -o loop /disk /tmp && chmod 1777 /tmp || exit
half() { [ -z "$1" ] || /system-tests --exact --ocinit /init $1 </dev/null 2>&1; }
half "$(sed -n 'p;n' /cases)" &
half "$(sed -n 'n;p' /cases)"
wait
"#;

/// Boots in QEMU and sends the lines; what went wrong in the guest, besides cases.
fn emulate(tree: &Path, program: &Path, kernel: &OldKernel, lines: &Sender<String>) -> Result<Option<String>> {
    let mut options = Options::new(program);
    options.kernel = Some(kernel.image.clone());
    options.modules = Some(kernel.modules.clone());
    options.more_modules = ["ext4", "loop"].map(String::from).to_vec();
    (options.memory, options.cpus, options.limits) = (2048, 2, LIMITS);
    let stdout = Box::new(Lines { sender: lines.clone(), begun: Vec::new() });
    let streams = Streams { stdin: None, stdout, stderr: Box::new(io::sink()) };
    let report = ociboot::run::run(tree, &options, streams)?;
    Ok(why(&report))
}

/// Boots and passes on each case's line.
fn relay(
    prefix: &str,
    expected: usize,
    count: &mut Count,
    boot: impl FnOnce(&Sender<String>) -> Result<Option<String>> + Send,
) {
    let (sender, lines) = channel();
    let (mut seen, mut last) = (0, String::new());
    let ended = std::thread::scope(|scope| {
        let guest = scope.spawn(move || boot(&sender));
        for line in lines {
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
            count.report(&format!("{prefix}{name}"), &outcome);
        }
        guest.join().unwrap_or_else(|_| Err(anyhow::anyhow!("what boots the guest panicked")))
    });
    if seen != expected || !matches!(ended, Ok(None)) {
        let end = ended.unwrap_or_else(|error| Some(format!("{error:#}")));
        let why = format!("{seen} of {expected} cases, and then: {}; last words: {last:?}", end.unwrap_or_default());
        count.report(prefix.trim_end_matches('/'), &Outcome::Failed(why));
    }
}

/// What went wrong in the guest, besides cases.
fn why(report: &Report) -> Option<String> {
    let console = report.seen.console.last_line();
    (*report.outcome() != Ended::Exit(0)).then(|| format!("{:?}; the console's last line: {console}", report.outcome()))
}

/// Sends whole lines.
struct Lines {
    sender: Sender<String>,
    begun: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_string();
            self.sender.send(line).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
