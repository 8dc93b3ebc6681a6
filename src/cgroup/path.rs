//! Which cgroup: from what the configuration asks for to a path below the
//! mount of the hierarchy.
//!
//! As runc does it with its cgroupfs driver: an absolute path counts from the
//! mount, a relative one from the parent of the runtime's own cgroup (the own
//! one has processes, so no controller could be enabled below it), and no path
//! is the container's id.

use crate::error::{Lossy, Result};
use crate::json::Text;
use crate::{bytes, fail, limits};

/// A cgroup's path below the mount, without a leading slash: not empty, and
/// without `.`, `..` and empty components. It fits into a [`PathBuffer`](crate::json::PathBuffer).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CgroupPath<'a> {
    path: &'a [u8],
}

/// The kernel's NAME_MAX, without the NUL.
const NAME_MAX: usize = 255;

impl<'a> CgroupPath<'a> {
    /// The path for what `linux.cgroupsPath` asks for, in `buffer`.
    ///
    /// `id` is the name when nothing is asked for; `own` is the caller's own
    /// cgroup, as /proc/self/cgroup has it.
    ///
    /// # Errors
    /// With the place in the document: the path names the root of the
    /// hierarchy, or is longer than the kernel takes.
    #[inline(never)] // its buffer is gone from the stack before anything deeper
    pub fn choose(asked: Option<Text<'_>>, id: &str, own: &[u8], buffer: &'a mut [u8]) -> Result<CgroupPath<'a>> {
        let mut room = [0; limits::PATH];
        let asked = asked.filter(|text| !text.is_empty());
        let name = match asked {
            Some(text) => text.c_str(&mut room)?.to_bytes(),
            None => id.as_bytes(),
        };
        let base = if name.first() == Some(&b'/') { &[] } else { split_last(own).0 };
        Self::below(base, name, buffer).map_err(|why| match asked {
            Some(text) => text.error(format_args!("{why}")),
            None => fail!("cgroup of \"{id}\": {why}"),
        })
    }

    /// The path that [`CgroupPath::as_bytes`] gave.
    ///
    /// # Errors
    /// It is not one: a component is empty, `.` or `..`, or it is too long.
    pub fn from_bytes(path: &'a [u8]) -> Result<CgroupPath<'a>> {
        let is_one = path.len() < limits::PATH
            && bytes::split(path, b'/').all(|name| !matches!(name, b"" | b".") && check_name(name).is_ok());
        if is_one { Ok(CgroupPath { path }) } else { Err(fail!("\"{}\" is not the path of a cgroup", Lossy(path))) }
    }

    /// The path `below` inside this one, in `buffer`.
    ///
    /// # Errors
    /// It leads out, or is longer than the kernel takes.
    pub fn join<'b>(&self, below: &[u8], buffer: &'b mut [u8]) -> Result<CgroupPath<'b>> {
        CgroupPath::below(self.path, below, buffer).map_err(|why| fail!("cgroup \"{}\": {why}", Lossy(below)))
    }

    /// `asked` below `base`, both cleaned, in `buffer`.
    fn below(base: &[u8], asked: &[u8], buffer: &'a mut [u8]) -> Result<CgroupPath<'a>, &'static str> {
        let mut length = 0;
        let mut floor = 0;
        // A process outside its cgroup namespace's root sees itself at "/../…":
        // from there nothing can be counted but from the mount.
        let base = if bytes::split(base, b'/').any(|name| name == b"..") { &[] } else { base };
        for part in [base, asked] {
            floor = length;
            for name in bytes::split(part, b'/').filter(|name| !matches!(*name, b"" | b".")) {
                check_name(name)?;
                // Each with a slash behind it; the last one's is left out below.
                let end = length + name.len() + 1;
                let place = buffer.get_mut(length..end).filter(|_| end <= limits::PATH);
                let place = place.ok_or("longer than a path can be (PATH_MAX, 4096 bytes)")?;
                for (index, to) in place.iter_mut().enumerate() {
                    *to = name.get(index).copied().unwrap_or(b'/');
                }
                length = end;
            }
        }
        match buffer.get(..length.saturating_sub(1)) {
            Some(path) if length > floor => Ok(CgroupPath { path }),
            _ => Err("names no cgroup of its own"),
        }
    }

    /// The path, without a leading slash.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.path
    }

    /// How many components it has.
    pub fn depth(&self) -> usize {
        bytes::split(self.path, b'/').count()
    }

    /// The first `length` bytes of it, if that is where a component ends.
    pub fn prefix(&self, length: usize) -> Option<CgroupPath<'a>> {
        match self.path.get(length) {
            Some(b'/') | None => self.path.get(..length).map(|path| CgroupPath { path }),
            Some(_) => None,
        }
    }

    /// The one above it, if that is not the root; and its own name there.
    pub fn split(&self) -> (Option<CgroupPath<'a>>, &'a [u8]) {
        let (path, name) = split_last(self.path);
        (if path.is_empty() { None } else { Some(CgroupPath { path }) }, name)
    }

    /// Whether this is `other`, or lies somewhere below it.
    pub fn is_within(&self, other: &CgroupPath<'_>) -> bool {
        self.path.starts_with(other.path) && matches!(self.path.get(other.path.len()), None | Some(b'/'))
    }
}

