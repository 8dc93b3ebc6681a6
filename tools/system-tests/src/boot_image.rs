//! A machine with ocinit as its first process: an initramfs that holds nothing but
//! `/init` and what a case puts there, with Debian's 6.1 kernel, emulated.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bundle::old_kernel::OldKernel;
use serde_json::Value;

use crate::bundle::{Config, copy_tree};
use crate::context::Context;
use crate::guest;
use crate::harness::Skip;

/// The emulation, from the first instruction to the end.
const LIMIT: Duration = Duration::from_secs(90);

/// In front of the outcome.
const MARK: &str = "ocinit-outcome: ";

/// What virtio devices need, in the order of loading.
const VIRTIO: &[&str] = &[
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
];

/// What is put into the initramfs.
pub struct Image<'c> {
    context: &'c Context,
    pub tree: PathBuf,
    pub kernel: OldKernel,
    /// More of QEMU's.
    pub arguments: Vec<String>,
    /// The machine is ended from outside, once it has told its outcome.
    pub only_outcome: bool,
}

/// What a machine has said.
pub struct Said {
    pub console: String,
    pub outcome: Value,
}

impl<'c> Image<'c> {
    pub fn new(context: &'c Context) -> Result<Image<'c>> {
        let kernel = guest::found().map_err(|why| Skip(format!("{why:#}")))?;
        let tree = context.folder("tree")?;
        fs::copy(&context.program, tree.join("init"))?;
        Ok(Image { context, tree, kernel, arguments: Vec::new(), only_outcome: false })
    }

    /// A bundle at `place` in the image.
    pub fn bundle(&self, place: &str, config: &Config) -> Result<PathBuf> {
        let folder = self.tree.join(place);
        copy_tree(&self.context.rootfs(), &folder.join("rootfs"))?;
        fs::write(folder.join("config.json"), serde_json::to_vec(&config.0)?)?;
        Ok(folder)
    }

    pub fn file(&self, place: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.tree.join(place);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        Ok(fs::write(path, content)?)
    }

    /// A kernel module, to be loaded behind those before it.
    pub fn module(&self, path: &str) -> Result<()> {
        let place = format!("modules/{}", path.rsplit('/').next().unwrap_or(path));
        let from = self.kernel.modules.join("kernel").join(path);
        self.file(&place, fs::read(&from).with_context(|| format!("no module {}", from.display()))?)?;
        let list = self.tree.join("ocinit/modules");
        let before = fs::read_to_string(&list).unwrap_or_default();
        self.file("ocinit/modules", format!("{before}/{place}\n"))
    }

    /// Drivers of virtio devices.
    pub fn virtio(&self, drivers: &[&str]) -> Result<()> {
        VIRTIO.iter().chain(drivers).try_for_each(|path| self.module(path))
    }

    /// A program of the host's that needs no libraries.
    pub fn program(&self, from: &str, place: &str) -> Result<()> {
        self.file(place, fs::read(from).with_context(|| format!("no {from}"))?)?;
        self.executable(place)
    }

    pub fn executable(&self, place: &str) -> Result<()> {
        Ok(fs::set_permissions(self.tree.join(place), fs::Permissions::from_mode(0o755))?)
    }

    /// Another program as the init.
    pub fn init(&self, program: &Path) -> Result<()> {
        fs::copy(program, self.tree.join("init")).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(())
    }

    /// Boots it to its end.
    pub fn boot(&self, words: &str) -> Result<Said> {
        let archive = self.tree.with_extension("cpio");
        let script = format!("find . | /bin/busybox cpio -o -H newc >{} 2>/dev/null", archive.display());
        let status = Command::new("sh").args(["-c", &script]).current_dir(&self.tree).status()?;
        ensure!(status.success(), "cannot pack the initramfs");
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-m", "256"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(&archive)
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 mitigations=off {words}")]);
        command.args(&self.arguments);
        self.context.surroundings(&mut command);
        let mut running = self.context.start_command(command)?;
        let console = if self.only_outcome {
            let end = Instant::now() + LIMIT;
            while !running.capture.stdout().contains(MARK) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(200));
            }
            std::thread::sleep(Duration::from_millis(500)); // the rest of the line
            running.child.kill()?;
            running.child.wait()?;
            running.capture.stdout()
        } else {
            running.finish_within(LIMIT)?.stdout
        };
        let Some(line) = console.lines().find_map(|line| line.trim_end().strip_prefix(MARK)) else {
            bail!("no outcome on the console: {console:?}");
        };
        let outcome = serde_json::from_str(line).with_context(|| format!("the outcome {line:?}"))?;
        Ok(Said { console, outcome })
    }
}

impl Said {
    /// The outcome but for the time.
    pub fn outcome(&self) -> Value {
        let mut outcome = self.outcome.clone();
        if let Some(members) = outcome.as_object_mut() {
            members.remove("us");
        }
        outcome
    }

    /// The places of these texts on the console, each behind the one before.
    pub fn in_order(&self, parts: &[&str]) -> Result<()> {
        let mut from = 0;
        for part in parts {
            let rest = self.console.get(from..).unwrap_or_default();
            let at = rest.find(part).with_context(|| format!("{part:?} is not in {rest:?}"))?;
            from += at + part.len();
        }
        Ok(())
    }
}
