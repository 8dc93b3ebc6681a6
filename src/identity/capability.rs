//! Capabilities by name (capabilities(7)), and the five sets of a process.

use core::fmt;

use crate::json::Text;
use crate::spec::config::Capabilities;
use crate::spec::record::List;
use crate::word_list;
use crate::word_list::WordList;

/// The names; the index is the kernel's number (linux/capability.h).
const NAMES: WordList = word_list!(
    "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID \
    CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST \
    CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO \
    CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE \
    CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE \
    CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG CAP_WAKE_ALARM \
    CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE"
);

/// The five sets: bit n is capability number n.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sets {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// The bit of the capability called so, exactly as the kernel's headers write it.
pub fn bit(name: &str) -> Option<u64> {
    NAMES.find(name.as_bytes()).map(|number| 1 << number)
}

/// The name of capability `number`.
pub fn name(number: u32) -> Option<&'static str> {
    NAMES.get(number as usize)
}

/// All names, in the order of the kernel's numbers.
pub fn names() -> WordList {
    NAMES
}

impl Sets {
    /// What the specification's lists say; absent ones are empty. Names that
    /// are not known count for nothing: see [`Sets::unknown`].
    pub fn of(capabilities: Option<Capabilities<'_>>) -> Sets {
        let Some(capabilities) = capabilities else { return Sets::default() };
        let [bounding, effective, permitted, inheritable, ambient] = lists(&capabilities).map(set_of);
        Sets { bounding, effective, permitted, inheritable, ambient }
    }

    /// Adds capabilities, as bits, to what the process may do: to the effective,
    /// the permitted and the bounding set (`exec --cap`, as runc does it).
    pub fn add(&mut self, bits: u64) {
        self.bounding |= bits;
        self.effective |= bits;
        self.permitted |= bits;
    }

    /// Calls `each` with the names in the lists that no capability has, for a
    /// warning each (config.md: "cannot be mapped to kernel interfaces").
    pub fn unknown<'a>(capabilities: &Capabilities<'a>, each: &mut dyn FnMut(Text<'a>)) {
        for list in lists(capabilities) {
            for name in list.iter() {
                if bit_of(name).is_none() {
                    each(name);
                }
            }
        }
    }

    /// What the kernel would grant of these sets for their own sake: effective
    /// only what is permitted, ambient only what is permitted and inheritable.
    pub fn consistent(self) -> Sets {
        Sets {
            effective: self.effective & self.permitted,
            ambient: self.ambient & self.permitted & self.inheritable,
            ..self
        }
    }

    /// The part of these sets that `others` lack.
    pub fn without(self, others: Sets) -> Sets {
        Sets {
            bounding: self.bounding & !others.bounding,
            effective: self.effective & !others.effective,
            permitted: self.permitted & !others.permitted,
            inheritable: self.inheritable & !others.inheritable,
            ambient: self.ambient & !others.ambient,
        }
    }

    /// Whether all five are empty.
    pub fn is_empty(&self) -> bool {
        self.bounding | self.effective | self.permitted | self.inheritable | self.ambient == 0
    }
}

fn lists<'a>(capabilities: &Capabilities<'a>) -> [List<'a, Text<'static>>; 5] {
    [
        capabilities.bounding(),
        capabilities.effective(),
        capabilities.permitted(),
        capabilities.inheritable(),
        capabilities.ambient(),
    ]
}

#[inline(never)]
fn set_of(list: List<'_, Text<'static>>) -> u64 {
    list.iter().fold(0, |set, name| set | bit_of(name).unwrap_or(0))
}

fn bit_of(text: Text<'_>) -> Option<u64> {
    text.place_in(NAMES).map(|number| 1 << number)
}

/// For a warning: `effective CAP_CHOWN CAP_KILL, ambient CAP_KILL`.
impl fmt::Display for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = [self.bounding, self.effective, self.permitted, self.inheritable, self.ambient];
        let mut separator = "";
        for (word, set) in word_list!("bounding effective permitted inheritable ambient").iter().zip(sets) {
            if set == 0 {
                continue;
            }
            write!(f, "{separator}{word}")?;
            separator = ", ";
            for number in 0..u64::BITS {
                if set & 1 << number == 0 {
                    continue;
                }
                match name(number) {
                    Some(name) => write!(f, " {name}")?,
                    None => write!(f, " {number}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn names_have_the_numbers_of_the_kernel() {
        for (name, number) in [
            ("CAP_CHOWN", 0),
            ("CAP_KILL", 5),
            ("CAP_NET_BIND_SERVICE", 10),
            ("CAP_SYS_ADMIN", 21),
            ("CAP_AUDIT_WRITE", 29),
            ("CAP_CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(bit(name), Some(1 << number), "{name}");
            assert_eq!(super::name(number), Some(name));
        }
        assert_eq!(NAMES.iter().count(), 41);
        for unknown in ["", "CHOWN", "cap_chown", "CAP_CHOWN ", "CAP_BOGUS"] {
            assert_eq!(bit(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn sets_as_listed_and_the_unknown_aside() {
        let document = Document::of(
            "c",
            br#"{"bounding": ["CAP_KILL", "CAP_X"], "effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"],
                "ambient": ["CAP_KILL", "kill"]}"#,
        )
        .unwrap();
        let capabilities = Capabilities::view(document.root());
        let sets = Sets::of(Some(capabilities));
        assert!(sets == Sets { bounding: 32, effective: 33, permitted: 32, inheritable: 0, ambient: 32 });
        let mut unknown = Vec::new();
        Sets::unknown(&capabilities, &mut |name| unknown.push(name.to_string()));
        assert_eq!(unknown, ["CAP_X", "kill"]);
        assert_eq!(sets.without(sets.consistent()).to_string(), "effective CAP_CHOWN, ambient CAP_KILL");
        assert!(sets.without(sets).is_empty() && Sets::of(None).is_empty());
        assert_eq!(Sets { permitted: 1 << 45, ..Sets::default() }.to_string(), "permitted 45");
    }
}
