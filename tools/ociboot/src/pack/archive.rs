//! Tar archives, entry by entry: ustar, what GNU tar and PAX add to it, sparse
//! files in all their forms. Everything in a header is somebody else's claim: it is
//! bounded here before anything is read because of it, which is why this is not
//! the reader of the crate `tar`, which keeps names and records of any length.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, anyhow, bail};

use super::fields::{check_pieces, check_sparse, decimal, number, pax_sparse, signed, sparse_table, until_nul};
use super::limits;

const BLOCK: usize = 512;
type Block = [u8; BLOCK];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EntryKind {
    File,
    Folder,
    HardLink,
    Symlink,
    Character,
    Block,
    Fifo,
}

#[derive(Clone, Debug)]
pub struct Entry {
    /// As it stands in the archive.
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// What a link leads to.
    pub target: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub device: (u32, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of the file, its holes included.
    pub size: u64,
    /// Where in the file the bytes that follow in the archive belong: offset, length.
    pub places: Vec<(u64, u64)>,
}

/// The archive and how far it has been read.
pub struct Archive<R> {
    input: R,
    /// Bytes read.
    position: u64,
    /// Where the next header is.
    next: u64,
    /// PAX records that hold for all entries after them.
    global: Records,
    entries: u64,
}

/// PAX records in their order: those of sparse files repeat.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What headers before an entry's own say about it.
#[derive(Default)]
pub struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    pub records: Records,
}

impl Extension {
    /// The last of a name counts.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.records.iter().rev().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| &value[..])
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        self.get(name).map(|value| decimal(value).with_context(|| format!("its PAX record {name}"))).transpose()
    }
}

impl<R: Read> Archive<R> {
    pub fn new(input: R) -> Self {
        Archive { input, position: 0, next: 0, global: Records::new(), entries: 0 }
    }

