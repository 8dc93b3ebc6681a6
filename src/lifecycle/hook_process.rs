//! The process of one hook, from its birth to its end, as the helper of `hooks`
//! sees it.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::container::Process;
use super::handshake::Channel;
use super::proc::stat_field;
use super::process_plan::Buffers;
use crate::bytes::{self, Printed};
use crate::error::Lossy;
use crate::sys::event::{PollFd, PollFlags, poll};
use crate::sys::fs::{OFlags, RawDir, SeekFrom, seek};
use crate::sys::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal,
    wait, waitid,
};
use crate::sys::time::Timespec;
use crate::sys::{
    self, AsFd, BorrowedFd, Child, CloneFlags, CloneRequest, Errno, OwnedFd, Procfs, SignalSet, io, stdio,
};
use crate::{fail, limits};

/// A hook under way.
pub struct HookProcess {
    process: Process,
    /// What it says: both its standard output and error.
    output: OwnedFd,
    /// The end of what it has said.
    said: [u8; limits::HOOK_SAID],
    length: usize,
}

impl HookProcess {
    /// Starts `path` with the vectors that stand in `buffers`, and `input` as
    /// standard input.
    pub fn start(path: &CStr, buffers: &Buffers, input: BorrowedFd<'_>) -> Result<HookProcess, Errno> {
        let helper = getpid();
        seek(input, SeekFrom::Start(0))?;
        let (output, end) = sys::pipe()?;
        match sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None })? {
            Child::Created { pid, pidfd } => {
                let process = Process { pid, pidfd };
                Ok(HookProcess { process, output, said: [0; limits::HOOK_SAID], length: 0 })
            }
            Child::Myself => {
                let errno = become_hook(path, buffers, input, end.as_fd(), helper);
                let error = fail!(errno => "cannot be executed");
                let _ = sys::write_all(end.as_fd(), error.text(&mut [0; limits::MESSAGE]).as_bytes());
                sys::exit(127)
            }
        }
    }

    /// Waits for its end, up to `seconds`: gives its status, or below zero the
    /// signal that ended it; `None` where it takes longer.
    ///
    /// When the other side of `runtime` is gone, everything ends.
    pub fn watch(&mut self, seconds: Option<i64>, runtime: &Channel) -> Option<i32> {
        let deadline = seconds.map(|seconds| now().saturating_add(seconds.saturating_mul(1000)));
        let (mut is_open, mut has_ended) = (true, false);
        // What it has said before its end is read, but not what others that hold
        // the pipe may go on saying forever.
        let mut reads_left = limits::HOOK_PIPE_READS;
        loop {
            let pidfd = self.process.pidfd.as_fd();
            let mut fds = [
                PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
                PollFd::from_borrowed_fd(runtime.fd(), PollFlags::empty()),
                PollFd::from_borrowed_fd(if is_open { self.output.as_fd() } else { pidfd }, PollFlags::IN),
            ];
            let left = if has_ended { Some(0) } else { deadline.map(|deadline| deadline.saturating_sub(now()).max(0)) };
            let timeout = left.map(|left| Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 });
            let _ = poll(&mut fds, timeout.as_ref()); // what fails for lack of memory is tried again
            let [gone, hung_up, readable] = fds.map(|fd| !fd.revents().is_empty());
            if hung_up {
                end_all();
                sys::exit(1);
            }
            if readable && is_open && reads_left > 0 {
                is_open = self.read();
                reads_left -= usize::from(has_ended);
            } else if has_ended {
                let status = waitid(WaitId::PidFd(self.process.pidfd.as_fd()), WaitIdOptions::EXITED).ok()??;
                return status.exit_status().or(status.terminating_signal().map(|signal| -signal));
            }
            if gone {
                has_ended = true;
            } else if left == Some(0) {
                return None;
            }
        }
    }

    /// Reads once. Whether there may be more.
    fn read(&mut self) -> bool {
        let mut buffer = [0; limits::HOOK_SAID];
        let length = io::read(&self.output, &mut buffer[..]).unwrap_or(0);
        // What was said first makes room.
        let over = (self.length + length).saturating_sub(limits::HOOK_SAID);
        self.said.copy_within(over.min(self.length)..self.length, 0);
        self.length -= over.min(self.length);
        let places = self.said.iter_mut().skip(self.length);
        places.zip(buffer.iter().take(length)).for_each(|(place, byte)| *place = *byte);
        self.length += length;
        length > 0
    }

    /// The end of what it has said.
    pub fn said(&self) -> Lossy<'_> {
        Lossy(self.said.get(..self.length).unwrap_or(&[]).trim_ascii())
    }
}

