//! Checks whose failure shows what was found beside what was expected.

/// Fails the case unless both sides are equal.
macro_rules! same {
    ($found:expr, $expected:expr, $($what:tt)+) => {{
        let (found, expected) = (&$found, &$expected);
        if *found != *expected {
            anyhow::bail!("{}: found {found:?}, expected {expected:?}", format_args!($($what)+));
        }
    }};
}

/// Fails the case unless the text holds the part.
macro_rules! holds {
    ($text:expr, $part:expr, $($what:tt)+) => {{
        let (text, part) = (&$text, &$part);
        if !text.contains(&**part) {
            anyhow::bail!("{}: {:?} is not in {:?}", format_args!($($what)+), part, text);
        }
    }};
}
