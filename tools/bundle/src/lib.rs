//! Bundles for the tools and the tests: a root file system with nothing but a
//! static busybox, and config.json files adapted to what a test needs.
//!
//! Knows nothing of ocinit: the bundles are for every OCI runtime.

pub mod old_kernel;
pub mod peers;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// A bundle folder: `config.json` and `rootfs/`.
pub struct Bundle {
    folder: PathBuf,
    /// The configuration; [`Bundle::write`] brings it to the file.
    pub config: Value,
}

impl Bundle {
    /// A bundle in `folder` with a busybox root and what `RUNTIME spec` writes.
    pub fn from_spec(folder: &Path, runtime: &Path) -> Result<Bundle> {
        busybox_root(&folder.join("rootfs"))?;
        let output = Command::new(runtime)
            .arg("spec")
            .current_dir(folder)
            .output()
            .with_context(|| format!("cannot run {} spec", runtime.display()))?;
        ensure!(
            output.status.success(),
            "{} spec failed: {}",
            runtime.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Bundle::open(folder)
    }

    /// A bundle in `folder` with a busybox root and this configuration.
    pub fn from_config(folder: &Path, config: Value) -> Result<Bundle> {
        busybox_root(&folder.join("rootfs"))?;
        let bundle = Bundle { folder: folder.to_owned(), config };
        bundle.write()?;
        Ok(bundle)
    }

    /// The bundle that is already there.
    pub fn open(folder: &Path) -> Result<Bundle> {
        let path = folder.join("config.json");
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let config = serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        Ok(Bundle { folder: folder.to_owned(), config })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The busybox in its root: the payload's executable.
    pub fn busybox(&self) -> PathBuf {
        self.folder.join("rootfs/bin/busybox")
    }

    /// What the container is to run.
    pub fn arguments(&mut self, arguments: &[&str]) -> &mut Self {
        self.config["process"]["args"] = json!(arguments);
        self
    }

    /// No terminal: standard input and output are the caller's.
    pub fn no_terminal(&mut self) -> &mut Self {
        self.config["process"]["terminal"] = json!(false);
        self
    }

    /// Without `process.rlimits`: raising a hard limit needs CAP_SYS_RESOURCE,
    /// which root of a container or of a CI machine often lacks.
    pub fn no_rlimits(&mut self) -> &mut Self {
        remove(&mut self.config["process"], "rlimits");
        self
    }

    /// Without seccomp, and of the resources only the device rules: what is not
    /// carried out yet.
    pub fn no_seccomp_no_limits(&mut self) -> &mut Self {
        remove(&mut self.config["linux"], "seccomp");
        let devices = self.config["linux"]["resources"]["devices"].clone();
        if devices.is_null() {
            remove(&mut self.config["linux"], "resources");
        } else {
            self.config["linux"]["resources"] = json!({ "devices": devices });
        }
        self
    }

    /// The cgroup of the container, below the cgroup mount.
    pub fn cgroup(&mut self, path: &str) -> &mut Self {
        self.config["linux"]["cgroupsPath"] = json!(path);
        self
    }

    /// Gives bind mounts whose source is not on this machine a file of ours.
    pub fn real_bind_sources(&mut self) -> Result<&mut Self> {
        let folder = self.folder.join("sources");
        fs::create_dir_all(&folder)?;
        let Some(mounts) = self.config["mounts"].as_array_mut() else { return Ok(self) };
        for mount in mounts {
            if mount["type"] != "bind" || mount["source"].as_str().is_some_and(|source| Path::new(source).exists()) {
                continue;
            }
            let name = mount["destination"].as_str().unwrap_or("source").replace('/', "_");
            let path = folder.join(name);
            fs::write(&path, b"")?;
            mount["source"] = json!(path);
        }
        Ok(self)
    }

    /// Writes config.json.
    pub fn write(&self) -> Result<()> {
        let path = self.folder.join("config.json");
        fs::write(&path, serde_json::to_vec_pretty(&self.config)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn remove(object: &mut Value, member: &str) {
    if let Some(object) = object.as_object_mut() {
        object.remove(member);
    }
}

/// The static busybox of this machine.
pub fn busybox() -> Result<PathBuf> {
    for path in ["/bin/busybox", "/usr/bin/busybox"] {
        if Path::new(path).exists() {
            return Ok(path.into());
        }
    }
    bail!("there is no busybox here (Debian: apt-get install busybox-static)")
}

/// Makes a root file system of one static busybox, its applets as symlinks.
pub fn busybox_root(root: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("cannot make {}/{folder}", root.display()))?;
    }
    let busybox = busybox()?;
    let inside = root.join("bin/busybox");
    if inside.exists() {
        return Ok(());
    }
    fs::copy(&busybox, &inside).with_context(|| format!("cannot copy {}", busybox.display()))?;
    let list = Command::new(&busybox).arg("--list").output()?;
    for applet in String::from_utf8_lossy(&list.stdout).lines() {
        let link = root.join("bin").join(applet);
        if !link.exists() {
            symlink("busybox", link)?;
        }
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    Ok(())
}

/// Whether /sys/fs/cgroup is a pure cgroup v2 mount. Hybrid hosts have a tmpfs
/// of v1 controllers there, which some runtimes refuse.
pub fn pure_cgroup2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The arguments of a command that runs what is appended to them in a mount
/// namespace of its own, where /sys/fs/cgroup is cgroup v2 and nothing else.
/// The host's mount table is not touched.
pub const PRIVATE_CGROUP2: [&str; 7] = [
    "unshare",
    "-m",
    "--propagation",
    "private",
    "sh",
    "-c",
    "umount -R /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup && exec \"$0\" \"$@\"",
];
