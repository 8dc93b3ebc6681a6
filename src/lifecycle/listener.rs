//! The listener of a seccomp filter, on its way to whoever answers (config-linux.md,
//! "Seccomp", `listenerPath`).

use core::ffi::CStr;

use super::handshake::{Channel, Message};
use crate::error::Result;
use crate::spec::config::Config;
use crate::spec::state::StateDocument;
use crate::sys::{AsFd, OwnedFd};
use crate::terminal::console_socket;

/// Who answers, and what they are told.
pub struct Agent<'a> {
    path: &'a CStr,
    message: &'a [u8],
}

impl<'a> Agent<'a> {
    /// The agent at the socket `path`, for the process `pid` of the container.
    /// `buffer`: room for the message.
    pub fn new(
        path: &'a CStr,
        config: &Config<'_>,
        state: &StateDocument<'_>,
        pid: i32,
        buffer: &'a mut [u8],
    ) -> Result<Agent<'a>> {
        let seccomp = config.linux().and_then(|linux| linux.seccomp());
        let metadata = seccomp.and_then(|seccomp| seccomp.listener_metadata());
        let length = state.write_with_listener(pid, metadata, buffer)?;
        Ok(Agent { path, message: buffer.get(..length).unwrap_or(&[]) })
    }
}

/// The hand-over, as far as it has come.
#[derive(Default)]
pub struct HandOver(Option<OwnedFd>);

impl HandOver {
    /// What the process says of its listener: first that there will be one, when
    /// the agent must be there, and then the listener itself.
    pub fn step(&mut self, channel: &Channel, listener: Option<OwnedFd>, agent: &Agent<'_>) -> Result<()> {
        match (&self.0, listener) {
            (Some(socket), Some(listener)) => console_socket::send(socket.as_fd(), listener.as_fd(), agent.message),
            _ => {
                self.0 = Some(console_socket::connect("seccomp agent", agent.path)?);
                channel.send(Message::Known)
            }
        }
    }
}
