//! What was in files before they were written, to write it back.

use core::ffi::CStr;

use super::tree::Cgroup;
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::{fail, limits};

/// Files and lines, each with a NUL behind it. All zeros at the start.
pub struct Journal {
    text: [u8; limits::CGROUP_JOURNAL],
    length: usize,
}

impl Journal {
    pub const fn new() -> Journal {
        Journal { text: [0; _], length: 0 }
    }

    /// Notes what `file` holds of that which `text` is going to change.
    ///
    /// A file that cannot be read has nothing to go back to.
    ///
    /// # Errors
    /// The journal is full.
    pub(super) fn note(&mut self, cgroup: &Cgroup, file: &CStr, text: &str) -> Result<()> {
        let mut buffer = [0; limits::CGROUP_LINE];
        let Ok(old) = cgroup.read(file, &mut buffer) else { return Ok(()) };
        let mut line = Printed::<{ limits::CGROUP_LINE }>::new();
        line.add(format_args!("{}", Lossy(before(file.to_bytes(), text.as_bytes(), old, &mut [0; 512]))));
        for part in [file.to_bytes(), line.as_bytes()] {
            let end = self.length + part.len() + 1;
            let room = self.text.get_mut(self.length..end).and_then(|room| room.split_last_mut());
            let full = || fail!("what is to be changed takes more than the limit of {} bytes", limits::CGROUP_JOURNAL);
            let (last, room) = room.ok_or_else(full)?;
            room.copy_from_slice(part);
            *last = 0;
            self.length = end;
        }
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
            if cgroup.write(file.as_c_str(), part(2 * index + 1)).is_err() {
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
