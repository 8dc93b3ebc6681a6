//! Which processes are in a cgroup.

use heapless::Vec;

use super::tree::{Cgroup, cannot, open_folder};
use super::walk::{Name, as_c_str, next_folder};
use crate::error::Result;
use crate::sys::fs::{Mode, OFlags, openat};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io};
use crate::{fail, limits};

/// Told of each pid.
type Each<'a> = dyn FnMut(u32) -> Result<()> + 'a;

impl Cgroup {
    /// Calls `each` with every process in it and below it, by pids of the
    /// caller's namespace; a process of another one is left out.
    ///
    /// Not a snapshot: processes come and go while it looks.
    ///
    /// # Errors
    /// The kernel's, `each`'s, or cgroups nested deeper than the limit.
    pub fn pids(&self, each: &mut Each<'_>) -> Result<()> {
        let failed = |errno: Errno| cannot(errno, "list the processes of the cgroup");
        let mut stack: Vec<OwnedFd, { limits::CGROUP_DEPTH }> = Vec::new();
        let mut name: Name = [0; _];
        let mut enter = Some(open_folder(self.fd(), c".", OFlags::empty()).map_err(failed)?);
        loop {
            if let Some(folder) = enter.take() {
                pids_in(folder.as_fd(), each)?;
                if stack.push(folder).is_err() {
                    return Err(fail!("cgroups are nested deeper than {} levels in it", limits::CGROUP_DEPTH));
                }
            }
            let Some(folder) = stack.last() else { return Ok(()) };
            if next_folder(folder.as_fd(), &mut name).map_err(failed)? {
                match open_folder(folder.as_fd(), as_c_str(&name), OFlags::empty()) {
                    Ok(next) => enter = Some(next),
                    Err(Errno::NOENT | Errno::NODEV) => {} // removed meanwhile
                    Err(errno) => return Err(failed(errno)),
                }
            } else {
                stack.pop();
            }
        }
    }
}

/// The processes of one folder alone.
fn pids_in(folder: BorrowedFd<'_>, each: &mut Each<'_>) -> Result<()> {
    let failed = |errno: Errno| cannot(errno, "read cgroup.procs");
    let file = match openat(folder, c"cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mut buffer = [0; 1024];
    let mut pid = 0u32; // across the borders of what one call gives
    loop {
        let length = match io::read(&file, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            // EOPNOTSUPP: a threaded cgroup, whose processes are listed by the
            // one above it. ENODEV: removed meanwhile.
            Err(Errno::OPNOTSUPP | Errno::NODEV) => return Ok(()),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        for byte in buffer.iter().take(length) {
            match byte {
                b'0'..=b'9' => pid = pid.wrapping_mul(10).wrapping_add(u32::from(byte - b'0')),
                _ if pid != 0 => {
                    each(pid)?;
                    pid = 0;
                }
                _ => {} // 0: a process that has no pid in our namespace
            }
        }
    }
}
