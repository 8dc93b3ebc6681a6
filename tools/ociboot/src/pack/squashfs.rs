//! A squashfs image, by mksquashfs, which takes a tar archive from us: so owners,
//! devices and attributes arrive without anything being unpacked, or being root.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Compression;
use super::tree::{Id, Kind, Tree};

pub fn write(
    tree: &Tree,
    root: Id,
    out: &Path,
    compression: Compression,
    made: i64,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let meta = &tree.node(root).meta;
    let mut command = Command::new("mksquashfs");
    command.arg("-").arg(out).args(["-tar", "-noappend", "-no-progress", "-quiet", "-reproducible", "-mkfs-time"]);
    command.arg(time(made).to_string());
    command.args(["-root-mode", &format!("{:o}", meta.mode), "-root-uid", &meta.uid.to_string()]);
    command.args(["-root-gid", &meta.gid.to_string()]).env_remove("SOURCE_DATE_EPOCH");
    command.args(match compression {
        Compression::Gzip => &["-comp", "gzip"][..],
        Compression::Zstd => &["-comp", "zstd"],
        Compression::None => &["-noD", "-noF", "-noX"],
    });
    // The inodes are left as they are, for `set_root_time`.
    command.arg("-noI");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no mksquashfs; it is in the package squashfs-tools")
        }
        result => result.context("cannot run mksquashfs")?,
    };
    let sent = child.stdin.take().context("its input is a pipe").and_then(|input| {
        let mut archive = tar::Builder::new(std::io::BufWriter::new(input));
        send(tree, root, &mut archive, warnings)?;
        archive.into_inner()?.flush()?;
        Ok(())
    });
    let output = child.wait_with_output().context("cannot wait for mksquashfs")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("mksquashfs failed ({}; 4.5 or newer is needed): {}", output.status, said.trim());
    }
    sent.context("cannot pass the files to mksquashfs")?;
    set_root_time(out, time(meta.mtime)).context("cannot set the time of the root in the squashfs image")
}

fn time(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

/// With an archive as its source, mksquashfs 4.5 gives the root the present time, whatever
/// `-root-time` says, and the same files would not make the same image. The places are those
/// of the kernel's fs/squashfs/squashfs_fs.h: a reference to an inode is the place of its
/// block in the table of inodes, and its place in that block; `mtime` comes behind four
/// fields of two bytes. An inode may go on in the next block; each has 8 KiB, and two bytes
/// before them for its length.
fn set_root_time(image: &Path, time: u32) -> Result<()> {
    const ROOT_INODE: u64 = 32;
    const INODE_TABLE_START: u64 = 64;
    const BLOCK: u64 = 8192;
    const UNCOMPRESSED: u16 = 1 << 15;
    let image = fs::File::options().read(true).write(true).open(image)?;
    let number = |place| {
        let mut bytes = [0; 8];
        image.read_exact_at(&mut bytes, place).map(|()| u64::from_le_bytes(bytes))
    };
    let root = number(ROOT_INODE)?;
    let block = number(INODE_TABLE_START)? + (root >> 16);
    let mut length = [0; 2];
    image.read_exact_at(&mut length, block)?;
    ensure!(
        u16::from_le_bytes(length) & UNCOMPRESSED != 0,
        "mksquashfs compressed the inodes, though it was told not to"
    );
    for (place, byte) in ((root & 0xffff) + 8..).zip(time.to_le_bytes()) {
        image.write_all_at(&[byte], block + place + 2 * (1 + place / BLOCK))?;
    }
    Ok(())
}

fn send<W: Write>(tree: &Tree, root: Id, archive: &mut tar::Builder<W>, warnings: &mut Vec<String>) -> Result<()> {
    let mut first: HashMap<Id, Vec<u8>> = HashMap::new();
    tree.visit(root, &mut |path, id| {
        if path.is_empty() {
            return Ok(());
        }
        let shown = path.escape_ascii().to_string();
        if matches!(tree.node(id).kind, Kind::Socket) {
            warnings.push(format!("/{shown}: is a socket, which is left out: it is none without its process"));
            return Ok(());
        }
        let known = first.get(&id).cloned();
        first.entry(id).or_insert_with(|| path.to_vec());
        one(tree, path, id, known.as_deref(), archive).with_context(|| format!("/{shown}"))
    })
}

fn one<W: Write>(tree: &Tree, path: &[u8], id: Id, known: Option<&[u8]>, archive: &mut tar::Builder<W>) -> Result<()> {
    let node = tree.node(id);
    let mut header = tar::Header::new_ustar();
    header.set_mode(node.meta.mode);
    header.set_mtime(node.meta.mtime.max(0) as u64);
    header.set_size(0);
    let (mut target, mut content) = (&[][..], None);
    let kind = match &node.kind {
        _ if known.is_some() => {
            target = known.unwrap_or_default();
            tar::EntryType::Link
        }
        Kind::Folder(_) => tar::EntryType::Directory,
        Kind::File(own) => {
            header.set_size(own.size);
            content = Some(own);
            tar::EntryType::Regular
        }
        Kind::Symlink(own) => {
            target = own;
            tar::EntryType::Symlink
        }
        Kind::Device { character, major, minor } => {
            header.set_device_major(*major)?;
            header.set_device_minor(*minor)?;
            if *character { tar::EntryType::Char } else { tar::EntryType::Block }
        }
        Kind::Fifo | Kind::Socket => tar::EntryType::Fifo,
    };
    header.set_entry_type(kind);
    // Records say in full what a header's fields may be too small for.
    let (uid, gid) = (node.meta.uid.to_string(), node.meta.gid.to_string());
    let mut records: Vec<(String, &[u8])> =
        vec![("path".into(), path), ("uid".into(), uid.as_bytes()), ("gid".into(), gid.as_bytes())];
    if !target.is_empty() {
        records.push(("linkpath".into(), target));
    }
    for (name, value) in &node.meta.xattrs {
        records.push((format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value));
    }
    archive.append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), *value)))?;
    header.set_cksum();
    let mut data = tempfile::SpooledTempFile::new(1 << 20);
    if let Some(content) = content {
        content.write_to(&mut data)?;
        std::io::Seek::rewind(&mut data)?;
    }
    archive.append(&header, data)?;
    Ok(())
}
