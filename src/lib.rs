//! ocinit: an OCI container runtime in one static binary, to take runc's place
//! under an engine. The principles, in order:
//!
//! 1. **The kernel is the API.** Everything the program does is a system call;
//!    all of them go through [`sys`], and nothing else is `unsafe`.
//! 2. **Decide first, then act.** All that input can make fail is found before
//!    the first effect; what is left to fail is the kernel saying no.
//! 3. **Fixed memory.** There is no allocator. The configuration's text is the
//!    storage of what was read from it; every limit stands in [`limits`].
//! 4. **Descriptors, not paths.** The root file system is reached through
//!    descriptors that cannot lead out of it, and mounts are made detached.
//! 5. **Born constrained.** A container's first process is created inside its
//!    cgroup and namespaces by one clone3; there is no moment outside.
//! 6. **Every step can be the last.** The program may be killed between any two
//!    system calls; `delete --force` finds what there is to clear up.
//! 7. **Returning, not exiting.** A command gives a status to whoever called it:
//!    only the entry point and the children of clone3 end a process.
//!
//! A file imports only from floors below its own, and files on one floor do not
//! import each other, except inside their own folder. `cargo xtask check`
//! verifies it.
//!
//! ```text
//! 6   cli          init                        what a person or an engine starts | the kernel
//! 5   lifecycle                                create, start, exec, kill, delete, supervise
//! 4   namespace rootfs cgroup identity
//!     seccomp terminal network resctrl         one facility each
//! 3   spec         worker                      the OCI documents as typed views | a process of our own
//! 2   json  words  sys                         text | kernel
//! 1   error                                    what went wrong, as a sentence
//! 0   limits  bytes  word_list                 sizes | cutting up byte strings, lists of words
//! ```
//!
//! The way of the data: config.json's bytes in a static buffer → one validating
//! pass ([`json`]) → borrowed, lazily walked views ([`spec`]) → a plan with
//! everything resolved ([`lifecycle`]) → cgroup, then clone3 → the child's
//! ordered steps → the start gate → execve. Nothing goes back up: no floor below
//! `lifecycle` knows what a container is. ARCHITECTURE.md is the tour.
#![cfg_attr(not(test), no_std)]

pub mod bytes;
pub mod cgroup;
pub mod cli;
pub mod error;
pub mod identity;
pub mod init;
pub mod json;
pub mod lifecycle;
pub mod limits;
pub mod namespace;
pub mod network;
pub mod resctrl;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
pub mod sys;
pub mod terminal;
pub mod word_list;
pub mod words;
pub mod worker;
