//! The words among the mount options that mean the same for every mount, as a
//! table (mount(8), config.md, "Linux mount options").

use crate::json::{Text, WORD};
use crate::word_list;
use crate::word_list::WordList;

/// `MOUNT_ATTR_*` (mount_setattr(2)), with the kernel's values.
pub const RDONLY: u32 = 0x1;
pub const NOSUID: u32 = 0x2;
pub const NODEV: u32 = 0x4;
pub const NOEXEC: u32 = 0x8;
/// The field of the access-time setting, in which zero is `relatime`.
pub const ATIME: u32 = 0x70;
pub const NOATIME: u32 = 0x10;
pub const STRICTATIME: u32 = 0x20;
pub const NODIRATIME: u32 = 0x80;
pub const NOSYMFOLLOW: u32 = 0x20_0000;

/// `MS_*` propagation types (mount(2)), with the kernel's values.
pub const UNBINDABLE: u32 = 1 << 17;
pub const PRIVATE: u32 = 1 << 18;
pub const SLAVE: u32 = 1 << 19;
pub const SHARED: u32 = 1 << 20;

/// A setting of the file system that any type takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Super {
    ReadOnly,
    Sync,
    DirSync,
    LazyTime,
    Mand,
    IVersion,
}

impl Super {
    /// All, in the order of their bits in [`Options::super_set`](super::options::Options::super_set).
    pub const ALL: [Super; 6] =
        [Super::ReadOnly, Super::Sync, Super::DirSync, Super::LazyTime, Super::Mand, Super::IVersion];

    /// Its bit in [`Options::super_set`](super::options::Options::super_set) and [`Options::super_clear`](super::options::Options::super_clear).
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What one word means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Attributes of the mount; with a leading `r`, of those below it too.
    Set(u32),
    Clear(u32),
    /// The access-time setting, which mount_setattr(2) clears as a whole first.
    Atime(u32),
    /// The mount's attribute and the file system's setting.
    ReadOnly(bool),
    /// How mount events travel; with a leading `r`, below it too.
    Propagation(u32),
    /// A mount of what is somewhere already; with a leading `r`, with what is
    /// mounted below.
    BindMount,
    /// Files show other ids than their own; with a leading `r`, below it too.
    MapIds,
    /// A setting of the file system, on or off.
    Setting(Super, bool),
    Remount,
    CopyUp,
    /// Says nothing that a container runtime could act on.
    Nothing,
    /// Has a meaning that this version does not carry out.
    Unsupported,
}
use Effect::*;

impl Effect {
    /// Whether the word has a form with an `r` before it.
    fn has_recursive_form(self) -> bool {
        matches!(self, Set(_) | Clear(_) | Atime(_) | ReadOnly(_) | Propagation(_) | BindMount | MapIds)
    }
}

/// The words, as one list of words, and in the same order what they mean.
macro_rules! words {
    ($first:literal $effect:expr; $($word:literal $meaning:expr;)*) => {
        const WORDS: WordList = word_list!(@concat!(" ", $first, $(" ", $word),*));
        static EFFECTS: &[Effect] = &[$effect, $($meaning),*];
    };
}

