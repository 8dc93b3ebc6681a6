//! Where a byte of a document stands, for a person.
//!
//! Worked out from the text when an error is made, so that nothing has to be
//! carried along while all is well.

use core::fmt::{self, Write};

/// Line and column of the byte at `offset`, both from 1; a column is a
/// character.
pub(super) fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let in_line = before.get(line_start..).unwrap_or(&[]);
    // Bytes 10xxxxxx continue a character.
    let column = 1 + in_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    (line, column)
}

/// The path of what stands at `offset`: `linux.namespaces[2].type`. Displays as
/// nothing at the root. Also works in a text that is broken at `offset`.
pub(super) struct Path<'a> {
    pub(super) text: &'a [u8],
    pub(super) offset: usize,
}

impl Path<'_> {
    pub(super) fn is_root(&self) -> bool {
        let mut probe = IsEmpty(true);
        let _ = write!(probe, "{self}");
        probe.0
    }
}

struct IsEmpty(bool);

impl Write for IsEmpty {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 &= text.is_empty();
        Ok(())
    }
}

/// One container on the way from the root to the offset.
enum Step<'a> {
    /// In an object, behind this name (raw, without quotes).
    Member(&'a [u8]),
    /// In an array, at this index.
    Index(usize),
}

impl<'a> Path<'a> {
    /// The step taken inside the container that begins at `at`, and where the
    /// value it leads to begins: the last one that begins at or before the offset.
    fn step(&self, at: usize) -> Option<(Step<'a>, usize)> {
        let text = self.text;
        let is_object = text.get(at)? == &b'{';
        let mut index = 0;
        let mut name: &[u8] = &[];
        let mut expects_name = is_object;
        let mut begin = None; // of the value in whose turn we are
        let mut depth = 0usize;
        let mut place = at + 1;
        while place <= self.offset
            && let Some(byte) = text.get(place)
        {
            let mut next = place + 1;
            if *byte == b'"' {
                next = skip_string(text, place);
            }
            if depth == 0 {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b',' => {
                        index += 1;
                        expects_name = is_object;
                        begin = None;
                    }
                    b':' if is_object && begin.is_none() => {}
                    b'"' if expects_name => {
                        name = text.get(place + 1..next.saturating_sub(1)).unwrap_or(&[]);
                        expects_name = false;
                        // An error about the name itself is about the member.
                        if next > self.offset {
                            return Some((Step::Member(name), usize::MAX));
                        }
                    }
                    b'}' | b']' => return None, // closed before the offset
                    _ => begin = begin.or(Some(place)),
                }
            }
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            place = next;
        }
        let step = if is_object { Step::Member(name) } else { Step::Index(index) };
        begin.map(|begin| (step, begin))
    }
}

fn skip_string(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = self.text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
        let mut first = true;
        while at < self.offset && matches!(self.text.get(at), Some(b'{' | b'[')) {
            let Some((step, value)) = self.step(at) else { break };
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Member(name) => {
                    let dot = if first { "" } else { "." };
                    write!(f, "{dot}{}", crate::error::Lossy(name))?;
                }
            }
            first = false;
            at = value;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn paths_and_positions() {
        let text = "{\"a\": 1,\n \"bé\": {\"c\": [[], {\"d\": \"x\\\"]\"}, 7]}}".as_bytes();
        for (needle, line, column, path) in [
            ("{\"a\"", 1, 1, ""),
            ("1,", 1, 7, "a"),
            ("\"bé\"", 2, 2, "bé"),
            ("{\"c\"", 2, 8, "bé"),
            ("[[]", 2, 14, "bé.c"),
            ("[],", 2, 15, "bé.c[0]"),
            ("\"x", 2, 25, "bé.c[1].d"),
            ("7]", 2, 34, "bé.c[2]"),
        ] {
            let offset = text.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
            assert_eq!(line_and_column(text, offset), (line, column), "{needle}");
            assert_eq!(Path { text, offset }.to_string(), path, "{needle}");
        }
    }
}
