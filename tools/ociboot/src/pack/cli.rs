//! `ociboot pack` on the command line.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use oci_spec::runtime::{Mount, MountBuilder};

use super::{Compression, Format, Layout, Options, pack};
use crate::modules;

/// Packs a bundle, a root folder or a container image into something that boots
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle, a root folder, a LinuxKit unit tree, an OCI image layout, or an archive that docker or podman saved
    source: PathBuf,
    /// The initramfs to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Put the container onto a disk image of its own; the initramfs has ocinit alone
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// The disk's file system
    #[arg(long, value_enum, default_value = "erofs", requires = "disk")]
    format: Format,
    /// The disk as the guest calls it
    #[arg(long, default_value = "/dev/vda", value_name = "SOURCE", requires = "disk")]
    disk_device: String,
    /// How the initramfs, and a squashfs disk, is compressed
    #[arg(long, value_enum, default_value = "gzip")]
    compress: Compression,
    /// The binary that becomes /init [default: $OCINIT, else beside this program, in dist, or in the PATH]
    #[arg(long, value_name = "PATH")]
    ocinit: Option<PathBuf>,
    /// A kernel's module folder (/lib/modules/VERSION)
    #[arg(long, value_name = "FOLDER")]
    kernel_modules: Option<PathBuf>,
    /// A kernel module to load, with its parameters after a blank; what it depends on comes with it
    #[arg(long = "module", value_name = "NAME", requires = "kernel_modules")]
    modules: Vec<String>,
    /// A variable for the container
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<OsString>,
    /// A 9p file system to mount in the container, by its tag
    #[arg(long, value_name = "TAG:PATH[:ro]", value_parser = share)]
    share: Vec<Mount>,
    /// A path in the container that is copied out after its end
    #[arg(long, value_name = "PATH")]
    artifact: Vec<String>,
    /// Give the container a terminal
    #[arg(long)]
    terminal: bool,
    /// A word for ocinit as on the kernel's command line (ocinit.timeout=30s)
    #[arg(long = "boot", value_name = "WORD")]
    boot_words: Vec<String>,
    /// Which image of several, by its name or tag
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// What to run, whole: in the place of the bundle's process.args, or the image's Entrypoint and Cmd
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Arguments {
    pub fn run(&self) -> Result<ExitCode> {
        let mut options = Options::new(ocinit(self.ocinit.clone())?);
        options.command = (!self.command.is_empty()).then(|| self.command.clone());
        options.environment = self.env.clone();
        options.artifacts = self.artifact.clone();
        options.mounts = self.share.clone();
        options.terminal = self.terminal;
        options.compression = self.compress;
        options.boot_words = self.boot_words.clone();
        options.image = self.image.clone();
        options.disk_device = self.disk_device.clone();
        options.progress = true;
        if let Some(folder) = &self.kernel_modules {
            options.modules = Some(modules::Request { folder: folder.clone(), names: self.modules.clone() });
        }
        if let Some(file) = &self.disk {
            options.layout = Layout::Disk { file: file.clone(), format: self.format };
        }
        let summary = pack(&self.source, &options, &self.output)?;
        for warning in &summary.warnings {
            eprintln!("ociboot: warning: {warning}");
        }
        let mut text = String::new();
        for written in [&summary.initramfs].into_iter().chain(&summary.disk) {
            text.push_str(&format!("{}: {} bytes\n", written.path.display(), written.size));
        }
        let bytes = summary.without_root;
        text.push_str(&format!("without the container's root file system the initramfs has {bytes} bytes\n"));
        // The files are there, whether somebody reads of it or not.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(ExitCode::SUCCESS)
    }
}

/// `TAG:PATH[:ro]`
fn share(text: &str) -> Result<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (tag, path, read_only) = match parts[..] {
        [tag, path] => (tag, path, false),
        [tag, path, "ro"] => (tag, path, true),
        _ => bail!("is not TAG:PATH or TAG:PATH:ro"),
    };
    if tag.is_empty() || !path.starts_with('/') {
        bail!("needs a tag, and an absolute path in the container");
    }
    let mut options = vec!["trans=virtio".to_owned(), "version=9p2000.L".to_owned()];
    options.extend(read_only.then(|| "ro".to_owned()));
    let mount = MountBuilder::default().source(tag).destination(path).typ("9p").options(options);
    Ok(mount.build()?)
}

/// The binary that is named; else that of the variable OCINIT; else the one that is
/// installed, or was built, together with this program.
pub fn ocinit(named: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = named.or_else(|| std::env::var_os("OCINIT").map(PathBuf::from)) {
        return Ok(path);
    }
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let beside = own.parent().map(|folder| folder.join("ocinit"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("ocinit"));
    let found = beside.into_iter().chain([PathBuf::from("dist/ocinit")]).chain(in_path).find(|file| file.is_file());
    found.context(
        "ocinit is neither beside this program, nor in dist, nor in the PATH: --ocinit or the variable OCINIT says where it is",
    )
}
