//! `ociVersion` (config.md, "Specification version").

use crate::error::Result;
use crate::json::Text;

/// The first version of the specification that is carried out.
pub const LEAST: &str = "1.0.0";
/// The version that this program is written after.
pub const MOST: &str = "1.3.0";

/// Checks that a document is of a version that is understood: one that follows
/// Semantic Versioning 2.0.0, of major 1 or 0.
///
/// Within a major, newer versions only add fields, and unknown fields are to be
/// ignored. Before 1.0.0 the document looked as in 1.0.0: the specification's
/// own example says "0.5.0-dev", and runc takes any version at all. A later
/// major may give another meaning to what looks the same.
///
/// # Errors
/// Not a version, or of another major.
pub fn check(text: Text<'_>) -> Result<()> {
    match major_digit(text) {
        None => Err(text.error(format_args!("\"{text}\" is not a version such as {MOST} (Semantic Versioning 2.0.0)"))),
        Some(b'0' | b'1') => Ok(()),
        Some(_) => Err(text.error(format_args!(
            "version \"{text}\" of the specification is not supported, {LEAST} to {MOST} and the rest of that major are"
        ))),
    }
}

/// The parts of a version, in their order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Major,
    Minor,
    Patch,
    PreRelease,
    Build,
}

/// The major number of a valid version, if it has one digit ('x' if it has more).
fn major_digit(text: Text<'_>) -> Option<u8> {
    let mut part = Part::Major;
    let mut major = None;
    let mut length = 0usize; // of the present identifier
    let (mut zero_first, mut digits_only) = (false, true);
    // A string of a document holds no NUL: here it is the end.
    for byte in text.bytes().chain(core::iter::once(0)) {
        let next = match (part, byte) {
            (Part::Major, b'.') => Some(Part::Minor),
            (Part::Minor, b'.') => Some(Part::Patch),
            (Part::Patch, b'-') => Some(Part::PreRelease),
            (Part::Patch | Part::PreRelease, b'+') => Some(Part::Build),
            (Part::PreRelease | Part::Build, b'.') | (Part::Patch | Part::PreRelease | Part::Build, 0) => Some(part),
            _ => None,
        };
        if let Some(next) = next {
            let padded = zero_first && digits_only && length > 1 && part != Part::Build;
            if length == 0 || padded {
                return None;
            }
            part = next;
            (length, zero_first, digits_only) = (0, false, true);
            continue;
        }
        match byte {
            b'0'..=b'9' => zero_first |= length == 0 && byte == b'0',
            b'a'..=b'z' | b'A'..=b'Z' | b'-' if matches!(part, Part::PreRelease | Part::Build) => digits_only = false,
            _ => return None,
        }
        if part == Part::Major {
            major = Some(if length == 0 { byte } else { b'x' });
        }
        length += 1;
    }
    major
}

/// Whether a version that [`check`] has let pass comes before 1.3.0, in the order of
/// Semantic Versioning (11: what leads to a version comes before it).
pub fn is_before_1_3(version: Text<'_>) -> bool {
    let mut numbers = [0u64; 3];
    let mut index = 0;
    let mut leads_to = false;
    for byte in version.bytes() {
        match (byte, numbers.get_mut(index)) {
            (b'0'..=b'9', Some(number)) => *number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
            (b'.', _) => index += 1,
            _ => {
                leads_to = byte == b'-';
                break;
            }
        }
    }
    numbers < [1, 3, 0] || leads_to && numbers == [1, 3, 0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;

    fn verdict(version: &str) -> Option<std::string::String> {
        let text = std::format!("\"{version}\"");
        let document = Document::of("t", text.as_bytes()).unwrap();
        check(document.root().as_text().unwrap()).err().map(|error| std::format!("{error}"))
    }

    #[test]
    fn some_come_before_1_3() {
        for (version, before) in [
            ("0.5.0-dev", true),
            ("1.0.2", true),
            ("1.2.1+dev", true),
            ("1.2.99", true),
            ("1.3.0-rc.1", true),
            ("1.3.0", false),
            ("1.3.0+dev", false),
            ("1.3.1-dev", false),
            ("1.10.0", false),
        ] {
            let text = std::format!("\"{version}\"");
            let document = Document::of("t", text.as_bytes()).unwrap();
            assert_eq!(is_before_1_3(document.root().as_text().unwrap()), before, "{version}");
        }
    }

    #[test]
    fn versions() {
        for version in [
            "1.0.0",
            "1.0.2",
            "1.0.2-dev",
            "1.1.0-rc.1",
            "1.2.0",
            "1.3.0",
            "1.99.0",
            "0.5.0-dev",
            "0.2.0",
            "1.0.0-rc5",
            "1.0.0-rc6-dev",
            "1.0.0+build.01",
            "1.0.0-x.7.z.92+exp.sha.5114f85",
            "1.0.0-0A.is.legal",
            "1.0.0----R-S.12",
            "1.10.20",
            "1.0.0-0",
        ] {
            assert_eq!(verdict(version), None, "{version}");
        }
        for version in [
            "",
            "1",
            "1.0",
            "1.0.0.0",
            "1.0.",
            ".0.0",
            "01.0.0",
            "1.00.0",
            "1.0.00",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0+",
            "1.0.0+a+b",
            "v1.0.0",
            "1.0.x",
            "1.0.0-ä",
            "1.0.0-a_b",
            " 1.0.0",
            "1.0.0 ",
            "-1.0.0",
            "1.-1.0",
        ] {
            assert!(verdict(version).is_some_and(|said| said.contains("is not a version")), "{version}");
        }
        for version in ["2.0.0", "10.0.0", "11.0.0-dev", "99999999999999999999999.0.0"] {
            assert!(verdict(version).is_some_and(|said| said.contains("is not supported")), "{version}");
        }
    }
}
