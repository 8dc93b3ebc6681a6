//! Reading what the kernel tells of a process: /proc/PID.
//!
//! Reading only. Writes go through a private procfs, see `sys::Procfs`.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::fail;
use crate::sys::{Errno, fs, read_file};

/// Room for `/proc/4194304/` and a file's name, with its NUL.
pub struct ProcPath(Printed<64>);

impl ProcPath {
    /// `/proc/PID/FILE`.
    pub fn new(pid: i32, file: &str) -> ProcPath {
        // The names are our own and short: it cannot overflow.
        ProcPath(Printed::of(format_args!("/proc/{pid}/{file}")))
    }

    /// For a system call.
    pub fn as_c_str(&self) -> &CStr {
        self.0.as_c_str()
    }
}

/// When a process started: field 22 of /proc/PID/stat (proc_pid_stat(5)), in
/// clock ticks since boot. With the pid it names a process for good.
///
/// # Errors
/// ESRCH or ENOENT: there is no such process.
pub fn start_time(pid: i32) -> Result<u64, Errno> {
    let mut buffer = [0; 1024];
    let stat = read_file(fs::CWD, ProcPath::new(pid, "stat").as_c_str(), &mut buffer)?;
    stat_field(stat, 22).ok_or(Errno::SRCH)
}

/// This process, named for good: its pid, and when it started.
///
/// # Errors
/// The kernel's.
pub fn own() -> Result<(i32, u64)> {
    let mut buffer = [0; 1024];
    let stat = read_file(fs::CWD, c"/proc/self/stat", &mut buffer).unwrap_or(&[]);
    let pid = bytes::decimal(bytes::cut(stat, b' ').0).and_then(|pid| i32::try_from(pid).ok());
    pid.zip(stat_field(stat, 22)).ok_or_else(|| fail!(Errno::SRCH => "cannot tell the start time of the runtime"))
}

/// A numeric field of /proc/PID/stat by its number in proc_pid_stat(5). The second field,
/// the command's name, may hold anything, so counting starts behind its last `)`.
pub fn stat_field(stat: &[u8], number: usize) -> Option<u64> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let field = bytes::split(stat.get(behind_name..)?, b' ').nth(number.checked_sub(3)?)?;
    bytes::decimal(field.trim_ascii_end())
}

/// The kernel's random name of this boot: 36 characters.
pub type BootId = [u8; 36];

/// /proc/sys/kernel/random/boot_id (random(4)).
pub fn boot_id() -> Result<BootId> {
    let mut buffer = [0; 64];
    let text = read_file(fs::CWD, c"/proc/sys/kernel/random/boot_id", &mut buffer)
        .map_err(|errno| fail!(errno => "cannot read /proc/sys/kernel/random/boot_id"))?;
    BootId::try_from(text.trim_ascii_end())
        .map_err(|_| fail!("/proc/sys/kernel/random/boot_id does not hold a boot id"))
}

/// Whether we are in a user namespace other than the first: there, too, root is an
/// ordinary user of the host.
pub fn in_user_namespace() -> bool {
    let mut buffer = [MaybeUninit::uninit(); 64];
    let link = fs::readlinkat_raw(fs::CWD, c"/proc/self/ns/user", &mut buffer[..]);
    // The first's number is fixed: PROC_USER_INIT_INO of the kernel.
    !link.is_ok_and(|(name, _)| &*name == b"user:[4026531837]")
}
