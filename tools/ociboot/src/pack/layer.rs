//! A layer of an image, applied to the tree that those before it made: entries
//! put something there, whiteouts take something away.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, bail};

use super::archive::{Archive, Entry, EntryKind};
use super::limits;
use super::spool::{Content, Spool};
use super::tree::{self, Id, Kind, Meta, Tree};
use crate::progress::Progress;

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
        progress.say(&format!("unpacking {}", entry.path.escape_ascii()));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as the tests write it: its name, and what it is.
    enum What<'a> {
        File(&'a str),
        Hard(&'a str),
        Link(&'a str),
        Folder,
    }
    use What::*;

    fn archive(entries: &[(&str, What)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, what) in entries {
            let mut header = tar::Header::new_gnu();
            // Names that the crate would not write are written past it.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_mode(0o644);
            let (kind, target, data) = match what {
                File(data) => (tar::EntryType::Regular, "", *data),
                Hard(target) => (tar::EntryType::Link, *target, ""),
                Link(target) => (tar::EntryType::Symlink, *target, ""),
                Folder => (tar::EntryType::Directory, "", ""),
            };
            header.set_entry_type(kind);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// What the layers come to: names, `NAME=CONTENTS` of files, `NAME->TARGET` of links.
    fn applied(layers: &[Vec<u8>], limit: u64) -> Result<String> {
        let mut tree = Tree::new(0);
        let mut spool = Spool::with_limit(limit);
        for (number, layer) in layers.iter().enumerate() {
            apply(&mut tree, Tree::ROOT, number as u32, &layer[..], &mut spool, &Progress::new(false))?;
        }
        spool.flush()?;
        let mut out = Vec::new();
        tree.visit(Tree::ROOT, &mut |path, id| {
            let path = String::from_utf8_lossy(path);
            out.push(match &tree.node(id).kind {
                Kind::File(content) => format!("{path}={}", String::from_utf8_lossy(&content.bytes(1 << 20)?)),
                Kind::Symlink(target) => format!("{path}->{}", String::from_utf8_lossy(target)),
                _ => path.into_owned(),
            });
            Ok(())
        })?;
        Ok(out[1..].join(" "))
    }

    #[test]
    fn layers_come_to() {
        let base = || archive(&[("a/", Folder), ("a/x", File("1")), ("a/y", File("2")), ("b", Hard("a/x"))]);
        for (second, expected) in [
            (archive(&[("a/x", File("new"))]), "a a/x=new a/y=2 b=1"),
            (archive(&[("b", File("new"))]), "a a/x=1 a/y=2 b=new"),
            (archive(&[("a/.wh.x", File(""))]), "a a/y=2 b=1"),
            (archive(&[(".wh.a", File(""))]), "b=1"),
            (archive(&[("a/.wh..wh..opq", File("")), ("a/z", File("3"))]), "a a/z=3 b=1"),
            (archive(&[("a/z", File("3")), ("a/.wh..wh..opq", File(""))]), "a a/z=3 b=1"),
            (archive(&[("none/.wh.x", File(""))]), "a a/x=1 a/y=2 b=1"),
            (archive(&[(".wh..wh.plnk", File(""))]), "a a/x=1 a/y=2 b=1"),
            (archive(&[("c", Hard("b")), ("b", File("new"))]), "a a/x=1 a/y=2 b=new c=1"),
            (archive(&[("a", File("f"))]), "a=f b=1"),
            (archive(&[("a", Link("/etc")), ("a/p", File("q"))]), "a->/etc b=1 etc etc/p=q"),
            (archive(&[("/abs", File("s")), ("./rel", File("t"))]), "a a/x=1 a/y=2 abs=s b=1 rel=t"),
            (archive(&[("up", Link("../../../..")), ("up/e", File("s"))]), "a a/x=1 a/y=2 b=1 e=s up->../../../.."),
            (archive(&[("a/", Folder), ("a/./x", File("dot"))]), "a a/x=dot a/y=2 b=1"),
        ] {
            assert_eq!(applied(&[base(), second], 1 << 20).unwrap(), expected);
        }
    }

    #[test]
    fn refused() {
        for (entries, said) in [
            (&[("../x", File(""))][..], "leads out"),
            (&[("a/../../x", File(""))], "leads out"),
            (&[("x", Hard("../etc/passwd"))], "leads out"),
            (&[("x", Hard("/etc/passwd"))], "is not in the image"),
            (&[("x", Hard("x"))], "itself"),
            (&[("x", Hard("y")), ("y", Hard("x"))], "is not in the image"),
            (&[("d/", Folder), ("x", Hard("d"))], "a folder"),
            (&[("l", Link("l")), ("l/x", File(""))], "symbolic links follow"),
            (&[("m", Link("n")), ("n", Link("m")), ("m/x", File(""))], "symbolic links follow"),
            (&[("f", File("")), ("f/x", File(""))], "is a file"),
            (&[(".wh.", File(""))], "cannot be a file's name"),
            (&[(".wh...", File(""))], "cannot be a file's name"),
            (&[("big", File("0123456789"))], "more than 8 bytes"),
            (&[(".", File(""))], "root of an image"),
            (&[("l", Link(""))], "target"),
        ] {
            let error = applied(&[archive(entries)], 8).expect_err(said);
            assert!(format!("{error:#}").contains(said), "{error:#}, and not: {said}");
        }
    }

    #[test]
    fn cut_and_damaged() {
        let whole = archive(&[("a", File(&"x".repeat(600))), ("b", File("y"))]);
        // Where nothing is missing from an entry, there may be no more of them.
        for (length, fine) in
            [(0, true), (100, false), (512, false), (1111, false), (1536, true), (2048, false), (2560, true)]
        {
            assert_eq!(applied(&[whole[..length].into()], 1 << 20).is_ok(), fine, "{length}");
        }
        for place in [0, 110, 150, 156, 1536] {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x11;
            let error = applied(&[damaged], 1 << 20).unwrap_err();
            assert!(format!("{error:#}").contains("checksum"), "{place}: {error:#}");
        }
    }
}
