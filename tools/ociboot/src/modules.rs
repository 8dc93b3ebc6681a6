//! Kernel modules: from names to the files that must be loaded, in their order.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Which modules an image is to have, out of which kernel's folder.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder with modules.dep: `/lib/modules/VERSION`.
    pub folder: PathBuf,
    /// Names, as modprobe takes them (`virtio_console`, `fs-overlay`), each with
    /// parameters after a blank where it needs some. What is built into the kernel is left out.
    pub names: Vec<String>,
}

/// One module to be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    pub name: String,
    /// The file, as the kernel's folder has it: perhaps compressed.
    pub file: PathBuf,
    pub parameters: String,
}

/// The modules that a request asks for and all they depend on, in the order of loading.
pub fn resolve(request: &Request) -> Result<Vec<Module>> {
    let _ = request;
    bail!("not yet")
}

/// Whether a kernel has the module built in.
pub fn is_builtin(folder: &Path, name: &str) -> Result<bool> {
    let _ = (folder, name);
    bail!("not yet")
}
