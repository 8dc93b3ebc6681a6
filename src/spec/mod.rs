//! The OCI documents (runtime-spec 1.3, the Linux part) as typed views.
//!
//! One table per object describes both what is valid and how it is read. What a
//! valid document means for the kernel is not known here.

use crate::error::Result;
use crate::json::Document;
use config::{Config, Process};
use linux::IntelRdt;
use record::{Shape, Strictness};
use resources::Resources;

mod check;
pub mod config;
pub mod features;
pub mod hooks;
pub mod linux;
pub mod linuxkit;
pub mod number_list;
pub mod record;
pub mod resources;
mod scalars;
pub mod seccomp;
pub mod semantics;
pub mod state;
pub mod strings;
pub mod time;
pub mod version;
pub mod write;

#[cfg(test)]
mod tests;

/// The config.json that `document` is, with all that can be said against it
/// without asking the kernel said.
///
/// # Errors
/// The first thing that is wrong, or not carried out by this version, and where.
pub fn load<'a>(document: &'a Document<'a>) -> Result<Config<'a>> {
    // First of all: in another version the rest may mean something else.
    if let Some(oci_version) = document.root().get("ociVersion").and_then(|version| version.as_text()) {
        version::check(oci_version)?;
    }
    record::check(document.root(), &Config::FORM, Strictness::Supported)?;
    let config = Config::view(document.root());
    semantics::check(&config)?;
    Ok(config)
}

/// The process that `document` is: the file of `exec --process`.
///
/// # Errors
/// As [`load`].
pub fn load_process<'a>(document: &'a Document<'a>) -> Result<Process<'a>> {
    record::check(document.root(), &<Process<'static> as Shape>::FORM, Strictness::Supported)?;
    let process = Process::view(document.root());
    semantics::process(&process)?;
    Ok(process)
}

/// The resources that `document` is: the file of `update --resources`.
///
/// # Errors
/// As [`load`].
pub fn load_resources<'a>(document: &'a Document<'a>) -> Result<Resources<'a>> {
    record::check(document.root(), &<Resources<'static> as Shape>::FORM, Strictness::Supported)?;
    Ok(Resources::view(document.root()))
}

/// The classes of service that `document` asks for: what `update`'s flags say.
///
/// # Errors
/// As [`load`].
pub fn load_intel_rdt<'a>(document: &'a Document<'a>) -> Result<IntelRdt<'a>> {
    record::check(document.root(), &<IntelRdt<'static> as Shape>::FORM, Strictness::Supported)?;
    Ok(IntelRdt::view(document.root()))
}
