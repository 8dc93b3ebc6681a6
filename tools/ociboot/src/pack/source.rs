//! What a source is, by what is in it, and how it gets into the tree.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::folder::{Folders, read_small};
use super::image::{self, Image};
use super::spool::{Content, Spool};
use super::store::Store;
use super::tree::{Id, Tree};
use super::{Kind, Options, config, limits};
use crate::progress::Progress;

/// What of a folder shows that it is a root file system.
const ROOT_FOLDERS: &[&str] = &["bin", "sbin", "usr", "etc", "lib"];
const STAGES: &[&str] = &["onboot", "services", "onshutdown"];

pub enum Source {
    Bundle(PathBuf),
    Root(PathBuf),
    Units(PathBuf),
    Oci(Store),
    Docker(Store),
}

impl Source {
    pub fn kind(&self) -> Kind {
        match self {
            Source::Bundle(_) => Kind::Bundle,
            Source::Root(_) => Kind::Root,
            Source::Units(_) => Kind::Units,
            Source::Oci(_) => Kind::OciLayout,
            Source::Docker(_) => Kind::DockerArchive,
        }
    }

    pub fn detect(path: &Path, spool: &mut Spool, progress: &Progress) -> Result<Source> {
        let metadata = std::fs::metadata(path).context("cannot look at it")?;
        if metadata.is_dir() {
            return folder(path);
        }
        if !metadata.is_file() {
            bail!("it is neither a folder nor a file");
        }
        let store = Store::archive(path, spool, progress)?;
        if image::is_layout(&store) {
            Ok(Source::Oci(store))
        } else if image::is_docker(&store) {
            Ok(Source::Docker(store))
        } else {
            bail!(
                "it is no image: among the {} files of the archive there is neither oci-layout with index.json (an OCI \
                 image layout) nor manifest.json (what `docker save` and `podman save` write)",
                store.count()
            )
        }
    }
}

/// Whether a source is a tree of units.
pub fn is_units(path: &Path) -> bool {
    path.is_dir() && matches!(folder(path), Ok(Source::Units(_)))
}

fn folder(path: &Path) -> Result<Source> {
    let has = |name: &str| path.join(name).symlink_metadata().is_ok();
    let store = || Store::Folder(path.into());
    if has("oci-layout") && has("index.json") {
        return Ok(Source::Oci(store()));
    }
    if has("config.json") && is_config(&path.join("config.json")) {
        return Ok(Source::Bundle(path.into()));
    }
    if STAGES.iter().any(|stage| path.join("containers").join(stage).is_dir()) {
        return Ok(Source::Units(path.into()));
    }
    if has("manifest.json") && has("repositories") {
        return Ok(Source::Docker(store()));
    }
    if ROOT_FOLDERS.iter().any(|name| path.join(name).is_dir()) || has_program(path) {
        return Ok(Source::Root(path.into()));
    }
    bail!(
        "the folder is nothing that can be packed. Looked for: config.json with ociVersion (a bundle); oci-layout and \
         index.json (an OCI image layout); containers/{} (LinuxKit's units); {} or a program (a root file system)",
        STAGES.join(", containers/"),
        ROOT_FOLDERS.join(", ")
    )
}

/// A runtime's, and not any file of that name in a root file system.
fn is_config(path: &PathBuf) -> bool {
    let text = read_small(path, limits::CONFIG_JSON).unwrap_or_default();
    // One that is broken shall be reported as such, not taken for something else.
    serde_json::from_slice::<Value>(&text).map_or(true, |config| config.get("ociVersion").is_some())
}

