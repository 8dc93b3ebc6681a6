//! The cases, one file per subject.

mod commands;
mod endings;
mod exchange;
mod sources;

use crate::case::Case;

pub fn all() -> impl Iterator<Item = &'static Case> {
    [sources::CASES, endings::CASES, exchange::CASES, commands::CASES].into_iter().flatten()
}
