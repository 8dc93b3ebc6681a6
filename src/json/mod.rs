//! JSON (RFC 8259) as this program reads it: one validating pass over the whole
//! text, then views that borrow from it.
//!
//! Nothing is copied: a [`Value`] is a place in the text, arrays and objects
//! are walked anew each time they are asked, in constant memory. Every view can
//! say where it stands: line, column and path.
//!
//! Knows nothing of the OCI documents.

mod extents;
mod position;
mod text;
mod validate;
mod value;

pub use extents::Extents;
pub use text::{PathBuffer, Text, WORD};
pub use value::{Document, Items, Kind, Members, Value};

#[cfg(test)]
mod tests;
