//! `ociboot pack` on the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

/// Packs a bundle, a root folder or a container image into something that boots
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle, a root folder, a LinuxKit unit tree, an OCI image layout, or an archive that docker or podman saved
    source: PathBuf,
}

impl Arguments {
    pub fn run(&self) -> Result<ExitCode> {
        bail!("{} is not packed yet", self.source.display())
    }
}
