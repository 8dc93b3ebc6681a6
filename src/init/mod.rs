//! The first process of a system: from the kernel to containers, and to the end.
//!
//! ```text
//! early        /proc, /sys, /dev, /run, cgroups; a root that can be left
//! command_line what the kernel's line and /ocinit/cmdline ask for
//! modules, mounts, network                        the devices
//! units        a single bundle, or folders in LinuxKit's layout
//! supervisor   starts them, hears of them, stops them ── a process for each ──┐
//! shutdown     nobody, nothing mounted, no power                              │
//! monitor      makes the container as `run` does, passes its streams on  ─────┘
//! ```
//!
//! Process 1 never ends and never waits for a single unit: whatever goes wrong is
//! reported, and leads to the configured end.

mod artifacts;
mod block_devices;
mod channels;
mod clock;
mod command_line;
mod cpio;
mod early;
mod files;
mod log;
mod modules;
mod monitor;
mod mount_value;
mod mountinfo;
mod mounts;
mod outcome;
mod policy;
mod ports;
mod power_button;
mod prepare;
mod pump;
mod reports;
mod setup;
mod shortage;
mod shutdown;
mod slots;
mod smbios;
mod streams;
mod superblock;
mod supervisor;
mod trace;
mod unit_end;
mod units;

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub use setup::Memory;

use self::outcome::Ending;
use crate::lifecycle::Workspace;
use crate::sys::boot_time;
use crate::sys::fs::{CWD, readlinkat_raw};
use crate::sys::process::getpid;
use crate::{bytes, fail, sys};

/// Whether the kernel has started this process as the system's first: its pid is
/// 1, and it is called `init`, or without any argument (`init=/path/of/ocinit`).
/// In a container, which has a pid 1 too, /proc is there and says that the pid
/// namespace is not the first.
pub fn is_init(arguments: sys::Vector) -> bool {
    if getpid().as_raw_nonzero().get() != 1 {
        return false;
    }
    let mut strings = arguments.iter();
    let name = strings.next().map_or(&b""[..], |name| name.to_bytes());
    let called_init = bytes::split(name, b'/').last() == Some(b"init");
    let mut buffer = [MaybeUninit::uninit(); 64];
    let namespace = readlinkat_raw(CWD, c"/proc/self/ns/pid", &mut buffer);
    let is_first = namespace.map_or(true, |(link, _)| link == FIRST_PID_NAMESPACE);
    (called_init || strings.next().is_none()) && is_first
}

/// PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h.
const FIRST_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// Whether this process is the first, or was made by it.
static RUNS: AtomicBool = AtomicBool::new(false);

/// As [`RUNS`].
pub fn runs() -> bool {
    RUNS.load(Relaxed)
}

/// The whole life of the system.
pub fn main(workspace: &'static mut Workspace, memory: &'static mut Memory) -> ! {
    // ---- From here on this process may never end: whatever fails is reported. ----
    RUNS.store(true, Relaxed);
    sys::close_at_once();
    let first = boot_time();
    early::prepare();
    let (ending, sentence) = setup::boot(workspace, memory, first);
    let at_work = shutdown::clear_up();
    channels::outcome(ending, sentence.as_str());
    shutdown::end_machine(at_work);
    shutdown::reap_for_ever()
}

/// The end of a mistake in ocinit itself, as process 1 or as one that it has made.
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    let (file, line) = info.location().map_or(("?", 0), |place| (place.file(), place.line()));
    let error = fail!("a mistake in ocinit itself: {} ({file}:{line})", info.message());
    log::error(&error);
    if getpid().as_raw_nonzero().get() != 1 {
        sys::exit(1); // process 1 sees it
    }
    channels::outcome(Ending::Error(125), error.text(&mut [0; crate::limits::MESSAGE]));
    shutdown::end_machine(shutdown::write_back());
    shutdown::reap_for_ever()
}
