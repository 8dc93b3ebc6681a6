//! The kernel: one wrapper per system call.
//!
//! Most are rustix's, re-exported here so that whoever imports this module can
//! be seen to touch the kernel; the files below add those that rustix lacks.
//! This folder and the entry point are the only places with `unsafe`.
//!
//! Knows nothing of containers.
#![allow(unsafe_code, reason = "the calls themselves")]

mod bpf;
mod clock;
mod clone;
mod descriptor;
mod exec;
mod file;
mod interface;
mod io_port;
mod kept;
mod locked_mounts;
mod message;
mod misc;
mod module;
mod mount;
mod owned;
mod procfs;
mod raw;
mod schedule;
mod seccomp;
mod shared;
mod signal;
mod socket;
mod standard;
mod terminal;
mod uevent;
mod vsock;

pub use bpf::{
    CGROUP_PROGRAMS, ProgramInfo, ProgramName, bpf_cgroup_device_attach, bpf_cgroup_device_detach,
    bpf_cgroup_device_load, bpf_cgroup_device_programs, bpf_program_by_id, bpf_program_info,
};
pub use clock::{Deadline, boot_time, monotonic, realtime};
pub use clone::{Child, CloneFlags, CloneRequest, clone3, unshare};
pub use descriptor::{borrow_raw, duplicate};
pub use exec::{PointerTable, Strings, Vector, execve, execveat};
pub use file::{kernel_log, read_all, read_file, write_all};
pub use interface::set_interface_up;
pub use io_port::write_io_port;
pub use kept::{close_at_once, close_copy, done, keep, kept_done};
pub use locked_mounts::locked_mount_namespace;
pub use message::{receive_message, send_message};
pub use misc::{
    close_all_but, close_range_on_exec, cwd_is_reachable, exit, keyctl_join_session_keyring, namespace_type,
};
pub use module::finit_module;
pub use mount::{Attributes, mount_map_ids, mount_setattr};
pub use owned::{OwnedFd, pipe};
pub use procfs::Procfs;
pub use schedule::{SchedulerAttributes, ioprio_set, personality, sched_setaffinity, sched_setattr, set_mempolicy};
pub use seccomp::{seccomp_set_mode_filter, seccomp_takes_flags};
pub use shared::{SHARED, share_numbers, shared_numbers};
pub use signal::{
    SIGCHLD, SIGCONT, SIGINT, SIGKILL, SIGPIPE, SIGPWR, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2,
    SIGWINCH,
};
pub use signal::{
    SignalSet, ignored_to_default, kill_everybody, pidfd_send_signal, read_signal, signal_mask, signalfd, wait_signal,
};
pub use socket::{bind, datagram_socket, random, send_to, set_socket_option, socket_namespace};
pub use standard::{fill as fill_standard_descriptors, stderr, stdin, stdout};
pub use terminal::{Modes, pty_number, set_terminal_modes, terminal_modes};
pub use uevent::Uevents;
pub use vsock::{VSOCK_DGRAM, VSOCK_SEQPACKET, VSOCK_STREAM, connect_vsock};

pub use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
pub use rustix::io::Errno;
pub use rustix::{event, io, stdio, system, termios, thread, time};

// What is named one by one goes before what rustix has by that name.
pub mod fs {
    pub use super::owned::{memfd_create, open, openat, openat2};
    pub use rustix::fs::*;

    /// `f_type` of a devpts (statfs(2)); rustix has that of procfs.
    pub const DEVPTS_SUPER_MAGIC: FsWord = linux_raw_sys::general::DEVPTS_SUPER_MAGIC as FsWord;
}

/// mount(2) and the calls that have replaced it.
pub mod mounts {
    pub use super::owned::{fsmount, fsopen, fspick, open_tree};
    pub use rustix::mount::*;
}

pub mod net {
    pub use super::owned::{accept, socket, socketpair};
    pub use rustix::net::*;
}

pub mod process {
    pub use super::owned::pidfd_open;
    pub use rustix::process::*;
}

pub mod pty {
    pub use super::owned::ioctl_tiocgptpeer;
    pub use rustix::pty::*;
}

/// `init` of rustix's parameters: see the entry point.
pub use rustix::param;
