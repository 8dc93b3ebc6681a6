//! The offsets of a new time namespace (time_namespaces(7)), as the kernel's text.

use core::fmt::Write;

use heapless::String;

use crate::limits;
use crate::spec::linux::{TimeOffset, TimeOffsets};

/// What to write into /proc/PID/timens_offsets; empty where nothing is to change.
pub fn time_offsets(offsets: &TimeOffsets<'_>) -> String<{ limits::TIME_OFFSETS }> {
    let mut text = String::new();
    line(&mut text, "monotonic", offsets.monotonic());
    line(&mut text, "boottime", offsets.boottime());
    text
}

fn line(text: &mut String<{ limits::TIME_OFFSETS }>, clock: &str, offset: Option<TimeOffset<'_>>) {
    if let Some(offset) = offset {
        let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        let _ = writeln!(text, "{clock} {seconds} {nanoseconds}"); // two of the longest fit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    #[test]
    fn a_line_for_each_clock() {
        for (json, expected) in [
            ("{}", ""),
            (r#"{"monotonic": {"secs": 5}}"#, "monotonic 5 0\n"),
            (
                r#"{"boottime": {"secs": -7, "nanosecs": 9}, "monotonic": {"nanosecs": 1}}"#,
                "monotonic 0 1\nboottime -7 9\n",
            ),
            (
                r#"{"boottime": {"secs": -9223372036854775808, "nanosecs": 4294967295},
                    "monotonic": {"secs": -9223372036854775808, "nanosecs": 4294967295}}"#,
                "monotonic -9223372036854775808 4294967295\nboottime -9223372036854775808 4294967295\n",
            ),
        ] {
            let document = Document::parse("c", json.as_bytes()).unwrap();
            assert_eq!(time_offsets(&TimeOffsets::view(document.root())), expected);
        }
    }
}
