//! Where the contents of files are until they are written: in the host's file
//! system, in memory, or in one temporary file that nobody else can see. Nothing
//! is unpacked under a name, so no name in an archive can do harm.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::limits;

/// The contents of a file: pieces of data, in order, with holes between them.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub size: u64,
    pieces: Vec<Piece>,
    place: Place,
}

/// `length` bytes that stand at `offset` in the file and at `at` in their place.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub offset: u64,
    pub length: u64,
    pub at: u64,
}

#[derive(Clone, Debug, Default)]
enum Place {
    #[default]
    Nowhere,
    Memory(Arc<[u8]>),
    /// A file by its name, opened when it is written.
    Named(Arc<PathBuf>),
    /// A file that is open: the spool.
    Open(Arc<File>),
}

impl Content {
    pub fn memory(bytes: impl Into<Arc<[u8]>>) -> Content {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        Content { size, pieces: whole(size), place: Place::Memory(bytes) }
    }

    pub fn named(path: PathBuf, size: u64) -> Content {
        Content { size, pieces: whole(size), place: Place::Named(Arc::new(path)) }
    }

    /// All of it, for small files that are looked into.
    pub fn bytes(&self, limit: u64) -> Result<Vec<u8>> {
        if self.size > limit {
            bail!("has {} bytes, more than the {limit} that are read", self.size);
        }
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes it, zeros for the holes.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        let named;
        let source: &dyn At = match &self.place {
            Place::Nowhere => &NOTHING,
            Place::Memory(bytes) => &&bytes[..],
            Place::Open(file) => &**file,
            Place::Named(path) => {
                named = open_unchanged(path, self.size)?;
                &named
            }
        };
        let mut buffer = vec![0; 1 << 16];
        let mut position = 0;
        for piece in &self.pieces {
            zeros(out, piece.offset - position)?;
            let mut done = 0;
            while done < piece.length {
                let part = buffer.len().min((piece.length - done) as usize);
                source.read_at(&mut buffer[..part], piece.at + done).with_context(|| match &self.place {
                    Place::Named(path) => format!("{}: became shorter while it was read", path.display()),
                    _ => "cannot read the temporary file".into(),
                })?;
                out.write_all(&buffer[..part])?;
                done += part as u64;
            }
            position = piece.offset + piece.length;
        }
        zeros(out, self.size - position)
    }
}

fn whole(size: u64) -> Vec<Piece> {
    if size == 0 { Vec::new() } else { vec![Piece { offset: 0, length: size, at: 0 }] }
}

/// Opens a file of the source again, which must still be what it was.
fn open_unchanged(path: &PathBuf, size: u64) -> Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32;
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() != size {
        bail!("{}: changed while it was packed", path.display());
    }
    Ok(file)
}

fn zeros(out: &mut dyn Write, count: u64) -> Result<()> {
    std::io::copy(&mut std::io::repeat(0).take(count), out)?;
    Ok(())
}

const NOTHING: &[u8] = &[];

/// What can be read from any place within it.
trait At {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()>;
}

impl At for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

impl At for &[u8] {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        let bytes = usize::try_from(at).ok().and_then(|at| self.get(at..at + buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The temporary file, and the count of what went into it.
pub struct Spool {
    file: Arc<File>,
    writer: BufWriter<File>,
    used: u64,
    limit: u64,
}

impl Spool {
    pub fn new() -> Result<Spool> {
        let file = tempfile::tempfile().context("cannot make a temporary file (TMPDIR says where)")?;
        let writer = BufWriter::with_capacity(1 << 18, file.try_clone()?);
        Ok(Spool { file: Arc::new(file), writer, used: 0, limit: limits::UNPACKED })
    }

    /// Takes data from a reader for a file of `size` bytes that has it at these
    /// places, (offset, length) in order. A reader that ends too early is an error.
    pub fn take(&mut self, reader: &mut dyn Read, size: u64, places: &[(u64, u64)]) -> Result<Content> {
        let mut pieces = Vec::with_capacity(places.len());
        for &(offset, length) in places {
            if length == 0 {
                continue;
            }
            if self.used.saturating_add(length) > self.limit {
                bail!("its files have more than {} bytes in all, which is refused", self.limit);
            }
            let copied = std::io::copy(&mut reader.take(length), &mut self.writer).context("cannot unpack it")?;
            if copied < length {
                bail!("the archive ends within the file's contents: it is truncated");
            }
            pieces.push(Piece { offset, length, at: self.used });
            self.used += length;
        }
        Ok(Content { size, pieces, place: Place::Open(self.file.clone()) })
    }

    /// Takes all that comes: a file of unknown length.
    pub fn take_all(&mut self, reader: &mut dyn Read) -> Result<(Arc<File>, u64, u64)> {
        let start = self.used;
        let left = self.limit - start;
        let copied = std::io::copy(&mut reader.take(left + 1), &mut self.writer)?;
        if copied > left {
            bail!("unpacked it has more than {} bytes, which is refused", self.limit);
        }
        self.used += copied;
        self.flush()?;
        Ok((self.file.clone(), start, copied))
    }

    /// To be called before any content is read.
    pub fn flush(&mut self) -> Result<()> {
        self.writer.flush().context("cannot write the temporary file (TMPDIR says where it is)")
    }

    #[cfg(test)]
    pub fn with_limit(limit: u64) -> Spool {
        Spool { limit, ..Spool::new().unwrap() }
    }
}
