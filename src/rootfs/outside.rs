//! What a process may not do itself about its mounts, because its rights end at
//! the border of its user namespace.

use crate::error::Result;
use crate::spec::config::Mount;
use crate::sys::{self, BorrowedFd, Errno, OwnedFd};

use super::options::Options;

/// Has the maker of this process do it. By the place in the document of a mount, or
/// of `root`:
///
/// - with a detached tree: its ids are mapped as the mount asks for;
/// - without one: gives a descriptor of the source, or of the root, which
///   permissions on the way keep this process from; `None` where they keep its
///   maker too.
pub type Ask<'a> = dyn Fn(usize, Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>> + 'a;

/// Gives the detached `tree` of `mount` the map of `namespace`.
///
/// # Errors
/// The kernel refuses.
pub fn map_ids(mount: &Mount<'_>, tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> Result<()> {
    let recursive = Options::of(mount)?.map_ids == Some(true);
    sys::mount_map_ids(tree, recursive, namespace).map_err(|errno| {
        let hint = match errno {
            Errno::INVAL => " (the file system, or this kernel, cannot do that)",
            Errno::PERM => " (the file system is not the caller's to decide about, or its ids are mapped already)",
            _ => "",
        };
        mount.value().os_error(errno, format_args!("cannot map the ids of the mount{hint}"))
    })
}
