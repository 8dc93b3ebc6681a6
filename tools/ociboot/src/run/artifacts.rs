//! `--artifact GUEST:HOST`: what the guest sends of its files, as one cpio
//! archive, is put where the user said. The guest is not trusted: no name in
//! the stream leads out of HOST, and nothing goes through a symlink in it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, symlinkat, unlinkat};

/// What is copied from where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// A path in the container.
    pub guest: String,
    pub host: PathBuf,
}

impl std::str::FromStr for Artifact {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Artifact> {
        let (guest, host) = text.split_once(':').context("it must be GUEST:HOST")?;
        ensure!(guest.starts_with('/'), "the path in the guest must begin with a slash");
        ensure!(!guest.contains('\0'), "a path has no zero byte");
        ensure!(!guest.split('/').any(|part| part == ".."), "the path in the guest must not have .. in it");
        ensure!(!host.is_empty(), "it must be GUEST:HOST");
        Ok(Artifact { guest: guest.into(), host: host.into() })
    }
}

/// Names and link targets in the stream; PATH_MAX.
const NAME: usize = 4096;

/// What came.
#[derive(Debug, Default)]
pub struct Received {
    /// For each artifact in turn, how many entries came for it.
    pub entries: Vec<u64>,
    /// What was left out, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads the stream to its trailer. An empty stream is no error.
pub fn receive(stream: &mut impl Read, artifacts: &[Artifact]) -> Result<Received> {
    let mut received = Received { entries: vec![0; artifacts.len()], ..Received::default() };
    while let Some(entry) = Entry::read(stream)? {
        if entry.name == b"TRAILER!!!" {
            break;
        }
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let mut body = stream.take(entry.size);
        match place(&entry.name, artifacts) {
            Some((number, rest)) => {
                received.entries[number] += 1;
                let stored = store(&artifacts[number].host, &rest, &entry, &mut body)
                    .with_context(|| format!("cannot store the artifact /{shown}"))?;
                if let Some(what) = stored {
                    received.warnings.push(format!("the artifact /{shown} is {what}: left out"));
                }
            }
            // Folders above an artifact may come with it.
            None if entry.kind() == FOLDER => {}
            None => received.warnings.push(format!("the guest sent /{shown}, which nobody asked for: left out")),
        }
        io::copy(&mut body, &mut io::sink())?;
        ensure!(body.limit() == 0, "the artifacts' stream ended in the middle of /{shown}");
        skip(stream, padding(entry.size))?;
    }
    Ok(received)
}

/// A header of the newc format (cpio(5)).
struct Entry {
    name: Vec<u8>,
    mode: u32,
    size: u64,
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

impl Entry {
    /// `None` at the end of a stream without a trailer.
    fn read(stream: &mut impl Read) -> Result<Option<Entry>> {
        let mut header = [0; 110];
        let first = stream.read(&mut header[..1])?;
        if first == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut header[1..]).context("the artifacts' stream ended in a header")?;
        ensure!(&header[..6] == b"070701", "the artifacts' stream is no cpio archive");
        let field = |number: usize| -> Result<u32> {
            let text = std::str::from_utf8(&header[6 + 8 * number..14 + 8 * number])?;
            u32::from_str_radix(text, 16).context("a number in the artifacts' stream is none")
        };
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)? as usize);
        ensure!((2..=NAME + 1).contains(&name_size), "a name of {name_size} bytes in the artifacts' stream");
        let mut name = vec![0; name_size];
        stream.read_exact(&mut name).context("the artifacts' stream ended in a name")?;
        ensure!(name.pop() == Some(0) && !name.contains(&0), "a name in the artifacts' stream is not ended by a zero");
        skip(stream, padding((110 + name_size) as u64))?;
        Ok(Some(Entry { name, mode, size: size.into() }))
    }

    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }
}

/// Bytes to the next multiple of four.
fn padding(size: u64) -> u64 {
    (4 - size % 4) % 4
}

fn skip(stream: &mut impl Read, count: u64) -> Result<()> {
    io::copy(&mut stream.take(count), &mut io::sink())?;
    Ok(())
}

