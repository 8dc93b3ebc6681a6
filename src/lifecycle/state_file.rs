//! The state directory: one folder a container, under `--root`.
//!
//! ```text
//! ROOT/               made with mode 0700; never used where others may write to it
//!   ID/               0700; its existence is what makes the id taken; locked while it changes
//!     state.json      the record, as it was before anything was made; where it changes
//!                     later it is replaced as a whole
//!     state.json.new  the record on its way there
//!     init            what has come to be known since, once there is a process: a link to
//!                     the values of `LATER` and the status
//!     config.json     the configuration as it was at `create`, for `exec` and `state`
//!     cgroup          which cgroup was made for it: a link to "INODE EXISTING PATH"
//!     start.sock      the start gate, see `gate`
//!     resctrl         what was made for it there: a link to the group's path
//!     notify/         the container's notify socket, see `notify`
//! ```
//!
//! The record is written before the first effect in the kernel, and what was made
//! is added by one call each that is done or not done (security rule R14), so
//! that whatever happens in between, `delete --force` finds what there is to
//! clear up.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::arena::Arena;
use super::folders::make_folders;
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::json::{Document, Extents, Text};
use crate::resctrl::{self, GroupPath};
use crate::spec::record::WordSet;
use crate::spec::state::{RecordStatuses, RecordView, StateRecord};
use crate::sys::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RawDir, flock, fstat, mkdirat, openat, readlinkat_raw, renameat, symlinkat,
    unlinkat,
};
use crate::sys::{self, AsFd, BorrowedFd, Errno, OwnedFd, fs, process, read_all, write_all};

/// Where the state of all containers is: `--root`.
pub struct StateRoot {
    fd: BorrowedFd<'static>,
}

impl Drop for StateRoot {
    fn drop(&mut self) {
        sys::kept_done(self.fd);
    }
}

impl StateRoot {
    /// Opens it; with `create` it is made first where it is missing.
    ///
    /// # Errors
    /// It is a symbolic link, belongs to somebody else or others may write to
    /// it (security rule R13).
    pub fn open(path: &CStr, create: bool) -> Result<Option<StateRoot>> {
        let shown = Lossy(path.to_bytes());
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) if !create => return Ok(None),
            Err(Errno::NOENT) => {
                make_folders(path, Mode::RWXU)
                    .map_err(|errno| fail!(errno => "cannot make the state directory {shown}"))?;
                fs::open(path, flags, Mode::empty())
                    .map_err(|errno| fail!(errno => "cannot open the state directory {shown}"))?
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(fail!("the state directory {shown} is a symbolic link or no directory: refused"));
            }
            Err(errno) => return Err(fail!(errno => "cannot open the state directory {shown}")),
        };
        let status = fstat(&fd).map_err(|errno| fail!(errno => "cannot look at the state directory {shown}"))?;
        if status.st_uid != process::geteuid().as_raw() || status.st_mode & 0o022 != 0 {
            return Err(fail!(
                "the state directory {shown} belongs to another user or others may write to it: refused"
            ));
        }
        Ok(Some(StateRoot { fd: sys::keep(fd) }))
    }

    /// Makes a container's folder, locked.
    ///
    /// # Errors
    /// The id is taken.
    pub fn create(&self, id: &CStr) -> Result<Folder> {
        let shown = Lossy(id.to_bytes());
        match mkdirat(self.fd, id, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(fail!("container with given ID already exists: {shown}")),
            Err(errno) => return Err(fail!(errno => "cannot make the state directory of {shown}")),
        }
        let folder = self.folder(id)?.ok_or_else(|| fail!("the state directory of {shown} has disappeared"))?;
        folder.lock()?;
        // A `delete` may have been quicker: what is made now would be lost.
        if folder.is_current() { Ok(folder) } else { Err(fail!("container {shown} has just been deleted")) }
    }

    /// Opens a container's folder; `None` where there is none.
    pub fn folder(&self, id: &CStr) -> Result<Option<Folder>> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(self.fd, id, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Folder { root: self.fd, fd })),
            // A file or a link of that name is nothing of ours.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(fail!(errno => "cannot open the state directory of {}", Lossy(id.to_bytes()))),
        }
    }

    /// Calls `each` with the name of every folder.
    pub fn for_each(&self, mut each: impl FnMut(&CStr) -> Result<()>) -> Result<()> {
        let failed = |errno: Errno| fail!(errno => "cannot list the state directory");
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let fd = openat(self.fd, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
        let mut entries = RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                each(entry.file_name())?;
            }
        }
        Ok(())
    }
}

