//! Pseudo-terminals: one to sit in front of, and the receiver of those that
//! a runtime sends over a console socket.

use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::Winsize;

/// The master side of a pty.
pub struct Terminal {
    master: std::fs::File,
    /// Everything read so far.
    pub screen: String,
}

impl Terminal {
    pub fn open() -> Result<Terminal> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        Ok(Terminal::from(master))
    }

    /// The other side's path.
    pub fn path(&self) -> Result<PathBuf> {
        let name = ptsname(&self.master, Vec::new())?;
        Ok(PathBuf::from(name.into_string()?))
    }

    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.master, size)?)
    }

    pub fn size(&self) -> Result<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(&self.master)?;
        Ok((size.ws_row, size.ws_col))
    }

    pub fn fd(&self) -> &impl AsFd {
        &self.master
    }

    /// Types text.
    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.master.write_all(text.as_bytes())?)
    }

    /// Reads until the screen holds `text`, for a few seconds; what was read
    /// before it was found counts as well.
    pub fn expect(&mut self, text: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(8);
        while !self.screen.contains(text) {
            if Instant::now() > end || !self.read_some()? {
                bail!("the terminal never showed {text:?}, only {:?}", self.screen);
            }
        }
        Ok(())
    }

    /// Reads until the other side has closed.
    pub fn drain(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(8);
        while self.read_some()? {
            if Instant::now() > end {
                bail!("the terminal stays open; it showed {:?}", self.screen);
            }
        }
        Ok(())
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.screen.clear();
    }

    /// False once the other side is closed. Waits for 100 ms at most.
    fn read_some(&mut self) -> Result<bool> {
        let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&wait))? == 0 {
            return Ok(true);
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.screen.push_str(&String::from_utf8_lossy(&buffer[..length]));
                Ok(true)
            }
            // EIO: nobody has the other side open (pty(7)).
            Err(error) if error.raw_os_error() == Some(5) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl From<OwnedFd> for Terminal {
    fn from(master: OwnedFd) -> Terminal {
        Terminal { master: master.into(), screen: String::new() }
    }
}

/// Puts a command in front of a terminal, as its session's leader.
pub fn in_terminal(command: &Command, terminal: &Terminal) -> Result<Command> {
    let mut wrapped = Command::new(std::env::current_exe()?);
    wrapped.args(["--helper", "terminal"]).arg(terminal.path()?).arg("--");
    wrapped.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    Ok(wrapped)
}

/// A console socket, on which an engine waits for a container's terminal.
pub struct ConsoleSocket {
    listener: UnixListener,
    pub path: PathBuf,
}

impl ConsoleSocket {
    pub fn bind(folder: &Path) -> Result<ConsoleSocket> {
        let path = folder.join("console.sock");
        let _ = std::fs::remove_file(&path);
        Ok(ConsoleSocket { listener: UnixListener::bind(&path)?, path })
    }

    /// The terminal that was sent, and the message that came with it.
    pub fn receive(&self) -> Result<(Terminal, String)> {
        let wait = Timespec { tv_sec: 5, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&wait))? == 0 {
            bail!("nobody connected to the console socket");
        }
        let (stream, _) = self.listener.accept()?;
        if poll(&mut [PollFd::new(&stream, PollFlags::IN)], Some(&wait))? == 0 {
            bail!("nothing came over the console socket");
        }
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(&stream, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                descriptors.extend(rights);
            }
        }
        same!(descriptors.len(), 1, "descriptors that came over the console socket");
        let master = descriptors.pop().context("no descriptor")?;
        Ok((Terminal::from(master), String::from_utf8_lossy(&text[..message.bytes]).into_owned()))
    }
}
