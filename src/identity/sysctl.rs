//! Setting sysctls (proc(5), /proc/sys).

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::record::Map;
use crate::spec::semantics::sysctl_file;
use crate::sys::Procfs;

/// Sets those of the map, whose names were checked with the document. The
/// namespaces that they speak of are the caller's.
///
/// # Errors
/// With the place: the kernel's, or a value that is longer than a path.
#[inline(never)] // its buffers are gone from the stack before anything deeper
pub fn set(procfs: &Procfs, sysctls: Map<'_, Text<'static>>) -> Result<()> {
    let mut file = [0; limits::SYSCTL];
    let mut buffer = [0; limits::PATH];
    for (name, value) in sysctls.iter() {
        let text = value.c_str(&mut buffer)?.to_bytes();
        procfs
            .write_file(sysctl_file(name, &mut file)?, text)
            .map_err(|errno| value.value().os_error(errno, format_args!("cannot set {name} to \"{value}\"")))?;
    }
    Ok(())
}
