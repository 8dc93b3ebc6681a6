//! Who and what the process is when the user's program begins: user, groups,
//! capabilities, limits, the name of its host, and which file it executes.
//!
//! Gets views of the specification and values; knows nothing of containers.

mod attributes;
mod capability;
mod credentials;
mod executable;
mod home;
mod image;
mod label;
mod passwd;
mod rlimit;
mod schedule;
mod sysctl;

pub use attributes::{set_domainname, set_hostname, set_oom_score_adj, set_own_oom_score_adj, set_umask};
pub use capability::{Sets, bit as capability_bit, name as capability_name, names as capability_names};
pub use credentials::{
    Groups, drop_bounding, keep_capabilities, no_new_privileges, set_capabilities, set_groups, set_user,
};
pub use executable::{FileIdentity, find as find_executable, look_into};
pub use home::home_of;
pub use label::{Label, set_label};
pub use rlimit::{When, set as set_rlimits};
pub use schedule::{set_affinity, set_policies, set_priorities};
pub use sysctl::set as set_sysctls;
