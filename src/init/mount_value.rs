//! The value of `ocinit.mount=`: SOURCE:TARGET:TYPE[:OPTIONS], and the same as
//! an entry of `mounts[]`, which is then carried out as a container's is.

use crate::bytes::{Printed, cut};
use crate::limits;

use super::superblock::Tag;
use crate::word_list;

/// What is mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source<'a> {
    /// A block device, to be looked for.
    Tag(Tag<'a>),
    /// A file of /dev.
    Device(&'a [u8]),
    /// A word of the file system's own: the tag of a share, `none`.
    Word(&'a [u8]),
}

/// A value, cut up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MountValue<'a> {
    pub source: Source<'a>,
    pub target: &'a [u8],
    kind: &'a [u8],
    options: &'a [u8],
}

/// The entry of mounts[] as JSON.
pub type Entry = Printed<{ limits::MOUNT_ENTRY }>;

impl<'a> MountValue<'a> {
    /// Cuts `value` up; `None`: it has another form.
    pub fn parse(value: &'a [u8]) -> Option<MountValue<'a>> {
        let (source, rest) = cut(value, b':');
        let (target, rest) = cut(rest?, b':');
        let (kind, options) = cut(rest?, b':');
        let well_formed = !source.is_empty() && target.starts_with(b"/") && !kind.is_empty();
        let (name, tag) = cut(source, b'=');
        let tag = tag.filter(|tag| !tag.is_empty());
        let source = match (word_list!("LABEL UUID PARTLABEL PARTUUID").find(name), tag) {
            (Some(0), Some(tag)) => Source::Tag(Tag::Label(tag)),
            (Some(1), Some(tag)) => Source::Tag(Tag::Uuid(tag)),
            (Some(2), Some(tag)) => Source::Tag(Tag::PartLabel(tag)),
            (Some(3), Some(tag)) => Source::Tag(Tag::PartUuid(tag)),
            (Some(_), _) => return None,
            _ if source.starts_with(b"/dev/") => Source::Device(source),
            _ => Source::Word(source),
        };
        well_formed.then_some(MountValue { source, target, kind, options: options.unwrap_or(&[]) })
    }

    /// Writes the entry, with the source `source`; `None`: it is not UTF-8, or
    /// longer than the limit.
    #[inline(never)]
    pub fn write(&self, source: &[u8], entry: &mut Entry) -> Option<()> {
        let mut fits = true;
        for (name, text) in [("{\"destination", self.target), ("type", self.kind), ("source", source)] {
            fits &= entry.push(name) && entry.push("\":\"") && quote(entry, text, false)? && entry.push("\",\"");
        }
        fits &= entry.push("options\":[\"");
        // What the type cannot do without.
        let own = match word_list!("9p erofs squashfs iso9660").find(self.kind) {
            Some(0) if !self.options.windows(6).any(|part| part == b"trans=") => "trans=virtio",
            Some(1..) => "ro",
            _ => "defaults",
        };
        fits &= entry.push(own);
        if !self.options.is_empty() {
            fits &= entry.push("\",\"") && quote(entry, self.options, true)?;
        }
        (fits && entry.push("\"]}")).then_some(())
    }
}

/// Puts `text` between the quotes of a string that has been begun; with
/// `commas` those separate strings, but within quotes (security labels) or
/// behind a backslash (overlay's escape). `None`: not UTF-8, or not one line.
fn quote(entry: &mut Entry, text: &[u8], commas: bool) -> Option<bool> {
    let (mut quoted, mut escaped, mut fits) = (false, false, true);
    for character in core::str::from_utf8(text).ok()?.chars() {
        if character.is_control() {
            return None;
        }
        quoted ^= character == '"' && !escaped;
        if character == ',' && commas && !quoted && !escaped {
            fits &= entry.push("\",\"");
        } else {
            fits &= !matches!(character, '"' | '\\') || entry.push("\\");
            fits &= entry.push(character.encode_utf8(&mut [0; 4]));
        }
        escaped = character == '\\' && !escaped;
    }
    Some(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn cut_up() {
        for (value, source, rest) in [
            ("/dev/vda:/data:ext4", Source::Device(b"/dev/vda"), ["/data", "ext4", ""]),
            ("LABEL=a b:/d:vfat:ro,umask=077", Source::Tag(Tag::Label(b"a b")), ["/d", "vfat", "ro,umask=077"]),
            ("UUID=00-1:/d:xfs:", Source::Tag(Tag::Uuid(b"00-1")), ["/d", "xfs", ""]),
            ("PARTLABEL=x=y:/d:xfs", Source::Tag(Tag::PartLabel(b"x=y")), ["/d", "xfs", ""]),
            ("PARTUUID=1:/d:xfs", Source::Tag(Tag::PartUuid(b"1")), ["/d", "xfs", ""]),
            ("share:/d:virtiofs", Source::Word(b"share"), ["/d", "virtiofs", ""]),
            ("none:/d:overlay:lowerdir=/a:/b", Source::Word(b"none"), ["/d", "overlay", "lowerdir=/a:/b"]),
            ("label=x:/d:ext4", Source::Word(b"label=x"), ["/d", "ext4", ""]),
        ] {
            let [target, kind, options] = rest.map(str::as_bytes);
            assert_eq!(
                MountValue::parse(value.as_bytes()),
                Some(MountValue { source, target, kind, options }),
                "{value}"
            );
        }
        for value in
            ["", "/dev/vda", "/dev/vda:/data", ":/data:ext4", "a:data:ext4", "a:/data:", "LABEL=:/d:ext4", "UUID:/d:x"]
        {
            assert_eq!(MountValue::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn as_an_entry() {
        for (value, options) in [
            ("s:/d:tmpfs:size=1m,mode=700", &["defaults", "size=1m", "mode=700"][..]),
            ("s:/d:tmpfs", &["defaults"]),
            ("s:/d:9p", &["trans=virtio"]),
            ("s:/d:9p:version=9p2000.L,msize=1", &["trans=virtio", "version=9p2000.L", "msize=1"]),
            ("s:/d:9p:trans=tcp", &["defaults", "trans=tcp"]),
            ("s:/d:squashfs:noexec", &["ro", "noexec"]),
            ("s:/d:erofs", &["ro"]),
            ("s:/d:overlay:lowerdir=/a\\,b:/c,x", &["defaults", "lowerdir=/a\\,b:/c", "x"]),
            ("s:/d:x:context=\"a,b\",c", &["defaults", "context=\"a,b\"", "c"]),
            ("s:/d:x:ä", &["defaults", "ä"]),
        ] {
            let mut entry = Entry::new();
            MountValue::parse(value.as_bytes()).unwrap().write(b"s\"\\", &mut entry).unwrap();
            let document = Document::of("", entry.as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"));
            let text = |name| document.root().get(name).and_then(|value| value.as_text()).unwrap().to_string();
            assert_eq!([text("destination"), text("source")], ["/d", "s\"\\"]);
            let list: Vec<_> = document.root().get("options").unwrap().items().collect();
            let list: Vec<_> = list.iter().map(|item| item.as_text().unwrap().to_string()).collect();
            assert_eq!(list, options, "{value}");
        }
        for options in [&b"\xff"[..], b"a\nb", &vec![b'x'; limits::MOUNT_ENTRY]] {
            let value = [b"s:/d:tmpfs:", options].concat();
            assert!(MountValue::parse(&value).unwrap().write(b"s", &mut Entry::new()).is_none());
        }
        let long = format!("s:/{}:tmpfs", "\"".repeat(limits::MOUNT_ENTRY));
        assert!(MountValue::parse(long.as_bytes()).unwrap().write(b"s", &mut Entry::new()).is_none());
    }
}
