//! The end of the system: nothing runs any more, nothing is mounted, everything is
//! written, and the power goes.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::clock::{now, pause, until};
use super::command_line::OnExit;
use super::log;
use super::mountinfo::to_unmount;
use crate::error::Lossy;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{CWD, sync};
use crate::sys::mounts::{MountFlags, UnmountFlags, mount_remount, unmount};
use crate::sys::process::{WaitOptions, wait};
use crate::sys::system::{RebootCommand, reboot};
use crate::sys::{self, Child, CloneFlags, CloneRequest, Errno, OwnedFd, SIGKILL, kill_everybody, read_file};
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

/// Milliseconds after which the outcome is told, though not all is written yet; and
/// after which the machine ends all the same.
const WRITING: u64 = 30_000;
const LATE_WRITING: u64 = 300_000;

/// Ends everybody, unmounts everything, writes everything back. Gives the process
/// that is still at it.
#[inline(never)]
pub fn clear_up() -> Option<OwnedFd> {
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
    let process = apart();
    if !matches!(process, Ok(Child::Created { .. })) {
        unmount_all();
    }
    write(process)
}

/// Writes everything back. Gives the process that is still at it.
pub fn write_back() -> Option<OwnedFd> {
    write(apart())
}

/// A process of its own: a disk or a share that does not answer any more holds up
/// whoever waits for it, for ever. Where there can be none it is this one.
fn apart() -> Result<Child, Errno> {
    sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None })
}

fn write(process: Result<Child, Errno>) -> Option<OwnedFd> {
    match process {
        Ok(Child::Created { pidfd, .. }) => {
            if has_ended(&pidfd, WRITING) {
                return None;
            }
            log::warning(&fail!("the file systems are not written back in time"));
            Some(pidfd)
        }
        Ok(Child::Myself) => {
            sync();
            sys::exit(0)
        }
        Err(_) => {
            sync();
            None
        }
    }
}

fn has_ended(process: &OwnedFd, milliseconds: u64) -> bool {
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&until(now() + milliseconds))) != Ok(0)
}

/// Unmounts what there is, the last first; what is in use becomes read-only.
fn unmount_all() {
    while unmount_some() {}
    // The root stays; where it is a disk's it is to be clean.
    let _ = mount_remount(c"/", MountFlags::RDONLY, c"");
}

/// As many mounts as there is room for. Whether there may be more.
#[inline(never)] // its room is not to be on the stack of what runs before
fn unmount_some() -> bool {
    let mut room = [0; limits::MOUNTINFO];
    let size = room.len();
    let text = read_file(CWD, c"/proc/self/mountinfo", &mut room).unwrap_or(&[]);
    let is_full = text.len() == size;
    let mut end = text.len();
    let mut buffer = [0; limits::PATH];
    let mut unmounted = false;
    while end > 0 {
        let before = text.get(..end.saturating_sub(1)).unwrap_or(&[]);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = bytes::cut(text.get(start..end).unwrap_or(&[]), b'\n').0;
        end = start;
        let Some(place) = to_unmount(line, &mut buffer) else { continue };
        match unmount(place, UnmountFlags::empty()) {
            Ok(()) => unmounted = true,
            Err(_) => {
                if let Err(errno) = mount_remount(place, MountFlags::RDONLY, c"") {
                    log::warning(&fail!(errno => "cannot unmount {}", Lossy(place.to_bytes())));
                }
            }
        }
    }
    is_full && unmounted
}

/// What is to happen to the machine, and its name with systemd.
pub fn on_exit() -> (RebootCommand, &'static str) {
    match ON_EXIT.load(Relaxed) {
        REBOOT => (RebootCommand::Restart, "reboot"),
        HALT => (RebootCommand::Halt, "halt"),
        _ => (RebootCommand::PowerOff, "poweroff"),
    }
}

/// Does so, once `at_work` has ended, or has had its time. Returns only where that
/// fails.
pub fn end_machine(at_work: Option<OwnedFd>) {
    if let Some(process) = at_work {
        has_ended(&process, LATE_WRITING);
    }
    if let Err(errno) = reboot(on_exit().0) {
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
