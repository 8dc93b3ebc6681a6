//! The program's memory: every large buffer, in one static that the entry
//! point owns.
//!
//! All zeros at the start, so it lies in .bss: a page that is never touched
//! takes no memory. One command uses one set of buffers once.

use super::process_plan::Strings;
use crate::cgroup::{DeviceProgram, Journal};
use crate::identity::Groups;
use crate::json::Extents;
use crate::limits;
use crate::namespace::IdMap;
use crate::seccomp::SeccompFilter;
use crate::sys::PointerTable;

// A state record is written in a document's room.
const _: () = assert!(limits::RECORD <= limits::DOCUMENT);

/// The buffers.
pub struct Workspace {
    /// config.json. One byte more than the limit, to notice a larger one.
    pub document: [u8; limits::DOCUMENT + 1],
    pub extents: Extents,
    /// The process file of `exec`, or the state record of the container.
    pub second: [u8; limits::DOCUMENT + 1],
    /// Strings for the kernel: decoded, NUL-terminated.
    pub strings: [u8; limits::STRING_BYTES],
    /// argv and envp of the container's process.
    pub arguments: Strings,
    pub environment: Strings,
    /// Hash table over the environment, see [`super::environment`]; for `list`,
    /// where each id begins.
    pub names: [u32; limits::NAMES],
    /// The ids of all containers, for `list`.
    pub listing: [u8; limits::LISTING],
    /// A document on its way out.
    pub output: [u8; limits::STATE],
    pub groups: Groups,
    pub uid_map: IdMap,
    pub gid_map: IdMap,
    pub device_program: DeviceProgram,
    pub seccomp_filter: SeccompFilter,
    pub journal: Journal,
}

impl Workspace {
    /// All zeros.
    pub const fn new() -> Workspace {
        Workspace {
            document: [0; limits::DOCUMENT + 1],
            extents: Extents::new(),
            second: [0; limits::DOCUMENT + 1],
            strings: [0; limits::STRING_BYTES],
            arguments: PointerTable::new(),
            environment: PointerTable::new(),
            names: [0; limits::NAMES],
            listing: [0; limits::LISTING],
            output: [0; limits::STATE],
            groups: Groups::new(),
            uid_map: IdMap::new(),
            gid_map: IdMap::new(),
            device_program: DeviceProgram::new(),
            seccomp_filter: SeccompFilter::new(),
            journal: Journal::new(),
        }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}
