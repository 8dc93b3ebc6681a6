//! What the container's first process has its maker do about its mounts: both
//! ends of the conversation (`rootfs::Ask` says what it is about).
//!
//! The source of a bind may lie under a folder that the root of a user namespace
//! cannot enter. A helper of the maker's enters the process's mount namespace, with
//! the maker's rights, and opens it there: what is then cloned is locked as all
//! that the process has from the host is, and takes no part in the host's mounts.
//!
//! Ids are mapped by the maker itself, on a mount that is attached nowhere yet.

use core::ffi::CStr;

use super::birth::clone_process;
use super::container::Process;
use super::delete::end_child;
use super::handshake::{Buffer, Channel, Message, Received};
use super::process::die_with_parent;
use super::ready::nothing_else;
use super::{holder, interrupt};
use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::json::{PathBuffer, Text};
use crate::namespace::{self, IdMap, flags};
use crate::spec::config::{Config, Mount};
use crate::sys::fs::{Mode, OFlags, open};
use crate::sys::process::{WaitId, WaitIdOptions, chdir, geteuid, waitid};
use crate::sys::{self, AsFd, BorrowedFd, CloneFlags, OwnedFd};
use crate::{fail, limits, rootfs};

/// The process's end.
pub fn ask(channel: &Channel, place: usize, tree: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>> {
    let text = Printed::<32>::of(format_args!("{place}"));
    let message = if tree.is_some() { Message::MapIds } else { Message::Source };
    channel.send_with(message, text.as_bytes(), tree)?;
    let mut buffer: Buffer = [0; _];
    match channel.receive(&mut buffer)? {
        Some(received) if received.message == Message::Done => Ok(received.descriptor),
        _ => Err(fail!("the runtime has died")),
    }
}

/// The maker's end.
pub struct Outside<'a, 'c> {
    pub config: &'a Config<'c>,
    pub bundle: &'static CStr,
    /// Room for the maps of mounts.
    pub maps: (&'a mut IdMap, &'a mut IdMap),
    /// The process has a mount namespace that was made for it: nobody else has put
    /// anything on the way of a path in there.
    pub own_mounts: bool,
}

impl Outside<'_, '_> {
    /// Does what the process has asked for.
    ///
    /// # Errors
    /// It asked for something else, or the ids cannot be mapped.
    pub fn answer(&mut self, channel: &Channel, process: &Process, received: Received<'_>) -> Result<()> {
        let place = bytes::decimal(received.text).and_then(|place| usize::try_from(place).ok());
        let mount = self.config.mounts().iter().find(|mount| Some(mount.value().offset()) == place);
        match (received.message, mount, received.descriptor) {
            (Message::Source, mount, None) => {
                let source = match mount {
                    Some(mount) => mount.source(),
                    None => self.config.root().and_then(|root| root.path()),
                };
                match source {
                    Some(source) if self.own_mounts => self.open(channel, process, source),
                    _ => channel.send(Message::Done),
                }
            }
            (Message::MapIds, Some(mount), Some(tree)) => {
                if !geteuid().is_root() {
                    return Err(mount.value().error(format_args!("an ordinary user may not map the ids of a mount")));
                }
                let namespace = self.namespace(process, &mount)?;
                rootfs::map_ids(&mount, tree.as_fd(), namespace.as_fd())?;
                channel.send(Message::Done)
            }
            (message, _, descriptor) => nothing_else(Received { message, descriptor, ..received }),
        }
    }

    /// Has a helper open `source` and hand it over.
    fn open(&self, channel: &Channel, process: &Process, source: Text<'_>) -> Result<()> {
        let Some(helper) = clone_process(CloneFlags::empty(), None)? else {
            let _ = die_with_parent(channel);
            let opened = self.open_beside(process, source);
            let sent = channel.send_with(Message::Done, b"", opened.as_ref().ok().map(|fd| fd.as_fd()));
            sys::exit(sent.is_err().into())
        };
        interrupt::wait(&[helper.pidfd.as_fd()]).inspect_err(|_| end_child(&helper))?;
        match waitid(WaitId::PidFd(helper.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) if status.exit_status() == Some(0) => Ok(()),
            _ => Err(fail!("the helper that opens {source} has died")),
        }
    }

    /// In the helper.
    fn open_beside(&self, process: &Process, source: Text<'_>) -> Result<OwnedFd> {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let source = source.c_str(&mut buffer)?;
        namespace::enter_of(process.pidfd.as_fd(), flags::MOUNT)?;
        chdir(self.bundle)
            .and_then(|()| open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))
            .map_err(|errno| fail!(errno => "cannot open it"))
    }

    /// The user namespace whose map a mount is to have: one made for its own
    /// mappings, or else the container's.
    fn namespace(&mut self, process: &Process, mount: &Mount<'_>) -> Result<OwnedFd> {
        if !mount.maps_ids() {
            return holder::open_of(process);
        }
        self.maps.0.read(mount.uid_mappings())?;
        self.maps.1.read(mount.gid_mappings())?;
        holder::make(&*self.maps.0, &*self.maps.1)
    }
}
