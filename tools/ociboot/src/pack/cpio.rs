//! A newc archive, as the kernel unpacks it for its first root (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result, bail};

use super::limits;
use super::spool::Content;
use super::tree::{Id, Kind, Tree};

/// What the kernel starts. It comes last: of an archive that the guest has no room for the
/// kernel keeps the beginning, and would run an init whose containers lack files.
const INIT: &[u8] = b"init";

/// Writes all below `root`. `leave` says of each path whether it is left out. Returns the names whose extended attributes newc has no place for.
pub fn write(tree: &Tree, root: Id, out: &mut dyn Write, leave: &dyn Fn(&[u8]) -> bool) -> Result<Vec<String>> {
    let mut cpio = Cpio { out, position: 0, total: 0, numbers: HashMap::new() };
    let mut links = tree.count_links(root);
    let mut lost = Vec::new();
    let names = links.clone();
    let mut each = |path: &[u8], id: Id| -> Result<()> {
        links[id] -= 1;
        if !tree.node(id).meta.xattrs.is_empty() {
            let attributes: Vec<_> =
                tree.node(id).meta.xattrs.keys().map(|name| name.escape_ascii().to_string()).collect();
            lost.push(format!("/{}: {}", path.escape_ascii(), attributes.join(", ")));
        }
        cpio.entry(tree, path, id, names[id], links[id] == 0).with_context(|| format!("/{}", path.escape_ascii()))
    };
    tree.visit(root, &mut |path, id| {
        if path.is_empty() || path == INIT || leave(path) { Ok(()) } else { each(path, id) }
    })?;
    if let Some(id) = tree.child(root, INIT) {
        each(INIT, id)?;
    }
    cpio.header(b"TRAILER!!!", &[0; 13])?;
    cpio.pad(512)?;
    Ok(lost)
}

struct Cpio<'a> {
    out: &'a mut dyn Write,
    position: u64,
    /// Bytes of all files.
    total: u64,
    /// The archive's own inode numbers, counted from 1.
    numbers: HashMap<Id, u32>,
}

impl Cpio<'_> {
    /// Of a file with several names the last has the contents.
    fn entry(&mut self, tree: &Tree, path: &[u8], id: Id, names: u32, last: bool) -> Result<()> {
        let node = tree.node(id);
        if path.len() > limits::PATH {
            bail!("its path has {} bytes; the kernel takes {}", path.len(), limits::PATH);
        }
        let next = self.numbers.len() as u32 + 1;
        let number = *self.numbers.entry(id).or_insert(next);
        let empty = Content::default();
        let mut content = &empty;
        let (mut device, mut target) = ((0, 0), &[][..]);
        match &node.kind {
            Kind::File(own) if last => content = own,
            Kind::Symlink(own) => target = own,
            Kind::Device { major, minor, .. } => device = (*major, *minor),
            _ => {}
        }
        if content.size > limits::CPIO_FILE {
            bail!("has {} bytes; a file in an initramfs has up to {}", content.size, limits::CPIO_FILE);
        }
        self.total += content.size;
        if self.total > limits::UNPACKED {
            bail!("with it the files have more than {} bytes in all, which is refused", limits::UNPACKED);
        }
        let nlink = if matches!(node.kind, Kind::Folder(_)) { 2 } else { names };
        let mtime = node.meta.mtime.clamp(0, i64::from(u32::MAX)) as u32;
        let size = content.size as u32 + target.len() as u32;
        let mode = type_bits(&node.kind) | node.meta.mode;
        let fields = [number, mode, node.meta.uid, node.meta.gid, nlink, mtime, size, 0, 0, device.0, device.1, 0, 0];
        self.header(path, &fields)?;
        self.out.write_all(target)?;
        content.write_to(self.out)?;
        self.position += u64::from(size);
        self.pad(4)
    }

    /// Thirteen numbers; the last but one becomes the length of the name.
    fn header(&mut self, name: &[u8], fields: &[u32; 13]) -> Result<()> {
        let mut text = String::from("070701");
        for (place, field) in fields.iter().enumerate() {
            let field = if place == 11 { name.len() as u32 + 1 } else { *field };
            text.push_str(&format!("{field:08X}"));
        }
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(name)?;
        self.out.write_all(&[0])?;
        self.position += text.len() as u64 + name.len() as u64 + 1;
        self.pad(4)
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let padding = self.position.next_multiple_of(to) - self.position;
        self.out.write_all(&[0; 512][..padding as usize])?;
        self.position += padding;
        Ok(())
    }
}

/// A node's kind in the upper bits of st_mode.
pub fn type_bits(kind: &Kind) -> u32 {
    match kind {
        Kind::Fifo => 0o010_000,
        Kind::Device { character: true, .. } => 0o020_000,
        Kind::Folder(_) => 0o040_000,
        Kind::Device { character: false, .. } => 0o060_000,
        Kind::File(_) => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
        Kind::Socket => 0o140_000,
    }
}
