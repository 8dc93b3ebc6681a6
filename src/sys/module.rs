//! Kernel modules.

use core::ffi::CStr;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::raw::syscall;

/// `int finit_module(int fd, const char *param_values, int flags);` finit_module(2).
/// `compressed`: the kernel is to unpack it (Linux 5.17, where it was built to).
///
/// # Errors
/// EEXIST: it is there already. ENOENT: a symbol that no loaded module has.
pub fn finit_module(file: BorrowedFd<'_>, parameters: &CStr, compressed: bool) -> Result<(), Errno> {
    const MODULE_INIT_COMPRESSED_FILE: u32 = 4;
    let flags = if compressed { MODULE_INIT_COMPRESSED_FILE } else { 0 };
    // SAFETY: a C string that is read during the call; what the module does is
    // the kernel's.
    unsafe { syscall!(__NR_finit_module, file.as_raw_fd(), parameters.as_ptr(), flags) }?;
    Ok(())
}
