//! The guest under User Mode Linux, a kernel that runs as a program: quick where QEMU
//! emulates, with one processor and without some of what other kernels have.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;

use anyhow::{Context as _, Result};
use ociboot::modules::Request;
use ociboot::pack::{Compression, Options, pack};
use ociboot::run::outcome::{Event, Kind, Outcome};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::kernel::find_program;

/// Debian's package has its modules here, in a folder of the release's name.
const MODULES: &str = "/usr/lib/uml/modules";

/// Seconds: ocinit's own limit from the first case to the last, and that of all of it
/// for a kernel that hangs.
const RUN: u32 = 900;
const WHOLE: u32 = 960;

/// The kernel and its modules.
pub struct Uml {
    program: PathBuf,
    modules: PathBuf,
}

/// The kernel; or why it cannot be had.
pub fn found() -> Result<Uml> {
    let program = find_program("linux.uml").context("no linux.uml (user-mode-linux)")?;
    let mut folders = fs::read_dir(MODULES).with_context(|| format!("no {MODULES}"))?;
    Ok(Uml { program, modules: folders.next().with_context(|| format!("nothing in {MODULES}"))??.path() })
}

/// Boots the tree to its end and sends the console's lines; what went wrong besides cases.
pub fn boot(uml: &Uml, tree: &Path, ocinit: &Path, lines: &Sender<String>) -> Result<Option<String>> {
    let work = tempfile::Builder::new().prefix("ocinit-uml-").tempdir()?;
    // The guest's memory is a file, which must not go to a disk. Only the tests' own
    // mount namespace has this.
    mount("tmpfs", work.path(), "tmpfs", MountFlags::empty(), Some(c"size=3g")).context("cannot mount a tmpfs")?;
    let ended = boot_in(work.path(), uml, tree, ocinit, lines);
    unmount(work.path(), UnmountFlags::DETACH).context("cannot unmount the tmpfs")?;
    ended
}

fn boot_in(work: &Path, uml: &Uml, tree: &Path, ocinit: &Path, lines: &Sender<String>) -> Result<Option<String>> {
    let mut options = Options::new(ocinit);
    options.modules =
        Some(Request { folder: uml.modules.clone(), names: ["overlay", "loop"].map(String::from).into() });
    options.compression = Compression::None;
    options.boot_words = vec![format!("ocinit.timeout={RUN}s")];
    let initramfs = work.join("initramfs");
    pack(tree, &options, &initramfs)?;
    // Each of the guest's processes is one of the host's; with the first of their pid
    // namespace, which is timeout(1), all are gone.
    let mut child = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "timeout", "--signal=KILL", &WHOLE.to_string()])
        .arg(&uml.program)
        .args(["mem=2048M", "con0=null,fd:1", "con=null", "ssl=null", "quiet", "panic=-1", "cgroup_no_v1=all"])
        .args([format!("initrd={}", initramfs.display()), format!("uml_dir={}", work.display())])
        .env("TMPDIR", work)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run unshare(1)")?;
    let mut outcome = None;
    for line in BufReader::new(child.stdout.take().context("there is a pipe")?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).trim_end().to_string();
        match Event::on_console(&line) {
            Some(Event { kind: Kind::Outcome(told), .. }) => outcome = Some(told),
            _ => lines.send(line)?,
        }
    }
    let status = child.wait()?;
    Ok((outcome != Some(Outcome::Exit(0))).then(|| format!("{outcome:?}; linux.uml: {status}")))
}
