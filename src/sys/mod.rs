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
mod interface;
mod kept;
mod misc;
mod mount;
mod procfs;
mod raw;
mod signal;
mod standard;
mod terminal;

pub use bpf::{bpf_cgroup_device_attach, bpf_cgroup_device_load};
pub use clock::{monotonic, realtime};
pub use clone::{Child, CloneFlags, CloneRequest, clone3, unshare};
pub use descriptor::duplicate;
pub use exec::{PointerTable, Strings, Vector, execve, execveat};
pub use interface::set_interface_up;
pub use kept::{close_kept, keep};
pub use misc::{
    close_all_but, close_range_on_exec, cwd_is_reachable, exit, keyctl_join_session_keyring, namespace_type,
};
pub use mount::{Attributes, mount_setattr};
pub use procfs::Procfs;
pub use signal::{SignalSet, ignored_to_default, pidfd_send_signal, read_signal, signal_mask, signalfd};
pub use standard::{
    borrow_raw, close_copy, fill as fill_standard_descriptors, leave_open, one_descriptor_space, stderr, stdin, stdout,
};
pub use terminal::pty_number;

pub use rustix::cmsg_space;
pub use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
pub use rustix::io::Errno;
/// mount(2) and the calls that have replaced it.
pub use rustix::mount as mounts;
pub use rustix::{event, fs, io, ioctl, net, pipe, process, pty, rand, stdio, system, termios, thread, time};

/// `init` of rustix's parameters: see the entry point.
pub use rustix::param;
