//! A new file system of any type: fsopen(2), its parameters, fsmount(2).

use core::cell::Cell;
use core::ffi::CStr;
use core::fmt;

use crate::bytes::{self, Printed};
use crate::error::Lossy;
use crate::json::{PathBuffer, Text};
use crate::limits;
use crate::spec::config::Mount;
use crate::sys::fs::{Mode, OFlags, fstat, open};
use crate::sys::mounts::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_reconfigure,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick, mount,
};
use crate::sys::process::fchdir;
use crate::sys::{BorrowedFd, Errno, io};

use super::descriptor::Fd;
use super::option_words::{ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, RDONLY, STRICTATIME, Super};
use super::options::{self, Options};
use super::resolve::c_str;
use crate::word_list;

/// fsconfig(2): bytes of a key or a value, with the NUL.
const PARAMETER: usize = 256;

/// A file system to make.
pub struct Request<'a> {
    pub mount: &'a Mount<'a>,
    /// As /proc/filesystems names it.
    pub kind: &'a CStr,
    pub options: Options,
    /// The SELinux context of all that is in it (`linux.mountLabel`).
    pub label: Option<Text<'a>>,
    /// Takes the context of one that fails, which may have more to say.
    pub log: &'a Cell<Option<Fd>>,
}

/// Room for what a file system says of a failure.
pub type Log = [u8; 256];

/// What a file system says in its `context`, empty if it has no more to say than
/// the errno: each message of its log is a letter and a space, then the text. The
/// last error counts, or else the first message.
#[cold]
pub fn said(context: Option<Fd>, log: &mut Log) -> Lossy<'_> {
    let mut length = 0;
    let mut buffer: Log = [0; 256];
    // The kernel keeps eight messages. ENODATA: no more.
    for _ in 0..8 {
        let Some(context) = &context else { break };
        let Ok(read) = io::read(context.as_fd(), &mut buffer) else { break };
        if let Some(text) = buffer.get(2..read).map(|text| text.trim_ascii_end())
            && (buffer.starts_with(b"e") || length == 0)
            && let Some(room) = log.get_mut(..text.len())
        {
            room.copy_from_slice(text);
            length = text.len();
        }
    }
    Lossy(log.get(..length).unwrap_or(&[]))
}

