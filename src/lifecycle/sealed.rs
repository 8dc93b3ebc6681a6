//! The program runs from a sealed copy of itself whenever a part of it is to
//! run inside a container (security rule R5, CVE-2019-5736).
//!
//! Whoever gets hold of /proc/PID/exe there holds a memory file that nobody
//! can write to, not the host's binary.

use crate::error::Result;
use crate::identity::FileIdentity;
use crate::sys::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create, open};
use crate::sys::{self, AsFd, Errno, Vector};
use crate::{fail, limits};

/// Goes on in a sealed copy: returns at once where this is one already, and
/// otherwise starts the copy with the same arguments in this process's place.
/// Gives which file the copy is.
pub fn ensure(arguments: Vector, environment: Vector) -> Result<FileIdentity> {
    let failed = |errno: Errno| fail!(errno => "cannot copy /proc/self/exe to a sealed memory file");
    let own = open(c"/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    // Seals exist on memory files only: on any other file the question fails.
    // execveat(2) names one that way, so that others need not be asked.
    let by_descriptor = sys::param::linux_execfn().to_bytes().starts_with(b"/dev/fd/");
    if by_descriptor && fcntl_get_seals(&own).is_ok_and(|found| found.contains(seals)) {
        let identity = FileIdentity::of(own.as_fd()).map_err(failed);
        sys::keep(own); // one call less
        return identity;
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since 6.3 an executable one has to be asked for; before, the flag is unknown.
    let copy = memfd_create(c"ocinit", flags | MemfdFlags::EXEC)
        .or_else(|errno| if errno == Errno::INVAL { memfd_create(c"ocinit", flags) } else { Err(errno) })
        .map_err(failed)?;
    while sys::fs::sendfile(&copy, &own, None, limits::BINARY).map_err(failed)? > 0 {}
    fcntl_add_seals(&copy, seals).map_err(failed)?;
    let errno = sys::execveat(copy.as_fd(), arguments, environment);
    Err(failed(errno))
}