/// The folder of one container. Not to be used once its [`StateRoot`] is gone.
pub struct Folder {
    root: BorrowedFd<'static>,
    fd: OwnedFd,
}

impl Folder {
    /// The folder itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Waits until nobody else changes the container.
    pub fn lock(&self) -> Result<()> {
        loop {
            match flock(&self.fd, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(fail!(errno => "cannot lock the container's state directory")),
            }
        }
    }

    /// Lets others change the container. Said, not left to the closing of the
    /// descriptor: a child may have a copy of it.
    pub fn unlock(&self) {
        // An advisory lock that we hold can be given back.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }

    /// Whether the folder still exists: it does not once it was deleted while the
    /// lock was waited for, whatever has its name by now.
    pub fn is_current(&self) -> bool {
        fstat(&self.fd).is_ok_and(|status| status.st_nlink > 0)
    }

    /// Writes down which cgroup was made: in one call that is done or not done,
    /// and beside the record, so that not even a damaged one hides it.
    pub fn write_cgroup(&self, inode: u64, existing: u32, path: &str) -> Result<()> {
        let mut text = Printed::<{ crate::limits::PATH }>::new();
        if !text.add(format_args!("{inode} {existing} {path}")) {
            return Err(fail!("the path of the cgroup is too long to be written down: {path}"));
        }
        symlinkat(text.as_c_str(), &self.fd, c"cgroup")
            .map_err(|errno| fail!(errno => "cannot write down the container's cgroup"))
    }

    /// What [`Folder::write_cgroup`] wrote: inode, existing, path. `None` where it
    /// wrote nothing.
    pub fn read_cgroup<'b>(&self, buffer: &'b mut [MaybeUninit<u8>]) -> Result<Option<(u64, u32, &'b [u8])>> {
        let text = match readlinkat_raw(&self.fd, c"cgroup", buffer) {
            Ok((text, _)) => &*text,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(fail!(errno => "cannot read which cgroup the container has")),
        };
        let (inode, rest) = bytes::cut(text, b' ');
        let (existing, path) = bytes::cut(rest.unwrap_or(&[]), b' ');
        match (bytes::decimal(inode), bytes::decimal(existing), path) {
            (Some(inode), Some(existing), Some(path)) => Ok(Some((inode, existing as u32, path))),
            _ => Err(fail!("what is written down of the container's cgroup makes no sense")),
        }
    }

    /// Writes the record for the first time: before anything else, so that nothing
    /// is lost with one that is not complete. `scratch`: room for its text.
    ///
    /// # Errors
    /// EEXIST: the folder is another's, who made it after ours was deleted and
    /// before we could open it.
    pub fn write_first_record(&self, record: &StateRecord<'_>, scratch: &mut [u8]) -> Result<()> {
        self.write_record_as(c"state.json", OFlags::EXCL, record, scratch)
    }

    /// Replaces the record. `scratch`: room for its text.
    pub fn write_record(&self, record: &StateRecord<'_>, scratch: &mut [u8]) -> Result<()> {
        self.write_record_as(c"state.json.new", OFlags::empty(), record, scratch)?;
        renameat(&self.fd, c"state.json.new", &self.fd, c"state.json").map_err(cannot_write)
    }

