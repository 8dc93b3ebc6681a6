//! Classes of service for caches and memory bandwidth, and their monitoring
//! (config-linux.md, "IntelRdt"), by the file system that the kernel has for it
//! (its Documentation, "User Interface for Resource Control feature").

use core::ffi::CStr;

use crate::error::{Lossy, Result};
use crate::json::PathBuffer;
use crate::spec::linux::{IntelRdt, Linux};
use crate::spec::record::asks_for_nothing;
use crate::sys::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, unlinkat};
use crate::sys::{AsFd, BorrowedFd, Errno, OwnedFd, io, read_file};
use crate::{bytes, fail, limits};

/// Where it is mounted, by custom.
const MOUNT: &CStr = c"/sys/fs/resctrl";

/// Room for a group's path below the mount: a class, `mon_groups`, an id.
pub type GroupPath = [u8; 3 * limits::ID];

/// What is asked for; `None`: nothing.
pub fn asked<'a>(linux: &Linux<'a>) -> Option<IntelRdt<'a>> {
    linux.intel_rdt().filter(|rdt| !asks_for_nothing(rdt.value()))
}

/// The name of the container's class, and whether it is one of its own, which is
/// made for it and goes with it. The class of all is the mount itself.
fn class<'b>(rdt: &IntelRdt<'_>, id: &'b CStr, buffer: &'b mut PathBuffer) -> Result<(&'b CStr, bool)> {
    match rdt.clos_id().filter(|name| !name.is_empty()) {
        None => Ok((id, true)),
        Some(name) if name.is("/") => Ok((c".", false)),
        Some(name) => Ok((name.c_str(buffer)?, false)),
    }
}

/// The path of what is to be removed with the container; `None`: nothing. To be
/// written down before [`join`] makes it.
///
/// # Errors
/// With the place: it is there already, and so not ours to remove.
pub fn own_group<'b>(rdt: &IntelRdt<'_>, id: &CStr, path: &'b mut GroupPath) -> Result<Option<&'b CStr>> {
    let mut buffer: PathBuffer = [0; _];
    let (class, own) = class(rdt, id, &mut buffer)?;
    let parts: &[&[u8]] = match rdt.enable_monitoring() {
        _ if own => &[id.to_bytes()],
        Some(true) => &[class.to_bytes(), b"/mon_groups/", id.to_bytes()],
        _ => return Ok(None),
    };
    let path = bytes::join(path, parts).unwrap_or(c""); // their limits are such that it fits
    match open_folder(None, MOUNT).and_then(|root| open_folder(Some(root.as_fd()), path)) {
        Ok(_) => Err(rdt.value().error(format_args!("there is a group {} in resctrl already", Lossy(path.to_bytes())))),
        Err(_) => Ok(Some(path)), // `join` says what is wrong
    }
}

/// Puts process `pid` into its class, which is made where it has to be if `create`,
/// and gets its schemata then.
///
/// # Errors
/// With the place: there is no resctrl, no such class, or the kernel refuses.
#[inline(never)]
pub fn join(rdt: &IntelRdt<'_>, id: &CStr, pid: i32, create: bool) -> Result<()> {
    let mut buffer: PathBuffer = [0; _];
    let (class, own) = class(rdt, id, &mut buffer)?;
    let mut doing = "the kernel has no resctrl mounted at /sys/fs/resctrl";
    let mut joined = || -> Result<(), Errno> {
        let root = open_folder(None, MOUNT)?;
        // All that is mounted there has this.
        openat(&root, c"tasks", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let mut room: PathBuffer = [0; _];
        let schemata = schemata(rdt, &mut room).ok_or(Errno::TOOBIG)?;
        if create && (own || !schemata.is_empty()) {
            doing = "cannot make its class";
            match mkdirat(&root, class, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) if !own => {}
                made => made?,
            }
        }
        doing = "cannot open its class, which must be there if it has no schemata";
        let class = open_folder(Some(root.as_fd()), class)?;
        if create && !schemata.is_empty() {
            doing = "cannot write its schemata";
            write(class.as_fd(), c"schemata", schemata)?;
        }
        doing = "cannot put the process into its class";
        let digits = bytes::Printed::<16>::of(format_args!("{pid}"));
        write(class.as_fd(), c"tasks", digits.as_bytes())?;
        if rdt.enable_monitoring() != Some(true) {
            return Ok(());
        }
        doing = "cannot monitor the process";
        let groups = open_folder(Some(class.as_fd()), c"mon_groups")?;
        if create {
            mkdirat(&groups, id, Mode::from_raw_mode(0o755))?;
        }
        write(open_folder(Some(groups.as_fd()), id)?.as_fd(), c"tasks", digits.as_bytes())
    };
    let result = joined();
    result.map_err(|errno| rdt.value().os_error(errno, format_args!("{doing}")))
}

