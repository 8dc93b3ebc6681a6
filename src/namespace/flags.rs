//! The types of namespaces: the specification's words, the kernel's flags, and
//! what a list of them asks for.

use core::ffi::CStr;

use heapless::Vec;

use crate::json::Text;
use crate::spec::linux::Namespace;
use crate::spec::record::List;

/// `CLONE_NEW*` of linux/sched.h.
pub const TIME: u64 = 0x80;
pub const MOUNT: u64 = 0x2_0000;
pub const CGROUP: u64 = 0x200_0000;
pub const UTS: u64 = 0x400_0000;
pub const IPC: u64 = 0x800_0000;
pub const USER: u64 = 0x1000_0000;
pub const PID: u64 = 0x2000_0000;
pub const NETWORK: u64 = 0x4000_0000;

/// A type of namespace.
pub struct Type {
    pub flag: u64,
    /// The specification's name of it.
    pub word: &'static str,
    /// Its file for the calling process (namespaces(7)).
    pub file: &'static CStr,
}

/// All of them.
pub const TYPES: [Type; 8] = [
    Type { flag: MOUNT, word: "mount", file: c"/proc/self/ns/mnt" },
    Type { flag: PID, word: "pid", file: c"/proc/self/ns/pid" },
    Type { flag: NETWORK, word: "network", file: c"/proc/self/ns/net" },
    Type { flag: UTS, word: "uts", file: c"/proc/self/ns/uts" },
    Type { flag: IPC, word: "ipc", file: c"/proc/self/ns/ipc" },
    Type { flag: USER, word: "user", file: c"/proc/self/ns/user" },
    Type { flag: CGROUP, word: "cgroup", file: c"/proc/self/ns/cgroup" },
    Type { flag: TIME, word: "time", file: c"/proc/self/ns/time" },
];

/// The word for one flag.
pub fn word(flag: u64) -> &'static str {
    TYPES.iter().find(|kind| kind.flag == flag).map_or("unknown", |kind| kind.word)
}

/// What `linux.namespaces` asks for.
pub struct Plan<'a> {
    /// Flags of those to make.
    pub new: u64,
    /// Those to join: flag and path, at most one of a type.
    pub by_path: Vec<(u64, Text<'a>), 8>,
}

impl<'a> Plan<'a> {
    /// Reads the list, which was checked with the document. An empty path is
    /// none: engines written in Go send it.
    pub fn read(list: List<'a, Namespace<'static>>) -> Plan<'a> {
        let mut plan = Plan { new: 0, by_path: Vec::new() };
        for namespace in list.iter() {
            let Some(word) = namespace.kind() else { continue };
            let Some(Type { flag, .. }) = TYPES.iter().find(|kind| word.is(kind.word)) else { continue };
            match namespace.path().filter(|path| !path.is_empty()) {
                None => plan.new |= flag,
                Some(path) => {
                    let _ = plan.by_path.push((*flag, path)); // has room for each type once
                }
            }
        }
        plan
    }

    /// Flags of those to join.
    pub fn joined(&self) -> u64 {
        self.by_path.iter().fold(0, |flags, (flag, _)| flags | flag)
    }

    /// Whether the container has a namespace of these types that is not simply
    /// the caller's: made for it, or joined by path.
    pub fn has(&self, flags: u64) -> bool {
        (self.new | self.joined()) & flags == flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::spec::linux::Linux;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn read(list: &str) -> (u64, Vec<(u64, String)>) {
        let json = format!("{{\"namespaces\": [{list}]}}");
        let document = Document::of("c", json.as_bytes()).unwrap();
        let linux = Linux::view(document.root());
        let plan = Plan::read(linux.namespaces());
        assert_eq!(plan.joined() & plan.new, 0);
        (plan.new, plan.by_path.iter().map(|(flag, path)| (*flag, path.to_string())).collect())
    }

    #[test]
    fn new_ones_and_joined_ones() {
        assert_eq!(read(""), (0, std::vec![]));
        assert_eq!(
            read(
                r#"{"type": "pid"}, {"type": "network", "path": "/n"}, {"type": "mount", "path": ""}, {"type": "time"}"#
            ),
            (PID | MOUNT | TIME, std::vec![(NETWORK, "/n".to_string())])
        );
        let all: Vec<_> = TYPES.iter().map(|kind| format!("{{\"type\": \"{}\"}}", kind.word)).collect();
        assert_eq!(read(&all.join(",")).0, TYPES.iter().map(|kind| kind.flag).sum::<u64>());
        let all: Vec<_> =
            TYPES.iter().map(|kind| format!("{{\"type\": \"{}\", \"path\": \"/x\"}}", kind.word)).collect();
        assert_eq!(read(&all.join(",")).1.len(), 8);
    }

    #[test]
    fn words_and_flags_belong_together() {
        assert_eq!((word(NETWORK), word(1)), ("network", "unknown"));
    }
}
