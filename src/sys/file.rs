//! Whole files, by as many read(2) and write(2) as it takes.

use core::ffi::CStr;
use core::fmt;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, read, write};

use super::owned::{open, openat};
use crate::bytes::Printed;

/// Reads a file of the kernel's from its start into `buffer`, as much as there is
/// room for: one read gives all that fits.
///
/// # Errors
/// As openat(2) and read(2).
pub fn read_file<'b>(folder: BorrowedFd<'_>, path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = read(&file, &mut *buffer)?;
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// Reads what is left of a file, as much as there is room for.
///
/// # Errors
/// As read(2), but for EINTR and EAGAIN: it waits.
#[inline(never)]
pub fn read_all<'b>(file: BorrowedFd<'_>, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match read(file, room) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            // A pipe, opened without waiting for its writer, who has more to say.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], None)),
            Err(errno) => return Err(errno),
        }
    }
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// Writes all of `bytes`.
///
/// # Errors
/// As write(2), but for EINTR; EIO where it takes nothing and says nothing.
#[inline(never)]
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or(&[]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Writes one line of ours to the kernel's log (kmsg(4)): what a process has to
/// say that nobody waits for. Where there is no such log it is lost.
#[cold]
#[inline(never)]
pub fn kernel_log(line: fmt::Arguments<'_>) {
    // "Warning", so that a quiet console does not show it but for a reason. A
    // line longer than the kernel takes is cut.
    let line = Printed::<900>::of(format_args!("<4>ocinit: {line}\n"));
    let kmsg = open(c"/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    let _ = kmsg.and_then(|kmsg| write(&kmsg, line.as_bytes()));
}
