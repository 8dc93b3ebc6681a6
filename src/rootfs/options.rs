//! What the mount options of one mount ask for, taken together (mount(8),
//! config-linux.md and config.md, "Linux mount options").
//!
//! The words fall into four groups: what belongs to the mount (attributes,
//! propagation), what belongs to the file system whatever its type (`sync` and
//! its like), what tells the runtime how to mount (`bind`, `tmpcopyup`), and
//! the rest, which only the file system itself understands. A bind has no file
//! system to ask: there the rest is a mistake.

use crate::error::Result;
use crate::json::Text;
use crate::spec::config::Mount;

use super::option_words::Effect::*;
use super::option_words::{ATIME, Effect, RDONLY, SHARED, Super, UNBINDABLE, classify};

/// A change of attributes: first `clear`, then `set` (mount_setattr(2)).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Change {
    pub set: u32,
    pub clear: u32,
}

impl Change {
    /// This change and then another, as one.
    pub fn then(self, next: Change) -> Change {
        Change { set: self.set & !next.clear | next.set, clear: self.clear | next.clear }
    }

    /// Whether nothing changes.
    pub fn is_empty(self) -> bool {
        self.set | self.clear == 0
    }
}

/// How much a bind takes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bind {
    /// The one mount.
    Single,
    /// And what is mounted below it.
    Recursive,
}

/// What the options of one mount ask for, taken together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Options {
    /// A new place for what exists, instead of a new file system.
    pub bind: Option<Bind>,
    /// A change of what is mounted at the destination.
    pub remount: bool,
    /// Files show other ids than their own; whether below the mount too.
    pub map_ids: Option<bool>,
    /// The tmpfs begins with a copy of the folder that it covers.
    pub copy_up: bool,
    /// Of the mount itself.
    pub attributes: Change,
    /// Of the mount and all below it, after `attributes`.
    pub recursive: Change,
    /// Bits of [`Super`] to turn on.
    pub super_set: u8,
    /// Bits of [`Super`] to turn off: asked for, and not later turned on.
    pub super_clear: u8,
    /// A mount that takes part in another's events is asked for.
    pub shared: bool,
    /// A mount that no bind can take along is asked for.
    pub unbindable: bool,
}

impl Options {
    /// What `mount` asks for.
    ///
    /// # Errors
    /// A word that nobody could act on, with its place.
    pub fn of(mount: &Mount<'_>) -> Result<Options> {
        let mut options = Options::default();
        if mount.kind().is_some_and(|kind| kind.is("bind")) {
            options.bind = Some(Bind::Single);
        }
        // The option came later than the mappings, and may be missing beside them.
        if mount.maps_ids() {
            options.map_ids = Some(false);
        }
        let mut unknown = None;
        for text in mount.options().iter() {
            match classify(text) {
                Some((Unsupported, _)) => {
                    return Err(text.error(format_args!("the option is not supported by this version of ocinit")));
                }
                Some((effect, recursive)) => options.add(effect, recursive),
                None => unknown = unknown.or(Some(text)),
            }
        }
        // Found out only now, because "bind" may stand behind it.
        match unknown {
            Some(text) if options.bind.is_some() => {
                Err(text.error(format_args!("unknown option \"{text}\" for a bind")))
            }
            _ => Ok(options),
        }
    }

    /// Read-only, whatever else is asked for.
    pub fn must_be_read_only(&mut self) {
        self.change(RDONLY, 0, false);
        self.change(RDONLY, 0, true);
    }

    fn add(&mut self, effect: Effect, recursive: bool) {
        match effect {
            Set(bits) => self.change(bits, 0, recursive),
            Clear(bits) => self.change(0, bits, recursive),
            Atime(setting) => self.change(setting, ATIME, recursive),
            ReadOnly(on) => {
                let (set, clear) = if on { (RDONLY, 0) } else { (0, RDONLY) };
                self.change(set, clear, recursive);
                self.set_super(Super::ReadOnly, on);
            }
            Setting(setting, on) => self.set_super(setting, on),
            Propagation(kind) => {
                self.shared |= kind == SHARED;
                self.unbindable |= kind == UNBINDABLE;
            }
            BindMount if recursive => self.bind = Some(Bind::Recursive),
            MapIds => self.map_ids = Some(recursive || self.map_ids == Some(true)),
            BindMount => self.bind = self.bind.or(Some(Bind::Single)),
            Remount => self.remount = true,
            CopyUp => self.copy_up = true,
            Nothing | Unsupported => {}
        }
    }

