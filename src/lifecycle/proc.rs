//! Reading what the kernel tells of a process: /proc/PID.
//!
//! Reading only. Writes go through a private procfs, see `sys::Procfs`.

use core::ffi::CStr;

use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::fail;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{Mode, OFlags, openat};
use crate::sys::{BorrowedFd, Errno, OwnedFd, fs, io};

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

/// Reads a file of the kernel's from its start into `buffer`, as much as there is
/// room for: one read gives all that fits.
pub fn read_file<'b>(folder: BorrowedFd<'_>, path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = io::read(&file, &mut *buffer)?;
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// Reads what is left of a file, as much as there is room for.
pub fn read_all<'b>(file: &OwnedFd, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match io::read(file, room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            // A pipe, opened without waiting for its writer, who has more to say.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(file, PollFlags::IN)], None)),
            Err(errno) => return Err(errno),
        }
    }
    Ok(buffer.get(..length).unwrap_or(&[]))
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
