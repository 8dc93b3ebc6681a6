//! Which cgroup: from what the configuration asks for to a path below the
//! mount of the hierarchy.
//!
//! As runc does it with its cgroupfs driver: an absolute path counts from the
//! mount, a relative one from the parent of the runtime's own cgroup (the own
//! one has processes, so no controller could be enabled below it), and no path
//! is the container's id. `..` never leads out: it stops at where it started.

use core::ffi::CStr;

use heapless::Vec;

use crate::bytes;
use crate::error::Result;
use crate::json::Text;
use crate::{fail, limits};

/// A cgroup's path below the mount, without a leading slash: not empty, and
/// without `.`, `..` and empty components.
#[derive(Clone, PartialEq, Eq)]
pub struct CgroupPath {
    /// The path and a NUL.
    bytes: Vec<u8, { limits::PATH }>,
}

/// The kernel's NAME_MAX, without the NUL.
const NAME_MAX: usize = 255;

impl CgroupPath {
    /// The path for what `linux.cgroupsPath` asks for.
    ///
    /// `id` is the name when nothing is asked for; `own` is the caller's own
    /// cgroup, as /proc/self/cgroup has it.
    ///
    /// # Errors
    /// With the place in the document: the path names the root of the
    /// hierarchy, or is longer than the kernel takes.
    pub fn choose(asked: Option<Text<'_>>, id: &str, own: &[u8]) -> Result<CgroupPath> {
        let mut buffer = [0; limits::PATH];
        let Some(text) = asked.filter(|text| !text.is_empty()) else {
            return Self::below(parent(own), id.as_bytes()).map_err(|why| fail!("cgroup of \"{id}\": {why}"));
        };
        let asked = text.c_str(&mut buffer)?.to_bytes();
        let base = if asked.first() == Some(&b'/') { b"".as_slice() } else { parent(own) };
        Self::below(base, asked).map_err(|why| text.error(format_args!("{why}")))
    }

    /// The path that [`CgroupPath::as_bytes`] gave.
    ///
    /// # Errors
    /// It is not one: a component is empty, `.` or `..`, or it is too long.
    pub fn from_bytes(bytes: &[u8]) -> Result<CgroupPath> {
        match Self::below(b"", bytes) {
            Ok(path) if path.as_bytes() == bytes => Ok(path),
            _ => Err(fail!("\"{}\" is not the path of a cgroup", crate::error::Lossy(bytes))),
        }
    }

    /// The path `below` inside this one; `..` does not lead out of it.
    ///
    /// # Errors
    /// Longer than the kernel takes.
    pub fn join(&self, below: &[u8]) -> Result<CgroupPath> {
        Self::below(self.as_bytes(), below).map_err(|why| fail!("cgroup \"{}\": {why}", crate::error::Lossy(below)))
    }

    /// `asked` below `base`, both cleaned.
    fn below(base: &[u8], asked: &[u8]) -> Result<CgroupPath, &'static str> {
        let mut path = CgroupPath { bytes: Vec::new() };
        if components(base).any(|name| name == b"..") {
            // A process outside its cgroup namespace's root sees itself at
            // "/../…": from there nothing can be counted but from the mount.
        } else {
            components(base).try_for_each(|name| path.push(name))?;
        }
        let floor = path.bytes.len();
        for name in components(asked) {
            if name == b".." {
                path.pop(floor);
            } else {
                path.push(name)?;
            }
        }
        if path.bytes.len() == floor {
            return Err("names no cgroup of its own");
        }
        path.bytes.push(0).map_err(|_| TOO_LONG)?;
        Ok(path)
    }

    fn push(&mut self, name: &[u8]) -> Result<(), &'static str> {
        if name.len() > NAME_MAX {
            return Err("a component is longer than 255 bytes (NAME_MAX)");
        }
        if name.contains(&b'\n') {
            return Err("a cgroup's name cannot hold a line break");
        }
        if !self.bytes.is_empty() {
            self.bytes.push(b'/').map_err(|_| TOO_LONG)?;
        }
        self.bytes.extend_from_slice(name).map_err(|_| TOO_LONG)
    }

    /// Takes the last component off, but none of the first `floor` bytes.
    fn pop(&mut self, floor: usize) {
        let slash = self.bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.bytes.truncate(slash.max(floor));
    }

    /// The path, without a leading slash.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_last().map_or(&[], |(_, path)| path)
    }

    /// The path, for openat2(2) below the mount.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }

    /// The names, from the mount down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        components(self.as_bytes())
    }

    /// Everything but the last component, and that one.
    pub fn split(&self) -> (&[u8], &[u8]) {
        let path = self.as_bytes();
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash).unwrap_or(&[]), path.get(slash + 1..).unwrap_or(&[])),
            None => (&[], path),
        }
    }

    /// Whether this is `other`, or lies somewhere below it.
    pub fn is_within(&self, other: &CgroupPath) -> bool {
        match self.as_bytes().strip_prefix(other.as_bytes()) {
            Some(rest) => rest.is_empty() || rest.first() == Some(&b'/'),
            None => false,
        }
    }
}

