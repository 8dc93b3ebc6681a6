//! What user input can get wrong about the root file system, found before
//! anything is done.

use crate::error::Result;
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::config::{Config, Mount};
use crate::spec::linux::Device;

use super::devices::DEFAULT;
use super::options::Options;

/// Checks the parts of `config` that speak of the root file system: mounts,
/// devices, masked and read-only paths.
///
/// # Errors
/// The first thing that could not be carried out whatever the kernel says,
/// with its place.
pub fn check(config: &Config<'_>) -> Result<()> {
    for mount in config.mounts().iter() {
        check_mount(&mount)?;
    }
    let Some(linux) = config.linux() else { return Ok(()) };
    for device in linux.devices().iter() {
        check_device(&device)?;
    }
    linux.masked_paths().iter().chain(linux.readonly_paths().iter()).try_for_each(check_path)
}

/// A path that fits and says something.
fn check_path(text: Text<'_>) -> Result<()> {
    if text.is_empty() {
        return Err(text.error(format_args!("an empty path")));
    }
    text.c_str(&mut path_buffer()).map(|_| ())
}

const fn path_buffer() -> PathBuffer {
    [0; limits::PATH]
}

fn check_mount(mount: &Mount<'_>) -> Result<()> {
    let options = Options::of(mount)?;
    let Some(destination) = mount.destination() else { return Ok(()) }; // required: was checked
    check_path(destination)?;
    if let Some(source) = mount.source() {
        source.c_str(&mut path_buffer())?;
    }
    let kind = mount.kind().filter(|kind| !kind.is_empty());
    match (options.bind, kind) {
        (Some(_), _) if options.remount => {}
        (Some(_), _) => match mount.source() {
            Some(source) => check_path(source)?,
            None => return Err(mount.value().error(format_args!("a bind without \"source\""))),
        },
        (None, None) if options.remount => {}
        (None, None) => return Err(mount.value().error(format_args!("\"type\" is missing"))),
        // The kernel's names of file systems are short; fsopen(2) takes a page.
        (None, Some(kind)) => kind.c_str(&mut path_buffer()).map(|_| ())?,
    }
    if options.copy_up && (options.bind.is_some() || !kind.is_some_and(|kind| kind.is("tmpfs"))) {
        return Err(mount.value().error(format_args!("\"tmpcopyup\" is for a tmpfs")));
    }
    check_place(mount, destination, &options)
}

/// Where a mount may not go. Only the words of the destination are looked at:
/// links are the business of whoever resolves it.
fn check_place(mount: &Mount<'_>, destination: Text<'_>, options: &Options) -> Result<()> {
    let mut buffer = path_buffer();
    let mut normal = path_buffer();
    let place = normalize(destination.c_str(&mut buffer)?.to_bytes(), &mut normal);
    if place.is_empty() {
        return Err(destination.error(format_args!("a mount over the root itself hides everything below it")));
    }
    let is_proc = mount.kind().is_some_and(|kind| kind.is("proc"));
    match place.strip_prefix(b"/proc") {
        // A bind's source is looked at when it is opened.
        Some(b"") if is_proc || options.bind.is_some() || options.remount => Ok(()),
        Some(b"") => Err(destination.error(format_args!("only a proc file system may be mounted at /proc"))),
        Some([b'/', ..]) if !PROC_FILES.iter().any(|file| file.as_bytes() == place) && !options.remount => {
            // What is written through /proc when a container starts, and what
            // it says of itself, must not be a stranger's.
            Err(destination.error(format_args!("nothing may be mounted inside /proc here")))
        }
        _ => Ok(()),
    }
}

/// What may be covered inside /proc: files that lxcfs and its like provide, and
/// two that are commonly replaced.
const PROC_FILES: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Whether the words of `destination` say `place`, which has no detour.
pub fn is_at(destination: &[u8], place: &[u8]) -> bool {
    normalize(destination, &mut path_buffer()) == place
}

/// Whether the runtime makes the contents of /dev: not where it is another
/// folder's view, whose owner has them (as runc decides it).
pub fn sets_up_dev(config: &Config<'_>) -> bool {
    !config.mounts().iter().any(|mount| {
        let bound = Options::of(&mount).is_ok_and(|options| options.bind.is_some());
        let mut buffer = path_buffer();
        let place = mount.destination().and_then(|text| text.c_str(&mut buffer).ok());
        bound && place.is_some_and(|place| is_at(place.to_bytes(), b"/dev"))
    })
}

/// `path` from the root, without `.`, `..` and needless slashes: `/a/b`; the
/// root itself is empty. `buffer` is as long as the longest path.
fn normalize<'b>(path: &[u8], buffer: &'b mut PathBuffer) -> &'b [u8] {
    let mut length = 0;
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                let so_far = buffer.get(..length).unwrap_or(&[]);
                length = so_far.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            }
            // Never more than `path` itself and a slash.
            name => {
                for byte in [b'/'].iter().chain(name) {
                    if let Some(place) = buffer.get_mut(length) {
                        *place = *byte;
                        length += 1;
                    }
                }
            }
        }
    }
    buffer.get(..length).unwrap_or(&[])
}

/// mknod(2) takes 12 bits of major and 20 bits of minor number.
const MAJOR_MOST: i64 = 0xfff;
const MINOR_MOST: i64 = 0xf_ffff;

