//! A new file system of any type: fsopen(2), its parameters, fsmount(2).

use core::ffi::CStr;
use core::fmt::{self, Write};

use heapless::{String, Vec};

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
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io};

use super::descriptor::done_with;
use super::options::{
    self, ATIME, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, Options, RDONLY, STRICTATIME, Super,
};

/// fsconfig(2): bytes of a key or a value, with the NUL.
const PARAMETER: usize = 256;

/// A file system to make.
pub struct Request<'a> {
    pub mount: &'a Mount<'a>,
    /// As /proc/filesystems names it.
    pub kind: &'a CStr,
    pub options: Options,
}

/// Why there is none.
pub struct Failure {
    pub errno: Errno,
    /// Where the file system may have said more.
    context: Option<OwnedFd>,
}

/// Room for what a file system says of a failure.
pub type Log = [u8; 256];

impl Failure {
    /// The file system's own words, empty if it has none: each message of its
    /// log is a letter and a space, then the text. The last error counts, or
    /// else the first message.
    #[cold]
    pub fn said<'b>(&self, log: &'b mut Log) -> Lossy<'b> {
        let mut length = 0;
        let mut buffer: Log = [0; 256];
        // The kernel keeps eight messages. ENODATA: no more.
        for _ in 0..8 {
            let Some(context) = &self.context else { break };
            let Ok(read) = io::read(context, &mut buffer) else { break };
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
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, context: None }
    }
}

impl Request<'_> {
    /// A detached mount of the new file system. `covered`: the folder that a
    /// tmpfs is to cover, whose mode it takes unless told another.
    pub fn create(&self, covered: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Failure> {
        let context = fsopen(self.kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        match self.fill(context.as_fd(), covered) {
            Ok(tree) => {
                done_with(context);
                Ok(tree)
            }
            Err(errno) => Err(Failure { errno, context: Some(context) }),
        }
    }

    fn fill(&self, context: BorrowedFd<'_>, covered: Option<BorrowedFd<'_>>) -> Result<OwnedFd, Errno> {
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
        let attributes = self.options.all_attributes().set as u32; // MOUNT_ATTR_ bits fit
        fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::from_bits_retain(attributes))
    }

    /// Changes the file system that is mounted at `place`.
    pub fn reconfigure(&self, place: BorrowedFd<'_>) -> Result<(), Failure> {
        let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
        let context = fspick(place, c"", flags)?;
        match self.set_parameters(context.as_fd(), true).and_then(|()| fsconfig_reconfigure(&context)) {
            Ok(()) => {
                done_with(context);
                Ok(())
            }
            Err(errno) => Err(Failure { errno, context: Some(context) }),
        }
    }

    /// Gives a tmpfs the mode of the folder that it covers; where it has the
    /// contents too, the owner as well.
    fn resemble(&self, context: BorrowedFd<'_>, folder: BorrowedFd<'_>) -> Result<(), Errno> {
        let told = |key| options::data(self.mount).any(|option| option.starts_with(key));
        if told("mode=") && !self.options.copy_up {
            return Ok(());
        }
        let stat = fstat(folder)?;
        if !told("mode=") {
            set_number(context, c"mode", format_args!("{:04o}\0", stat.st_mode & 0o7777))?;
        }
        for (key, name, id) in [("uid=", c"uid", stat.st_uid), ("gid=", c"gid", stat.st_gid)] {
            if self.options.copy_up && id != 0 && !told(key) {
                set_number(context, name, format_args!("{id}\0"))?;
            }
        }
        Ok(())
    }

    /// `existing`: what is to be off has to be said, too.
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
        for option in options::data(self.mount) {
            let length = option.c_str(&mut buffer).map_err(|_| Errno::NAMETOOLONG)?.count_bytes();
            for piece in options::pieces(buffer.get_mut(..length).unwrap_or(&mut [])) {
                set_parameter(context, piece)?;
            }
        }
        Ok(())
    }

    /// Whether fsconfig(2) can carry all parameters. mount(2) carries what it
    /// cannot, and the one setting that has no name there.
    pub fn fits_context(&self) -> bool {
        let long = |text: Text<'_>| bytes(text) >= PARAMETER;
        self.options.super_set & Super::IVersion.bit() == 0
            && !self.mount.source().is_some_and(long)
            && !options::data(self.mount).any(long)
    }

    /// Mounts at `place` by mount(2), which takes a page of parameters.
    pub fn mount(&self, place: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut data: Vec<u8, { limits::PATH }> = Vec::new();
        let mut buffer: PathBuffer = [0; limits::PATH];
        for option in options::data(self.mount) {
            let option = option.c_str(&mut buffer).map_err(|_| Errno::TOOBIG)?;
            let comma: &[u8] = if data.is_empty() { b"" } else { b"," };
            data.extend_from_slice(comma)
                .and_then(|()| data.extend_from_slice(option.to_bytes()))
                .map_err(|_| Errno::TOOBIG)?;
        }
        data.push(0).map_err(|_| Errno::TOOBIG)?; // longer ones the kernel would cut off
        let data = CStr::from_bytes_until_nul(&data).map_err(|_| Errno::INVAL)?;
        let mut source: PathBuffer = [0; limits::PATH];
        let source = match self.mount.source() {
            Some(text) => text.c_str(&mut source).map_err(|_| Errno::NAMETOOLONG)?,
            None => c"none",
        };
        // mount(2) knows places by path only, and this path is certain.
        let before = open(c".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        fchdir(place)?;
        let result = mount(source, c".", self.kind, self.mount_flags(), data);
        fchdir(&before)?;
        done_with(before);
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

fn bytes(text: Text<'_>) -> usize {
    text.length()
}

/// `number` ends in NUL.
fn set_number(context: BorrowedFd<'_>, key: &CStr, number: fmt::Arguments<'_>) -> Result<(), Errno> {
    let mut text: String<16> = String::new();
    text.write_fmt(number).map_err(|_| Errno::INVAL)?;
    let value = CStr::from_bytes_until_nul(text.as_bytes()).map_err(|_| Errno::INVAL)?;
    fsconfig_set_string(context, key, value)
}

/// `key` or `key=value`.
fn set_parameter(context: BorrowedFd<'_>, piece: &[u8]) -> Result<(), Errno> {
    if piece.is_empty() {
        return Ok(()); // as mount(2): a comma too many
    }
    let mut buffer = [0u8; 2 * PARAMETER];
    let room = buffer.get_mut(..piece.len()).ok_or(Errno::NAMETOOLONG)?;
    room.copy_from_slice(piece);
    let equals = piece.iter().position(|byte| *byte == b'=');
    if let Some(place) = equals.and_then(|at| buffer.get_mut(at)) {
        *place = 0;
    }
    let c_str = |from: usize| {
        let text = buffer.get(from..).ok_or(Errno::NAMETOOLONG)?;
        CStr::from_bytes_until_nul(text).map_err(|_| Errno::NAMETOOLONG)
    };
    match equals {
        Some(at) => fsconfig_set_string(context, c_str(0)?, c_str(at + 1)?),
        None => fsconfig_set_flag(context, c_str(0)?),
    }
}
