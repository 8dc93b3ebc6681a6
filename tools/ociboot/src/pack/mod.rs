//! `pack`: from a bundle, a root folder or a container image to something that boots.

pub mod cli;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use oci_spec::runtime::Mount;

use crate::modules;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    Gzip,
    Zstd,
    None,
}

/// The file systems a disk can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Erofs,
    Squashfs,
}

/// Where the container goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Into the initramfs, beside ocinit.
    Initramfs,
    /// Onto a disk image of its own, read-only; the initramfs has ocinit alone.
    Disk { file: PathBuf, format: Format },
}

/// What is packed with the source, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary that becomes /init.
    pub ocinit: PathBuf,
    /// In the place of the bundle's process.args; passed in a file, so that
    /// it may be long and have any byte but NUL.
    pub command: Option<Vec<OsString>>,
    /// NAME=VALUE, added to the bundle's.
    pub environment: Vec<OsString>,
    /// Paths in the container that are copied out after its end.
    pub artifacts: Vec<String>,
    /// Added to the bundle's mounts, after them.
    pub mounts: Vec<Mount>,
    /// Whether process.terminal is set.
    pub terminal: bool,
    pub modules: Option<modules::Request>,
    pub compression: Compression,
    pub layout: Layout,
    /// Words for /ocinit/cmdline, each `ocinit.…` as it would stand on the kernel's line.
    pub boot_words: Vec<String>,
}

impl Options {
    /// Nothing added, and everything in an initramfs.
    pub fn new(ocinit: impl Into<PathBuf>) -> Options {
        Options {
            ocinit: ocinit.into(),
            command: None,
            environment: Vec::new(),
            artifacts: Vec::new(),
            mounts: Vec::new(),
            terminal: false,
            modules: None,
            compression: Compression::Gzip,
            layout: Layout::Initramfs,
            boot_words: Vec::new(),
        }
    }
}

/// What a source was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder with config.json and a root file system.
    Bundle,
    /// A folder that is a root file system.
    Root,
    /// A folder with LinuxKit's containers/onboot, services and onshutdown.
    Units,
    /// An OCI image layout, a folder or an archive of one.
    OciLayout,
    /// What `docker save` writes, and `podman save` by default.
    DockerArchive,
}

/// A file that was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub path: PathBuf,
    pub size: u64,
}

/// What `pack` made.
#[derive(Clone, Debug)]
pub struct Summary {
    pub kind: Kind,
    pub initramfs: Written,
    pub disk: Option<Written>,
    /// Bytes that the initramfs would have, compressed, without the containers' root file systems.
    pub without_root: u64,
    /// What could not be kept, one sentence each.
    pub warnings: Vec<String>,
}

/// Packs the source; the initramfs becomes `out`, which appears whole or not at all.
pub fn pack(source: &Path, options: &Options, out: &Path) -> Result<Summary> {
    let _ = (source, options, out);
    bail!("not yet")
}
