//! Where the files of an image are: a folder, or an archive of one.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::archive::{Archive, EntryKind};
use super::layer::inner_path;
use super::limits;
use super::packed::{self, Packing};
use super::spool::Spool;
use crate::progress::Progress;

pub enum Store {
    Folder(PathBuf),
    Archive {
        file: Arc<File>,
        /// What each name is: a place in the file, or another name.
        index: HashMap<Vec<u8>, Member>,
    },
}

pub enum Member {
    At { offset: u64, size: u64 },
    Link(Vec<u8>),
}

impl Store {
    /// An archive's index. If the archive is compressed as a whole, it is unpacked into the spool.
    pub fn archive(path: &Path, spool: &mut Spool, progress: &Progress) -> Result<Store> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let (packing, mut unpacked) = packed::unpack(file.try_clone()?)?;
        let (file, start, size) = if packing == Packing::None {
            let size = file.metadata()?.len();
            (Arc::new(file), 0, size)
        } else {
            progress.say("unpacking the archive");
            spool.take_all(&mut unpacked).context("cannot unpack it")?
        };
        let mut archive = Archive::new(Window { file: file.clone(), position: start, end: start + size });
        let mut index = HashMap::new();
        while let Some(entry) = archive.next()? {
            let name = inner_path(&entry.path)?.to_vec();
            let member = match entry.kind {
                EntryKind::File if entry.places == [(0, entry.size)] => {
                    Member::At { offset: start + archive.position(), size: entry.size }
                }
                EntryKind::File => bail!("`{}` is a sparse file, which no image has", name.escape_ascii()),
                EntryKind::HardLink => Member::Link(inner_path(&entry.target)?.to_vec()),
                EntryKind::Symlink => Member::Link(beside(&name, &entry.target)),
                _ => continue,
            };
            index.insert(name, member);
        }
        Ok(Store::Archive { file, index })
    }

    pub fn has(&self, name: &str) -> bool {
        match self {
            Store::Folder(_) => self.open(name).is_ok(),
            Store::Archive { index, .. } => index.contains_key(name.as_bytes()),
        }
    }

    /// How many files there are, as far as that is known.
    pub fn count(&self) -> usize {
        match self {
            Store::Folder(_) => 0,
            Store::Archive { index, .. } => index.len(),
        }
    }

    /// A file, by its name below the store's root, and its size.
    pub fn open(&self, name: &str) -> Result<(Box<dyn Read>, u64)> {
        match self {
            Store::Folder(folder) => open_below(folder, name).map(|(file, size)| (Box::new(file) as _, size)),
            Store::Archive { file, index } => {
                let mut name = name.as_bytes();
                for _ in 0..limits::SYMLINKS {
                    match index.get(name) {
                        Some(Member::At { offset, size }) => {
                            let window = Window { file: file.clone(), position: *offset, end: offset + size };
                            return Ok((Box::new(window), *size));
                        }
                        Some(Member::Link(target)) => name = target,
                        None => bail!("`{}` is not in the archive", name.escape_ascii()),
                    }
                }
                Err(anyhow!("`{}`: links in the archive lead to each other", name.escape_ascii()))
            }
        }
    }

    /// A small file, whole.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let (reader, size) = self.open(name)?;
        if size > limit {
            bail!("`{name}` has {size} bytes, more than the {limit} that are read");
        }
        let mut bytes = Vec::new();
        reader.take(limit).read_to_end(&mut bytes).with_context(|| format!("cannot read `{name}`"))?;
        if bytes.len() as u64 != size {
            bail!("`{name}` is truncated");
        }
        Ok(bytes)
    }
}

/// Names come from the image's documents: they cannot lead out of the folder, nor can links in it.
fn open_below(folder: &Path, name: &str) -> Result<(File, u64)> {
    let opened = || -> rustix::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(folder, flags | OFlags::DIRECTORY, Mode::empty())?;
        let flags = flags | OFlags::NONBLOCK;
        Ok(File::from(rustix::fs::openat2(root, name, flags, Mode::empty(), ResolveFlags::BENEATH)?))
    };
    let file = match opened() {
        Err(rustix::io::Errno::XDEV) => bail!("{}: `{name}` leads out of it, and is refused", folder.display()),
        result => result.with_context(|| format!("cannot open {}/{name}", folder.display()))?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("{}/{name} is not a file", folder.display());
    }
    Ok((file, metadata.len()))
}

/// What a symbolic link leads to, without its `..`; above the root is nothing.
fn beside(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        names = link.split(|byte| *byte == b'/').collect();
        names.pop();
    }
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join(&b'/')
}

/// A part of a file that others read too.
struct Window {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let part = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..part], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_beside() {
        for (link, target, expected) in [
            ("b/layer.tar", "../a/layer.tar", "a/layer.tar"),
            ("x", "./y", "y"),
            ("a/x", "/b/y", "b/y"),
            ("a/x", "../../../etc/passwd", "etc/passwd"),
        ] {
            assert_eq!(beside(link.as_bytes(), target.as_bytes()), expected.as_bytes());
        }
    }
}
