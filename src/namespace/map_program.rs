//! Maps of ids that their owner may not write: newuidmap(1) and newgidmap(1) do it
//! for an ordinary user, as far as /etc/subuid and /etc/subgid allow.

use core::ffi::CStr;

use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::fail;
use crate::limits;
use crate::sys::process::{WaitId, WaitIdOptions, waitid};
use crate::sys::{self, AsFd, Child, CloneFlags, CloneRequest, Errno, PointerTable, SignalSet};
use crate::word_list;
use crate::word_list::WordList;

/// Where the programs are looked for. Not in the caller's PATH: they have rights
/// of their own, and the caller's choice of them would be no help (R12).
const FOLDERS: WordList = word_list!("/usr/bin /bin /usr/local/bin /run/wrappers/bin");

/// What the child ends with where there is no such program, as a shell does.
const NOT_FOUND: i32 = 127;

/// Has `program` write the map `text` of the user namespace of `pid`. What it has
/// to say goes to standard error.
///
/// # Errors
/// It is not there, or refuses.
pub fn write(program: &CStr, pid: u32, text: &[u8]) -> Result<()> {
    let shown = program.to_str().unwrap_or("?");
    let failed = |errno: Errno| fail!(errno => "cannot run {shown}");
    let pidfd = match sys::clone3(&CloneRequest { flags: CloneFlags::empty(), cgroup: None }).map_err(failed)? {
        Child::Myself => execute(program, pid, text),
        Child::Created { pidfd, .. } => pidfd,
    };
    let ended = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).map_err(failed)?;
    match ended.and_then(|status| status.exit_status()) {
        Some(0) => Ok(()),
        Some(NOT_FOUND) => Err(fail!(
            "there is no {shown}, which maps more ids than an ordinary user's own (package uidmap or shadow-utils)"
        )),
        _ => Err(fail!("{shown} has refused the map of the new user namespace: are its ids in /etc/sub[ug]id?")),
    }
}

/// The child's part.
fn execute(program: &CStr, pid: u32, text: &[u8]) -> ! {
    let number = Printed::<16>::of(format_args!("{pid}"));
    let mut words = [0; limits::ID_MAP_TEXT + 1];
    for (to, from) in words.iter_mut().zip(text) {
        *to = if from.is_ascii_digit() { *from } else { 0 };
    }
    let mut arguments: PointerTable<'_, { 3 * limits::ID_MAPPINGS + 4 }> = PointerTable::new();
    let mut complete = arguments.push(program) && arguments.push(number.as_c_str());
    let mut rest = words.as_slice();
    while let Ok(word) = CStr::from_bytes_until_nul(rest)
        && !word.is_empty()
    {
        complete &= arguments.push(word);
        rest = rest.get(word.count_bytes() + 1..).unwrap_or_default();
    }
    if complete && sys::close_range_on_exec(3).is_ok() && sys::signal_mask(SignalSet::NONE).is_ok() {
        for folder in FOLDERS.iter() {
            let mut path = [0; 64];
            if let Some(path) = bytes::join(&mut path, &[folder.as_bytes(), b"/", program.to_bytes()]) {
                let _ = sys::execve(path, &arguments, &PointerTable::<1>::new()); // returns only on failure
            }
        }
    }
    sys::exit(NOT_FOUND)
}
