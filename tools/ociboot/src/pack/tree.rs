//! A file system in memory: names, owners, modes and links as the image has them,
//! whoever we are and whatever the host's file system can keep. Paths in it are
//! resolved as a process would that has the tree for its root: nothing leads out.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::limits;
use super::spool::Content;

/// A node's place in the arena.
pub type Id = usize;
pub type Name = Box<[u8]>;

/// What every node has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// The twelve bits of permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Folder(BTreeMap<Name, Entry>),
    File(Content),
    Symlink(Vec<u8>),
    Device { character: bool, major: u32, minor: u32 },
    Fifo,
    Socket,
}

/// A name in a folder. Two that have one node are hard links.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: Id,
    /// The layer that put the name here: a whiteout spares what its own layer has.
    layer: u32,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub meta: Meta,
    pub kind: Kind,
}

pub struct Tree {
    nodes: Vec<Node>,
    /// The layer being applied; counts from 0.
    pub layer: u32,
    /// The mtime of what stands in no source.
    made: i64,
}

impl Tree {
    /// An arena with one empty folder, [`Tree::ROOT`].
    pub fn new(made: i64) -> Tree {
        let mut tree = Tree { nodes: Vec::new(), layer: 0, made };
        tree.nodes.push(Node { meta: tree.made_meta(0o755), kind: Kind::Folder(BTreeMap::new()) });
        tree
    }

    pub const ROOT: Id = 0;

