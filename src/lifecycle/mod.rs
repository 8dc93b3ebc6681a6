//! The life of a container: made, started, entered, signalled, limited, deleted.
//!
//! Here the facilities of the floor below are put in order. What the two sides
//! of a clone3 say to each other is in `handshake`; what the container's first
//! process does, step by step, in `container_init`.

mod arena;
mod birth;
mod bundle;
mod caller;
mod changes;
mod container;
mod container_init;
mod create;
mod delete;
mod environment;
mod events;
mod exec;
mod facts;
mod folders;
mod gate;
mod handshake;
mod hardening;
mod holder;
mod hook_process;
mod hooks;
mod interrupt;
mod kill;
mod listener;
mod notify;
mod outside;
mod own_cgroup;
mod pause;
mod pid_file;
mod proc;
mod process;
mod process_plan;
mod query;
mod ready;
mod run;
mod sealed;
mod start;
mod state_file;
mod steps;
mod supervise;
mod update;
mod workspace;

pub use arena::Arena;
pub use bundle::read_document;
pub use caller::Wishes;
pub use changes::Changes;
pub use container::Process;
pub use container::cgroup as cgroup_of;
pub use create::{Request, create};
pub use delete::delete;
pub use events::events;
pub use exec::{ExecRequest, Overrides, exec};
pub use folders::make_folders;
pub use hardening::{Hardened, harden, harden_init};
pub use kill::kill;
pub use pause::pause;
pub use proc::{ProcPath, in_user_namespace, stat_field};
pub use query::{list, processes, state};
pub use run::{Created, Waiting};
pub use start::start;
pub use state_file::StateRoot;
pub use steps::{take_down as take_down_steps, taken_down as steps_taken_down};
pub use update::{Source, update};
pub use workspace::Workspace;