    /// The contents that follow the entry just given. Where they begin is `position`.
    pub fn data(&mut self) -> impl Read + '_ {
        let left = self.next - self.position;
        Counted { input: &mut self.input, position: &mut self.position }.take(left)
    }

    /// Bytes from the archive's beginning to the contents of the entry just given.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, or None at the end.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        self.entries += 1;
        if self.entries > limits::ENTRIES {
            bail!("has more than {} entries, which is refused", limits::ENTRIES);
        }
        let (number, place) = (self.entries, self.next);
        self.read_entry().with_context(|| format!("entry {number}, at byte {place}"))
    }

    /// Reads what is left, for the sake of a digest over it.
    pub fn drain(&mut self) -> Result<()> {
        let copied = std::io::copy(&mut (&mut self.input).take(limits::UNPACKED), &mut std::io::sink())?;
        if copied == limits::UNPACKED {
            bail!("there are more than {copied} bytes after its end");
        }
        Ok(())
    }

    fn read_entry(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension { records: self.global.clone(), ..Extension::default() };
        loop {
            self.skip_to_next()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header[124..136]).context("its size")?;
            match header[156] {
                b'L' => extension.path = Some(self.long_name(size)?),
                b'K' => extension.target = Some(self.long_name(size)?),
                b'x' => extension.records.extend(self.records(size)?),
                b'g' => {
                    let records = self.records(size)?;
                    self.global.extend(records.clone());
                    extension.records.extend(records);
                }
                // A volume's label: not a file.
                b'V' => self.end_at(size)?,
                _ => return self.entry(&header, size, extension).map(Some),
            }
            // One after the other they could be without end.
            let bytes: usize = extension.records.iter().map(|(name, value)| 64 + name.len() + value.len()).sum();
            if bytes as u64 > 2 * limits::PAX {
                bail!("the PAX records for one entry have more than {} bytes", 2 * limits::PAX);
            }
        }
    }

    /// A header, or None at the archive's end: a block of zeros, or no more bytes.
    fn header(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]).context("cannot read it")? {
                0 => break,
                count => filled += count,
            }
        }
        self.position += filled as u64;
        self.next = self.position;
        if filled == 0 || block == [0; BLOCK] {
            return Ok(None);
        }
        if filled < BLOCK {
            bail!("the archive ends within a header: it is truncated");
        }
        let sum = |signed: bool| -> i64 {
            let byte = |(place, byte): (usize, &u8)| match (place, signed) {
                (148..156, _) => 32,
                (_, false) => i64::from(*byte),
                (_, true) => i64::from(*byte as i8),
            };
            block.iter().enumerate().map(byte).sum()
        };
        let written = signed(&block[148..156]).ok();
        if written != Some(sum(false)) && written != Some(sum(true)) {
            bail!("a header's checksum is wrong: the archive is damaged, or is no tar archive");
        }
        Ok(Some(block))
    }

    /// Where the contents, so many bytes from here, and their padding end.
    fn end_at(&mut self, size: u64) -> Result<()> {
        let end = self.position.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK as u64));
        self.next = end.ok_or_else(|| anyhow!("its size, {size} bytes, cannot be"))?;
        Ok(())
    }

    fn skip_to_next(&mut self) -> Result<()> {
        let left = self.next - self.position;
        let skipped = std::io::copy(&mut self.data(), &mut std::io::sink()).context("cannot read it")?;
        if skipped < left {
            bail!("the archive ends within the contents of the entry before: it is truncated");
        }
        Ok(())
    }

    fn contents(&mut self, size: u64, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            bail!("a header has {size} bytes; {limit} are taken");
        }
        self.end_at(size)?;
        let mut bytes = Vec::new();
        self.data().take(size).read_to_end(&mut bytes).context("cannot read it")?;
        if (bytes.len() as u64) < size {
            bail!("the archive ends within a header: it is truncated");
        }
        Ok(bytes)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.contents(size, limits::PATH as u64 + 1)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// `LENGTH NAME=VALUE\n`, the length that of all of it.
    fn records(&mut self, size: u64) -> Result<Records> {
        let bytes = self.contents(size, limits::PAX)?;
        let mut rest = &bytes[..];
        let mut records = Records::new();
        while !rest.is_empty() && rest[0] != 0 {
            let record = || -> Option<(&[u8], &[u8], &[u8])> {
                let blank = rest.iter().position(|byte| *byte == b' ')?;
                let length = usize::try_from(decimal(&rest[..blank]).ok()?).ok()?;
                let text = rest.get(blank + 1..length)?.strip_suffix(b"\n")?;
                let equals = text.iter().position(|byte| *byte == b'=')?;
                Some((&text[..equals], &text[equals + 1..], &rest[length..]))
            };
            let Some((name, value, after)) = record() else { bail!("its PAX records are not well-formed") };
            records.push((name.into(), value.into()));
            rest = after;
        }
        Ok(records)
    }

    fn entry(&mut self, header: &Block, size: u64, extension: Extension) -> Result<Entry> {
        let path = match extension.get("path").or(extension.path.as_deref()) {
            Some(path) => path.to_vec(),
            None => plain_path(header),
        };
        let (shown, what) = (path.escape_ascii().to_string(), header[156]);
        self.fields(header, size, &extension, path)
            .with_context(|| format!("`{shown}` (type `{}`)", what.escape_ascii()))
    }

    fn fields(&mut self, header: &Block, size: u64, extension: &Extension, path: Vec<u8>) -> Result<Entry> {
        let size = extension.number("size")?.unwrap_or(size);
        let target = match extension.get("linkpath").or(extension.target.as_deref()) {
            Some(target) => target.to_vec(),
            None => until_nul(&header[157..257]).to_vec(),
        };
        let id = |name: &str, field: std::ops::Range<usize>| -> Result<u32> {
            let value = match extension.number(name)? {
                Some(value) => value,
                None => number(&header[field]).with_context(|| format!("its {name}"))?,
            };
            u32::try_from(value).map_err(|_| anyhow!("its {name}, {value}, is beyond 32 bits"))
        };
        let kind = match header[156] {
            0 | b'0' | b'7' if path.ends_with(b"/") => EntryKind::Folder,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Character,
            b'4' => EntryKind::Block,
            b'5' => EntryKind::Folder,
            b'6' => EntryKind::Fifo,
            other => bail!("entries of the type `{}` are not known", other.escape_ascii()),
        };
        let mut entry = Entry {
            kind,
            target,
            mode: number(&header[100..108]).context("its mode")? as u32 & 0o7777,
            uid: id("uid", 108..116)?,
            gid: id("gid", 116..124)?,
            mtime: mtime(header, extension)?,
            device: (0, 0),
            xattrs: xattrs(extension)?,
            size: 0,
            places: Vec::new(),
            path,
        };
        match kind {
            EntryKind::File => self.file(header, size, extension, &mut entry)?,
            // Some writers give links and folders the size of what they lead to or hold; no contents follow.
            _ => self.end_at(0)?,
        }
        if matches!(kind, EntryKind::Character | EntryKind::Block) {
            let part =
                |field| number(field).ok().and_then(|part| u32::try_from(part).ok()).context("its device number");
            entry.device = (part(&header[329..337])?, part(&header[337..345])?);
        }
        Ok(entry)
    }

    /// The size of a file, and which parts of it the archive has.
    fn file(&mut self, header: &Block, stored: u64, extension: &Extension, entry: &mut Entry) -> Result<()> {
        let pair = |name: &str, other: &str| -> Result<Option<u64>> {
            Ok(match extension.number(name)? {
                Some(value) => Some(value),
                None => extension.number(other)?,
            })
        };
        let real = pair("GNU.sparse.realsize", "GNU.sparse.size")?;
        if let Some(name) = extension.get("GNU.sparse.name") {
            entry.path = name.to_vec();
        }
        entry.size = stored;
        if header[156] == b'S' {
            entry.size = number(&header[483..495]).context("its real size")?;
            entry.places = self.old_sparse(header)?;
        } else if extension.get("GNU.sparse.major") == Some(b"1") {
            entry.size = real.context("it is sparse but has no GNU.sparse.realsize")?;
            self.end_at(stored)?;
            entry.places = self.sparse_map()?;
            return check_sparse(entry, self.next - self.position);
        } else if let Some(real) = real {
            entry.size = real;
            entry.places = pax_sparse(extension)?;
        } else {
            entry.places = vec![(0, stored)];
        }
        self.end_at(stored)?;
        check_sparse(entry, stored)
    }

    /// GNU's own form: four pieces in the header, 21 in each block that follows.
    fn old_sparse(&mut self, header: &Block) -> Result<Vec<(u64, u64)>> {
        let mut places = Vec::new();
        let mut more = sparse_table(&header[386..482], header[482], &mut places)?;
        while more {
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block).context("the archive ends within a sparse file's table")?;
            self.position += BLOCK as u64;
            more = sparse_table(&block[..504], block[504], &mut places)?;
            check_pieces(&places)?;
        }
        Ok(places)
    }

    /// PAX's form 1.0: the contents begin with decimal numbers, one a line, up to
    /// the end of a block: how many pieces, then each one's offset and length.
    fn sparse_map(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut numbers = Vec::new();
        let mut digits = Vec::new();
        let mut wanted = 1;
        while numbers.len() < wanted {
            let mut block = [0; BLOCK];
            self.data().read_exact(&mut block).context("the archive ends within a sparse file's table")?;
            for byte in block {
                if numbers.len() == wanted {
                    break;
                }
                if byte != b'\n' {
                    digits.push(byte);
                    continue;
                }
                numbers.push(decimal(&digits).context("in the table of a sparse file")?);
                digits.clear();
                if numbers.len() == 1 {
                    let pieces = usize::try_from(numbers[0]).unwrap_or(usize::MAX);
                    if pieces > limits::SPARSE_PIECES {
                        bail!("it is in {pieces} pieces; {} are taken", limits::SPARSE_PIECES);
                    }
                    wanted = 1 + 2 * pieces;
                }
            }
        }
        Ok(numbers[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// Counts what is read through it.
struct Counted<'a, R> {
    input: &'a mut R,
    position: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        *self.position += count as u64;
        Ok(count)
    }
}

fn xattrs(extension: &Extension) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut xattrs = BTreeMap::new();
    for (name, value) in &extension.records {
        if let Some(name) = name.strip_prefix(b"SCHILY.xattr.") {
            if name.is_empty() || name.len() > limits::NAME || value.len() > limits::XATTR_VALUE {
                bail!("an extended attribute is longer than Linux takes");
            }
            xattrs.insert(name.to_vec(), value.clone());
        }
    }
    Ok(xattrs)
}

/// PAX has fractions of a second, and a sign.
fn mtime(header: &Block, extension: &Extension) -> Result<i64> {
    let Some(value) = extension.get("mtime") else {
        return signed(&header[136..148]).context("its mtime");
    };
    let text = std::str::from_utf8(value).context("its PAX record mtime")?;
    let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    seconds.parse().map_err(|_| anyhow!("its PAX record mtime is `{text}`"))
}

/// ustar's two fields; old GNU archives have other things where the second is.
fn plain_path(header: &Block) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    if &header[257..263] == b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