    fn write_record_as(&self, name: &CStr, flags: OFlags, record: &StateRecord<'_>, scratch: &mut [u8]) -> Result<()> {
        let length = record.write(scratch)?;
        self.write_file(name, flags, scratch.get(..length).unwrap_or(&[])).map_err(cannot_write)
    }

    /// Adds what is known once there is a process, in one call that is done or not
    /// done.
    pub fn write_later(&self, record: &StateRecord<'_>) -> Result<()> {
        let status = RecordStatuses::WORDS.find(record.status.as_bytes()).unwrap_or(0);
        let mut text = Printed::<{ LATER * 21 }>::new();
        // They fit, with twenty digits at most.
        let _ = text.add(format_args!(
            "{} {} {} {} {} {} {status}",
            record.pid,
            record.start_time,
            record.pidfd_inode,
            record.cgroup_inode,
            u8::from(record.cgroup_made),
            record.device_program
        ));
        symlinkat(text.as_c_str(), &self.fd, c"init").map_err(cannot_write)
    }

    /// Completes a record that was written before there was a process.
    fn read_later(&self, record: &mut StateRecord<'_>) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); LATER * 21];
        let text = match readlinkat_raw(&self.fd, c"init", &mut buffer) {
            Ok((text, _)) => &*text,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(fail!(errno => "cannot read the container's state")),
        };
        let mut values = [0; LATER];
        for (value, word) in values.iter_mut().zip(bytes::split(text, b' ')) {
            *value = bytes::decimal(word).unwrap_or(0);
        }
        let [pid, start_time, pidfd_inode, cgroup_inode, cgroup_made, device_program, status] = values;
        record.pid = i32::try_from(pid).unwrap_or(0);
        (record.start_time, record.pidfd_inode) = (start_time, pidfd_inode);
        (record.cgroup_inode, record.cgroup_made) = (cgroup_inode, cgroup_made != 0);
        record.device_program = device_program as u32;
        record.status = RecordStatuses::WORDS.get(status as usize).unwrap_or("");
        Ok(())
    }

