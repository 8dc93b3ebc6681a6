//! What the runtime does to itself before it touches anything of a container.

use crate::bytes;
use crate::error::Result;
use crate::fail;
use crate::sys::fs::{CWD, Mode, OFlags, open};
use crate::sys::process::{DumpableBehavior, set_dumpable_behavior};
use crate::sys::{self, AsFd, Errno, SIGCHLD, SignalSet, Vector, read_file};

use super::{interrupt, sealed};
use crate::identity::FileIdentity;

/// What the runtime has learnt of itself.
#[derive(Clone, Copy)]
pub struct Hardened {
    /// Signals that the caller ignores.
    pub ignored_signals: SignalSet,
    /// The file that we run from.
    pub own: FileIdentity,
    /// The capabilities of our bounding set.
    pub bounding: u64,
    /// Whether all our ids are root's.
    pub is_root: bool,
}

/// Makes this process and its children impossible to trace or to look into
/// (security rule R6), from a sealed copy of the binary, see [`sealed`], and blocks
/// signals, see [`interrupt`].
///
/// # Errors
/// The kernel's: no memory for the copy, or no /proc to find the binary by.
#[inline(never)]
pub fn harden(arguments: Vector, environment: Vector) -> Result<Hardened> {
    let own = sealed::ensure(arguments, environment)?;
    let failed = |errno: Errno| fail!(errno => "cannot harden the runtime's own process");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    let mut buffer = [0; 4096];
    let status = read_file(CWD, c"/proc/self/status", &mut buffer).map_err(failed)?;
    let ignored_signals = SignalSet(ignored(status));
    interrupt::allow(ignored_signals)?;
    // Ignored, it would keep the ends of our children from us.
    sys::ignored_to_default(ignored_signals.only(SIGCHLD)).map_err(failed)?;
    let number = |name| bytes::field(status, name).and_then(bytes::hexadecimal);
    let is_root = |name| bytes::field(status, name) == Some(b"0\t0\t0\t0");
    // What cannot be told may be anything.
    let bounding = number("CapBnd:").unwrap_or(u64::MAX);
    Ok(Hardened { ignored_signals, own, bounding, is_root: is_root("Uid:") && is_root("Gid:") })
}

/// The same for the first process of the system, which the kernel has started:
/// it goes on where it is.
///
/// It needs no sealed copy. The file that it runs from cannot be opened for
/// writing (ETXTBSY, execve(2)) as long as it runs, which is to the end; and every
/// process of ours runs from that same file.
///
/// # Errors
/// The kernel's: /proc is not mounted.
pub fn harden_init() -> Result<Hardened> {
    let failed = |errno: Errno| fail!(errno => "cannot harden the runtime's own process");
    let own = open(c"/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let own = FileIdentity::of(own.as_fd()).map_err(failed)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    sys::signal_mask(SignalSet::ALL).map_err(failed)?;
    // As the kernel starts it.
    Ok(Hardened { ignored_signals: SignalSet::NONE, own, bounding: u64::MAX, is_root: true })
}

/// The mask behind `SigIgn:` (proc_pid_status(5)), in hexadecimal. Where a list of
/// many hundred groups goes before it and it was not read, any signal may be.
fn ignored(status: &[u8]) -> u64 {
    const KILL_AND_STOP: u64 = 1 << 8 | 1 << 18;
    bytes::field(status, "SigIgn:").and_then(bytes::hexadecimal).unwrap_or(!KILL_AND_STOP)
}
