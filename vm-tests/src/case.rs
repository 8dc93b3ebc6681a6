//! What a case is.

use anyhow::Result;

use crate::context::Context;

/// One test.
pub struct Case {
    /// `group/what_it_shows`.
    pub name: &'static str,
    pub run: fn(&Context) -> Result<()>,
}

/// Why a case cannot run here.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// A group's table.
macro_rules! cases {
    ($group:literal: $($function:ident),+ $(,)?) => {
        pub const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case { name: concat!($group, "/", stringify!($function)), run: $function }
        ),+];
    };
}