    /// root's, and as old as everything that is made here.
    pub fn made_meta(&self, mode: u32) -> Meta {
        Meta { mode, mtime: self.made, ..Meta::default() }
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub fn meta_mut(&mut self, id: Id) -> &mut Meta {
        &mut self.nodes[id].meta
    }

    /// A new node without a name: a root of its own, if it is a folder.
    pub fn add(&mut self, meta: Meta, kind: Kind) -> Result<Id> {
        if self.nodes.len() as u64 >= limits::ENTRIES {
            bail!("there are more than {} entries, which is refused", limits::ENTRIES);
        }
        self.nodes.push(Node { meta, kind });
        Ok(self.nodes.len() - 1)
    }

    pub fn children(&self, id: Id) -> Option<&BTreeMap<Name, Entry>> {
        match &self.nodes[id].kind {
            Kind::Folder(children) => Some(children),
            _ => None,
        }
    }

    fn children_mut(&mut self, id: Id) -> Option<&mut BTreeMap<Name, Entry>> {
        match &mut self.nodes[id].kind {
            Kind::Folder(children) => Some(children),
            _ => None,
        }
    }

    pub fn child(&self, folder: Id, name: &[u8]) -> Option<Id> {
        Some(self.children(folder)?.get(name)?.id)
    }

    /// Gives a node a name in a folder, in the place of what has it. (The caller
    /// has made sure that it is a folder.)
    pub fn link(&mut self, folder: Id, name: &[u8], id: Id) {
        let entry = Entry { id, layer: self.layer };
        if let Some(children) = self.children_mut(folder) {
            children.insert(name.into(), entry);
        }
    }

    /// A new node under a name. A folder that takes a folder's place keeps what
    /// is in it, and everything else replaces what was there.
    pub fn put(&mut self, folder: Id, name: &[u8], meta: Meta, kind: Kind) -> Result<Id> {
        if let (Kind::Folder(_), Some(id)) = (&kind, self.child(folder, name))
            && self.children(id).is_some()
        {
            self.nodes[id].meta = meta;
            self.link(folder, name, id);
            return Ok(id);
        }
        let id = self.add(meta, kind)?;
        self.link(folder, name, id);
        Ok(id)
    }

    /// The folder at a path below `root`, made where it is missing.
    pub fn make_folders(&mut self, root: Id, path: &[u8]) -> Result<Id> {
        self.walk(root, path, Missing::Make).map(|id| id.unwrap_or(root))
    }

    /// A file that stands in no source; the folders on the way are made.
    pub fn put_made(&mut self, root: Id, path: &str, mode: u32, content: Content) -> Result<()> {
        let (folder, name) = self.parent(root, path.as_bytes())?;
        self.put(folder, &name, self.made_meta(mode), Kind::File(content))?;
        Ok(())
    }

    /// What a path below `root` leads to, symbolic links followed.
    pub fn find(&mut self, root: Id, path: &[u8]) -> Result<Option<Id>> {
        self.walk(root, path, Missing::Leave)
    }

    /// The folder that has, or shall have, the path's last name; it and those above
    /// are made where they are missing.
    pub fn parent(&mut self, root: Id, path: &[u8]) -> Result<(Id, Name)> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let (folders, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&[][..], path),
        };
        check_name(name)?;
        Ok((self.make_folders(root, folders)?, name.into()))
    }

    /// The folder that has the path's last name, or None where there is none.
    pub fn existing_parent(&mut self, root: Id, path: &[u8]) -> Result<Option<Id>> {
        let folders = path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &path[..slash]);
        Ok(self.find(root, folders)?.filter(|id| self.children(*id).is_some()))
    }

    /// Takes the path's names one by one; a symbolic link's target stands for its name.
    fn walk(&mut self, root: Id, path: &[u8], missing: Missing) -> Result<Option<Id>> {
        let mut way = vec![root];
        let mut names: Vec<Name> = reversed(path);
        let mut links = 0;
        while let Some(name) = names.pop() {
            let here = way.last().copied().unwrap_or(root);
            if *name == *b".." {
                // A link's: above the root is the root, as for a process.
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            if self.children(here).is_none() {
                return match missing {
                    Missing::Leave => Ok(None),
                    Missing::Make => bail!("a folder on its way is a file"),
                };
            }
            let id = match (self.child(here, &name), missing) {
                (Some(id), _) => id,
                (None, Missing::Leave) => return Ok(None),
                (None, Missing::Make) => {
                    check_name(&name)?;
                    self.put(here, &name, self.made_meta(0o755), Kind::Folder(BTreeMap::new()))?
                }
            };
            if let Kind::Symlink(target) = &self.nodes[id].kind {
                links += 1;
                if links > limits::SYMLINKS {
                    bail!("more than {} symbolic links follow each other on its way", limits::SYMLINKS);
                }
                if target.starts_with(b"/") {
                    way.truncate(1);
                }
                names.extend(reversed(target));
            } else {
                way.push(id);
                if way.len() > limits::DEPTH {
                    bail!("it has more than {} folders above it", limits::DEPTH);
                }
            }
        }
        let end = way.last().copied().unwrap_or(root);
        if let (Missing::Make, None) = (missing, self.children(end)) {
            bail!("a folder on its way is a file");
        }
        Ok(Some(end))
    }

    /// Takes out of a folder what layers before this one put there, under one
    /// name or under all. Folders stay that something of this layer is in: the
    /// order of a layer's entries does not matter.
    pub fn white_out(&mut self, folder: Id, name: Option<&[u8]>) {
        let names: Vec<Name> = match name {
            Some(name) => vec![name.into()],
            None => self.children(folder).into_iter().flatten().map(|(name, _)| name.clone()).collect(),
        };
        for name in names {
            let Some(entry) = self.children(folder).and_then(|children| children.get(&name)).copied() else { continue };
            self.white_out(entry.id, None);
            let empty = self.children(entry.id).is_none_or(BTreeMap::is_empty);
            if empty
                && entry.layer != self.layer
                && let Some(children) = self.children_mut(folder)
            {
                children.remove(&name);
            }
        }
    }

    /// How often each node has a name below `root`: more than once is a hard link.
    pub fn count_links(&self, root: Id) -> Vec<u32> {
        let mut counts = vec![0; self.nodes.len()];
        self.visit(root, &mut |_, id| {
            counts[id] += 1;
            Ok(())
        })
        .unwrap_or_default();
        counts
    }

    /// Everything below `root`, itself first with an empty path: a folder before
    /// what is in it, names in the order of their bytes.
    pub fn visit(&self, root: Id, each: &mut dyn FnMut(&[u8], Id) -> Result<()>) -> Result<()> {
        self.visit_from(root, &mut Vec::new(), each)
    }

    fn visit_from(&self, id: Id, path: &mut Vec<u8>, each: &mut dyn FnMut(&[u8], Id) -> Result<()>) -> Result<()> {
        each(path, id)?;
        for (name, entry) in self.children(id).into_iter().flatten() {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            self.visit_from(entry.id, path, each)?;
            path.truncate(length);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Missing {
    Leave,
    Make,
}

fn reversed(path: &[u8]) -> Vec<Name> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).rev().map(Box::from).collect()
}

/// A name of one file as the kernel takes it.
pub fn check_name(name: &[u8]) -> Result<()> {
    if matches!(name, b"" | b"." | b"..") {
        bail!("`{}` cannot be a file's name", name.escape_ascii());
    }
    if name.len() > limits::NAME {
        bail!("a name in it has {} bytes; Linux takes {}", name.len(), limits::NAME);
    }
    if name.contains(&0) {
        bail!("there is a NUL in its name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new(0);
        for path in paths {
            put(&mut tree, path);
        }
        tree
    }

    /// "a/" is a folder, "a->b" a link, everything else a file.
    fn put(tree: &mut Tree, path: &str) {
        let (path, kind) = match path.split_once("->") {
            Some((path, target)) => (path, Kind::Symlink(target.into())),
            None if path.ends_with('/') => (path, Kind::Folder(BTreeMap::new())),
            None => (path, Kind::File(Content::default())),
        };
        let (folder, name) = tree.parent(Tree::ROOT, path.as_bytes()).unwrap();
        tree.put(folder, &name, Meta::default(), kind).unwrap();
    }

    fn list(tree: &Tree) -> String {
        let mut paths = Vec::new();
        tree.visit(Tree::ROOT, &mut |path, _| {
            paths.push(String::from_utf8(path.into()).unwrap());
            Ok(())
        })
        .unwrap();
        paths[1..].join(" ")
    }

    #[test]
    fn paths_are_resolved_inside() {
        for (paths, expected) in [
            (&["b", "a/c", "a/b"][..], "a a/b a/c b"),
            (&["usr/lib/", "lib->usr/lib", "lib/x"], "lib usr usr/lib usr/lib/x"),
            (&["lib->usr/lib", "lib/x"], "lib usr usr/lib usr/lib/x"),
            (&["out->../../../etc", "out/x"], "etc etc/x out"),
            (&["out->/etc", "out/x"], "etc etc/x out"),
            (&["a/b->../c", "a/b/x"], "a a/b c c/x"),
        ] {
            assert_eq!(list(&tree(paths)), expected, "{paths:?}");
        }
        for (paths, path) in [(&["f"][..], "f/x"), (&["l->f", "f"], "l/x"), (&["a->b", "b->a"], "a/x"), (&[], "..")] {
            assert!(tree(paths).parent(Tree::ROOT, path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn found_or_not() {
        let mut tree = tree(&["usr/bin/sh", "bin->usr/bin", "loop->loop"]);
        for (path, there) in [("/bin/sh", true), ("bin/../bin/./sh", true), ("bin/sh/x", false), ("none", false)] {
            assert_eq!(tree.find(Tree::ROOT, path.as_bytes()).unwrap().is_some(), there, "{path}");
        }
        assert!(tree.find(Tree::ROOT, b"loop").is_err());
    }

    #[test]
    fn whiteouts_take_what_came_before() {
        for (before, same, folder, name, expected) in [
            (&["a", "b"][..], &[][..], "", Some("a"), "b"),
            (&["a/x", "a/y"], &["a/z"], "a", None, "a a/z"),
            (&["a/x", "a/b/z"], &["a/y"], "", Some("a"), "a a/y"),
            (&["a/x"], &[], "", Some("a"), ""),
            (&["a/x", "a/b/c"], &["a/", "a/b/", "a/b/y"], "", Some("a"), "a a/b a/b/y"),
            (&["a"], &["a"], "", Some("a"), "a"),
        ] {
            let mut tree = tree(before);
            tree.layer = 1;
            for path in same {
                put(&mut tree, path);
            }
            let folder = tree.find(Tree::ROOT, folder.as_bytes()).unwrap().unwrap();
            tree.white_out(folder, name.map(str::as_bytes));
            assert_eq!(list(&tree), expected, "{before:?} {same:?}");
        }
    }
}
