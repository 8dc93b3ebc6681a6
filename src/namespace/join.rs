//! Entering namespaces that exist already (setns(2)).

use heapless::Vec;

use super::flags::{self, TYPES};
use crate::error::Result;
use crate::fail;
use crate::json::{PathBuffer, Text};
use crate::sys::fs::{Mode, OFlags, fstat, open as open_path, stat};
use crate::sys::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};
use crate::sys::{AsFd, BorrowedFd, CloneFlags, Errno, OwnedFd, namespace_type};

// The pure table and the wrappers of the system calls speak of the same bits.
const _: () = assert!(
    CloneFlags::NEWTIME.bits() == flags::TIME
        && CloneFlags::NEWNS.bits() == flags::MOUNT
        && CloneFlags::NEWCGROUP.bits() == flags::CGROUP
        && CloneFlags::NEWUTS.bits() == flags::UTS
        && CloneFlags::NEWIPC.bits() == flags::IPC
        && CloneFlags::NEWUSER.bits() == flags::USER
        && CloneFlags::NEWPID.bits() == flags::PID
        && CloneFlags::NEWNET.bits() == flags::NETWORK
);

/// A namespace that was opened and is of the type that it should be.
pub struct Opened {
    pub flag: u64,
    pub fd: OwnedFd,
}

/// Opens the namespace at `path`, in the caller's mount namespace.
///
/// # Errors
/// With the place of the path in the document: it cannot be opened, is no
/// namespace, or is one of another type than `flag`.
pub fn open(path: Text<'_>, flag: u64, buffer: &mut PathBuffer) -> Result<Opened> {
    let name = path.c_str(buffer)?;
    let word = flags::word(flag);
    // Whatever stands there, opening it neither waits nor takes a terminal.
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = open_path(name, how, Mode::empty())
        .map_err(|errno| path.value().os_error(errno, format_args!("cannot open the {word} namespace {path}")))?;
    match namespace_type(fd.as_fd()) {
        Ok(found) if found.bits() == flag => Ok(Opened { flag, fd }),
        Ok(found) => {
            Err(path.error(format_args!("{path} is a {} namespace, not a {word} one", flags::word(found.bits()))))
        }
        Err(_) => Err(path.error(format_args!("{path} is not a namespace"))),
    }
}

/// Whether an opened namespace is the one that the caller is in.
///
/// # Errors
/// The kernel's.
pub fn is_own(namespace: &Opened) -> Result<bool> {
    let Some(kind) = TYPES.iter().find(|kind| kind.flag == namespace.flag) else { return Ok(false) };
    let failed = |errno: Errno| fail!(errno => "cannot look at the own {} namespace", kind.word);
    let own = stat(kind.file).map_err(failed)?;
    let other = fstat(&namespace.fd).map_err(failed)?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

/// Enters all of `namespaces`; pid and time namespaces for the caller's children
/// alone, as they are.
///
/// A user namespace is entered between the others: first those that the
/// caller's own privileges reach (a network namespace that belongs to the
/// host's user namespace cannot be entered from below it), then the user
/// namespace, then those that it takes the new one's privileges for.
///
/// # Errors
/// The kernel's, with the type.
pub fn enter(namespaces: &[Opened]) -> Result<()> {
    let user = namespaces.iter().find(|namespace| namespace.flag == flags::USER);
    let mut later: Vec<&Opened, 8> = Vec::new();
    for namespace in namespaces.iter().filter(|namespace| namespace.flag != flags::USER) {
        match enter_one(namespace.fd.as_fd(), namespace.flag) {
            Ok(()) => {}
            Err(Errno::PERM) if user.is_some() && later.push(namespace).is_ok() => {}
            Err(errno) => return Err(cannot(errno, namespace.flag)),
        }
    }
    for namespace in user.into_iter().chain(later) {
        enter_one(namespace.fd.as_fd(), namespace.flag).map_err(|errno| cannot(errno, namespace.flag))?;
    }
    Ok(())
}

/// Enters the namespaces of the process that `pidfd` refers to, those whose
/// flags are in `which`, in one step or not at all.
///
/// # Errors
/// The kernel's: ESRCH where the process is gone.
pub fn enter_of(pidfd: BorrowedFd<'_>, which: u64) -> Result<()> {
    enter_one(pidfd, which).map_err(|errno| fail!(errno => "cannot enter the namespaces of the process"))
}

fn enter_one(fd: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    // The same call takes a namespace with its type and a pidfd with several.
    move_into_thread_name_spaces(fd, ThreadNameSpaceType::from_bits_retain(flags as u32))
}

#[cold]
fn cannot(errno: Errno, flag: u64) -> crate::error::Error {
    fail!(errno => "cannot enter the {} namespace", flags::word(flag))
}