/// Which artifact a name belongs to, and the path in it; none where it has `..` or belongs to none.
fn place(name: &[u8], artifacts: &[Artifact]) -> Option<(usize, PathBuf)> {
    let clean = |path: &Path| -> Option<PathBuf> {
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(part) => clean.push(part),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(clean)
    };
    let path = clean(Path::new(OsStr::from_bytes(name)))?;
    // The longest that fits: one artifact may lie in another.
    let fits = artifacts.iter().enumerate().filter_map(|(number, artifact)| {
        let guest = clean(Path::new(&artifact.guest))?;
        let rest = path.strip_prefix(&guest).ok()?.to_owned();
        Some((guest.components().count(), number, rest))
    });
    fits.max_by_key(|(length, number, _)| (*length, usize::MAX - number)).map(|(_, number, rest)| (number, rest))
}

/// Stores one entry at `rest` in `host`; says what it is where it cannot be kept.
fn store(host: &Path, rest: &Path, entry: &Entry, body: &mut impl Read) -> Result<Option<&'static str>> {
    let mode = Mode::from_raw_mode(entry.mode & 0o777);
    if entry.kind() == FOLDER {
        std::fs::create_dir_all(host).with_context(|| format!("cannot make {}", host.display()))?;
        folder_in(host, rest)?;
        return Ok(None);
    }
    // The artifact itself is a file: HOST is its name, or the folder it goes into.
    let base = if rest.as_os_str().is_empty() && !host.is_dir() && !host.as_os_str().as_bytes().ends_with(b"/") {
        let parent = host.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        (parent.to_owned(), PathBuf::from(host.file_name().context("HOST has no name")?))
    } else {
        std::fs::create_dir_all(host).with_context(|| format!("cannot make {}", host.display()))?;
        let name = Path::new(OsStr::from_bytes(&entry.name)).file_name().context("an entry without a name")?;
        let inside = if rest.as_os_str().is_empty() { Path::new(name) } else { rest };
        (host.to_owned(), inside.to_owned())
    };
    let folder = folder_in(&base.0, base.1.parent().unwrap_or(Path::new("")))?;
    let name = base.1.file_name().context("an entry without a name")?;
    match entry.kind() {
        FILE => {
            remove(&folder, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(openat(&folder, name, flags, mode | Mode::WUSR)?);
            io::copy(body, &mut file)?;
            rustix::fs::fchmod(&file, mode)?;
            Ok(None)
        }
        SYMLINK => {
            ensure!(entry.size <= NAME as u64, "a link of {} bytes", entry.size);
            let mut target = Vec::new();
            body.read_to_end(&mut target)?;
            remove(&folder, name)?;
            symlinkat(OsStr::from_bytes(&target), &folder, name)?;
            Ok(None)
        }
        0o020_000 => Ok(Some("a character device")),
        0o060_000 => Ok(Some("a block device")),
        0o010_000 => Ok(Some("a fifo")),
        0o140_000 => Ok(Some("a socket")),
        other => bail!("an entry of the unknown type {other:o}"),
    }
}

/// Makes way for a file; a folder stays, and is an error.
fn remove(folder: &OwnedFd, name: &OsStr) -> Result<()> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error).context("cannot replace what is there"),
    }
}

