//! Setting sysctls (proc(5), /proc/sys).

use core::ffi::CStr;

use heapless::Vec;

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::record::Map;
use crate::spec::semantics::sysctl_path;
use crate::sys::Procfs;

/// Sets those of the map, whose names were checked with the document. The
/// namespaces that they speak of are the caller's.
///
/// # Errors
/// With the place: the kernel's, or a name or a value that is longer than the
/// limit.
pub fn set(procfs: &Procfs, sysctls: Map<'_, Text<'static>>) -> Result<()> {
    let mut buffer = [0; limits::PATH];
    for (name, value) in sysctls.iter() {
        let mut file = Vec::<u8, { limits::SYSCTL }>::new();
        let whole = b"sys/".iter().copied().chain(sysctl_path(name)).chain([0]).all(|byte| file.push(byte).is_ok());
        let Some(file) = CStr::from_bytes_until_nul(&file).ok().filter(|_| whole) else {
            return Err(name.error(format_args!("longer than the limit of {} bytes", limits::SYSCTL)));
        };
        let text = value.c_str(&mut buffer)?.to_bytes();
        procfs
            .write_file(file, text)
            .map_err(|errno| value.value().os_error(errno, format_args!("cannot set {name} to \"{value}\"")))?;
    }
    Ok(())
}
