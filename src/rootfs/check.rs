//! What user input can get wrong about the root file system, found before
//! anything is done.

use crate::error::Result;
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::config::{Config, Mount};
use crate::spec::linux::Device;
use crate::spec::record::List;

use super::devices::default_nodes;
use super::options::Options;
use crate::word_list;
use crate::word_list::WordList;

/// What the mounts of a configuration ask of whoever makes the container.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// The process will have to ask for ids of a mount to be mapped.
    pub maps_ids: bool,
    /// A mount shows cgroups.
    pub shows_cgroup: bool,
    /// /dev is another folder's view, whose owner has its contents: the runtime makes
    /// none there (as runc decides it).
    pub binds_dev: bool,
}

/// Checks the mounts and devices of `config`, beyond what was checked with the
/// document.
///
/// # Errors
/// The first thing that could not be carried out whatever the kernel says,
/// with its place.
#[inline(never)] // its buffer is not to be part of the caller's frame
pub fn check(config: &Config<'_>) -> Result<Asked> {
    let kinds = config.linux().map_or(List::empty(), |linux| linux.namespaces());
    let has_users = kinds.iter().any(|namespace| namespace.kind().is_some_and(|kind| kind.is("user")));
    let mut asked = Asked::default();
    for mount in config.mounts().iter() {
        let options = check_mount(&mount, has_users)?;
        asked.maps_ids |= options.map_ids.is_some();
        asked.shows_cgroup |= is_cgroup(&mount);
        asked.binds_dev |= options.bind.is_some() && mount.destination().is_some_and(|place| is_at(place, "/dev"));
    }
    let Some(linux) = config.linux() else { return Ok(asked) };
    if let Some(path) = linux.masked_paths().iter().find(|path| is_at(*path, "")) {
        return Err(path.error(format_args!("the root itself cannot be hidden")));
    }
    for device in linux.devices().iter() {
        check_device(&device)?;
    }
    Ok(asked)
}

const fn path_buffer() -> PathBuffer {
    [0; limits::PATH]
}

fn check_mount(mount: &Mount<'_>, has_users: bool) -> Result<Options> {
    let options = Options::of(mount)?;
    let why = match options.map_ids {
        Some(_) if options.remount => Some("ids cannot be mapped by a remount"),
        Some(_) if !has_users && !mount.maps_ids() => {
            Some("\"idmap\" without mappings is for a container with a user namespace, whose mappings it takes")
        }
        _ => None,
    };
    if let Some(why) = why {
        return Err(mount.value().error(format_args!("{why}")));
    }
    let Some(destination) = mount.destination() else { return Ok(options) }; // required: was checked
    let kind = mount.kind().filter(|kind| !kind.is_empty());
    let (value, wrong) = match kind {
        _ if options.remount => (None, ""),
        _ if options.bind.is_some() => match mount.source() {
            Some(source) if source.is_empty() => (Some(source.value()), "an empty path"),
            Some(_) => (None, ""),
            None => (Some(mount.value()), "a bind without \"source\""),
        },
        None => (Some(mount.value()), "\"type\" is missing"),
        Some(_) => (None, ""),
    };
    if let Some(value) = value {
        return Err(value.error(format_args!("{wrong}")));
    }
    if options.copy_up && (options.bind.is_some() || !kind.is_some_and(|kind| kind.is("tmpfs"))) {
        return Err(mount.value().error(format_args!("\"tmpcopyup\" is for a tmpfs")));
    }
    let mut buffer = path_buffer();
    let place = normalize(destination, &mut buffer);
    match wrong_place(mount, place, &options) {
        Some(why) => Err(destination.error(format_args!("{why}"))),
        None => Ok(options),
    }
}

