//! Setting sysctls (proc(5), /proc/sys).

use core::ffi::CStr;

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::record::Map;
use crate::spec::semantics::sysctl_path;
use crate::sys::fs::OFlags;
use crate::sys::{Errno, Procfs, io};

/// Sets those of the map, whose names `spec::semantics` has passed. The
/// namespaces that they speak of are the caller's.
///
/// # Errors
/// With the place: the kernel's.
pub fn set(procfs: &Procfs, sysctls: Map<'_, Text<'static>>) -> Result<()> {
    let mut name_buffer = [0; limits::SYSCTL];
    let mut value_buffer = [0; limits::PATH];
    for (name, value) in sysctls.iter() {
        let file = path(name, &mut name_buffer)?;
        let text = value.c_str(&mut value_buffer)?.to_bytes();
        // One call: a second would begin a new value.
        let written = procfs.open_file(file, OFlags::WRONLY).and_then(|fd| match io::write(&fd, text)? {
            count if count == text.len() => Ok(()),
            _ => Err(Errno::INVAL),
        });
        written.map_err(|errno| {
            value.value().os_error(errno.raw_os_error(), format_args!("cannot set {name} to \"{value}\""))
        })?;
    }
    Ok(())
}

/// The file below /proc: `sys/net/ipv4/ip_forward`.
fn path<'b>(name: Text<'_>, buffer: &'b mut [u8; limits::SYSCTL]) -> Result<&'b CStr> {
    let mut text = heapless::String::<{ limits::SYSCTL }>::new();
    let whole = "sys/".chars().chain(sysctl_path(name)).chain(['\0']);
    for character in whole {
        text.push(character)
            .map_err(|_| name.error(format_args!("longer than the limit of {} bytes", limits::SYSCTL)))?;
    }
    *buffer = [0; limits::SYSCTL];
    if let Some(place) = buffer.get_mut(..text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
    CStr::from_bytes_until_nul(buffer).map_err(|_| name.error(format_args!("no name")))
}
