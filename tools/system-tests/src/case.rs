//! What a case is, and what it may need of the machine.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::context::Context;
use crate::kernel;

/// One test.
pub struct Case {
    /// `group/what_it_shows`.
    pub name: &'static str,
    pub run: fn(&Context) -> Result<()>,
    pub needs: &'static [Need],
}

/// Without this, a case is skipped, and says why.
#[derive(Clone, Copy)]
pub enum Need {
    /// A program in PATH.
    Program(&'static str),
    /// libseccomp, to compare with.
    Libseccomp,
    /// A kernel at least this new.
    Kernel(u32, u32),
    /// The capability of this number (capabilities(7)) in the effective set.
    Capability(u32),
    /// A kernel facility seen at this path.
    Path(&'static str),
    /// A cgroup2 controller.
    Controller(&'static str),
    /// /proc/PID/wchan says what a process waits in.
    WaitChannel,
    /// Not inside the test guest, which holds little besides the program.
    Host,
}

pub const CAP_SYS_RESOURCE: u32 = 24;

impl Need {
    /// Why the case cannot run here; `None` where it can.
    pub fn missing(self) -> Option<String> {
        match self {
            Need::Program(name) => kernel::find_program(name).is_none().then(|| format!("no {name} here")),
            Need::Libseccomp => {
                filters::libseccomp::Libseccomp::open().is_none().then(|| "no libseccomp.so.2 here".into())
            }
            Need::Kernel(major, minor) => {
                (kernel::version() < (major, minor)).then(|| format!("needs Linux {major}.{minor} or newer"))
            }
            Need::Capability(number) => {
                (!kernel::has_capability(number)).then(|| format!("needs capability {number}, which root lacks here"))
            }
            Need::Path(path) => (!Path::new(path).exists()).then(|| format!("no {path} here")),
            Need::Controller(name) => (!kernel::controllers().iter().any(|c| c == name))
                .then(|| format!("the cgroup2 controller {name} is not available")),
            Need::WaitChannel => fs::read_to_string("/proc/cpuinfo")
                .is_ok_and(|text| text.contains("User Mode Linux"))
                .then(|| "User Mode Linux does not tell what a process waits in".into()),
            Need::Host => std::env::var_os("SYSTEM_TESTS_GUEST").map(|_| "not in the guest".into()),
        }
    }
}

/// A group's table: `cases!("group": one, two [Need::…], three proves ["process.umask"]);`
///
/// `proves` names the fields of config.json whose effect the case reads back; a
/// name that ends in `*` stands for all that begin so. `cargo xtask check` holds
/// docs/fields.md, and the specification's fields, against them.
macro_rules! cases {
    ($group:literal: $($function:ident $([$($need:expr),+])? $(proves [$($field:literal),+ $(,)?])?),+ $(,)?) => {
        pub const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case {
                name: concat!($group, "/", stringify!($function)),
                run: $function,
                needs: &[$($($need),+)?],
            }
        ),+];
    };
}
