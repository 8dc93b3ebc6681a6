//! The credentials of the calling process, in the order in which they must
//! change (credentials(7), capabilities(7)):
//!
//! [`drop_bounding`] needs CAP_SETPCAP, so it comes first; [`set_groups`] and
//! [`set_user`] need CAP_SETGID and CAP_SETUID and keep the permitted set; [`set_capabilities`]
//! comes last. Each change of the user clears PDEATHSIG, which the caller arms
//! anew.

use heapless::Vec;

use super::capability::Sets;
use crate::error::Result;
use crate::spec::record::{Id, List};
use crate::sys::Errno;
use crate::sys::thread::{self, CapabilitySet, CapabilitySets, Gid, Uid};
use crate::{fail, limits};

/// Supplementary groups: 256 KiB, so it belongs into static memory.
pub struct Groups {
    gids: Vec<Gid, { limits::GROUPS }>,
}

impl Groups {
    /// None.
    pub const fn new() -> Groups {
        Groups { gids: Vec::new() }
    }

    /// Makes them those of the list.
    ///
    /// # Errors
    /// More than the limit, with the place.
    pub fn read(&mut self, list: List<'_, Id>) -> Result<()> {
        if !self.gids.is_empty() {
            self.gids.clear(); // a page that is not written costs nothing
        }
        for gid in list.iter() {
            self.push(gid).map_err(|error| match list.value() {
                Some(place) => place.error(format_args!("{error}")),
                None => error,
            })?;
        }
        Ok(())
    }

    /// Adds one.
    ///
    /// # Errors
    /// More than the limit.
    pub fn push(&mut self, gid: u32) -> Result<()> {
        self.gids
            .push(Gid::from_raw_unchecked(gid))
            .map_err(|_| fail!("more than {} additional groups", limits::GROUPS))
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self::new()
    }
}

/// Drops every capability from the bounding set, which is `own`, that `sets` does
/// not name. Nothing that the process executes can ever gain one of them.
///
/// # Errors
/// The kernel's: without CAP_SETPCAP none can be dropped, which is an error
/// unless it is gone already.
pub fn drop_bounding(sets: &Sets, own: u64) -> Result<()> {
    for number in 0..u64::BITS {
        let bit = 1 << number;
        if own & !sets.bounding & bit == 0 {
            continue;
        }
        let capability = CapabilitySet::from_bits_retain(bit);
        match thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // One past the last that the kernel knows, which may be more than
            // we have names for.
            Err(Errno::INVAL) => break,
            // The right to drop is asked for before there is something to drop.
            Err(errno) => match thread::capability_is_in_bounding_set(capability) {
                Ok(false) => {}
                Err(Errno::INVAL) => break,
                _ => return Err(fail!(errno => "cannot drop capability {number} from the bounding set")),
            },
        }
    }
    Ok(())
}

/// Sets the supplementary groups.
///
/// `in_user_namespace`: one that an ordinary user has made, or that maps no group,
/// does not let the groups be set, although the caller has every capability in it
/// (user_namespaces(7)): then none may be asked for, and those that the process
/// has stay.
///
/// # Errors
/// The kernel's: EINVAL for an id that the user namespace does not map.
pub fn set_groups(groups: &Groups, in_user_namespace: bool) -> Result<()> {
    match thread::set_thread_groups(&groups.gids) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) if in_user_namespace && groups.gids.is_empty() => Ok(()),
        Err(Errno::PERM) if in_user_namespace => {
            Err(fail!("additional groups cannot be set: the user namespace denies setgroups"))
        }
        Err(errno) => Err(fail!(errno => "cannot set the additional groups")),
    }
}

/// Becomes the user: group and user (real, effective, saved and file system ids),
/// with the permitted capabilities kept.
///
/// # Errors
/// The kernel's: EINVAL for an id that the user namespace does not map.
pub fn set_user(uid: u32, gid: u32) -> Result<()> {
    // -1 is "as before" to the kernel: it would leave the process root.
    if uid == u32::MAX || gid == u32::MAX {
        return Err(fail!("4294967295 is not a user or group id"));
    }
    let group = Gid::from_raw_unchecked(gid);
    thread::set_thread_res_gid(group, group, group).map_err(|errno| fail!(errno => "cannot become group {gid}"))?;
    if uid != 0 {
        // The permitted set outlives the change; execve(2) clears this again.
        thread::set_keep_capabilities(true).map_err(|errno| fail!(errno => "cannot keep the capabilities"))?;
    }
    let user = Uid::from_raw_unchecked(uid);
    thread::set_thread_res_uid(user, user, user).map_err(|errno| fail!(errno => "cannot become user {uid}"))
}

