//! A terminal for a process: the pseudo-terminal itself, the socket that its
//! master side is sent over, and the relay between it and our own terminal.
//!
//! Knows nothing of containers.

pub mod console_socket;
pub mod pty;
pub mod raw_mode;
pub mod relay;