    #[inline(never)]
    fn change(&mut self, set: u32, clear: u32, recursive: bool) {
        let which = if recursive { &mut self.recursive } else { &mut self.attributes };
        // A word takes back its opposite: the last one holds.
        *which = Change { set: which.set & !clear | set, clear: which.clear & !set | clear };
    }

    fn set_super(&mut self, setting: Super, on: bool) {
        let (gains, loses) = match on {
            true => (&mut self.super_set, &mut self.super_clear),
            false => (&mut self.super_clear, &mut self.super_set),
        };
        *gains |= setting.bit();
        *loses &= !setting.bit();
    }

    /// The attributes of a mount that has nothing below it.
    pub fn all_attributes(&self) -> Change {
        self.attributes.then(self.recursive)
    }
}

/// The changes of propagation that `mount` asks for, in their order (they add
/// up: a slave made shared is both), and whether each goes for all below.
pub fn propagations<'a>(mount: &Mount<'a>) -> impl Iterator<Item = (u32, bool)> + use<'a> {
    mount.options().iter().filter_map(|text| match classify(text) {
        Some((Propagation(kind), recursive)) => Some((kind, recursive)),
        _ => None,
    })
}

/// The options that are the file system's own.
pub fn data<'a>(mount: &Mount<'a>) -> impl Iterator<Item = Text<'a>> + use<'a> {
    mount.options().iter().filter(|text| is_data(*text))
}

/// Whether an option is the file system's own.
pub fn is_data(text: Text<'_>) -> bool {
    classify(text).is_none()
}

