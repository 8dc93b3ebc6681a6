//! An EROFS image, not compressed (Documentation/filesystems/erofs.rst, and
//! erofs_fs.h for the layout): written here and not by mkfs.erofs, which before
//! version 1.7 can only copy a folder, and so needs root to give owners to files.
//!
//! First all inodes, each followed by its attributes and, where it fits into the
//! same block, the end of its data; then the whole blocks of data.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::cpio::type_bits;
use super::limits;
use super::spool::Content;
use super::tree::{Id, Kind, Tree};

const BLOCK: u64 = 4096;
/// Where the superblock is, and what it has.
const SUPER: usize = 1024;
const SUPER_SIZE: usize = 128;
/// Inodes stand at multiples of this; their number is their place so counted.
const SLOT: u64 = 32;
const INODE: u64 = 64;

/// What attributes' names begin with, and the byte that stands for it.
const PREFIXES: &[(&[u8], u8)] = &[
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// An inode and where its parts are.
struct Inode {
    id: Id,
    nid: u64,
    parent: u64,
    xattrs: Vec<u8>,
    size: u64,
    /// The first whole block, and how many there are.
    block: u64,
    blocks: u64,
    /// Bytes at the end that stand behind the inode.
    tail: u64,
}

/// Writes all below `root`; attributes that it cannot have are named in `warnings`.
pub fn write(
    tree: &Tree,
    root: Id,
    out: &mut dyn Write,
    label: &str,
    made: i64,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let (mut inodes, places, end) = place(tree, root, warnings)?;
    let metadata = end.next_multiple_of(BLOCK);
    let mut next = metadata / BLOCK;
    for inode in &mut inodes {
        inode.block = next;
        next += inode.blocks;
    }
    if next * BLOCK > limits::UNPACKED {
        bail!("the disk would have {} bytes; {} are taken", next * BLOCK, limits::UNPACKED);
    }
    let links = tree.count_links(root);
    let mut head = vec![0; usize::try_from(metadata)?];
    // The data of folders, made a second time when the blocks are written.
    for (number, inode) in inodes.iter().enumerate() {
        let at = usize::try_from(inode.nid * SLOT)?;
        head[at..at + INODE as usize].copy_from_slice(&header(tree, inode, number, links[inode.id]));
        let at = at + INODE as usize;
        head[at..at + inode.xattrs.len()].copy_from_slice(&inode.xattrs);
        if inode.tail > 0 {
            let at = at + inode.xattrs.len();
            let data = Part::new(inode.blocks * BLOCK, inode.tail, Vec::new());
            let tail = with_data(tree, inode, &places, data)?.into;
            head[at..at + tail.len()].copy_from_slice(&tail);
        }
    }
    superblock(&mut head, &inodes, next, label, made);
    out.write_all(&head)?;
    for inode in inodes.iter().filter(|inode| inode.blocks > 0) {
        let data = Part::new(0, inode.blocks * BLOCK, &mut *out);
        let written = with_data(tree, inode, &places, data)?.written;
        // What does not fill the last block, where that is not behind the inode.
        let padding = usize::try_from(inode.blocks * BLOCK - written)?;
        out.write_all(&vec![0; padding])?;
    }
    Ok(())
}

/// Gives every node a place, the root first: its number has 16 bits in the superblock.
fn place(tree: &Tree, root: Id, warnings: &mut Vec<String>) -> Result<(Vec<Inode>, HashMap<Id, u64>, u64)> {
    let mut places: HashMap<Id, u64> = HashMap::new();
    let mut inodes = Vec::new();
    let mut end = (SUPER + SUPER_SIZE) as u64;
    tree.visit(root, &mut |path, id| {
        if places.contains_key(&id) {
            return Ok(());
        }
        let xattrs = attributes(tree, path, id, warnings)?;
        let size = match &tree.node(id).kind {
            Kind::File(content) => content.size,
            Kind::Symlink(target) => target.len() as u64,
            Kind::Folder(_) => directory(tree, id, &|_| 0, 0).len() as u64,
            _ => 0,
        };
        let fixed = INODE + xattrs.len() as u64;
        let mut tail = size % BLOCK;
        if fixed + tail > BLOCK {
            tail = 0;
        }
        end = end.next_multiple_of(SLOT);
        // The end of the data may not lie on two blocks.
        if tail > 0 && end % BLOCK + fixed + tail > BLOCK {
            end = end.next_multiple_of(BLOCK);
        }
        let blocks = if tail > 0 { size / BLOCK } else { size.div_ceil(BLOCK) };
        places.insert(id, end / SLOT);
        inodes.push(Inode { id, nid: end / SLOT, parent: 0, xattrs, size, block: 0, blocks, tail });
        end += fixed + tail;
        Ok(())
    })?;
    // Each folder's `..`; the root's is itself.
    let mut parents: HashMap<Id, u64> = HashMap::new();
    for inode in &inodes {
        for entry in tree.children(inode.id).into_iter().flatten().map(|(_, entry)| entry) {
            parents.insert(entry.id, inode.nid);
        }
    }
    for inode in &mut inodes {
        inode.parent = parents.get(&inode.id).copied().unwrap_or(inode.nid);
    }
    Ok((inodes, places, end))
}

/// struct erofs_inode_extended.
fn header(tree: &Tree, inode: &Inode, number: usize, names: u32) -> [u8; INODE as usize] {
    let node = tree.node(inode.id);
    let mut out = [0; INODE as usize];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    // Bit 0: the long form. From bit 1: 0 is plain, 2 has the end of the data behind the inode.
    let format: u16 = 1 | if inode.tail > 0 { 2 << 1 } else { 0 };
    let slots = if inode.xattrs.is_empty() { 0 } else { (inode.xattrs.len() as u16 - 12) / 4 + 1 };
    let folders = tree
        .children(inode.id)
        .map(|children| 2 + children.values().filter(|entry| tree.children(entry.id).is_some()).count() as u32);
    let place: u32 = match &node.kind {
        Kind::Device { major, minor, .. } => (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12),
        _ if inode.blocks > 0 => inode.block as u32,
        _ => 0,
    };
    put(0, &format.to_le_bytes());
    put(2, &slots.to_le_bytes());
    put(4, &((type_bits(&node.kind) | node.meta.mode) as u16).to_le_bytes());
    put(8, &inode.size.to_le_bytes());
    put(16, &place.to_le_bytes());
    put(20, &(number as u32 + 1).to_le_bytes());
    put(24, &node.meta.uid.to_le_bytes());
    put(28, &node.meta.gid.to_le_bytes());
    put(32, &node.meta.mtime.to_le_bytes());
    put(44, &folders.unwrap_or(names).to_le_bytes());
    out
}

/// struct erofs_super_block. The UUID is of what the inodes say.
fn superblock(head: &mut [u8], inodes: &[Inode], blocks: u64, label: &str, made: i64) {
    let hash = Sha256::digest(&*head);
    let mut put = |at: usize, bytes: &[u8]| head[SUPER + at..SUPER + at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xE0F5_E1E2u32.to_le_bytes());
    put(12, &[BLOCK.ilog2() as u8]);
    put(14, &(inodes.first().map_or(0, |inode| inode.nid) as u16).to_le_bytes());
    put(16, &(inodes.len() as u64).to_le_bytes());
    put(24, &made.max(0).to_le_bytes());
    put(36, &(blocks as u32).to_le_bytes());
    put(48, &hash[..16]);
    put(54, &[hash[6] & 0x0f | 0x40]);
    put(56, &[hash[8] & 0x3f | 0x80]);
    put(64, &label.as_bytes()[..label.len().min(15)]);
}

/// The data of an inode, into a part of itself.
fn with_data<W: Write>(tree: &Tree, inode: &Inode, places: &HashMap<Id, u64>, mut part: Part<W>) -> Result<Part<W>> {
    match &tree.node(inode.id).kind {
        Kind::File(content) => Content::write_to(content, &mut part)?,
        Kind::Symlink(target) => part.write_all(target)?,
        Kind::Folder(_) => {
            let nid = |id| if id == inode.id { inode.nid } else { places.get(&id).copied().unwrap_or(0) };
            part.write_all(&directory(tree, inode.id, &nid, inode.parent))?;
        }
        _ => {}
    }
    Ok(part)
}

/// Blocks of a folder: in each first twelve bytes per name, then the names.
fn directory(tree: &Tree, id: Id, nid: &dyn Fn(Id) -> u64, parent: u64) -> Vec<u8> {
    let mut entries: Vec<(&[u8], u64, u8)> = vec![(b".", nid(id), 2), (b"..", parent, 2)];
    for (name, entry) in tree.children(id).into_iter().flatten() {
        entries.push((name, nid(entry.id), file_type(&tree.node(entry.id).kind)));
    }
    entries.sort_by_key(|(name, ..)| *name);
    let mut out = Vec::new();
    let mut rest = &entries[..];
    while !rest.is_empty() {
        let mut used = 0;
        let fits = rest.iter().take_while(|(name, ..)| {
            used += 12 + name.len();
            used <= BLOCK as usize
        });
        let (block, after) = rest.split_at(fits.count());
        let mut names: usize = 12 * block.len();
        for (name, nid, kind) in block {
            out.extend_from_slice(&nid.to_le_bytes());
            out.extend_from_slice(&(names as u16).to_le_bytes());
            out.extend_from_slice(&[*kind, 0]);
            names += name.len();
        }
        for (name, ..) in block {
            out.extend_from_slice(name);
        }
        rest = after;
        if !rest.is_empty() {
            out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
        }
    }
    out
}

fn file_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Folder(_) => 2,
        Kind::Device { character: true, .. } => 3,
        Kind::Device { character: false, .. } => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink(_) => 7,
    }
}

