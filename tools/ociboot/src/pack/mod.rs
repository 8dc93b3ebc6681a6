//! `pack`: from a bundle, a root folder or a container image to something that boots.

mod archive;
pub mod cli;
mod config;
mod cpio;
mod digest;
mod erofs;
mod fields;
mod folder;
mod image;
mod initramfs;
mod layer;
mod limits;
pub(crate) mod output;
pub(crate) mod packed;
mod source;
mod spool;
mod squashfs;
mod store;
mod tree;
mod users;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use oci_spec::runtime::Mount;

use crate::modules;
use crate::progress::Progress;
use folder::Folders;
use output::Output;
use source::Source;
pub use source::is_units;
use spool::Spool;
use tree::Tree;

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
    /// Whether the machine learns of name servers in a way of which `boot_words` do not tell.
    pub name_servers: bool,
    /// Which image, by its name or tag, where the source has several.
    pub image: Option<String>,
    /// The disk as the guest calls it: what /bundle or /containers is mounted from.
    pub disk_device: String,
    /// Whether a line on a terminal says what is going on.
    pub progress: bool,
}

impl Options {
    /// Whether the machine has name servers: of DHCP, or named.
    fn has_name_servers(&self) -> bool {
        self.name_servers || self.boot_words.iter().any(|word| names_servers(word))
    }

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
            name_servers: false,
            image: None,
            disk_device: "/dev/vda".into(),
            progress: false,
        }
    }
}

/// Whether a word of the kernel's line leads to name servers.
pub fn names_servers(word: &str) -> bool {
    let word = word.trim_start_matches('"');
    word.starts_with("ocinit.dhcp=") || word.starts_with("ocinit.dns=")
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
    let shown = || format!("cannot pack {}", source.display());
    refuse_inside(source, out)?;
    if let Layout::Disk { file, .. } = &options.layout {
        refuse_inside(source, file)?;
        if file == out {
            bail!("the initramfs and the disk cannot both be {}", out.display());
        }
    }
    let progress = Progress::new(options.progress);
    let mut spool = Spool::new()?;
    let found = Source::detect(source, &mut spool, &progress).with_context(shown)?;
    let mut folders = Folders::new(&progress);
    let mut tree = Tree::new(generated_mtime()?);
    initramfs::skeleton(&mut tree, options)?;
    let place: &[u8] = if let Source::Units(_) = found { b"containers" } else { b"bundle" };
    let mount_point = tree.make_folders(Tree::ROOT, place)?;
    let containers = match options.layout {
        Layout::Initramfs => mount_point,
        // A root of its own.
        Layout::Disk { .. } => tree.add(tree.made_meta(0o755), tree::Kind::Folder(Default::default()))?,
    };
    match &found {
        Source::Units(path) => {
            refuse_for_units(options)?;
            source::units(path, &mut tree, containers, Tree::ROOT, &mut folders).with_context(shown)?;
        }
        single => {
            source::container(single, options, &mut tree, containers, &mut spool, &mut folders).with_context(shown)?
        }
    }
    let mut warnings = std::mem::take(&mut folders.warnings);
    initramfs::boot_files(&mut tree, options, place, &mut warnings)?;
    spool.flush()?;

    let mut initramfs = Output::new(out)?;
    progress.say("writing the initramfs");
    let lost = initramfs::write(&tree, options.compression, initramfs.file(), &|_| false)?;
    for name in lost {
        warnings.push(format!("{name}: an initramfs has no place for extended attributes; a disk has"));
    }
    let without_root = initramfs::size_without_root(&tree, options.compression)?;
    let disk = match &options.layout {
        Layout::Initramfs => None,
        Layout::Disk { file, format } => {
            progress.say("writing the disk");
            let mut disk = Output::new(file)?;
            write_disk(&tree, containers, *format, options.compression, &mut disk, &mut warnings)?;
            Some(disk)
        }
    };
    let disk = disk.map(Output::keep).transpose()?;
    Ok(Summary { kind: found.kind(), initramfs: initramfs.keep()?, disk, without_root, warnings })
}

fn write_disk(
    tree: &Tree,
    root: tree::Id,
    format: Format,
    compression: Compression,
    disk: &mut Output,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let made = generated_mtime()?;
    match format {
        Format::Erofs => {
            let mut writer = std::io::BufWriter::with_capacity(1 << 18, disk.file());
            erofs::write(tree, root, &mut writer, "ocinit", made, warnings)?;
            std::io::Write::flush(&mut writer).context("cannot write the disk")
        }
        Format::Squashfs => squashfs::write(tree, root, disk.path(), compression, made, warnings),
    }
}

/// What is for one container has no place among several.
fn refuse_for_units(options: &Options) -> Result<()> {
    for (given, what) in [
        (options.command.is_some(), "a command"),
        (!options.environment.is_empty(), "variables"),
        (!options.artifacts.is_empty(), "artifacts"),
        (!options.mounts.is_empty(), "mounts"),
        (options.terminal, "a terminal"),
        (options.image.is_some(), "an image's name"),
    ] {
        if given {
            bail!("the source is a tree of units; {what} can be given to a single container only");
        }
    }
    Ok(())
}

/// An output within the source would be packed the next time.
fn refuse_inside(source: &Path, out: &Path) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(source), Ok(folder)) = (source.canonicalize(), folder.canonicalize())
        && source.is_dir()
        && folder.starts_with(&source)
    {
        bail!("{} lies within the source, {}: it would be packed the next time", out.display(), source.display());
    }
    Ok(())
}

/// How old is what stands in no source: as SOURCE_DATE_EPOCH says, or as old as can be.
fn generated_mtime() -> Result<i64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is `{text}`, and should be seconds since 1970"))
        }
        Err(_) => Ok(0),
    }
}
