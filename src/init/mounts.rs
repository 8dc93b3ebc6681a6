//! The mounts that the kernel's command line asks for.

use crate::bytes::cut;
use crate::error::{Error, Lossy, Result};
use crate::fail;
use crate::json::{Document, Extents};
use crate::limits;
use crate::rootfs;
use crate::spec::config::Mount;
use crate::sys::Deadline;
use crate::worker;

use super::block_devices;
use super::mount_value::{Entry, MountValue, Source};

/// Mounts what `value` says, SOURCE:TARGET:TYPE[:OPTIONS]; a device is awaited
/// until the `deadline`. The target is made where it is missing.
///
/// # Errors
/// The value has another form, the device does not appear, or the kernel refuses.
pub fn mount(value: &[u8], deadline: Deadline) -> Result<()> {
    let Some(request) = MountValue::parse(value) else {
        return Err(fail!("\"{}\" is not SOURCE:TARGET:TYPE[:OPTIONS] with an absolute TARGET", Lossy(value)));
    };
    // The code that mounts leaves descriptors to whoever ends its process.
    worker::start(false, &mut |caller| {
        caller.tell(&carry_out(&request, value, deadline));
        0
    })
}

fn carry_out(request: &MountValue<'_>, value: &[u8], deadline: Deadline) -> Result<()> {
    let failed = |error| failed(value, error);
    let found;
    let source = match request.source {
        Source::Tag(tag) => {
            found = block_devices::find(tag, deadline).map_err(failed)?;
            found.as_bytes()
        }
        Source::Device(path) => {
            block_devices::await_path(path, deadline).map_err(failed)?;
            path
        }
        Source::Word(word) => word,
    };
    let mut entry = Entry::new();
    request.write(source, &mut entry).ok_or_else(|| {
        fail!("{}: is longer than the limit of {} bytes, or not UTF-8", Lossy(value), limits::MOUNT_ENTRY)
    })?;
    let mut extents = Extents::new();
    let document = Document::parse("", entry.as_bytes(), &mut extents).map_err(failed)?;
    rootfs::mount_here(&Mount::view(document.root())).map_err(failed)
}

#[cold]
#[inline(never)]
fn failed(value: &[u8], error: Error) -> Error {
    // Where it stands in our own text is nothing to a person.
    let mut buffer = [0; limits::MESSAGE];
    let text = error.text(&mut buffer).as_bytes();
    let text = if text.starts_with(b":") { cut(text, b' ').1.unwrap_or(text) } else { text };
    fail!("{}: {}", Lossy(value), Lossy(text))
}