/// Why a mount may not go there, if it may not. Only the words of the destination
/// are looked at: links are the business of whoever resolves it.
fn wrong_place(mount: &Mount<'_>, place: &[u8], options: &Options) -> Option<&'static str> {
    if place.is_empty() {
        return Some("a mount over the root itself hides everything below it");
    }
    if options.remount {
        return None;
    }
    match place.strip_prefix(b"/proc")? {
        // A bind's source is looked at when it is opened.
        b"" if options.bind.is_some() || mount.kind().is_some_and(|kind| kind.is("proc")) => None,
        b"" => Some("only a proc file system may be mounted at /proc"),
        // What is written through /proc when a container starts, and what it
        // says of itself, must not be a stranger's.
        [b'/', file @ ..] if PROC_FILES.find(file).is_none() => Some("nothing may be mounted inside /proc here"),
        _ => None,
    }
}

/// What may be covered inside /proc: files that lxcfs and its like provide, and
/// two that are commonly replaced.
const PROC_FILES: WordList = word_list!(
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo sys/kernel/ns_last_pid sys/crypto/fips_enabled"
);

/// Whether the words of `destination` say `place`, which has no detour.
#[inline(never)]
pub fn is_at(destination: Text<'_>, place: &str) -> bool {
    destination.is(place) || has_detour(destination) && leads_to(destination, place)
}

#[inline(never)] // its buffer is not to be part of the caller's frame
fn leads_to(destination: Text<'_>, place: &str) -> bool {
    normalize(destination, &mut path_buffer()) == place.as_bytes()
}

/// Whether [`normalize`] may have something to change.
fn has_detour(path: Text<'_>) -> bool {
    let mut last = None;
    let found = path.bytes().any(|byte| {
        let before = last.replace(byte);
        match before {
            None => byte != b'/',
            Some(b'/') => matches!(byte, b'/' | b'.'),
            Some(_) => false,
        }
    });
    found || last == Some(b'/')
}

/// Whether a mount shows cgroups: engines use either name for version 2.
pub fn is_cgroup(mount: &Mount<'_>) -> bool {
    mount.kind().is_some_and(|kind| kind.is("cgroup") || kind.is("cgroup2"))
}

/// Whether the container sees its cgroups where they usually are, and may write there
/// (config-linux.md, "Cgroup ownership").
pub fn shows_writable_cgroup(config: &Config<'_>) -> bool {
    config.mounts().iter().any(|mount| {
        is_cgroup(&mount)
            && mount.destination().is_some_and(|destination| is_at(destination, "/sys/fs/cgroup"))
            && !mount.options().iter().any(|option| option.is("ro"))
    })
}

/// `path` from the root, without `.`, `..` and needless slashes: `/a/b`; the
/// root itself is empty.
#[inline(never)]
fn normalize<'b>(path: Text<'_>, buffer: &'b mut PathBuffer) -> &'b [u8] {
    // Up to `done` it is as it shall be; then come a slash and the component
    // that is being read.
    let (mut done, mut end) = (0, 1);
    for byte in [b'/'].into_iter().chain(path.bytes()).chain([b'/']) {
        let mut place = end;
        if byte == b'/' {
            match buffer.get(done + 1..end) {
                Some(b"" | b".") => {}
                Some(b"..") => {
                    let so_far = buffer.get(..done).unwrap_or_default();
                    done = so_far.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                }
                _ => done = end,
            }
            place = done;
        }
        // Never more than `path` itself and a slash, which fit.
        if let Some(room) = buffer.get_mut(place) {
            *room = byte;
        }
        end = place + 1;
    }
    buffer.get(..done).unwrap_or_default()
}

fn check_device(device: &Device<'_>) -> Result<()> {
    let Some(path) = device.path() else { return Ok(()) }; // required: was checked
    match wrong_device(device, path) {
        Some(why) => Err(device.value().error(format_args!("{why}"))),
        None => Ok(()),
    }
}

/// Why there can be no such device.
fn wrong_device(device: &Device<'_>, path: Text<'_>) -> Option<&'static str> {
    if is_at(path, "") {
        return Some("\"path\" is not the path of a file");
    }
    let is = |name| device.kind().is_some_and(|kind| kind.is(name));
    let numbers = (device.major(), device.minor());
    if let Some((_, major, minor)) = default_nodes().find(|(name, ..)| path.bytes().eq(name.to_bytes().iter().copied()))
        && (numbers != (Some(major.into()), Some(minor.into())) || !(is("c") || is("u")))
    {
        // Programs, and the masking of files, rely on them being what they are.
        return Some("a default device cannot be another one");
    }
    if device.file_mode().is_some_and(|mode| mode > 0o177_777) {
        return Some("\"fileMode\" is not a file's mode");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::string::ToString;

    fn error_of(text: &str) -> Option<std::string::String> {
        let document = Document::of("c", text.as_bytes()).unwrap();
        check(&Config::view(document.root())).err().map(|error| error.to_string())
    }

    #[test]
    fn paths_without_detours() {
        for (path, expected) in [
            ("/", ""),
            ("", ""),
            ("proc", "/proc"),
            ("//proc/./", "/proc"),
            ("/a/../proc/x/..", "/proc"),
            ("/../../a", "/a"),
            ("/a/b/../c", "/a/c"),
        ] {
            let text = format!(r#""{path}""#);
            let document = Document::of("c", text.as_bytes()).unwrap();
            let path = document.root().as_text().unwrap();
            assert_eq!(normalize(path, &mut path_buffer()), expected.as_bytes(), "{text}");
            assert!(is_at(path, expected), "{text}");
        }
    }

    #[test]
    fn mounts() {
        for (mount, expected) in [
            (r#""destination":"/a","type":"tmpfs""#, None),
            (r#""destination":"a","type":"none","source":"/s","options":["bind"]"#, None),
            (r#""destination":"/proc","type":"proc""#, None),
            (r#""destination":"/proc","type":"bind","source":"/proc","options":["rbind"]"#, None),
            (r#""destination":"/proc/uptime","type":"bind","source":"/s""#, None),
            (r#""destination":"/process","type":"tmpfs""#, None),
            (r#""destination":"/a/..","type":"tmpfs""#, Some("hides everything below it")),
            (r#""destination":"/a""#, Some(r#"mounts[0]: "type" is missing"#)),
            (r#""destination":"/a","type":"bind""#, Some(r#"mounts[0]: a bind without "source""#)),
            (r#""destination":"/a","type":"bind","source":"""#, Some("source: an empty path")),
            (r#""destination":"/proc","type":"tmpfs""#, Some("only a proc file system may be mounted at /proc")),
            (r#""destination":"/x/../proc/sys","type":"tmpfs""#, Some("nothing may be mounted inside /proc here")),
            (r#""destination":"/a","type":"proc","options":["tmpcopyup"]"#, Some(r#""tmpcopyup" is for a tmpfs"#)),
            (r#""destination":"/a","type":"tmpfs","options":["idmap"]"#, Some("whose mappings it takes")),
            (r#""destination":"/a","options":["remount","ridmap"]"#, Some("ids cannot be mapped by a remount")),
            (
                r#""destination":"/a","type":"tmpfs","options":["idmap"],
                   "uidMappings":[{"containerID":0,"hostID":1,"size":1}]"#,
                None,
            ),
            (r#""destination":"/a","options":["rboud","bind"]"#, Some(r#"unknown option "rboud" for a bind"#)),
        ] {
            let error = error_of(&format!(r#"{{"mounts":[{{{mount}}}]}}"#));
            match expected {
                None => assert_eq!(error, None, "{mount}"),
                Some(expected) => assert!(error.clone().unwrap().ends_with(expected), "{mount}: {error:?}"),
            }
        }
    }

    #[test]
    fn devices() {
        for (device, expected) in [
            (r#""path":"/dev/x","type":"c","major":10,"minor":229,"fileMode":438"#, None),
            (r#""path":"/x","type":"p""#, None),
            (r#""path":"/dev/null","type":"c","major":1,"minor":3"#, None),
            (r#""path":"/dev/null","type":"c","major":1,"minor":5"#, Some("a default device cannot be another one")),
            (r#""path":"/dev/x","type":"p","fileMode":65536"#, Some("\"fileMode\" is not a file's mode")),
            (r#""path":"/..","type":"p""#, Some("not the path of a file")),
        ] {
            let error = error_of(&format!(r#"{{"linux":{{"devices":[{{{device}}}]}}}}"#));
            match expected {
                None => assert_eq!(error, None, "{device}"),
                Some(expected) => assert!(error.clone().unwrap().ends_with(expected), "{device}: {error:?}"),
            }
        }
    }

    #[test]
    fn the_root_is_not_masked() {
        assert_eq!(error_of(r#"{"linux":{"maskedPaths":["/proc/keys"]}}"#), None);
        let error = error_of(r#"{"linux":{"maskedPaths":["/a","/a/.."]}}"#).unwrap();
        assert!(error.ends_with("linux.maskedPaths[1]: the root itself cannot be hidden"), "{error}");
    }

    #[test]
    fn who_owns_dev() {
        for (mounts, expected) in [
            ("", true),
            (r#"{"destination":"/dev","type":"tmpfs"}"#, true),
            (r#"{"destination":"/dev/shm","type":"bind","source":"/s"}"#, true),
            (r#"{"destination":"/dev/","type":"bind","source":"/dev","options":["rbind"]}"#, false),
            (r#"{"destination":"/dev","options":["bind"],"source":"/dev"}"#, false),
        ] {
            let text = format!(r#"{{"mounts":[{mounts}]}}"#);
            let document = Document::of("c", text.as_bytes()).unwrap();
            assert_eq!(!check(&Config::view(document.root())).unwrap().binds_dev, expected, "{mounts}");
        }
    }
}
