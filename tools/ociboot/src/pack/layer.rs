//! A layer of an image, applied to the tree that those before it made: entries
//! put something there, whiteouts take something away.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, bail};

use super::archive::{Archive, Entry, EntryKind};
use super::limits;
use super::progress::Progress;
use super::spool::{Content, Spool};
use super::tree::{self, Id, Kind, Meta, Tree};

/// Applies a layer below `root`. The layers of one image have numbers that rise.
pub fn apply(
    tree: &mut Tree,
    root: Id,
    layer: u32,
    input: impl Read,
    spool: &mut Spool,
    progress: &Progress,
) -> Result<()> {
    tree.layer = layer;
    let mut archive = Archive::new(input);
    while let Some(entry) = archive.next()? {
        progress.tick(&format!("unpacking {}", entry.path.escape_ascii()));
        let mut content = Content::default();
        if entry.kind == EntryKind::File {
            content = spool
                .take(&mut archive.data(), entry.size, &entry.places)
                .with_context(|| format!("`{}`", entry.path.escape_ascii()))?;
        }
        put(tree, root, &entry, content).with_context(|| format!("`{}`", entry.path.escape_ascii()))?;
    }
    archive.drain()
}

/// A name in an archive, from its root: what it begins with, `/` or `./`, says
/// nothing more, as with tar(1). One that goes up is refused.
pub fn inner_path(path: &[u8]) -> Result<&[u8]> {
    if path.split(|byte| *byte == b'/').any(|name| name == b"..") {
        bail!("`..` is in the name: it leads out of the archive, and is refused");
    }
    if path.len() > limits::PATH {
        bail!("its name has {} bytes; Linux takes {}", path.len(), limits::PATH);
    }
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"/").or_else(|| path.strip_prefix(b"./")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/").or_else(|| path.strip_suffix(b"/.")) {
        path = rest;
    }
    Ok(if path == b"." { b"" } else { path })
}

fn put(tree: &mut Tree, root: Id, entry: &Entry, content: Content) -> Result<()> {
    let path = inner_path(&entry.path)?;
    let meta =
        Meta { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs: entry.xattrs.clone() };
    if path.is_empty() {
        if entry.kind != EntryKind::Folder {
            bail!("the root of an image cannot be anything but a folder");
        }
        *tree.meta_mut(root) = meta;
        return Ok(());
    }
    let name = &path[path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)..];
    if let Some(hidden) = name.strip_prefix(b".wh.") {
        return white_out(tree, root, path, hidden);
    }
    let kind = match entry.kind {
        EntryKind::HardLink => return hard_link(tree, root, path, &entry.target),
        EntryKind::File => Kind::File(content),
        EntryKind::Folder => Kind::Folder(BTreeMap::new()),
        EntryKind::Symlink => Kind::Symlink(symlink_target(&entry.target)?),
        EntryKind::Character | EntryKind::Block => {
            Kind::Device { character: entry.kind == EntryKind::Character, major: entry.device.0, minor: entry.device.1 }
        }
        EntryKind::Fifo => Kind::Fifo,
    };
    let (folder, name) = tree.parent(root, path)?;
    tree.put(folder, &name, meta, kind)?;
    Ok(())
}

fn symlink_target(target: &[u8]) -> Result<Vec<u8>> {
    if target.is_empty() || target.len() > limits::PATH || target.contains(&0) {
        bail!("a symbolic link's target has 1 to {} bytes, none of them NUL; this has {}", limits::PATH, target.len());
    }
    Ok(target.into())
}

/// `.wh.NAME` takes NAME away, `.wh..wh..opq` all that is in the folder; other
/// names of that kind are aufs's own, for itself.
fn white_out(tree: &mut Tree, root: Id, path: &[u8], hidden: &[u8]) -> Result<()> {
    let name = match hidden {
        b".wh..opq" => None,
        _ if hidden.starts_with(b".wh.") => return Ok(()),
        name => Some(name),
    };
    if let Some(name) = name {
        tree::check_name(name).context("a whiteout")?;
    }
    if let Some(folder) = tree.existing_parent(root, path)? {
        tree.white_out(folder, name);
    }
    Ok(())
}

/// The target is a name in the same tree, of this layer or one before.
fn hard_link(tree: &mut Tree, root: Id, path: &[u8], target: &[u8]) -> Result<()> {
    let shown = target.escape_ascii().to_string();
    let target = inner_path(target).with_context(|| format!("it is a hard link to `{shown}`"))?;
    if target == path {
        bail!("it is a hard link to itself");
    }
    let name = &target[target.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)..];
    let found = tree.existing_parent(root, target)?.and_then(|folder| tree.child(folder, name));
    let Some(id) = found else {
        bail!("it is a hard link to `{shown}`, which is not in the image before it");
    };
    if tree.children(id).is_some() {
        bail!("it is a hard link to `{shown}`, which is a folder");
    }
    let (folder, name) = tree.parent(root, path)?;
    if tree.child(folder, &name) != Some(id) {
        tree.link(folder, &name, id);
    }
    Ok(())
}
