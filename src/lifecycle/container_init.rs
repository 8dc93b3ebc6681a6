//! The container's first process: the steps from its birth to the user's
//! program, in their order.
//!
//! It is born by clone3 in its namespaces and its cgroup, with all signals
//! blocked, and dies with its parent until that says `Created`. See `handshake`
//! for the conversation.

use core::ffi::CStr;

use super::birth::open_procfs;
use super::create::Setup;
use super::gate::{self, Gate, WaitError};
use super::handshake::{Channel, Message};
use super::process::{self, die_with_parent};
use crate::cgroup::Hierarchy;
use crate::error::{Error, Result};
use crate::identity;
use crate::json::PathBuffer;
use crate::namespace::flags;
use crate::rootfs::{self, HostDevices, MountContext};
use crate::sys::process::{chdir, setsid};
use crate::sys::{self, AsFd, Errno};
use crate::{fail, limits};

/// Where the word to go comes from.
pub enum Start {
    /// `create`: through the gate, from a later `start`.
    Gate(Gate),
    /// `run`: from the parent.
    Parent,
}

/// The child's whole life. Never returns: what follows is the user's program.
pub fn main(setup: &mut Setup<'_>, channel: Channel, start: Start) -> ! {
    let mut path = [0; limits::PATH];
    let status = match become_ready(setup, &channel, &mut path) {
        Err(error) => tell(&channel, error),
        Ok(program) => {
            let starter = match await_handover(&channel).map_err(WaitError::Failed) {
                Err(error) => Err(error),
                Ok(()) => match &start {
                    Start::Gate(gate) => gate.wait(),
                    Start::Parent => gate::wait_for_parent(&channel).map(|()| channel),
                },
            };
            match starter {
                Ok(starter) => tell(&starter, process::execute(&setup.process, program)),
                Err(WaitError::Signal(signal)) => 128 + signal as i32,
                Err(WaitError::Failed(_)) => 1, // nobody is left to be told
            }
        }
    };
    sys::exit(status)
}

/// Tells whoever listens why the process ends. Gives the status to end with.
pub fn tell(channel: &Channel, error: Error) -> i32 {
    let mut text = heapless::String::<{ limits::MESSAGE }>::new();
    let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{error}")); // as long as an error can be
    // Where nobody listens, nobody is told.
    let _ = channel.send_with(Message::Failed, text.as_bytes(), None);
    1
}

/// Everything up to the wait. Gives the program's path.
fn become_ready<'b>(setup: &mut Setup<'_>, channel: &Channel, path: &'b mut PathBuffer) -> Result<&'b CStr> {
    die_with_parent(channel)?;
    chdir(setup.bundle).map_err(|errno| fail!(errno => "cannot enter the bundle"))?;
    setup.namespaces.finish()?;
    if setup.namespaces.has(flags::USER) {
        become_root(setup, channel)?;
    }
    setsid().map_err(|errno| fail!(errno => "cannot begin a session"))?;
    join_session_keyring(setup.keyring)?;
    set_names(setup)?;
    let config = setup.config;
    let linux = config.linux();
    let host = HostDevices::collect(&config, setup.namespaces.has(flags::USER))?;
    let has_mounts = setup.namespaces.has(flags::MOUNT);
    if has_mounts {
        build_root(setup)?;
    } else {
        rootfs::change_root(setup.root.relative)?;
    }
    if rootfs::sets_up_dev(&config) {
        rootfs::make_devices(&config, &host)?;
    }
    process::prepare_stdio(&setup.process, channel, rootfs::bind_console)?;
    if has_mounts && let Some(linux) = linux {
        rootfs::mask(linux.masked_paths(), &host)?;
        rootfs::make_read_only(linux.readonly_paths())?;
        rootfs::set_propagation(linux.rootfs_propagation())?;
    }
    if has_mounts && config.root().and_then(|root| root.readonly()) == Some(true) {
        rootfs::make_root_read_only()?;
    }
    let program = process::prepare(&mut setup.process, channel, false, path)?;
    channel.send(Message::Ready)?;
    Ok(program)
}
