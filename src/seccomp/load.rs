//! The filter's way into the kernel.

use super::compile::SeccompFilter;
use crate::error::Result;
use crate::fail;
use crate::sys::{Errno, OwnedFd, seccomp_set_mode_filter, seccomp_takes_flags};

/// Loads the filter into the calling process, for all that it becomes. Gives the
/// listener, where the filter has something to ask.
///
/// # Errors
/// The kernel's. EACCES without no_new_privs and CAP_SYS_ADMIN.
pub fn load(filter: &SeccompFilter) -> Result<Option<OwnedFd>> {
    let loaded = seccomp_set_mode_filter(filter.flags(), filter.instructions());
    let listener = loaded.map_err(|errno| fail!(errno => "cannot load the seccomp filter"))?;
    Ok(listener)
}

/// Whether this kernel has SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (5.19). The
/// other flags are older than any kernel that we run on.
pub fn waits_killable() -> bool {
    const WITH_LISTENER: u32 = 32 | 8;
    // Flags are looked at before the program, which is not there.
    seccomp_takes_flags(WITH_LISTENER) == Errno::FAULT
}
