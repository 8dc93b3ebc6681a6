//! What was in files before they were written, to write it back.

use core::ffi::CStr;

use super::tree::Cgroup;
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::sys::fs::OFlags;
use crate::sys::{AsFd, Errno, read_all};
use crate::{fail, limits};

/// Files and lines, each with a NUL behind it. All zeros at the start.
pub struct Journal {
    text: [u8; limits::CGROUP_JOURNAL],
    length: usize,
    /// Room for a file that is to be changed, and a byte to notice a larger one.
    file: [u8; limits::CGROUP_JOURNAL + 1],
}

impl Journal {
    pub const fn new() -> Journal {
        Journal { text: [0; _], length: 0, file: [0; _] }
    }

    /// Notes what `file` holds of that which `text` is going to change.
    ///
    /// A file that the kernel lets nobody read does something and holds nothing, as
    /// cgroup.kill: its empty line says that there is no way back.
    ///
    /// # Errors
    /// The file cannot be read now, or is larger than there is room for: it is not
    /// to be changed then.
    pub(super) fn note(&mut self, cgroup: &Cgroup, file: &CStr, text: &str) -> Result<()> {
        let shown = Lossy(file.to_bytes());
        let full = || fail!("what is to be changed takes more than the limit of {} bytes", limits::CGROUP_JOURNAL);
        let read = cgroup.open(file, OFlags::RDONLY).and_then(|fd| read_all(fd.as_fd(), &mut self.file));
        let room: &mut [u8] = &mut [0; 512];
        let line = match read {
            Ok(old) if old.len() > limits::CGROUP_JOURNAL => return Err(full()),
            Ok(old) => before(file.to_bytes(), text.as_bytes(), old, room),
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::INVAL | Errno::ACCESS) => b"",
            Err(errno) => return Err(fail!(errno => "cannot read {shown}, which is to be changed")),
        };
        let mut end = self.length;
        for part in [file.to_bytes(), line] {
            let room = self.text.get_mut(end..=end + part.len()).and_then(|room| room.split_last_mut());
            let (last, room) = room.ok_or_else(full)?;
            room.copy_from_slice(part);
            *last = 0;
            end += part.len() + 1;
        }
        self.length = end;
        Ok(())
    }

    /// Writes everything back, the newest first. Gives the last file that could
    /// not be written; its name is empty where there is none.
    fn undo(&self, cgroup: &Cgroup) -> Printed<{ limits::CGROUP_FILE }> {
        let text = self.text.get(..self.length).unwrap_or(&[]);
        let part = |index| bytes::split(text, 0).nth(index).unwrap_or(&[]);
        let entries = bytes::split(text, 0).count() / 2;
        let mut failed = Printed::new();
        for index in (0..entries).rev() {
            let file = Printed::<{ limits::CGROUP_FILE }>::of(format_args!("{}", Lossy(part(2 * index))));
            let line = part(2 * index + 1);
            if line.is_empty() || cgroup.write(file.as_c_str(), line).is_err() {
                failed = file;
            }
        }
        failed
    }

    /// Writes everything back, because of `error`, which then says so.
    #[cold]
    #[inline(never)]
    pub fn give_back(&self, cgroup: &Cgroup, error: Error) -> Error {
        if self.length == 0 {
            return error;
        }
        let failed = self.undo(cgroup);
        let but = if failed.as_bytes().is_empty() { "" } else { ", but not of " };
        fail!("{error} (what was written before is taken back{but}{})", failed.as_str())
    }
}

impl Default for Journal {
    fn default() -> Self {
        Journal::new()
    }
}

/// Of what a file holds, the line to write to make `text` undone. Files that have
/// a line for each device say what is not set by leaving it out.
fn before<'b>(file: &[u8], text: &[u8], old: &'b [u8], buffer: &'b mut [u8]) -> &'b [u8] {
    let (key, value) = bytes::cut(text, b' ');
    if value.is_none() || file == b"cpu.max" {
        // An empty line empties a list.
        let line = bytes::cut(old, b'\n').0;
        return if line.is_empty() { b"\n" } else { line };
    }
    if let Some(line) = bytes::split(old, b'\n').find(|line| bytes::cut(line, b' ').0 == key) {
        return line;
    }
    let rest: &[u8] = match file {
        b"io.max" => b" rbps=max wbps=max riops=max wiops=max",
        b"rdma.max" => b" hca_handle=max hca_object=max",
        _ => b" default",
    };
    bytes::join(buffer, &[key, rest]).map_or(b"", CStr::to_bytes)
}
