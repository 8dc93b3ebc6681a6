//! QEMU as a child process: it inherits one end of each channel, and does not
//! outlive us, however we end.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::sys;

/// The program, in PATH.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Lines of QEMU's own messages that are kept.
const MESSAGES: usize = 100;

/// A program of PATH or of where Debian puts those that are not for users.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib/qemu", "/usr/lib"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// QEMU, or how to get it.
pub fn program() -> Result<PathBuf> {
    find_program(PROGRAM).with_context(|| format!("no {PROGRAM} here (Debian: apt-get install qemu-system-x86)"))
}

/// A command line in the making.
pub struct Builder {
    arguments: Vec<String>,
    kept: Vec<OwnedFd>,
}

impl Builder {
    pub fn new(arguments: Vec<String>) -> Builder {
        Builder { arguments, kept: Vec::new() }
    }

    pub fn add<const N: usize>(&mut self, words: [&str; N]) -> &mut Builder {
        self.arguments.extend(words.map(String::from));
        self
    }

    /// The number under which QEMU will have this descriptor.
    pub fn keep(&mut self, descriptor: OwnedFd) -> RawFd {
        let number = descriptor.as_raw_fd();
        self.kept.push(descriptor);
        number
    }

    /// A character device of QEMU's that is a socket; the other end of it.
    pub fn channel(&mut self, id: &str) -> Result<OwnedFd> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .context("cannot make a socket pair")?;
        let number = self.keep(theirs);
        self.add(["-chardev", &format!("socket,id={id},fd={number}")]);
        Ok(ours)
    }

    pub fn start(self) -> Result<Process> {
        let program = program()?;
        let mut command = Command::new(&program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A terminal's signals are for us: QEMU ends when we say so.
        command.process_group(0);
        Process::start(command, self.kept)
    }
}

/// A child process that ends with its owner.
pub struct Process {
    child: Child,
    messages: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    pub fn start(mut command: Command, kept: Vec<OwnedFd>) -> Result<Process> {
        sys::inherit(&mut command, kept.iter().map(AsRawFd::as_raw_fd).collect());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        drop(kept);
        let messages = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| {
            let messages = Arc::clone(&messages);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let Ok(mut messages) = messages.lock() else { return };
                    if messages.len() < MESSAGES {
                        messages.push(String::from_utf8_lossy(&line).trim().to_owned());
                    }
                }
            })
        });
        Ok(Process { child, messages, reader })
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end for so long.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it said on its standard error; all of it once it has ended.
    pub fn messages(&mut self) -> Vec<String> {
        if self.ended().is_some()
            && let Some(reader) = self.reader.take()
        {
            let _ = reader.join();
        }
        self.messages.lock().map(|messages| messages.clone()).unwrap_or_default()
    }

    /// The last thing it complained of; warnings count for less.
    pub fn complaint(&mut self) -> Option<String> {
        let messages = self.messages();
        let is_error = |line: &&String| !line.is_empty() && !line.contains(": warning: ");
        let line = messages.iter().rfind(is_error).or_else(|| messages.iter().rfind(|line| !line.is_empty()))?;
        Some(line.trim_start_matches(PROGRAM).trim_start_matches(": ").to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A file that is gone from its folder but still open, as a path for a child that inherits it.
pub fn path_of(builder: &mut Builder, file: File) -> String {
    format!("/proc/self/fd/{}", builder.keep(file.into()))
}
