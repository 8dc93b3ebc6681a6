//! Setting sysctls (proc(5), /proc/sys).

use crate::bytes::Printed;
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
    let (mut path_buffer, mut buffer) = ([0; limits::SYSCTL], [0; limits::PATH]);
    for (name, value) in sysctls.iter() {
        let path = sysctl_path(name, &mut path_buffer)?;
        let file = Printed::<{ limits::SYSCTL + 4 }>::of(format_args!("sys/{path}"));
        let text = value.c_str(&mut buffer)?.to_bytes();
        procfs
            .write_file(file.as_c_str(), text)
            .map_err(|errno| value.value().os_error(errno, format_args!("cannot set {name} to \"{value}\"")))?;
    }
    Ok(())
}
