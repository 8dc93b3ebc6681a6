//! Readiness: where whoever started us wants to hear of it (sd_notify(3),
//! `NOTIFY_SOCKET`), the container gets a socket of its own, and what comes there
//! is passed on. Its process could not reach the other, nor would be believed.
//!
//! `create` makes the folder of the socket, in the state directory, for the
//! container to mount; whoever starts the process makes the socket, and waits.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::arena::Arena;
use super::container::Process;
use super::state_file::Folder;
use super::{gate, interrupt};
use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::json::{Document, Extents, PathBuffer};
use crate::limits;
use crate::rootfs::{self, MountContext, Root};
use crate::spec::record::{List, Shape};
use crate::spec::write::Json;
use crate::sys::fs::{self, AtFlags, CWD, Mode, OFlags, chmodat, mkdirat, openat, readlinkat_raw};
use crate::sys::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv, sendto, socket,
};
use crate::sys::{AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd};
use crate::word_list;

/// Where the socket is in the container, as with runc.
pub const VARIABLE: &CStr = c"NOTIFY_SOCKET=/run/notify/notify.sock";

/// Makes the folder, for all users of the container. Gives its path.
pub fn prepare(folder: &Folder, arena: &mut Arena<'static>) -> Result<&'static CStr> {
    let failed = |errno: Errno| fail!(errno => "cannot make a folder for the notify socket");
    mkdirat(folder.fd(), c"notify", Mode::RWXU).map_err(failed)?;
    // Whatever the mask.
    chmodat(folder.fd(), c"notify", Mode::from_raw_mode(0o755), AtFlags::empty()).map_err(failed)?;
    let name = descriptor_path(folder.fd());
    let mut buffer = [MaybeUninit::uninit(); limits::PATH];
    let (path, _) = readlinkat_raw(CWD, name.as_c_str(), &mut buffer).map_err(failed)?;
    arena.join(&[path, b"/notify"])
}

/// What leads to where an open descriptor is.
fn descriptor_path(fd: BorrowedFd<'_>) -> Printed<32> {
    Printed::of(format_args!("/proc/self/fd/{}", fd.as_raw_fd())) // ten digits at most: it fits
}

/// Opens the folder at `path`, for [`mount`].
pub fn open(path: &'static CStr) -> Result<OwnedFd> {
    fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| fail!(errno => "cannot open the folder of the notify socket"))
}

/// Mounts the folder into the container, as `mounts[]` would.
#[inline(never)]
pub fn mount(folder: BorrowedFd<'_>, root: &Root, context: &MountContext<'_>) -> Result<()> {
    let source = descriptor_path(folder);
    let mut buffer = [b'['; 256];
    let mount = Json::Object(&[
        ("destination", Json::Text("/run/notify")),
        ("type", Json::Text("bind")),
        ("source", Json::Text(source.as_str())),
        ("options", Json::Words(word_list!("bind ro nosuid nodev noexec"))),
    ]);
    let length = mount.write("the mount of the notify socket", buffer.get_mut(1..).unwrap_or(&mut []))?;
    if let Some(end) = buffer.get_mut(length + 1) {
        *end = b']';
    }
    let mut extents = Extents::new();
    let document = Document::parse("the notify socket", buffer.get(..length + 2).unwrap_or(&[]), &mut extents)?;
    let mounts = <List<'static, crate::spec::config::Mount<'static>> as Shape>::field(Some(document.root()));
    rootfs::mount_all(root, mounts, context).map(drop)
}

/// The container's socket, and whose it stands for.
pub struct Notify {
    socket: OwnedFd,
    target: &'static [u8],
}

impl Notify {
    /// Makes the socket; `None` where `create` was not asked for it.
    pub fn listen(folder: &Folder, target: &'static [u8]) -> Result<Option<Notify>> {
        let failed = |errno: Errno| fail!(errno => "cannot make the notify socket");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = match openat(folder.fd(), c"notify", flags, Mode::empty()) {
            Ok(place) => place,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let socket = datagram_socket().map_err(failed)?;
        bind(&socket, &gate::address(place.as_fd(), "notify.sock")?).map_err(failed)?;
        // For all users of the container.
        chmodat(&place, c"notify.sock", Mode::from_raw_mode(0o666), AtFlags::empty()).map_err(failed)?;
        Ok(Some(Notify { socket, target }))
    }

    /// To wait on.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes a message. If it says that the container is ready, that is passed on,
    /// with the pid of its process where it shall be taken for ours, and all is
    /// done.
    pub fn pass(&self, pid: Option<i32>) -> Result<bool> {
        let mut buffer: PathBuffer = [0; _];
        // Descriptors that come with it are closed by the kernel: as a barrier
        // (sd_notify_barrier(3)) wants it.
        let Ok((_, length)) = recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) else { return Ok(false) };
        let message = buffer.get(..length).unwrap_or(&[]);
        if !bytes::split(message, b'\n').any(|line| line == b"READY=1") {
            return Ok(false);
        }
        let mut text = Printed::<64>::of(format_args!("READY=1"));
        if let Some(pid) = pid {
            text.add(format_args!("\nMAINPID={pid}"));
        }
        let failed = |errno: Errno| fail!(errno => "cannot tell {} that the container is ready", Lossy(self.target));
        send(self.target, text.as_bytes()).map_err(failed)?;
        Ok(true)
    }

    /// Waits until the process is ready, or has ended: then what it has still said
    /// counts, but not all that others may go on to say.
    pub fn await_ready(&self, process: &Process) -> Result<()> {
        let pid = Some(process.number());
        while interrupt::wait(&[process.pidfd.as_fd(), self.fd()])? == 1 {
            if self.pass(pid)? {
                return Ok(());
            }
        }
        for _ in 0..limits::LAST_MESSAGES {
            if self.pass(pid)? {
                break;
            }
        }
        Ok(())
    }
}

fn datagram_socket() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC)
}

/// To a socket by its path or, behind an `@`, its abstract name (unix(7)).
fn send(target: &[u8], text: &[u8]) -> Result<(), Errno> {
    let mut buffer = [0; 128];
    let address = match bytes::after(target, "@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(bytes::join(&mut buffer, &[target]).ok_or(Errno::NAMETOOLONG)?)?,
    };
    sendto(datagram_socket()?, text, SendFlags::NOSIGNAL, &address).map(drop)
}