/// Milliseconds of a clock that is never set.
fn now() -> i64 {
    sys::monotonic().map_or(0, |(seconds, nanoseconds)| seconds * 1000 + i64::from(nanoseconds) / 1_000_000)
}

/// The new process becomes the hook. Returns only on failure.
fn become_hook(path: &CStr, buffers: &Buffers, input: BorrowedFd<'_>, output: BorrowedFd<'_>, helper: Pid) -> Errno {
    const KILL_AND_STOP: u64 = 1 << 8 | 1 << 18;
    let prepared = set_parent_process_death_signal(Some(Signal::KILL))
        .and_then(|()| if getppid() == Some(helper) { Ok(()) } else { Err(Errno::SRCH) })
        .and_then(|()| stdio::dup2_stdin(input))
        .and_then(|()| stdio::dup2_stdout(output))
        .and_then(|()| stdio::dup2_stderr(output))
        .and_then(|()| sys::close_range_on_exec(3))
        .and_then(|()| sys::ignored_to_default(SignalSet(!KILL_AND_STOP)))
        .and_then(|()| sys::signal_mask(SignalSet::NONE));
    match prepared {
        Ok(()) => sys::execve(path, buffers.arguments, buffers.environment),
        Err(errno) => errno,
    }
}

/// Kills all children of this process, and what they have started: whose parent
/// ends becomes a child of ours. Gives up after a while, as a process in an
/// uninterruptible call does not end.
pub fn end_all() {
    let until = now() + 10_000;
    // Without /proc nobody can be found; what is in the container ends with it.
    let Ok(procfs) = Procfs::open() else { return };
    while now() < until {
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if !kill_children(&procfs).unwrap_or(false) {
            return;
        }
        let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
    }
}

/// Kills the children that there are, and says whether there were any. They are
/// looked for among all processes: not every kernel has a list of them
/// (CONFIG_PROC_CHILDREN).
fn kill_children(procfs: &Procfs) -> Result<bool, Errno> {
    let own = getpid().as_raw_nonzero().get();
    let mut any = false;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(procfs.open_file(c".", OFlags::DIRECTORY)?, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let number = bytes::decimal(entry.file_name().to_bytes()).and_then(|number| i32::try_from(number).ok());
        if let Some(pid) = number.and_then(Pid::from_raw)
            && is_child_of(procfs, pid, own)
        {
            // A child that is not reaped keeps its number.
            any |= kill_process(pid, Signal::KILL).is_ok();
        }
    }
    Ok(any)
}

/// By its /proc/PID/stat (proc_pid_stat(5), ppid). One that has just ended is not.
fn is_child_of(procfs: &Procfs, pid: Pid, parent: i32) -> bool {
    const PPID: usize = 4;
    let path = Printed::<32>::of(format_args!("{}/stat", pid.as_raw_nonzero())); // it fits
    let mut buffer = [0; 1024];
    let file = procfs.open_file(path.as_c_str(), OFlags::RDONLY);
    let Ok(length) = file.and_then(|file| io::read(&file, &mut buffer[..])) else { return false };
    stat_field(buffer.get(..length).unwrap_or(&[]), PPID) == Some(parent.unsigned_abs().into())
}