fn has_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let entries = path.read_dir().into_iter().flatten().flatten();
    entries.flat_map(|entry| entry.metadata()).any(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Loads a single container: config.json and rootfs below `into`.
pub fn container(
    source: &Source,
    options: &Options,
    tree: &mut Tree,
    into: Id,
    spool: &mut Spool,
    folders: &mut Folders,
) -> Result<()> {
    let root = tree.make_folders(into, b"rootfs")?;
    let text = match source {
        Source::Bundle(path) => bundle(path, options, tree, into, root, folders)?,
        Source::Root(path) => {
            folders.take(tree, root, path, &|_| false)?;
            finish(config::default(options)?, options, tree, root)?
        }
        Source::Oci(store) => {
            let image = Image::oci(store, options.image.as_deref())?;
            self::image(&image, store, options, tree, root, spool, folders.progress)?
        }
        Source::Docker(store) => {
            let image = Image::docker(store, options.image.as_deref())?;
            self::image(&image, store, options, tree, root, spool, folders.progress)?
        }
        Source::Units(_) => bail!("it has several containers"),
    };
    tree.put_made(into, "config.json", 0o644, Content::memory(text))
}

fn image(
    image: &Image,
    store: &Store,
    options: &Options,
    tree: &mut Tree,
    root: Id,
    spool: &mut Spool,
    progress: &Progress,
) -> Result<Vec<u8>> {
    image.unpack(store, tree, root, spool, progress)?;
    spool.flush()?;
    let config = config::of_image(&image.configuration, options, tree, root)?;
    finish(config, options, tree, root)
}

fn finish(mut config: Value, options: &Options, tree: &mut Tree, root: Id) -> Result<Vec<u8>> {
    config::share_name_servers(&mut config, options, tree, root)?;
    config::adapt(&mut config, options)?;
    config::make_mount_points(&config, tree, root)?;
    config::text(&config)
}

/// A bundle's config.json stays as it is, byte for byte, unless it has to change.
fn bundle(
    path: &Path,
    options: &Options,
    tree: &mut Tree,
    into: Id,
    root: Id,
    folders: &mut Folders,
) -> Result<Vec<u8>> {
    let text = read_small(&path.join("config.json"), limits::CONFIG_JSON)?;
    let mut config: Value = serde_json::from_slice(&text).context("config.json is not well-formed")?;
    let Some(place) = config["root"]["path"].as_str().map(str::to_owned) else {
        bail!("config.json: has no root.path");
    };
    folders.take(tree, root, &path.join(&place), &|_| false).context("config.json: root.path")?;
    let mut changed = config::adapt(&mut config, options)?;
    if place.trim_end_matches('/').trim_start_matches("./") != "rootfs" {
        config["root"]["path"] = json!("rootfs");
        changed = true;
    }
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let Some(source) = mount["source"].as_str().filter(|_| is_bind(mount)) else { continue };
        let guests = ["/dev", "/proc", "/sys", "/run"].iter().any(|folder| Path::new(source).starts_with(folder));
        if !source.starts_with('/') {
            bind_source(path, source, &place, tree, into, folders)
                .with_context(|| format!("config.json: the source `{source}` of a mount"))?;
        } else if !guests {
            folders.warnings.push(format!(
                "config.json: the mount on {} is of this machine's {source}, which is not packed",
                mount["destination"].as_str().unwrap_or_default()
            ));
        }
    }
    if let super::Layout::Disk { .. } = options.layout {
        config::make_mount_points(&config, tree, root)?;
    }
    if changed { config::text(&config) } else { Ok(text) }
}

fn is_bind(mount: &Value) -> bool {
    let mut options = mount["options"].as_array().into_iter().flatten();
    mount["type"] == "bind" || options.any(|option| option == "bind" || option == "rbind")
}

/// Packs what a bind mount has of the bundle itself: relative sources are relative to it.
fn bind_source(
    bundle: &Path,
    source: &str,
    root: &str,
    tree: &mut Tree,
    into: Id,
    folders: &mut Folders,
) -> Result<()> {
    let parts: Vec<Component> = Path::new(source).components().filter(|part| *part != Component::CurDir).collect();
    if parts.is_empty() || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
        bail!("a relative one must be a file or a folder in the bundle");
    }
    let source: PathBuf = parts.iter().collect();
    let root = root.trim_end_matches('/').trim_start_matches("./");
    if source.starts_with("rootfs") || source.starts_with(root) {
        if root == "rootfs" {
            return Ok(()); // it is there already
        }
        bail!("the root file system becomes `rootfs` in the image, and nothing else can be there");
    }
    folders.take_one(tree, into, bundle, &source)
}

/// Loads units: `containers` of the folder into the one place, everything else
/// into the other, as units mount parts of it. Ours are its init and /ocinit.
pub fn units(path: &Path, tree: &mut Tree, containers: Id, rest: Id, folders: &mut Folders) -> Result<()> {
    let leave = |name: &[u8]| matches!(name, b"containers" | b"init" | b"ocinit");
    folders.take(tree, rest, path, &leave)?;
    let inner = path.join("containers");
    folders.take(tree, containers, &inner, &|_| false)?;
    for stage in STAGES {
        for entry in inner.join(stage).read_dir().into_iter().flatten().flatten() {
            if entry.file_type()?.is_dir() && !entry.path().join("config.json").is_file() {
                bail!("{}: has no config.json", entry.path().display());
            }
        }
    }
    Ok(())
}