/// Sets the four sets besides the bounding one, exactly: what `sets` does not
/// name is gone, ambient and inheritable ones too (CVE-2022-29162).
///
/// `kept`: capabilities that the process has until execve(2), which works out the
/// new sets from the inheritable, ambient and bounding ones alone.
///
/// Returns what the kernel could not grant, for a warning: the specification
/// wants the process to run without it. [`Sets::consistent`] foretells the part
/// of it that contradicts the other sets.
///
/// # Errors
/// The kernel's, for another reason than that.
pub fn set_capabilities(sets: &Sets, kept: u64) -> Result<Sets> {
    let mut granted = sets.consistent();
    let failed = |errno: Errno| fail!(errno => "cannot set the capabilities");
    let more = Sets { permitted: granted.permitted | kept, effective: granted.effective | kept, ..granted };
    match capset(&more) {
        Ok(()) => {}
        Err(Errno::PERM) => {
            granted = grantable(&granted)?;
            capset(&granted).map_err(failed)?;
        }
        Err(errno) => return Err(failed(errno)),
    }
    // capset(2) has taken from the ambient set what is not both permitted and
    // inheritable now; only where something is can an inherited one be left.
    if granted.permitted & granted.inheritable != 0 {
        thread::clear_ambient_capability_set()
            .map_err(|errno| fail!(errno => "cannot clear the ambient capabilities"))?;
    }
    for number in (0..u64::BITS).filter(|number| granted.ambient & 1 << number != 0) {
        thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << number), true)
            .map_err(|errno| fail!(errno => "cannot raise ambient capability {number}"))?;
    }
    Ok(Sets { bounding: 0, ..sets.without(granted) })
}

/// Gives up, of the permitted and the effective set, all but what `sets` has as permitted
/// or inheritable and what is `kept`; and all of the inheritable set.
///
/// # Errors
/// The kernel's.
pub fn keep_capabilities(sets: &Sets, kept: u64) -> Result<()> {
    let failed = |errno: Errno| fail!(errno => "cannot give up capabilities");
    let own = thread::capabilities(None).map_err(failed)?.permitted.bits();
    let permitted = own & (sets.permitted | sets.inheritable | kept);
    capset(&Sets { permitted, effective: permitted, ..Sets::default() }).map_err(failed)
}

/// `int capset(hdrp, datap);` capget(2)
fn capset(sets: &Sets) -> Result<(), Errno> {
    let set = CapabilitySet::from_bits_retain;
    thread::set_capabilities(
        None,
        CapabilitySets {
            effective: set(sets.effective),
            permitted: set(sets.permitted),
            inheritable: set(sets.inheritable),
        },
    )
}

/// The part of `sets` that the caller has to give: permitted only what it has
/// itself, inheritable only what it may still gain.
fn grantable(sets: &Sets) -> Result<Sets> {
    let own = thread::capabilities(None).map_err(|errno| fail!(errno => "cannot read the own capabilities"))?;
    let mut bounding = 0;
    for number in 0..u64::BITS {
        match thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(true) => bounding |= 1 << number,
            Ok(false) => {}
            Err(_) => break, // past the last one
        }
    }
    // Without CAP_SETPCAP nothing beyond the own permitted and inheritable
    // sets can be inheritable.
    let gain = if own.effective.contains(CapabilitySet::SETPCAP) { u64::MAX } else { own.permitted.bits() };
    let permitted = sets.permitted & own.permitted.bits();
    Ok(Sets { permitted, inheritable: sets.inheritable & (own.inheritable.bits() | bounding & gain), ..*sets }
        .consistent())
}

/// Forbids the process and all that it becomes to gain privileges by execve(2)
/// (prctl(2), PR_SET_NO_NEW_PRIVS).
///
/// # Errors
/// The kernel's.
pub fn no_new_privileges() -> Result<()> {
    thread::set_no_new_privs(true).map_err(|errno| fail!(errno => "cannot set no_new_privs"))
}