/// A folder below `host`, made where it is missing, without following a symlink below it.
fn folder_in(host: &Path, rest: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = open(host, flags, Mode::empty()).with_context(|| format!("cannot open {}", host.display()))?;
    for part in rest.components() {
        let Component::Normal(name) = part else { bail!("a path that is not clean") };
        match mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).context("cannot make a folder"),
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        folder = openat2(folder.as_fd(), name, flags, Mode::empty(), resolve)
            .with_context(|| format!("cannot enter {}: what is there is no folder", name.display()))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn add(stream: &mut Vec<u8>, name: &str, mode: u32, body: &[u8]) {
        let fields = [0, mode, 0, 0, 1, 0, body.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        stream.extend_from_slice(b"070701");
        fields.iter().for_each(|field| stream.extend_from_slice(format!("{field:08x}").as_bytes()));
        stream.extend_from_slice(name.as_bytes());
        stream.push(0);
        stream.resize(stream.len().next_multiple_of(4), 0);
        stream.extend_from_slice(body);
        stream.resize(stream.len().next_multiple_of(4), 0);
    }

    fn artifacts(host: &Path, guests: &[(&str, &str)]) -> Vec<Artifact> {
        guests.iter().map(|(guest, place)| Artifact { guest: (*guest).into(), host: host.join(place) }).collect()
    }

    #[test]
    fn words() {
        let parse = |text: &str| text.parse::<Artifact>();
        assert_eq!(parse("/a:b").expect("good"), Artifact { guest: "/a".into(), host: "b".into() });
        for bad in ["", "/a", "a:b", "/a:", "/a/../b:c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_and_folders() {
        let host = tempfile::tempdir().expect("a folder");
        let wanted = artifacts(host.path(), &[("/out/log", "log.txt"), ("/out/tree", "tree"), ("/gone", "gone")]);
        let mut stream = Vec::new();
        add(&mut stream, "out", 0o040_755, b"");
        add(&mut stream, "out/log", 0o100_640, b"hello");
        add(&mut stream, "out/tree", 0o040_755, b"");
        add(&mut stream, "out/tree/a/b", 0o100_755, b"deep");
        add(&mut stream, "out/tree/link", 0o120_777, b"a/b");
        add(&mut stream, "out/tree/null", 0o020_666, b"");
        add(&mut stream, "etc/passwd", 0o100_644, b"nobody asked");
        add(&mut stream, "TRAILER!!!", 0, b"");
        stream.resize(stream.len().next_multiple_of(512), 0);
        let received = receive(&mut stream.as_slice(), &wanted).expect("a good stream");
        assert_eq!(received.entries, [1, 4, 0]);
        assert_eq!(received.warnings.len(), 2, "{:?}", received.warnings);
        assert_eq!(fs::read(host.path().join("log.txt")).expect("there"), b"hello");
        let mode = fs::metadata(host.path().join("log.txt")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read(host.path().join("tree/a/b")).expect("there"), b"deep");
        assert_eq!(fs::read_link(host.path().join("tree/link")).expect("there"), Path::new("a/b"));
        assert!(!host.path().join("gone").exists());
    }

    #[test]
    fn a_file_into_a_folder_and_over_a_file() {
        let host = tempfile::tempdir().expect("a folder");
        fs::create_dir(host.path().join("folder")).expect("made");
        fs::write(host.path().join("folder/log"), b"old").expect("made");
        let mut stream = Vec::new();
        add(&mut stream, "log", 0o100_400, b"new");
        receive(&mut stream.as_slice(), &artifacts(host.path(), &[("/log", "folder")])).expect("good");
        assert_eq!(fs::read(host.path().join("folder/log")).expect("there"), b"new");
    }

    #[test]
    fn nothing_escapes() {
        let whole = tempfile::tempdir().expect("a folder");
        let host = whole.path().join("host");
        fs::create_dir(&host).expect("made");
        fs::write(whole.path().join("precious"), b"1").expect("made");
        symlink("..", host.join("old-link")).expect("made");
        let wanted = artifacts(&host, &[("/t", "")]);
        for names in [
            &["t/../precious"][..],
            &["/t/../../precious"],
            &["../precious"],
            &["t/link|..", "t/link/precious"],
            &["t/link|/", "t/link/tmp/ocinit-escaped"],
            &["t/old-link/precious"],
            &["t/file|../precious", "t/file"],
        ] {
            let mut stream = Vec::new();
            for name in names {
                match name.split_once('|') {
                    Some((name, target)) => add(&mut stream, name, 0o120_777, target.as_bytes()),
                    None => add(&mut stream, name, 0o100_644, b"2"),
                }
            }
            let _ = receive(&mut stream.as_slice(), &wanted);
            assert_eq!(fs::read(whole.path().join("precious")).expect("there"), b"1", "{names:?}");
            assert_eq!(fs::read_dir(whole.path()).expect("there").count(), 2, "{names:?}");
            assert!(!Path::new("/tmp/ocinit-escaped").exists(), "{names:?}");
        }
    }

    #[test]
    fn broken_streams() {
        let host = tempfile::tempdir().expect("a folder");
        let wanted = artifacts(host.path(), &[("/t", "t")]);
        let mut good = Vec::new();
        add(&mut good, "t/a", 0o100_644, b"12345678");
        assert!(receive(&mut &b""[..], &wanted).is_ok());
        let body_end = good.len();
        for length in 1..body_end {
            assert!(receive(&mut &good[..length], &wanted).is_err(), "{length}");
        }
        assert!(receive(&mut &good[..], &wanted).is_ok());
        for at in [0, 5, 20, 60, 100] {
            let mut bad = good.clone();
            bad[at] = b'z';
            let broken = receive(&mut bad.as_slice(), &wanted);
            assert!(broken.is_err() || at == 20 || at == 60, "{at}");
        }
        let mut long = good.clone();
        long[94..102].copy_from_slice(b"ffffffff");
        assert!(receive(&mut long.as_slice(), &wanted).is_err());
    }
}
