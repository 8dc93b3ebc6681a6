//! Removing a container and everything that was made for it: by `delete`, by
//! `run` at its end, and by whatever failed to make one.
//!
//! Works from the record, on whatever is left of the container: any step may
//! have been done before by a removal that was killed.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::arena::Arena;
use super::container::{self, Process, Status, wait_end};
use super::hooks::{HookRoom, Later};
use super::process_plan::Buffers;
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use crate::cgroup::{self, CgroupPath, Hierarchy};
use crate::error::{Lossy, Result};
use crate::spec::state::StateRecord;
use crate::sys::process::{WaitId, WaitIdOptions, waitid};
use crate::sys::{self, AsFd, SIGKILL};
use crate::{fail, limits};

/// How long the kernel gets to end killed processes, in milliseconds. They may
/// be in the middle of an uninterruptible call; longer than this is a fault.
const PATIENCE: i64 = 10_000;

/// `delete`: of a stopped or created container; with `force` of any, and of none.
///
/// # Errors
/// There is none, or it runs, in the words that engines look for; or something
/// of it does not go away, and the record stays for another try.
pub fn delete(
    root: Option<&StateRoot>,
    id: &CStr,
    force: bool,
    workspace: &'static mut Workspace,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let folder = match container::open(root, id) {
        Ok(folder) => folder,
        Err(_) if force => return Ok(()),
        Err(error) => return Err(error),
    };
    if force {
        // Who makes or starts it holds the lock meanwhile, and waits for it.
        end_at_once(&folder, workspace)?;
    }
    folder.lock()?;
    if !folder.is_current() {
        return if force { Ok(()) } else { Err(fail!("container does not exist: {}", Lossy(id.to_bytes()))) };
    }
    let Workspace { document, second, strings, arguments, environment, names, groups, output, .. } = workspace;
    let mut arena = Arena::new(strings);
    match folder.read_record(second, &mut arena) {
        Ok(Some(record)) => {
            if !force {
                refuse_running(&record, id)?;
            }
            let buffers = Buffers { arguments, environment, names, groups, arena };
            return destroy(folder, id, record, HookRoom { document, buffers, output }, warn);
        }
        // Without a record that can be read there is still what is written down
        // of the cgroup, and all that was made is in it.
        Ok(None) | Err(_) if force => clear_cgroup(&folder, None)?,
        Ok(None) => return Err(fail!("container {} was never finished: delete it with --force", Lossy(id.to_bytes()))),
        Err(error) => return Err(error),
    }
    folder.remove(id)
}

/// What this process has made of a container.
pub struct Made {
    /// Where the folder is.
    pub root: StateRoot,
    pub folder: Folder,
    pub record: StateRecord<'static>,
    /// Where the cgroup was made.
    pub hierarchy: Option<Hierarchy>,
    pub later: Later,
}

impl Made {
    /// Removes it, by the process that holds the lock. The container's processes
    /// have been reaped, or are killed with the cgroup.
    ///
    /// # Errors
    /// Something of it does not go away, and the record stays for `delete`.
    pub fn undo(mut self, id: &CStr, warn: &mut dyn FnMut(&str)) -> Result<()> {
        // Somebody may have deleted it already, and made another one of its name.
        if !self.folder.is_current() {
            return Ok(());
        }
        if let Some(hierarchy) = &self.hierarchy {
            let record = &self.record;
            match record.cgroup_made && record.cgroup_inode != 0 {
                true => clear_made_cgroup(
                    hierarchy,
                    &CgroupPath::from_bytes(record.cgroup.as_bytes())?,
                    record.cgroup_inode,
                    record.cgroup_existing as usize,
                )?,
                false => clear_unwritten_cgroup(hierarchy, record)?,
            }
        }
        remove(self.folder, id, &mut self.record, Some(&mut self.later), warn)
    }

    /// Removes the container at the end of `run`.
    ///
    /// # Errors
    /// As [`Made::undo`].
    pub fn delete(mut self, id: &CStr, warn: &mut dyn FnMut(&str)) -> Result<()> {
        self.folder.lock()?;
        // On a cgroup that stays an `update` may have put another device program.
        if !self.record.cgroup_made && self.hierarchy.is_some() {
            let Later { buffers, output, .. } = &mut self.later;
            if let Some(written) = self.folder.read_record(output, &mut buffers.arena)? {
                self.record.device_program = written.device_program;
                self.record.device_program_next = written.device_program_next;
            }
        }
        self.undo(id, warn)
    }
}

/// Ends what there is of a container, whose lock we hold, and removes it.
pub fn destroy(
    folder: Folder,
    id: &CStr,
    mut record: StateRecord<'static>,
    room: HookRoom,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut later = if record.hooks { Some(room.read(&folder)?) } else { None };
    destroy_by(folder, id, &mut record, later.as_mut(), warn)
}

/// As [`destroy`], with the configuration where there are hooks.
pub fn destroy_by(
    folder: Folder,
    id: &CStr,
    record: &mut StateRecord<'static>,
    later: Option<&mut Later>,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    clear(&folder, record)?;
    remove(folder, id, record, later, warn)
}

/// The hooks after the end, and the end of the record.
fn remove(
    folder: Folder,
    id: &CStr,
    record: &mut StateRecord<'static>,
    later: Option<&mut Later>,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let is_ours = match later {
        Some(later) => later.run_poststop(&folder, record, warn)?,
        None => true,
    };
    if is_ours { folder.remove(id) } else { Ok(()) }
}

