//! Which units there are: a single bundle, or the folders in LinuxKit's layout.
//!
//! ```text
//! onboot/NNN-NAME      one after the other, each to its end
//! services/NAME        together, supervised
//! onshutdown/NNN-NAME  at the end, one after the other
//! ```

use core::ffi::CStr;
use core::mem::MaybeUninit;

use super::policy::Policy;
use crate::error::{Error, Lossy, Result};
use crate::json::Document;
use crate::lifecycle::{Arena, Workspace, read_document};
use crate::sys::fs::{CWD, Mode, OFlags, RawDir, open};
use crate::sys::{Errno, OwnedFd};
use crate::word_list::WordList;
use crate::{bytes, fail, limits, word_list, words};

/// What a unit is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Onboot,
    Service,
    /// The single bundle, whose end is the boot's.
    Main,
    Onshutdown,
}

impl Kind {
    /// The names of annotations that mean nothing for a unit of this kind.
    fn useless_annotations(self) -> WordList {
        match self {
            Kind::Service => word_list!(""),
            Kind::Onboot | Kind::Onshutdown => {
                word_list!("org.ocinit.restart org.ocinit.restart-budget org.ocinit.after")
            }
            // Where its output goes the command line says.
            Kind::Main => word_list!(
                "org.ocinit.restart org.ocinit.restart-budget org.ocinit.after org.ocinit.stdout org.ocinit.stderr"
            ),
        }
    }
}

/// A unit.
#[derive(Clone, Copy)]
pub struct Unit {
    /// The container's id.
    pub id: &'static CStr,
    pub bundle: &'static CStr,
    pub kind: Kind,
    pub policy: Policy,
    /// Its process has a terminal.
    pub terminal: bool,
    /// `rootfsPropagation` is shared: what it mounts in a folder that is bound into it so
    /// is to reach the system, and with that the other units.
    pub shares_mounts: bool,
}

impl Unit {
    pub fn name(&self) -> &'static str {
        self.id.to_str().unwrap_or("?") // ids are ASCII
    }

    /// In LinuxKit's layout there is more to a unit than its bundle.
    pub fn in_layout(&self) -> bool {
        self.kind != Kind::Main
    }
}

const FOLDERS: [(Kind, &[u8]); 3] =
    [(Kind::Onboot, b"/onboot"), (Kind::Service, b"/services"), (Kind::Onshutdown, b"/onshutdown")];

/// All units, in the order of their start.
pub type Units = heapless::Vec<Unit, { limits::UNITS }>;

/// Finds the units of the folder `root`.
///
/// # Errors
/// A folder or a unit cannot be read; or there are more than the limit.
pub fn find(root: &CStr, units: &mut Units, workspace: &mut Workspace, strings: &mut Arena<'static>) -> Result<()> {
    for (kind, name) in FOLDERS {
        let folder = strings.join(&[root.to_bytes(), name])?;
        let failed = |errno: Errno| fail!(errno => "cannot read {}", Lossy(folder.to_bytes()));
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = match open(folder, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        let mut ids = heapless::Vec::<&'static CStr, { limits::UNITS }>::new();
        names(opened, &mut ids, strings)?;
        for id in ids {
            let bundle = strings.join(&[folder.to_bytes(), b"/", id.to_bytes()])?;
            let unit = read(kind, id, bundle, workspace, strings)
                .map_err(|error| fail!("{}: {error}", Lossy(bundle.to_bytes())))?;
            units.push(unit).map_err(|_| too_many())?;
        }
    }
    Ok(())
}

#[cold]
pub fn too_many() -> Error {
    fail!("more units than the limit of {}", limits::UNITS)
}

/// The names in a folder, sorted.
fn names(
    folder: OwnedFd,
    ids: &mut heapless::Vec<&'static CStr, { limits::UNITS }>,
    strings: &mut Arena<'static>,
) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|errno| fail!(errno => "cannot read the units' folder"))?;
        let name = entry.file_name().to_bytes();
        // Hidden files are nobody's units.
        if name.first() != Some(&b'.') {
            let name = strings.join(&[name])?;
            let place = ids.iter().position(|id| name.to_bytes() < id.to_bytes()).unwrap_or(ids.len());
            ids.insert(place, name).map_err(|_| too_many())?;
        }
    }
    Ok(())
}

/// Reads what has to be known of a unit before it is started.
///
/// # Errors
/// Its name cannot be a container's id, or its config.json is none, or what it
/// says of how to treat it is wrong.
pub fn read(
    kind: Kind,
    id: &'static CStr,
    bundle: &'static CStr,
    workspace: &mut Workspace,
    strings: &mut Arena<'static>,
) -> Result<Unit> {
    words::check_id(id.to_bytes())?;
    let mut path = [0; limits::PATH];
    let path = bytes::join(&mut path, &[bundle.to_bytes(), b"/config.json"]);
    let path = path.ok_or_else(|| fail!("the bundle's path is too long"))?;
    let text = read_document(CWD, path, &mut workspace.document)?;
    let document = Document::parse("config.json", text, &mut workspace.extents)?;
    let policy = match document.root().get("annotations") {
        Some(annotations) => Policy::read(annotations, kind.useless_annotations(), strings)?,
        None => Policy::DEFAULT,
    };
    // The rest is looked at by whoever makes the container.
    let terminal = document.root().get("process").and_then(|process| process.get("terminal")?.as_bool());
    let terminal = terminal == Some(true);
    let propagation = document.root().get("linux").and_then(|linux| linux.get("rootfsPropagation")?.as_text());
    let shares_mounts = propagation.is_some_and(|word| word.is("shared") || word.is("rshared"));
    Ok(Unit { id, bundle, kind, policy, terminal, shares_mounts })
}