/// What a class had before [`update`].
pub struct Before {
    class: OwnedFd,
    text: PathBuffer,
    length: usize,
}

/// Gives the class of a container the schemata of `new`; those that it does not
/// name stay.
///
/// # Errors
/// There is no resctrl, the class is gone, or the kernel refuses.
#[inline(never)]
pub fn update(rdt: &IntelRdt<'_>, id: &CStr, new: &IntelRdt<'_>) -> Result<Before> {
    let mut buffer: PathBuffer = [0; _];
    let (name, _) = class(rdt, id, &mut buffer)?;
    let mut doing = "find";
    let mut change = || -> Result<Before, Errno> {
        let class = open_folder(Some(open_folder(None, MOUNT)?.as_fd()), name)?;
        doing = "read";
        let mut before = Before { class, text: [0; _], length: 0 };
        before.length = read_file(before.class.as_fd(), c"schemata", &mut before.text)?.len();
        let mut room: PathBuffer = [0; _];
        let lines = schemata(new, &mut room).filter(|_| before.length < before.text.len()).ok_or(Errno::TOOBIG)?;
        doing = "write";
        write(before.class.as_fd(), c"schemata", lines)?;
        Ok(before)
    };
    let changed = change();
    let shown = Lossy(name.to_bytes());
    changed.map_err(|errno| fail!(errno => "cannot {doing} the schemata of class {shown} in /sys/fs/resctrl"))
}

impl Before {
    /// Gives it back. Whether that could be done.
    pub fn give_back(&self) -> bool {
        write(self.class.as_fd(), c"schemata", self.text.get(..self.length).unwrap_or(&[])).is_ok()
    }
}

/// Removes what [`own_group`] named.
///
/// # Errors
/// The kernel's, but that it is not there.
pub fn remove(path: &CStr) -> Result<(), Errno> {
    match open_folder(None, MOUNT).and_then(|root| unlinkat(root, path, AtFlags::REMOVEDIR)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn open_folder(folder: Option<BorrowedFd<'_>>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match folder {
        Some(folder) => openat(folder, name, flags, Mode::empty()),
        None => open(name, flags, Mode::empty()),
    }
}

fn write(folder: BorrowedFd<'_>, name: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = openat(folder, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    if io::write(&file, text)? == text.len() { Ok(()) } else { Err(Errno::IO) }
}

/// The lines for the class: those of the L3 cache, without any for memory where
/// that has a line of its own; that one; and the rest. `None`: no room.
fn schemata<'b>(rdt: &IntelRdt<'_>, buffer: &'b mut PathBuffer) -> Option<&'b [u8]> {
    let (mut room, mut length): (PathBuffer, usize) = ([0; _], 0);
    let memory = rdt.mem_bw_schema().filter(|line| !line.is_empty());
    let parts = rdt.l3_cache_schema().into_iter().chain(memory).chain(rdt.schemata().iter());
    for (index, part) in parts.enumerate() {
        let text = part.c_str(&mut room).ok()?.to_bytes();
        for line in bytes::split(text, b'\n').map(<[u8]>::trim_ascii) {
            let is_replaced =
                index == 0 && memory.is_some() && rdt.l3_cache_schema().is_some() && line.starts_with(b"MB:");
            if line.is_empty() || is_replaced {
                continue;
            }
            length += bytes::join(buffer.get_mut(length..)?, &[line, b"\n"])?.count_bytes();
        }
    }
    buffer.get(..length)
}