/// What stands before the last slash, and behind it.
#[inline(never)]
fn split_last(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            path.split_at_checked(slash).map_or((&[], path), |(above, name)| (above, name.get(1..).unwrap_or(&[])))
        }
        None => (&[], path),
    }
}

/// What a component may be, besides nothing and `.`.
#[inline(never)]
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name == b".." {
        Err("\"..\" leaves the place that the cgroup is given")
    } else if name.len() > NAME_MAX {
        Err("a component is longer than 255 bytes (NAME_MAX)")
    } else if name.contains(&b'\n') {
        Err("a cgroup's name cannot hold a line break")
    } else {
        Ok(())
    }
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
        let document = Document::of("c", json.as_bytes()).unwrap();
        let text = document.root().get("p").unwrap().as_text().filter(|_| asked.is_some());
        match CgroupPath::choose(text, "c1", own.as_bytes(), &mut [0; limits::PATH]) {
            Ok(path) => {
                assert_eq!(CgroupPath::from_bytes(path.as_bytes()).unwrap().as_bytes(), path.as_bytes());
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
            (Some("/b/./c//"), "/own/sub", "b/c"),
            (Some("x"), "/../outside/y", "x"),
        ] {
            assert_eq!(choose(asked, own).as_deref(), Ok(expected), "{asked:?} in {own}");
        }
    }

    #[test]
    fn what_no_cgroup_can_be_called_is_an_error() {
        let long = "x".repeat(256);
        let deep = "y/".repeat(2048);
        for asked in ["/", ".", "a/..", "/..", "../up", long.as_str(), deep.as_str(), "a\\nb"] {
            let error = choose(Some(asked), "/own/sub").unwrap_err();
            assert!(error.starts_with("c:1:7: p: "), "{error}");
        }
        for bytes in ["", "/a", "a/", "a//b", "a/../b", "."] {
            assert!(CgroupPath::from_bytes(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }

    #[test]
    fn within_means_whole_components() {
        let path = |text: &'static str| CgroupPath::from_bytes(text.as_bytes()).unwrap();
        assert!(path("a/b").is_within(&path("a/b")));
        assert!(path("a/b/c").is_within(&path("a/b")));
        assert!(!path("a/bc").is_within(&path("a/b")));
        assert!(!path("a").is_within(&path("a/b")));
        assert!(path("a/b/c").split() == (Some(path("a/b")), b"c") && path("a").split() == (None, b"a"));
        assert!(path("ab/c").prefix(1).is_none() && path("ab/c").prefix(2) == Some(path("ab")));
        assert!(path("ab/c").prefix(4) == Some(path("ab/c")) && path("ab/c").prefix(5).is_none());
        assert_eq!(path("a/b/c").depth(), 3);
    }

    #[test]
    fn finds_the_line_of_version_2() {
        assert_eq!(in_proc_file(b"9:name=systemd:/x\n0::/a/b\n"), Some(b"/a/b".as_slice()));
        assert_eq!(in_proc_file(b"0::/\n"), Some(b"/".as_slice()));
        assert_eq!(in_proc_file(b"0::/a (deleted)\n"), None);
        assert_eq!(in_proc_file(b"10::/a\n"), None);
    }
}
