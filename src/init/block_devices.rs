//! Finding a block device, and waiting for it.

use core::mem::MaybeUninit;

use crate::bytes::{Printed, decimal, field, join};
use crate::error::{Lossy, Result};
use crate::fail;
use crate::limits;
use crate::sys::fs::{CWD, Mode, OFlags, RawDir, open, readlinkat_raw, stat};
use crate::sys::{AsFd, Deadline, Errno, Uevents, io, read_file};

use super::superblock::{Tag, is_called, is_partition};

/// The name of a device's file, with /dev before it.
pub type DevicePath = Printed<64>;

/// The block device of that tag, once it is there.
///
/// # Errors
/// None was there before the `deadline`.
#[inline(never)]
pub fn find(tag: Tag<'_>, deadline: Deadline) -> Result<DevicePath> {
    let events = Uevents::listen();
    loop {
        if let Some(path) = look_for(tag)? {
            return Ok(path);
        }
        if !events.wait(deadline) {
            let (Tag::Label(value) | Tag::Uuid(value) | Tag::PartLabel(value) | Tag::PartUuid(value)) = tag;
            return Err(fail!("no block device of that name ({}) appeared in time", Lossy(value)));
        }
    }
}

/// Waits for the device file `path`.
///
/// # Errors
/// It was not there before the `deadline`.
#[inline(never)]
pub fn await_path(path: &[u8], deadline: Deadline) -> Result<()> {
    let mut buffer = [0; limits::PATH];
    let events = Uevents::listen();
    let path = join(&mut buffer, &[path]).unwrap_or(c"");
    loop {
        match stat(path) {
            Err(Errno::NOENT) if events.wait(deadline) => {}
            Err(Errno::NOENT) => return Err(fail!("the device {} did not appear in time", Lossy(path.to_bytes()))),
            _ => return Ok(()), // whatever is wrong with it, mounting shows
        }
    }
}

/// Looks at all block devices that the kernel has.
#[inline(never)]
fn look_for(tag: Tag<'_>) -> Result<Option<DevicePath>> {
    let cannot = |errno| fail!(errno => "cannot list the block devices in /sys/class/block");
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(c"/sys/class/block", folder, Mode::empty()).map_err(cannot)?;
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(cannot)?;
        let name = entry.file_name().to_bytes();
        if !name.starts_with(b".") && fits(tag, name) {
            return Ok(path_of(name));
        }
    }
    Ok(None)
}

/// The file of the device that is called `name` in /sys, where a `/` cannot be.
fn path_of(name: &[u8]) -> Option<DevicePath> {
    let mut path = DevicePath::new();
    path.push("/dev/").then_some(())?;
    for byte in name {
        let byte = [if *byte == b'!' { b'/' } else { *byte }];
        path.push(core::str::from_utf8(&byte).ok()?).then_some(())?;
    }
    Some(path)
}

fn fits(tag: Tag<'_>, name: &[u8]) -> bool {
    let mut buffer = [0; 1024];
    match tag {
        Tag::Label(_) | Tag::Uuid(_) => with_device(name, |read| is_called(tag, read)),
        Tag::PartLabel(label) => {
            // The kernel's own environment of the device.
            attribute(name, "uevent", &mut buffer).and_then(|text| field(text, "PARTNAME=")) == Some(label)
        }
        Tag::PartUuid(uuid) => {
            let Some(number) = attribute(name, "partition", &mut buffer) else { return false };
            // /sys/class/block/vda1 → …/block/vda/vda1
            let (mut path, mut target) = ([0; 300], [0; 512]);
            let link =
                join(&mut path, &[b"/sys/class/block/", name]).map(|link| readlinkat_raw(CWD, link, &mut target));
            let Some(Ok(length)) = link else { return false };
            let disk = target.get(..length).and_then(|target| target.rsplit(|byte| *byte == b'/').nth(1));
            let Some(disk) = disk else { return false };
            let mut buffer = [0; 32];
            let block = attribute(disk, "queue/logical_block_size", &mut buffer).and_then(decimal).unwrap_or(512);
            with_device(disk, |read| is_partition(uuid, number, block, read))
        }
    }
}

/// A file of /sys about the device, without its newline.
fn attribute<'b>(name: &[u8], file: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut path = [0; 300];
    let path = join(&mut path, &[b"/sys/class/block/", name, b"/", file.as_bytes()])?;
    read_file(CWD, path, buffer).ok().map(<[u8]>::trim_ascii_end)
}

/// Opens the device for reading. One that cannot be has nothing in it.
fn with_device(name: &[u8], test: impl FnOnce(&mut dyn FnMut(u64, &mut [u8]) -> bool) -> bool) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = path_of(name).and_then(|path| open(path.as_c_str(), flags, Mode::empty()).ok());
    device.is_some_and(|device| {
        test(&mut |offset, bytes: &mut [u8]| io::pread(device.as_fd(), &mut *bytes, offset) == Ok(bytes.len()))
    })
}