fn refuse_running(record: &StateRecord<'_>, id: &CStr) -> Result<()> {
    match container::status_and_paused(record)?.0 {
        Status::Stopped if container::creator(record)?.is_some() => {
            Err(fail!("container {} is being deleted", Lossy(id.to_bytes())))
        }
        Status::Stopped | Status::Created => Ok(()),
        status => Err(fail!("cannot delete container {} that is not stopped: {status}", Lossy(id.to_bytes()))),
    }
}

/// Kills a runtime that is still making or removing the container, with which the container's
/// first process dies; or that process, so that a `start` which waits for it in
/// vain (it is frozen, or its program's file system does not answer) goes on.
fn end_at_once(folder: &Folder, workspace: &mut Workspace) -> Result<()> {
    let read = folder.read_record(&mut workspace.second, &mut Arena::new(&mut workspace.strings));
    let Ok(Some(record)) = read else { return Ok(()) };
    match container::creator(&record)? {
        Some(creator) => end(&creator)?,
        None => container::init(&record)?.map_or(Ok(()), |init| end(&init))?,
    }
    // Without whom it runs for, a hook is ended; that is waited for.
    if record.hooks && record.status != "created" { folder.hold_for_hooks().map(drop) } else { Ok(()) }
}

/// Kills a process and waits until it has ended.
fn end(process: &Process) -> Result<()> {
    match sys::pidfd_send_signal(process.pidfd.as_fd(), SIGKILL) {
        Ok(()) | Err(sys::Errno::SRCH) => {}
        Err(errno) => return Err(fail!(errno => "cannot kill process {}", process.pid.as_raw_nonzero())),
    }
    if wait_end(process.pidfd.as_fd(), PATIENCE)? {
        Ok(())
    } else {
        Err(fail!("process {} was killed and does not end", process.pid.as_raw_nonzero()))
    }
}

/// Kills and reaps a child of ours that did not come to be what it should.
pub fn end_child(process: &Process) {
    // Best effort: its cgroup is killed as well, and an error is under way.
    let _ = end(process);
    let _ = waitid(WaitId::PidFd(process.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

/// Ends the processes and removes the cgroup of a container.
fn clear(folder: &Folder, record: &StateRecord<'_>) -> Result<()> {
    if !container::of_this_boot(record)? {
        return Ok(()); // all of it went with the boot
    }
    if let Some(init) = container::living_init(record)? {
        end(&init)?;
    }
    clear_cgroup(folder, Some(record))
}

/// Kills what lives in the cgroup and removes it, if it is the one we made.
#[inline(never)]
fn clear_cgroup(folder: &Folder, record: Option<&StateRecord<'_>>) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); limits::PATH];
    let written = folder.read_cgroup(&mut buffer)?;
    match (written, record) {
        (Some((inode, existing, path)), _) => {
            clear_made_cgroup(&Hierarchy::open()?, &CgroupPath::from_bytes(path)?, inode, existing as usize)
        }
        (None, Some(record)) if record.cgroup_made || record.device_program != 0 => {
            clear_unwritten_cgroup(&Hierarchy::open()?, record)
        }
        (None, _) => Ok(()),
    }
}

/// The cgroup at `path`, if it is the one of that inode, which we made.
fn clear_made_cgroup(hierarchy: &Hierarchy, path: &CgroupPath<'_>, inode: u64, existing: usize) -> Result<()> {
    // The kernel removes no cgroup that is in use: mostly trying is all.
    match hierarchy.inode_at(path)? {
        Some(found) if found != inode => return Ok(()), // somebody else's by now
        Some(_) if hierarchy.unlink(path).is_err() => {
            if let Some(cgroup) = hierarchy.lookup(path)?.filter(|cgroup| cgroup.inode() == inode) {
                cgroup.kill_all_and_wait(PATIENCE as u32)?;
                cgroup.remove(hierarchy, path)?;
            }
        }
        Some(_) | None => {}
    }
    hierarchy.remove_parents(path, existing);
    Ok(())
}

/// A cgroup that was there before stays: only our device program is taken off.
///
/// Otherwise the runtime was killed between making the cgroup and writing so
/// down. It was absent before, so it is ours unless somebody was quick; and
/// nothing of ours can live in it yet.
fn clear_unwritten_cgroup(hierarchy: &Hierarchy, record: &StateRecord<'_>) -> Result<()> {
    if !record.cgroup_made && record.device_program == 0 {
        return Ok(());
    }
    let path = CgroupPath::from_bytes(record.cgroup.as_bytes())?;
    match hierarchy.lookup(&path)? {
        Some(cgroup) if !record.cgroup_made => {
            for program in [record.device_program, record.device_program_next] {
                if program != 0 && cgroup.inode() == record.cgroup_inode {
                    cgroup::detach_device_program(&cgroup, program)?;
                }
            }
            return Ok(());
        }
        Some(cgroup) if cgroup.populated()? => return Ok(()),
        Some(cgroup) => cgroup.remove(hierarchy, &path)?,
        None if !record.cgroup_made => return Ok(()),
        None => {}
    }
    hierarchy.remove_parents(&path, record.cgroup_existing as usize);
    Ok(())
}