    /// Reads the record; `None` where there is none. `scratch`: room for its
    /// text. Its strings come to lie in `arena`.
    ///
    /// # Errors
    /// It is not what [`Folder::write_record`] writes: somebody else was at it.
    pub fn read_record<'a>(&self, scratch: &mut [u8], arena: &mut Arena<'a>) -> Result<Option<StateRecord<'a>>> {
        let Some(text) = self.read(c"state.json", scratch)? else { return Ok(None) };
        if text.is_empty() {
            return Ok(None); // it is just being written, or never was
        }
        let mut extents = Extents::new();
        let document = Document::parse("state.json", text, &mut extents)?;
        let view = RecordView::read(&document)?;
        let mut string = |text: Option<Text<'_>>| match text {
            Some(text) => arena.text(text).map(|string| string.to_str().unwrap_or("")),
            None => Ok(""),
        };
        let mut record = StateRecord {
            oci_version: string(view.oci_version())?,
            id: string(view.id())?,
            bundle: string(view.bundle())?,
            rootfs: string(view.rootfs())?,
            created: string(view.created())?,
            owner: string(view.owner())?,
            pid: view.pid().unwrap_or(0),
            start_time: view.start_time().unwrap_or(0),
            boot_id: string(view.boot_id())?,
            pidfd_inode: view.pidfd_inode().unwrap_or(0),
            creator_pid: view.creator_pid().unwrap_or(0),
            creator_start_time: view.creator_start_time().unwrap_or(0),
            status: string(view.status())?,
            cgroup: string(view.cgroup())?,
            cgroup_made: view.cgroup_made().unwrap_or(false),
            cgroup_existing: view.cgroup_existing().unwrap_or(0),
            cgroup_inode: view.cgroup_inode().unwrap_or(0),
            device_program: view.device_program().unwrap_or(0),
            device_program_next: view.device_program_next().unwrap_or(0),
            own_pid_namespace: view.own_pid_namespace().unwrap_or(false),
            started: view.started().unwrap_or(false),
            terminal: view.terminal().unwrap_or(false),
            hooks: view.hooks().unwrap_or(false),
            executable: (view.executable_device().unwrap_or(0), view.executable_inode().unwrap_or(0)),
            no_new_keyring: view.no_new_keyring().unwrap_or(false),
        };
        if record.pid == 0 {
            self.read_later(&mut record)?;
        }
        Ok(Some(record))
    }

    /// Keeps the configuration for `exec`, and its annotations for `state`.
    pub fn write_config(&self, text: &[u8]) -> Result<()> {
        self.write_file(c"config.json", OFlags::empty(), text)
            .map_err(|errno| fail!(errno => "cannot keep the container's config.json"))
    }

    /// Writes down what is about to be made in resctrl.
    pub fn write_resctrl(&self, path: &CStr) -> Result<()> {
        symlinkat(path, &self.fd, c"resctrl")
            .map_err(|errno| fail!(errno => "cannot write down the container's RDT class"))
    }

    /// A lock that is held as long as hooks run, by who may outlive the runtime
    /// that has it: then only by moments. `None` where the container is about to
    /// be gone.
    pub fn hold_for_hooks(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.fd, c"config.json", flags, Mode::empty())
            .and_then(|file| flock(&file, FlockOperation::LockExclusive).map(|()| file))
        {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(fail!(errno => "cannot lock the container's config.json")),
        }
    }

    fn write_file(&self, name: &CStr, flags: OFlags, text: &[u8]) -> Result<(), Errno> {
        let flags = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        write_all(file.as_fd(), text)?;
        sys::done(file);
        Ok(())
    }

    /// Reads one of the files; `None` where it is missing.
    pub fn read<'b>(&self, name: &CStr, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
        let failed = |errno: Errno| fail!(errno => "cannot read the container's {}", Lossy(name.to_bytes()));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => read_all(file.as_fd(), buffer).map(Some).map_err(failed),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Removes the folder and what is in it. A removal that is cut short is
    /// finished by the next.
    pub fn remove(self, id: &CStr) -> Result<()> {
        let failed = |errno: Errno| fail!(errno => "cannot remove the state directory of {}", Lossy(id.to_bytes()));
        // Without a record there is no container any more for whoever asks.
        const ALWAYS: [&CStr; 4] = [c"config.json", c"state.json", c"init", c"cgroup"];
        const SOMETIMES: [&CStr; 2] = [c"start.sock", c"state.json.new"];
        for names in [ALWAYS.as_slice(), SOMETIMES.as_slice()] {
            for name in names {
                match unlinkat(&self.fd, *name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
            match unlinkat(self.root, id, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {
                    sys::done(self.fd);
                    break;
                }
                Err(Errno::NOTEMPTY | Errno::EXIST) if names.len() == ALWAYS.len() => self.remove_rest()?,
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Removes what is rarely there besides.
    #[cold]
    fn remove_rest(&self) -> Result<()> {
        let mut buffer = [MaybeUninit::uninit(); size_of::<GroupPath>()];
        if let Ok((path, _)) = readlinkat_raw(&self.fd, c"resctrl", &mut buffer) {
            let mut room: GroupPath = [0; _];
            resctrl::remove(bytes::join(&mut room, &[path]).unwrap_or(c""))
                .and_then(|()| unlinkat(&self.fd, c"resctrl", AtFlags::empty()))
                .map_err(|errno| fail!(errno => "cannot remove the container's RDT class"))?;
        }
        let _ = unlinkat(&self.fd, c"notify/notify.sock", AtFlags::empty());
        let _ = unlinkat(&self.fd, c"notify", AtFlags::REMOVEDIR);
        Ok(())
    }
}

/// Values of the link `init`: pid, start time, inode of the pidfd, inode of the
/// cgroup, whether it was made, device program, status (by its number).
const LATER: usize = 7;

fn cannot_write(errno: Errno) -> Error {
    fail!(errno => "cannot write the container's state")
}
