//! A folder of the host's, taken into the tree as it is: links stay links, and
//! contents are read when they are written.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::limits;
use super::spool::Content;
use super::tree::{Id, Kind, Meta, Tree};
use crate::progress::Progress;

/// Takes folders in. Hard links are found across all that one of these takes.
pub struct Folders<'a> {
    pub progress: &'a Progress,
    /// Who we are, if that is not root. What belongs to us would be root's, had
    /// we the right to give it away: it is packed as root's.
    owner: Option<(u32, u32)>,
    /// Files that have several names, by device and number.
    seen: HashMap<(u64, u64), Id>,
    pub warnings: Vec<String>,
}

impl<'a> Folders<'a> {
    pub fn new(progress: &'a Progress) -> Folders<'a> {
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Folders { progress, owner: (ids.0 != 0).then_some(ids), seen: HashMap::new(), warnings: Vec::new() }
    }

    /// Puts what is in `source` into the folder `into`, which takes its metadata.
    /// Names for which `leave` is true are left out, of the first level only.
    pub fn take(&mut self, tree: &mut Tree, into: Id, source: &Path, leave: &dyn Fn(&[u8]) -> bool) -> Result<()> {
        let metadata = fs::metadata(source).with_context(|| format!("cannot look at {}", source.display()))?;
        *tree.meta_mut(into) = self.meta(source, &metadata)?;
        self.fill(tree, into, source, metadata.dev(), leave)
    }

    /// Puts a file or folder at `place` in `base` at the same place below `into`.
    /// Links are followed, as whoever mounts it would.
    pub fn take_one(&mut self, tree: &mut Tree, into: Id, base: &Path, place: &Path) -> Result<()> {
        let path = base.join(place);
        let path = fs::canonicalize(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let metadata = fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let place = place.as_os_str().as_bytes();
        if metadata.is_dir() {
            let folder = tree.make_folders(into, place)?;
            return self.take(tree, folder, &path, &|_| false);
        }
        let (folder, name) = tree.parent(into, place)?;
        let (meta, kind) = (self.meta(&path, &metadata)?, kind(&path, &metadata)?);
        tree.put(folder, &name, meta, kind)?;
        Ok(())
    }

    fn fill(
        &mut self,
        tree: &mut Tree,
        into: Id,
        source: &Path,
        device: u64,
        leave: &dyn Fn(&[u8]) -> bool,
    ) -> Result<()> {
        if source.as_os_str().len() > 2 * limits::PATH {
            bail!("{}: is too deep in its folder", source.display());
        }
        self.progress.say(&format!("reading {}", source.display()));
        let entries = fs::read_dir(source).with_context(|| format!("cannot read the folder {}", source.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read the folder {}", source.display()))?.path();
            let name = path.file_name().unwrap_or_default().as_bytes();
            if leave(name) {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
            let shared = metadata.nlink() > 1 && !metadata.is_dir();
            if let Some(id) = self.seen.get(&(metadata.dev(), metadata.ino())).filter(|_| shared) {
                tree.link(into, name, *id);
                continue;
            }
            let kind = kind(&path, &metadata)?;
            let meta = self.meta(&path, &metadata)?;
            let id = tree.put(into, name, meta, kind)?;
            if shared {
                self.seen.insert((metadata.dev(), metadata.ino()), id);
            }
            if metadata.is_dir() {
                if metadata.dev() == device {
                    self.fill(tree, id, &path, device, &|_| false)?;
                } else {
                    self.warnings.push(format!(
                        "{}: another file system is mounted there; it is packed as an empty folder",
                        path.display()
                    ));
                }
            }
        }
        Ok(())
    }

    fn meta(&self, path: &Path, metadata: &Metadata) -> Result<Meta> {
        let (mut uid, mut gid) = (metadata.uid(), metadata.gid());
        if self.owner.is_some_and(|(own, _)| own == uid) {
            uid = 0;
        }
        if self.owner.is_some_and(|(_, own)| own == gid) {
            gid = 0;
        }
        let xattrs = xattrs(path).with_context(|| format!("cannot read the attributes of {}", path.display()))?;
        Ok(Meta { mode: metadata.mode() & 0o7777, uid, gid, mtime: metadata.mtime(), xattrs })
    }
}

fn kind(path: &Path, metadata: &Metadata) -> Result<Kind> {
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        Kind::Folder(BTreeMap::new())
    } else if kind.is_file() {
        Kind::File(Content::named(path.into(), metadata.len()))
    } else if kind.is_symlink() {
        let target = fs::read_link(path).with_context(|| format!("cannot read the link {}", path.display()))?;
        Kind::Symlink(target.into_os_string().into_vec())
    } else if kind.is_char_device() || kind.is_block_device() {
        let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        Kind::Device { character: kind.is_char_device(), major, minor }
    } else if kind.is_fifo() {
        Kind::Fifo
    } else {
        Kind::Socket
    })
}

/// The extended attributes, of a link its own. File systems without any have none.
fn xattrs(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; limits::XATTR_VALUE];
    let count = match rustix::fs::llistxattr(path, &mut names) {
        Ok(count) => count,
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut xattrs = BTreeMap::new();
    for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // The host's own labels say nothing in the guest, and would make images differ from host to host.
        if name == b"security.selinux" {
            continue;
        }
        let mut value = vec![0; limits::XATTR_VALUE];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        xattrs.insert(name.to_vec(), value);
    }
    Ok(xattrs)
}

/// The contents of a small file of the host's.
pub fn read_small(path: &PathBuf, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.len() as u64 > limit {
        bail!("{}: has more than the {limit} bytes that are read", path.display());
    }
    Ok(bytes)
}
