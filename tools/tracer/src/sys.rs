//! The few system calls of a tracer: ptrace(2), waitpid(2), tkill(2).
#![allow(unsafe_code, reason = "no crate wraps PTRACE_SEIZE, real-time signals and PTRACE_GET_SYSCALL_INFO safely")]

use std::io::{Error, PipeReader, PipeWriter, Read, Result, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub type Tid = libc::pid_t;

/// What the tracer wants to be told of, and that its death is the tracees'.
const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_EXITKILL;

/// A request whose arguments are integers, or pointers that outlive the call.
///
/// # Safety
/// `address` and `data` are what ptrace(2) says of `request`.
unsafe fn ptrace(request: libc::c_uint, tid: Tid, address: usize, data: usize) -> Result<usize> {
    // SAFETY: the caller's; tracees are other processes, so nothing of ours changes.
    match unsafe { libc::ptrace(request, tid, address, data) } {
        -1 => Err(Error::last_os_error()),
        value => Ok(value as usize),
    }
}

/// PTRACE_SEIZE: attaches without stopping it.
pub fn seize(tid: Tid) -> Result<()> {
    // SAFETY: integers only.
    unsafe { ptrace(libc::PTRACE_SEIZE, tid, 0, OPTIONS as usize) }.map(drop)
}

/// PTRACE_INTERRUPT: it will stop with PTRACE_EVENT_STOP.
pub fn interrupt(tid: Tid) -> Result<()> {
    // SAFETY: integers only.
    unsafe { ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0) }.map(drop)
}

/// How a stopped tracee goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// To the next entry to or exit from a system call.
    ToSystemCall,
    /// Stays stopped, as job control wants it, until SIGCONT.
    Listen,
    /// On its own.
    Detach,
}

pub fn resume(tid: Tid, how: Resume, signal: i32) -> Result<()> {
    let request = match how {
        Resume::ToSystemCall => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
        Resume::Detach => libc::PTRACE_DETACH,
    };
    // SAFETY: integers only.
    unsafe { ptrace(request, tid, 0, signal as usize) }.map(drop)
}

/// PTRACE_GETEVENTMSG: the new task's id, or the former id of the task that
/// has executed, both in our pid namespace.
pub fn event_message(tid: Tid) -> Result<u64> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: an unsigned long that outlives the call.
    unsafe { ptrace(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize) }?;
    Ok(message)
}

/// At which edge of a system call a tracee stands.
pub enum Edge {
    Entry { number: u64, arguments: [u64; 6] },
    Exit { value: i64 },
}

/// PTRACE_GET_SYSCALL_INFO.
pub fn system_call(tid: Tid) -> Result<Option<Edge>> {
    // `struct ptrace_syscall_info`: op and arch in the first word, then the
    // instruction and stack pointers, then either the number and six arguments
    // or the value returned.
    let mut info = [0u64; 11];
    // SAFETY: a buffer of the size given, which is larger than the structure.
    unsafe { ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size_of_val(&info), info.as_mut_ptr() as usize) }?;
    let [op, _, _, value, arguments @ ..] = info;
    Ok(match op as u8 {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            let [a, b, c, d, e, f, ..] = arguments;
            Some(Edge::Entry { number: value, arguments: [a, b, c, d, e, f] })
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => Some(Edge::Exit { value: value as i64 }),
        _ => None,
    })
}

/// The next change of a tracee of this thread: its id and raw status. `None`
/// when it has none.
pub fn wait() -> Result<Option<(Tid, i32)>> {
    loop {
        let mut status = 0;
        // SAFETY: an int that outlives the call.
        let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if tid > 0 {
            return Ok(Some((tid, status)));
        }
        match Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
}

/// Kills the task, and with it its thread group. One that is gone is dead enough.
pub fn kill(tid: Tid) {
    // SAFETY: integers only.
    unsafe { libc::syscall(libc::SYS_tkill, tid, libc::SIGKILL) };
}

/// Makes the command tell its process id and wait for a byte before it becomes
/// the program.
pub fn wait_before_exec(command: &mut Command, mut tell: PipeWriter, mut go: PipeReader) {
    let gate = move || {
        tell.write_all(&std::process::id().to_ne_bytes())?;
        go.read_exact(&mut [0])
    };
    // SAFETY: between fork and exec it only calls getpid, write and read, all
    // of which are async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(gate) };
}
