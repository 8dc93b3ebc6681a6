//! Kernel modules, as a list names them: one `PATH [PARAMETERS]` a line, each
//! behind those that it needs. Empty lines and those that begin with `#` are
//! passed over. With `-` before its path a module may fail to load.

use core::ffi::CStr;

use super::files::open_to_read;
use super::log;
use crate::bytes::cut;
use crate::error::{Lossy, Result};
use crate::fail;
use crate::json::PathBuffer;
use crate::limits;
use crate::sys::{AsFd, Errno, finit_module, io};

/// Loads the modules of `list`, in its order.
///
/// # Errors
/// The first that cannot be loaded and can not be done without, with its line. One that
/// is there already is none.
pub fn load(list: &CStr) -> Result<()> {
    let name = Lossy(list.to_bytes());
    let cannot_read = |errno| fail!(errno => "cannot read the list of kernel modules {name}");
    let file = open_to_read(list).map_err(cannot_read)?;
    let mut buffer: PathBuffer = [0; limits::PATH];
    let mut offset = 0;
    let mut number = 0usize;
    loop {
        // Each line anew from its beginning: a list may be of any length.
        let length = io::pread(&file, &mut buffer, offset).map_err(cannot_read)?;
        let Some(text) = buffer.get_mut(..length).filter(|text| !text.is_empty()) else { return Ok(()) };
        number = number.saturating_add(1);
        let (line, rest) = cut(text, b'\n');
        if rest.is_none() && length == limits::PATH {
            return Err(fail!("{name}:{number}: the line is longer than the limit of {} bytes", limits::PATH));
        }
        let line_length = line.len();
        offset = offset.saturating_add(line_length as u64).saturating_add(1);
        // The room behind the line is free for its NUL, but at the file's end.
        let Some(line) = buffer.get_mut(..=line_length) else { continue };
        if let Some(end) = line.last_mut() {
            *end = 0;
        }
        let failed = |(what, errno): (&str, Errno), line: &[u8]| {
            let line = line.strip_prefix(b"-").unwrap_or(line);
            let hint = match errno {
                Errno::NOENT if what == LOAD => {
                    " (a symbol is missing: is a module that it needs further down, or not there?)"
                }
                Errno::OPNOTSUPP => " (this kernel does not unpack modules)",
                _ => "",
            };
            fail!(errno => "{name}:{number}: cannot {what} the kernel module {}{hint}", Lossy(cut(line, 0).0))
        };
        if let Err(why) = load_line(line) {
            let line = buffer.get(..line_length).unwrap_or(&[]).trim_ascii();
            let error = failed(why, line);
            if !line.starts_with(b"-") {
                return Err(error);
            }
            log::warning(&error);
        }
    }
}

const LOAD: &str = "load";

/// Loads the module of one line, which ends in NUL. An error says what failed.
fn load_line(line: &mut [u8]) -> Result<(), (&'static str, Errno)> {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let start = start + usize::from(line.get(start) == Some(&b'-'));
    let line = line.get_mut(start..).unwrap_or_default();
    if matches!(line.first(), None | Some(b'#' | 0)) {
        return Ok(());
    }
    // The path ends at the first blank, and the parameters at the line's end.
    let path_length = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | 0)).unwrap_or(0);
    let mut blank = 0;
    if let Some(place) = line.get_mut(path_length) {
        blank = core::mem::take(place);
    }
    let c_str = |start| CStr::from_bytes_until_nul(line.get(start..).unwrap_or_default()).unwrap_or(c"");
    let path = c_str(0);
    let parameters = if blank == 0 { c"" } else { c_str(path_length.saturating_add(1)) };
    let file = open_to_read(path).map_err(|errno| ("open", errno))?;
    let compressed = [&b".xz"[..], b".zst", b".gz"].iter().any(|end| path.to_bytes().ends_with(end));
    match finit_module(file.as_fd(), parameters, compressed) {
        Err(Errno::EXIST) => Ok(()),
        result => result.map_err(|errno| (LOAD, errno)),
    }
}