/// A header of twelve bytes, then the attributes, each at a multiple of four.
fn attributes(tree: &Tree, path: &[u8], id: Id, warnings: &mut Vec<String>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (name, value) in &tree.node(id).meta.xattrs {
        let shown = || format!("/{}: its attribute {}", path.escape_ascii(), name.escape_ascii());
        let Some((prefix, index)) = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) else {
            warnings.push(format!("{} has no place in EROFS and is left out", shown()));
            continue;
        };
        if out.is_empty() {
            out.resize(12, 0);
        }
        let rest = &name[prefix.len()..];
        out.push(u8::try_from(rest.len()).with_context(shown)?);
        out.push(*index);
        out.extend_from_slice(&u16::try_from(value.len()).with_context(shown)?.to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    if out.len() as u64 > BLOCK - INODE {
        bail!("/{}: its extended attributes have {} bytes, more than are taken", path.escape_ascii(), out.len());
    }
    Ok(out)
}

/// Lets a part of what is written through.
struct Part<W> {
    skip: u64,
    take: u64,
    into: W,
    written: u64,
}

impl<W> Part<W> {
    fn new(skip: u64, take: u64, into: W) -> Self {
        Part { skip, take, into, written: 0 }
    }
}

impl<W: Write> Write for Part<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let skipped = self.skip.min(bytes.len() as u64) as usize;
        self.skip -= skipped as u64;
        let rest = &bytes[skipped..];
        let part = &rest[..self.take.min(rest.len() as u64) as usize];
        self.into.write_all(part)?;
        self.take -= part.len() as u64;
        self.written += part.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.into.flush()
    }
}
