//! Looking at containers: `state`, `list` and `ps`. Takes no lock and changes
//! nothing, so that hooks may ask about their own container.

use core::ffi::CStr;

use super::arena::Arena;
use super::container::{self, Status};
use super::state_file::{Folder, StateRoot};
use super::workspace::Workspace;
use crate::bytes;
use crate::error::{Lossy, Result};
use crate::json::Document;
use crate::spec::config::Config;
use crate::spec::state::StateDocument;
use crate::{fail, limits};

/// Is given the state of a container, and room to write it out.
pub type Each<'e> = dyn FnMut(&StateDocument<'_>, &mut [u8]) -> Result<()> + 'e;

/// The state of one container, to `each`.
///
/// # Errors
/// There is none: in the words that engines look for.
pub fn state(root: Option<&StateRoot>, id: &CStr, workspace: &mut Workspace, each: &mut Each<'_>) -> Result<()> {
    let folder = container::open(root, id)?;
    match look_at(&folder, workspace, each)? {
        true => Ok(()),
        false => Err(fail!("container does not exist: {}", Lossy(id.to_bytes()))),
    }
}

/// The states of all containers by their ids' order, to `each`. One that is being
/// made or removed at the moment may be left out; one that cannot be read is,
/// with a warning.
///
/// # Errors
/// The directory cannot be read, or the ids take more room than the limit. What
/// `each` fails of is a warning too.
pub fn list(
    root: Option<&StateRoot>,
    workspace: &mut Workspace,
    warn: &mut dyn FnMut(&str),
    each: &mut Each<'_>,
) -> Result<()> {
    let Some(root) = root else { return Ok(()) };
    let count = collect_names(root, workspace)?;
    for index in 0..count {
        let mut name = [0; limits::ID + 1];
        let Some(name) = nth_name(workspace, index, &mut name) else { continue };
        let Some(folder) = root.folder(name)? else { continue };
        // A container that cannot be read does not hide the others; a list that
        // cannot be written is none.
        let mut told = Ok(());
        let looked = look_at(&folder, workspace, &mut |state, room| {
            told = each(state, room);
            Ok(())
        });
        told?;
        if let Err(error) = looked {
            warn(error.text(&mut [0; limits::MESSAGE]));
        }
    }
    Ok(())
}

/// The names of all containers, one behind the other in `listing`, where each
/// begins in `names`, sorted. Gives their number.
fn collect_names(root: &StateRoot, workspace: &mut Workspace) -> Result<usize> {
    let Workspace { listing, names, .. } = workspace;
    let (mut used, mut count) = (0, 0);
    root.for_each(|name| {
        let bytes = name.to_bytes_with_nul();
        if bytes.len() > limits::ID + 1 {
            return Ok(()); // nothing of ours
        }
        let full = || fail!("the ids of all containers take more than the limit of {} bytes", limits::LISTING);
        listing.get_mut(used..used + bytes.len()).ok_or_else(full)?.copy_from_slice(bytes);
        // Insertion: ten thousand containers take some ten milliseconds.
        let sorted = names.get(..count).unwrap_or(&[]);
        let place = sorted.partition_point(|other| name_at(listing, *other) < name.to_bytes());
        names.copy_within(place..count, place + 1);
        *names.get_mut(place).ok_or_else(full)? = used as u32;
        used += bytes.len();
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

fn name_at(listing: &[u8], offset: u32) -> &[u8] {
    listing.get(offset as usize..).map_or(&[], |rest| bytes::cut(rest, 0).0)
}

/// A copy, because the workspace is needed for what follows.
fn nth_name<'b>(workspace: &Workspace, index: usize, buffer: &'b mut [u8]) -> Option<&'b CStr> {
    let name = name_at(&workspace.listing, *workspace.names.get(index)?);
    buffer.get_mut(..name.len())?.copy_from_slice(name);
    CStr::from_bytes_until_nul(buffer).ok()
}

/// Whether there is a record; its state goes to `each`.
fn look_at(folder: &Folder, workspace: &mut Workspace, each: &mut Each<'_>) -> Result<bool> {
    let Workspace { document, extents, second, strings, output, .. } = workspace;
    let Some(record) = folder.read_record(second, &mut Arena::new(strings))? else { return Ok(false) };
    let (status, init) = container::status_and_paused(&record)?;
    // Not there yet while the container is being made.
    let text = folder.read(c"config.json", document)?.unwrap_or(b"{}");
    let is_being_written = status == Status::Creating && Document::parse("config.json", text, extents).is_err();
    let text = if is_being_written { b"{}" } else { text };
    let document = Document::parse("config.json", text, extents)?;
    let annotations = Config::view(document.root()).annotations();
    let state = record.document(status.word(), init.map_or(0, |init| init.number()), annotations);
    each(&state, output).map(|()| true)
}

/// The pids, in our namespace, of all processes of a container, to `each`.
///
/// # Errors
/// There is no such container, or it has no cgroup to tell its processes by.
pub fn processes(
    root: Option<&StateRoot>,
    id: &CStr,
    workspace: &mut Workspace,
    each: &mut dyn FnMut(u32) -> Result<()>,
) -> Result<()> {
    let folder = container::open(root, id)?;
    let record = container::record(&folder, id, &mut workspace.second, &mut Arena::new(&mut workspace.strings))?;
    if matches!(container::status(&record)?.0, Status::Stopped | Status::Creating) {
        return Ok(());
    }
    if record.cgroup.is_empty() {
        return Err(fail!("the processes of {} cannot be told: it has no cgroup", Lossy(id.to_bytes())));
    }
    match container::cgroup(&record)? {
        Some(cgroup) => cgroup.pids(each),
        None => Ok(()),
    }
}
