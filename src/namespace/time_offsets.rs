//! The offsets of a new time namespace (time_namespaces(7)), as the kernel's text.

use crate::bytes::Printed;
use crate::limits;
use crate::spec::linux::{TimeOffset, TimeOffsets};

/// What to write into /proc/PID/timens_offsets; empty where nothing is to change.
pub fn time_offsets(offsets: &TimeOffsets<'_>) -> Printed<{ limits::TIME_OFFSETS + 1 }> {
    let mut text = Printed::new();
    line(&mut text, "monotonic", offsets.monotonic());
    line(&mut text, "boottime", offsets.boottime());
    text
}

fn line(text: &mut Printed<{ limits::TIME_OFFSETS + 1 }>, clock: &str, offset: Option<TimeOffset<'_>>) {
    if let Some(offset) = offset {
        let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        text.add(format_args!("{clock} {seconds} {nanoseconds}\n")); // two of the longest fit
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
            let document = Document::of("c", json.as_bytes()).unwrap();
            assert_eq!(time_offsets(&TimeOffsets::view(document.root())).as_str(), expected);
        }
    }
}
