//! The end of the system: nothing runs any more, nothing is mounted, everything is
//! written, and the power goes.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::clock::{now, pause};
use super::command_line::OnExit;
use super::log;
use super::mountinfo::to_unmount;
use crate::error::Lossy;
use crate::sys::fs::{CWD, sync};
use crate::sys::mounts::{MountFlags, UnmountFlags, mount_remount, unmount};
use crate::sys::process::{WaitOptions, wait};
use crate::sys::system::{RebootCommand, reboot};
use crate::sys::{Errno, SIGKILL, kill_everybody, read_file};
use crate::{bytes, fail, limits};

/// What happens to the machine: in a static, so that the panic handler finds it too.
static ON_EXIT: AtomicU8 = AtomicU8::new(OnExit::PowerOff as u8);
const REBOOT: u8 = OnExit::Reboot as u8;
const HALT: u8 = OnExit::Halt as u8;

/// From here on the machine's end is this one.
pub fn set_on_exit(action: OnExit) {
    ON_EXIT.store(action as u8, Relaxed);
}

/// How long killed processes get to end, in milliseconds.
const PATIENCE: u64 = 3000;

/// Ends everybody, unmounts everything, writes everything back.
#[inline(never)]
pub fn clear_up() {
    if kill_everybody(SIGKILL).is_ok() {
        let end = now() + PATIENCE;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) if now() < end => pause(2),
                _ => break,
            }
        }
    }
    unmount_all();
    sync();
}

/// Unmounts what there is, the last first; what is in use becomes read-only.
#[inline(never)] // its room is not to be on the stack of what runs before
fn unmount_all() {
    let mut room = [0; limits::MOUNTINFO];
    let text = read_file(CWD, c"/proc/self/mountinfo", &mut room).unwrap_or(&[]);
    let mut end = text.len();
    let mut buffer = [0; limits::PATH];
    while end > 0 {
        let before = text.get(..end.saturating_sub(1)).unwrap_or(&[]);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = bytes::cut(text.get(start..end).unwrap_or(&[]), b'\n').0;
        end = start;
        let Some(place) = to_unmount(line, &mut buffer) else { continue };
        if unmount(place, UnmountFlags::empty()).is_err()
            && let Err(errno) = mount_remount(place, MountFlags::RDONLY, c"")
        {
            log::warning(&fail!(errno => "cannot unmount {}", Lossy(place.to_bytes())));
        }
    }
    // The root stays; where it is a disk's it is to be clean.
    let _ = mount_remount(c"/", MountFlags::RDONLY, c"");
}

/// What is to happen to the machine. Returns only where that fails.
pub fn end_machine() {
    let command = match ON_EXIT.load(Relaxed) {
        REBOOT => RebootCommand::Restart,
        HALT => RebootCommand::Halt,
        _ => RebootCommand::PowerOff,
    };
    sync();
    if let Err(errno) = reboot(command) {
        log::error(&fail!(errno => "cannot end the machine"));
    }
}

/// The last resort: reaps to the end.
pub fn reap_for_ever() -> ! {
    loop {
        if wait(WaitOptions::empty()).is_err() {
            pause(500);
        }
    }
}
