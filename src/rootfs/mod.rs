//! The root file system: everything between a folder and the `/` that the
//! user's process sees.
//!
//! ```text
//! check        whatever the configuration can get wrong   before any effect
//! attach       a clone of the folder, mounted on itself ┐
//! mount_all    mounts[], each at its place inside       │ in the new
//! enter        the clone becomes /                      │ mount namespace,
//! make_devices /dev                                     │ in this order
//! bind_console /dev/console                             │
//! make_read_only, mask, set_propagation, …              ┘
//! ```
//!
//! Two rules hold throughout. Whatever the root file system could influence is
//! reached through descriptors and resolved once (resolve.rs). And a mount gets
//! its attributes while it is still detached, so that nobody ever sees it
//! without them.
//!
//! It gets descriptors and views of the configuration, and knows nothing of
//! containers, processes or state.

mod bind;
mod check;
mod copy_up;
mod descriptor;
mod devices;
mod enter;
mod failure;
mod filesystem;
mod known;
mod mask;
mod mount;
mod mount_failure;
mod option_words;
mod options;
mod outside;
mod resolve;
mod root;

pub use check::{Asked, check, shows_writable_cgroup};
pub use devices::{HostDevices, bind_console, link_descriptors, make_devices};
pub use enter::{enter, enter_by_chroot, make_root_read_only, set_propagation};
pub use known::Known;
pub use mask::{NullDevice, make_read_only, mask};
pub use mount::{Cgroups, Deferred, MountContext, mount_all, mount_here};
pub use option_words::MOUNT_OPTIONS;
pub use outside::{Ask, map_ids};
pub use resolve::make_folder;
pub use root::{Root, attach};