/// Puts a NUL in the place of each comma in `option` that separates pieces:
/// mount(2) has always taken several parameters in one string. Not of a comma
/// within quotes (security labels) or behind a backslash (overlay's escape).
pub fn separate(option: &mut [u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in option {
        quoted ^= *byte == b'"' && !escaped;
        if *byte == b',' && !quoted && !escaped {
            *byte = 0;
        }
        escaped = *byte == b'\\' && !escaped;
    }
}

/// A word of `rootfsPropagation`, as its type and whether it goes for all
/// mounts below; `None` where nothing is asked for.
pub fn propagation(text: Option<Text<'_>>) -> Option<(u32, bool)> {
    match classify(text?) {
        Some((Propagation(kind), recursive)) => Some((kind, recursive)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::option_words::*;
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn with<T>(kind: &str, options: &str, test: impl FnOnce(Mount<'_>) -> T) -> T {
        let text = format!(r#"{{"destination":"/d","type":"{kind}","options":[{options}]}}"#);
        let document = Document::of("config.json", text.as_bytes()).unwrap();
        test(Mount::view(document.root()))
    }

    fn parse(options: &str) -> Options {
        with("tmpfs", options, |mount| Options::of(&mount).unwrap())
    }

    #[test]
    fn plain_attributes() {
        for (options, set, clear) in [
            (r#""ro""#, RDONLY, 0),
            (r#""rw""#, 0, RDONLY),
            (r#""ro","rw""#, 0, RDONLY),
            (r#""rw","ro""#, RDONLY, 0),
            (r#""nosuid","nodev","noexec""#, NOSUID | NODEV | NOEXEC, 0),
            (r#""nosuid","suid""#, 0, NOSUID),
            (r#""noatime""#, NOATIME, ATIME),
            (r#""noatime","strictatime""#, STRICTATIME, ATIME),
            (r#""strictatime","relatime""#, 0, ATIME),
            (r#""nodiratime","nosymfollow""#, NODIRATIME | NOSYMFOLLOW, 0),
            (r#""user""#, NOSUID | NODEV | NOEXEC, 0),
            (r#""user","exec""#, NOSUID | NODEV, NOEXEC),
            (r#""defaults","norelatime","silent","loud","x-a","comment=b","auto""#, 0, 0),
        ] {
            let expected = Change { set, clear };
            assert_eq!(parse(options).attributes, expected, "{options}");
            assert!(parse(options).recursive.is_empty(), "{options}");
        }
    }

    #[test]
    fn recursive_forms() {
        for word in ["ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "relatime"]
            .into_iter()
            .chain(["norelatime", "strictatime", "nostrictatime", "nodiratime", "diratime", "nosymfollow", "symfollow"])
        {
            let plain = parse(&format!("\"{word}\""));
            let recursive = parse(&format!("\"r{word}\""));
            assert_eq!(plain.attributes, recursive.recursive, "{word}");
            assert!(recursive.attributes.is_empty() && plain.recursive.is_empty(), "{word}");
        }
        // No such words: they are the file system's.
        for word in ["rsync", "rdefaults", "rremount", "rtmpcopyup", "rrro", "r"] {
            with("tmpfs", &format!("\"{word}\""), |mount| assert_eq!(data(&mount).count(), 1, "{word}"));
        }
    }

    #[test]
    fn changes_add_up() {
        let ro = Change { set: RDONLY, clear: 0 };
        let rw = Change { set: 0, clear: RDONLY };
        assert_eq!(ro.then(rw), rw);
        assert_eq!(rw.then(ro), Change { set: RDONLY, clear: RDONLY });
        let strict = Change { set: STRICTATIME, clear: ATIME };
        assert_eq!(strict.then(Change { set: NOATIME, clear: ATIME }), Change { set: NOATIME, clear: ATIME });
        assert_eq!(parse(r#""ro","rrw""#).all_attributes(), rw);
    }

    #[test]
    fn settings_of_the_file_system() {
        let options = parse(r#""sync","lazytime","nolazytime","ro","iversion""#);
        assert_eq!(options.super_set, Super::Sync.bit() | Super::ReadOnly.bit() | Super::IVersion.bit());
        assert_eq!(options.super_clear, Super::LazyTime.bit());
    }

    #[test]
    fn ways_to_mount() {
        let bind = |kind, options| with(kind, options, |mount| Options::of(&mount).unwrap().bind);
        assert_eq!(bind("none", r#""bind""#), Some(Bind::Single));
        assert_eq!(bind("none", r#""rbind","bind""#), Some(Bind::Recursive));
        assert_eq!(bind("bind", ""), Some(Bind::Single));
        assert_eq!(bind("bind", r#""rbind""#), Some(Bind::Recursive));
        assert_eq!(bind("tmpfs", ""), None);
        for (words, expected) in
            [("", None), (r#""idmap""#, Some(false)), (r#""ridmap""#, Some(true)), (r#""ridmap","idmap""#, Some(true))]
        {
            assert_eq!(parse(words).map_ids, expected, "{words}");
        }
        assert!(parse(r#""remount""#).remount);
        assert!(parse(r#""tmpcopyup""#).copy_up);
    }

    #[test]
    fn propagation_keeps_its_order() {
        let list: Vec<_> =
            with("bind", r#""slave","ro","rshared","rprivate","unbindable""#, |mount| propagations(&mount).collect());
        assert_eq!(list, [(SLAVE, false), (SHARED, true), (PRIVATE, true), (UNBINDABLE, false)]);
        assert!(parse(r#""rshared""#).shared && !parse(r#""rslave""#).shared);
    }

    #[test]
    fn what_a_bind_does_not_know() {
        for (options, said) in [
            (r#""rboud","rbind""#, r#"options[0]: unknown option "rboud" for a bind"#),
            (r#""bind","rprivate,bogus","x=y""#, r#"options[1]: unknown option "rprivate,bogus" for a bind"#),
            (r#""bind","idmap=uids=0-1-2""#, "options[1]: the option is not supported by this version of ocinit"),
            (r#""bind","X-mount.subdir=a""#, "options[1]: the option is not supported by this version of ocinit"),
            (r#""bind","""#, r#"options[1]: unknown option "" for a bind"#),
        ] {
            let error = with("none", options, |mount| Options::of(&mount).unwrap_err().to_string());
            assert!(error.ends_with(said), "{error}");
        }
    }

    #[test]
    fn the_rest_is_the_file_systems() {
        let list: Vec<String> = with("tmpfs", r#""nosuid","mode=755","size=64k","noswap","rprivate""#, |mount| {
            data(&mount).map(|text| text.to_string()).collect()
        });
        assert_eq!(list, ["mode=755", "size=64k", "noswap"]);
    }

    #[test]
    fn commas_separate() {
        for (option, expected) in [
            ("a=1", &["a=1"][..]),
            ("a=1,b", &["a=1", "b"]),
            (r#"context="u:r:c1,c2",b"#, &[r#"context="u:r:c1,c2""#, "b"]),
            (r"lowerdir=/a\,b:/c,x", &[r"lowerdir=/a\,b:/c", "x"]),
            (r"a=\\,b", &[r"a=\\", "b"]),
        ] {
            let mut bytes = option.as_bytes().to_vec();
            separate(&mut bytes);
            let text = String::from_utf8(bytes).unwrap();
            let list: Vec<&str> = text.split('\0').collect();
            assert_eq!(list, expected, "{option}");
        }
    }
}