fn check_device(device: &Device<'_>) -> Result<()> {
    let Some(path) = device.path() else { return Ok(()) }; // required: was checked
    check_path(path)?;
    let mut buffer = path_buffer();
    if normalize(path.c_str(&mut buffer)?.to_bytes(), &mut path_buffer()).is_empty() {
        return Err(path.error(format_args!("not the path of a file")));
    }
    if let Some((name, major, minor)) = DEFAULT.iter().find(|(name, ..)| name.to_str().is_ok_and(|name| path.is(name)))
    {
        let same = device.kind().is_some_and(|kind| kind.is("c") || kind.is("u"))
            && device.major() == Some(i64::from(*major))
            && device.minor() == Some(i64::from(*minor));
        if !same {
            // Programs, and the masking of files, rely on them being what they are.
            return Err(path.error(format_args!(
                "{} is a default device: it cannot be another one",
                crate::error::Lossy(name.to_bytes())
            )));
        }
    }
    if device.file_mode().is_some_and(|mode| mode > 0o177_777) {
        return Err(device.value().error(format_args!("\"fileMode\" is not a file's mode")));
    }
    if device.kind().is_some_and(|kind| kind.is("p")) {
        return Ok(()); // a FIFO has no numbers
    }
    for (name, number, most) in [("major", device.major(), MAJOR_MOST), ("minor", device.minor(), MINOR_MOST)] {
        match number {
            None => return Err(device.value().error(format_args!("\"{name}\" is missing"))),
            Some(number) if !(0..=most).contains(&number) => {
                return Err(device.value().error(format_args!("\"{name}\" is not from 0 to {most}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::string::ToString;

    fn error_of(text: &str) -> Option<std::string::String> {
        let document = Document::parse("c", text.as_bytes()).unwrap();
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
            assert_eq!(normalize(path.as_bytes(), &mut path_buffer()), expected.as_bytes(), "{path}");
        }
        assert!(is_at(b"/x/../proc/", b"/proc") && !is_at(b"/proc/x", b"/proc"));
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
            (r#""destination":"","type":"tmpfs""#, Some("destination: an empty path")),
            (r#""destination":"/a/..","type":"tmpfs""#, Some("hides everything below it")),
            (r#""destination":"/a""#, Some(r#"mounts[0]: "type" is missing"#)),
            (r#""destination":"/a","type":"bind""#, Some(r#"mounts[0]: a bind without "source""#)),
            (r#""destination":"/a","type":"bind","source":"""#, Some("source: an empty path")),
            (r#""destination":"/proc","type":"tmpfs""#, Some("only a proc file system may be mounted at /proc")),
            (r#""destination":"/x/../proc/sys","type":"tmpfs""#, Some("nothing may be mounted inside /proc here")),
            (r#""destination":"/a","type":"proc","options":["tmpcopyup"]"#, Some(r#""tmpcopyup" is for a tmpfs"#)),
            (r#""destination":"/a","options":["rboud","bind"]"#, Some(r#"unknown option "rboud" for a bind"#)),
        ] {
            let error = error_of(&format!(r#"{{"mounts":[{{{mount}}}]}}"#));
            match expected {
                None => assert_eq!(error, None, "{mount}"),
                Some(expected) => assert!(error.clone().unwrap().ends_with(expected), "{mount}: {error:?}"),
            }
        }
        let long = "x".repeat(limits::PATH);
        for field in ["destination", "source", "type"] {
            let mut fields = std::vec![("destination", "/a"), ("source", "/s"), ("type", "tmpfs")];
            fields.iter_mut().find(|(name, _)| *name == field).unwrap().1 = &long;
            let members: std::vec::Vec<_> =
                fields.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
            let error = error_of(&format!(r#"{{"mounts":[{{{}}}]}}"#, members.join(","))).unwrap();
            assert!(error.ends_with(&format!("mounts[0].{field}: longer than the limit of 4095 bytes")), "{error}");
        }
    }

    #[test]
    fn devices() {
        for (device, expected) in [
            (r#""path":"/dev/x","type":"c","major":10,"minor":229,"fileMode":438"#, None),
            (r#""path":"/x","type":"p""#, None),
            (r#""path":"/dev/x","type":"c","major":10"#, Some(r#"devices[0]: "minor" is missing"#)),
            (r#""path":"/dev/x","type":"b","major":4096,"minor":0"#, Some(r#""major" is not from 0 to 4095"#)),
            (r#""path":"/dev/x","type":"b","major":1,"minor":-1"#, Some(r#""minor" is not from 0 to 1048575"#)),
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
    fn other_paths() {
        let error = error_of(r#"{"linux":{"maskedPaths":["/a",""]}}"#).unwrap();
        assert!(error.ends_with("linux.maskedPaths[1]: an empty path"), "{error}");
    }

    #[test]
    fn who_owns_dev() {
        for (mounts, expected) in [
            ("", true),
            (r#"{"destination":"/dev","type":"tmpfs"}"#, true),
            (r#"{"destination":"/dev/shm","type":"bind","source":"/s"}"#, true),
            (r#"{"destination":"/dev/","type":"bind","source":"/dev","options":["rbind"]}"#, false),
        ] {
            let text = format!(r#"{{"mounts":[{mounts}]}}"#);
            let document = Document::parse("c", text.as_bytes()).unwrap();
            assert_eq!(sets_up_dev(&Config::view(document.root())), expected, "{mounts}");
        }
    }
}