words! {
    // First what engines write again and again.
    "ro" ReadOnly(true);
    "nosuid" Set(NOSUID);
    "nodev" Set(NODEV);
    "noexec" Set(NOEXEC);
    "bind" BindMount;
    "private" Propagation(PRIVATE);
    "rw" ReadOnly(false);
    "relatime" Atime(0);
    "strictatime" Atime(STRICTATIME);
    "suid" Clear(NOSUID);
    "dev" Clear(NODEV);
    "exec" Clear(NOEXEC);
    "nosymfollow" Set(NOSYMFOLLOW);
    "symfollow" Clear(NOSYMFOLLOW);
    "nodiratime" Set(NODIRATIME);
    "diratime" Clear(NODIRATIME);
    "noatime" Atime(NOATIME);
    // The kernel's default is relatime: what is not the one extreme, nor the
    // other, is that.
    "atime" Atime(0);
    "nostrictatime" Atime(0);
    "norelatime" Set(0);
    "sync" Setting(Super::Sync, true);
    "async" Setting(Super::Sync, false);
    "dirsync" Setting(Super::DirSync, true);
    "lazytime" Setting(Super::LazyTime, true);
    "nolazytime" Setting(Super::LazyTime, false);
    "mand" Setting(Super::Mand, true);
    "nomand" Setting(Super::Mand, false);
    "iversion" Setting(Super::IVersion, true);
    "noiversion" Setting(Super::IVersion, false);
    "shared" Propagation(SHARED);
    "slave" Propagation(SLAVE);
    "unbindable" Propagation(UNBINDABLE);
    "remount" Remount;
    "tmpcopyup" CopyUp;
    "acl" Nothing; // MS_POSIXACL: file systems that have ACLs set it themselves
    "noacl" Nothing;
    // Whether the kernel writes to its log when mounting fails: fsopen(2) gives
    // the messages to us instead.
    "silent" Nothing;
    "loud" Nothing;
    // "Use the default options" (mount(8)): they are what is there anyway.
    "defaults" Nothing;
    // mount(8): these speak of /etc/fstab, of who may call mount(8) and when.
    "auto" Nothing;
    "noauto" Nothing;
    "nouser" Nothing;
    "nofail" Nothing;
    "_netdev" Nothing;
    // mount(8): who may mount it, which implies these.
    "user" Set(NOSUID | NODEV | NOEXEC);
    "users" Set(NOSUID | NODEV | NOEXEC);
    "owner" Set(NOSUID | NODEV);
    "group" Set(NOSUID | NODEV);
    "idmap" MapIds;
    // Extensions of crun's.
    "copy-symlink" Unsupported;
    "src-nofollow" Unsupported;
    "dest-nofollow" Unsupported;
}

/// The options that mean the same for every mount, for `features`.
pub const MOUNT_OPTIONS: WordList = word_list!(
    "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime \
    nodev nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid \
    nosymfollow private ratime rbind rdev rdiratime relatime remount rexec ridmap rnoatime rnodev \
    rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro rprivate rrelatime \
    rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave \
    strictatime suid symfollow sync tmpcopyup unbindable"
);

/// What `text` means and whether in its recursive form; `None`: the file
/// system's own.
pub fn classify(text: Text<'_>) -> Option<(Effect, bool)> {
    let mut buffer = [0; WORD];
    // None of the words has a value.
    if let Some(word) = text.word(&mut buffer)
        && !word.contains(&b'=')
    {
        let effect = |word| EFFECTS.get(WORDS.find(word)?).copied();
        if let Some(effect) = effect(word) {
            return Some((effect, false));
        }
        if let Some(effect) = word.strip_prefix(b"r").and_then(effect)
            && effect.has_recursive_form()
        {
            return Some((effect, true));
        }
    }
    // How all of the following begin, and few others do.
    if !text.bytes().next().is_some_and(|first| b"xXcir".contains(&first)) {
        return None;
    }
    // mount(8): "x-" and "comment=" are notes of other programs'; "X-" too, but
    // for those of its own, of which we make the folder in any case.
    const STARTS: WordList = word_list!("x- comment= X-mount.mkdir X-mount. idmap= ridmap= X-");
    match STARTS.iter().position(|start| text.starts_with(start))? {
        3..=5 => Some((Unsupported, false)),
        _ => Some((Nothing, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn features_has_every_word_that_is_carried_out() {
        let mut words = Vec::new();
        for (word, effect) in WORDS.iter().zip(EFFECTS) {
            // The last words are for who calls mount(8), or synonyms.
            let told = match effect {
                Nothing => matches!(word, "silent" | "loud" | "defaults"),
                Unsupported => false,
                _ => !matches!(word, "user" | "users" | "owner" | "group"),
            };
            if told {
                words.push(String::from(word));
            }
            if told && effect.has_recursive_form() {
                words.push(format!("r{word}"));
            }
        }
        words.sort();
        assert_eq!(words, MOUNT_OPTIONS.iter().collect::<Vec<_>>());
    }
}