const TOO_LONG: &str = "longer than a path can be (PATH_MAX, 4096 bytes)";

/// The components that say something.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// The path without its last component.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..slash).unwrap_or(&[])
}

/// The path in the `0::` line of /proc/PID/cgroup (cgroups(7)), which is that
/// of version 2. A group that was removed meanwhile is none.
pub fn in_proc_file(text: &[u8]) -> Option<&[u8]> {
    let line = bytes::split(text, b'\n').find_map(|line| bytes::after(line, "0::"))?;
    (!line.ends_with(b" (deleted)")).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::string::{String, ToString};

    fn choose(asked: Option<&str>, own: &str) -> Result<String, String> {
        let json = format!("{{\"p\": \"{}\"}}", asked.unwrap_or(""));
        let document = Document::parse("c", json.as_bytes()).unwrap();
        let text = document.root().get("p").unwrap().as_text().filter(|_| asked.is_some());
        match CgroupPath::choose(text, "c1", own.as_bytes()) {
            Ok(path) => {
                assert_eq!(CgroupPath::from_bytes(path.as_bytes()).unwrap().as_bytes(), path.as_bytes());
                assert_eq!(path.as_c_str().to_bytes(), path.as_bytes());
                Ok(String::from_utf8(path.as_bytes().to_vec()).unwrap())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    // What runc 1.1.5 was seen to do, with processes in /own/sub.
    #[test]
    fn paths_are_those_that_runc_takes() {
        for (asked, own, expected) in [
            (None, "/", "c1"),
            (None, "/host", "c1"),
            (None, "/own/sub", "own/c1"),
            (Some(""), "/own/sub", "own/c1"),
            (Some("foo/bar"), "/own/sub", "own/foo/bar"),
            (Some("/abs/x/y"), "/own/sub", "abs/x/y"),
            (Some("a:b:c"), "/own/sub", "own/a:b:c"),
            (Some("../../up"), "/own/sub", "own/up"),
            (Some("/../../up2"), "/own/sub", "up2"),
            (Some("/a/../b/./c//"), "/own/sub", "b/c"),
            (Some("x"), "/../outside/y", "x"),
        ] {
            assert_eq!(choose(asked, own).as_deref(), Ok(expected), "{asked:?} in {own}");
        }
    }

    #[test]
    fn what_no_cgroup_can_be_called_is_an_error() {
        let long = "x".repeat(256);
        let deep = "y/".repeat(2048);
        for asked in ["/", ".", "a/..", "/..", long.as_str(), deep.as_str(), "a\\nb"] {
            let error = choose(Some(asked), "/own/sub").unwrap_err();
            assert!(error.starts_with("c:1:7: p: "), "{error}");
        }
        for bytes in ["", "/a", "a/", "a//b", "a/../b", "."] {
            assert!(CgroupPath::from_bytes(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }

    #[test]
    fn within_means_whole_components() {
        let path = |text: &str| CgroupPath::from_bytes(text.as_bytes()).unwrap();
        assert!(path("a/b").is_within(&path("a/b")));
        assert!(path("a/b/c").is_within(&path("a/b")));
        assert!(!path("a/bc").is_within(&path("a/b")));
        assert!(!path("a").is_within(&path("a/b")));
        assert_eq!(path("a/b/c").split(), (b"a/b".as_slice(), b"c".as_slice()));
        assert_eq!(path("a").split(), (b"".as_slice(), b"a".as_slice()));
    }

    #[test]
    fn finds_the_line_of_version_2() {
        assert_eq!(in_proc_file(b"9:name=systemd:/x\n0::/a/b\n"), Some(b"/a/b".as_slice()));
        assert_eq!(in_proc_file(b"0::/\n"), Some(b"/".as_slice()));
        assert_eq!(in_proc_file(b"0::/a (deleted)\n"), None);
        assert_eq!(in_proc_file(b"10::/a\n"), None);
    }
}