impl Request<'_> {
    /// Whether `create` looks at the folder that the file system is to cover.
    pub fn needs_covered(&self) -> bool {
        self.kind == c"tmpfs" && (self.options.copy_up || !self.says("mode="))
    }

    fn says(&self, key: &str) -> bool {
        self.mount.options().iter().any(|option| option.starts_with(key) && options::is_data(option))
    }

    /// The label, but not for file systems whose files have labels of their own
    /// (as with runc), nor where another is asked for.
    fn context(&self) -> Option<Text<'_>> {
        let own = word_list!("proc sysfs cgroup cgroup2 mqueue").find(self.kind.to_bytes()).is_some();
        self.label.filter(|label| !own && !label.is_empty() && !self.says("context="))
    }

    /// A detached mount of the new file system. `covered`: the folder that a
    /// tmpfs is to cover, whose mode it takes unless told another.
    pub fn create(&self, covered: Option<BorrowedFd<'_>>) -> Result<Fd, Errno> {
        let context = Fd::new(fsopen(self.kind, FsOpenFlags::FSOPEN_CLOEXEC)?);
        let result = self.fill(context.as_fd(), covered);
        self.finished(context, result.is_err());
        result
    }

    /// Keeps the context where it may have more to say.
    fn finished(&self, context: Fd, failed: bool) {
        match failed {
            true => self.log.set(Some(context)),
            false => context.done(),
        }
    }

    fn fill(&self, context: BorrowedFd<'_>, covered: Option<BorrowedFd<'_>>) -> Result<Fd, Errno> {
        if let Some(source) = self.mount.source().filter(|source| !source.is_empty()) {
            let mut buffer = [0; PARAMETER];
            let source = source.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?; // see `fits_context`
            fsconfig_set_string(context, c"source", source)?;
        }
        if let Some(folder) = covered {
            self.resemble(context, folder)?;
        }
        self.set_parameters(context, false)?;
        fsconfig_create(context)?;
        let attributes = self.options.all_attributes().set;
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes)).map(Fd::new)
    }

    /// Changes the file system that is mounted at `place`.
    pub fn reconfigure(&self, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
        let context = Fd::new(fspick(place, c"", flags)?);
        let result = self.set_parameters(context.as_fd(), true).and_then(|()| fsconfig_reconfigure(context.as_fd()));
        self.finished(context, result.is_err());
        result
    }

    /// Gives a tmpfs the mode of the folder that it covers; where it has the
    /// contents too, the owner as well.
    fn resemble(&self, context: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        if !self.needs_covered() {
            return Ok(());
        }
        let stat = fstat(folder)?;
        if !self.says("mode=") {
            set_number(context, c"mode", format_args!("{:04o}", stat.st_mode & 0o7777))?;
        }
        for (key, name, id) in [("uid=", c"uid", stat.st_uid), ("gid=", c"gid", stat.st_gid)] {
            if self.options.copy_up && id != 0 && !self.says(key) {
                set_number(context, name, format_args!("{id}"))?;
            }
        }
        Ok(())
    }

    /// `existing`: what is to be off has to be said, too.
    #[inline(never)]
    fn set_parameters(&self, context: BorrowedFd<'_>, existing: bool) -> Result<(), Errno> {
        for setting in Super::ALL {
            let (on, off) = names(setting);
            let name = match () {
                () if self.options.super_set & setting.bit() != 0 => on,
                () if existing && self.options.super_clear & setting.bit() != 0 => off,
                () => continue,
            };
            fsconfig_set_flag(context, name)?;
        }
        let mut buffer: PathBuffer = [0; limits::PATH];
        if let Some(label) = self.context().filter(|_| !existing) {
            fsconfig_set_string(context, c"context", label.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?)?;
        }
        for option in options::data(self.mount) {
            let length = option.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?.count_bytes();
            options::separate(buffer.get_mut(..length).unwrap_or_default());
            let mut start = 0;
            while start <= length {
                start += set_parameter(context, buffer.get_mut(start..).unwrap_or_default())? + 1;
            }
        }
        Ok(())
    }

    /// Whether fsconfig(2) can carry all parameters. mount(2) carries what it
    /// cannot, and the one setting that has no name there.
    pub fn fits_context(&self) -> bool {
        let long = |text: Text<'_>| text.length() >= PARAMETER;
        self.options.super_set & Super::IVersion.bit() == 0
            && !self.mount.source().is_some_and(long)
            && !self.context().is_some_and(long)
            && !self.mount.options().iter().any(|option| long(option) && options::is_data(option))
    }

    /// Mounts at `place` by mount(2), which takes a page of parameters.
    #[cold]
    #[inline(never)]
    pub fn mount(&self, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut data: PathBuffer = [0; limits::PATH]; // longer ones the kernel would cut off
        let mut length = 0;
        for option in options::data(self.mount) {
            if length > 0
                && let Some(end) = data.get_mut(length)
            {
                *end = b',';
                length += 1;
            }
            let room = data.get_mut(length..).unwrap_or_default();
            length += option.c_str(room).map_err(|_| Errno::TOOBIG)?.count_bytes();
        }
        if let Some(label) = self.context() {
            // Quoted: it may have commas.
            let mut buffer: PathBuffer = [0; limits::PATH];
            let label = label.c_str(&mut buffer).map_err(|_| Errno::TOOBIG)?.to_bytes();
            let comma: &[u8] = if length > 0 { b"," } else { b"" };
            let room = data.get_mut(length..).unwrap_or_default();
            bytes::join(room, &[comma, b"context=\"", label, b"\""]).ok_or(Errno::TOOBIG)?;
        }
        let data = c_str(&data, 0);
        let mut source: PathBuffer = [0; limits::PATH];
        let source = match self.mount.source() {
            Some(text) => text.c_str(&mut source).map_err(|_| Errno::NAMETOOLONG)?,
            None => c"none",
        };
        // mount(2) knows places by path only, and this path is certain.
        let before = Fd::new(open(c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        fchdir(place)?;
        let result = mount(source, c".", self.kind, self.mount_flags(), data);
        fchdir(before.as_fd())?;
        before.done();
        result
    }

    /// The options as mount(2) knows them.
    fn mount_flags(&self) -> MountFlags {
        let attributes = self.options.all_attributes().set;
        let mut flags = MountFlags::empty();
        for (attribute, flag) in [
            (RDONLY, MountFlags::RDONLY),
            (NOSUID, MountFlags::NOSUID),
            (NODEV, MountFlags::NODEV),
            (NOEXEC, MountFlags::NOEXEC),
            (NODIRATIME, MountFlags::NODIRATIME),
            (NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
        ] {
            if attributes & attribute != 0 {
                flags |= flag;
            }
        }
        flags |= match attributes & ATIME {
            NOATIME => MountFlags::NOATIME,
            STRICTATIME => MountFlags::STRICTATIME,
            _ => MountFlags::RELATIME,
        };
        for setting in Super::ALL {
            if self.options.super_set & setting.bit() != 0 {
                flags |= match setting {
                    Super::ReadOnly => MountFlags::RDONLY,
                    Super::Sync => MountFlags::SYNCHRONOUS,
                    Super::DirSync => MountFlags::DIRSYNC,
                    Super::LazyTime => MountFlags::LAZYTIME,
                    Super::Mand => MountFlags::PERMIT_MANDATORY_FILE_LOCKING,
                    Super::IVersion => MountFlags::from_bits_retain(1 << 23), // MS_I_VERSION
                };
            }
        }
        flags
    }
}

/// A setting's names for fsconfig(2), on and off.
fn names(setting: Super) -> (&'static CStr, &'static CStr) {
    match setting {
        Super::ReadOnly => (c"ro", c"rw"),
        Super::Sync => (c"sync", c"async"),
        Super::DirSync => (c"dirsync", c"nodirsync"),
        Super::LazyTime => (c"lazytime", c"nolazytime"),
        Super::Mand => (c"mand", c"nomand"),
        Super::IVersion => (c"iversion", c"noiversion"),
    }
}

fn set_number(context: BorrowedFd<'_>, key: &CStr, number: fmt::Arguments<'_>) -> Result<(), Errno> {
    fsconfig_set_string(context, key, Printed::<16>::of(number).as_c_str())
}

/// Sets `key` or `key=value`, which ends in NUL. Gives its length.
fn set_parameter(context: BorrowedFd<'_>, piece: &mut [u8]) -> Result<usize, Errno> {
    let length = c_str(piece, 0).count_bytes();
    if length == 0 {
        return Ok(length); // as mount(2): a comma too many
    }
    match piece.iter().take(length).position(|byte| *byte == b'=') {
        Some(at) => {
            if let Some(equals) = piece.get_mut(at) {
                *equals = 0;
            }
            fsconfig_set_string(context, c_str(piece, 0), c_str(piece, at + 1))?;
        }
        None => fsconfig_set_flag(context, c_str(piece, 0))?,
    }
    Ok(length)
}
