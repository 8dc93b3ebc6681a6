//! Where a byte of a document stands, for a person.
//!
//! Worked out from the text when an error is made, so that nothing has to be
//! carried along while all is well. The text may be broken, at the place that
//! is asked for or anywhere else: no answer is wrong enough to fail for.

use core::fmt;

use crate::error::Lossy;
use crate::limits::{NAME_SHOWN, NESTING};

/// A place in a document. Displays as what an error begins with:
/// `config.json:41:17: mounts[3].type: `, without a path at the root.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a [u8],
    pub(super) offset: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = line_and_column(self.text, self.offset);
        write!(f, "{}:{line}:{column}: {}", self.name, Path::to(self.text, self.offset))
    }
}

/// Line and column of the byte at `offset`, both from 1; a column is a
/// character.
fn line_and_column(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let in_line = before.get(line_start..).unwrap_or(&[]);
    // Bytes 10xxxxxx continue a character.
    let column = 1 + in_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    (line, column)
}

/// The containers around a place, and the member or element of each in which
/// it lies. Found in one pass: a hostile text must not make its error slow.
struct Path<'a> {
    text: &'a [u8],
    levels: [Level; NESTING],
    depth: usize,
}

/// One container on the way from the root.
#[derive(Clone, Copy)]
struct Level {
    object: bool,
    /// Whether its present member has been named, its present element begun.
    entered: bool,
    /// In an object, where that member's name begins; in an array, the index.
    /// (A document's size fits.)
    number: u32,
}

impl<'a> Path<'a> {
    fn to(text: &'a [u8], offset: usize) -> Path<'a> {
        let outside = Level { object: false, entered: false, number: 0 };
        let mut path = Path { text, levels: [outside; NESTING], depth: 0 };
        let mut at = 0;
        while at <= offset
            && let Some(byte) = text.get(at)
        {
            let mut next = at + 1;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b':' => {}
                b'"' => match string_end(text, at) {
                    Some(end) => {
                        path.enter(Some(at));
                        next = end;
                    }
                    None => {
                        path.enter(None);
                        break; // what follows is inside it
                    }
                },
                // What stands between values is a matter of the container.
                b',' | b'}' | b']' if at == offset => break,
                b',' => path.leave(),
                b'}' | b']' => path.depth = path.depth.saturating_sub(1),
                b'{' | b'[' => {
                    path.enter(None);
                    if at == offset || !path.push(*byte == b'{') {
                        break;
                    }
                }
                _ => path.enter(None),
            }
            at = next;
        }
        path
    }

    fn innermost(&mut self) -> Option<&mut Level> {
        self.levels.get_mut(self.depth.checked_sub(1)?)
    }

    /// A value begins in the innermost container, or a member's name does.
    fn enter(&mut self, string: Option<usize>) {
        let Some(level) = self.innermost() else { return };
        match string {
            Some(name) if level.object && !level.entered => {
                level.number = name as u32;
                level.entered = true;
            }
            // Without its name a member cannot be told.
            _ => level.entered |= !level.object,
        }
    }

    /// A comma: the next turn of the innermost container.
    fn leave(&mut self) {
        if let Some(level) = self.innermost() {
            level.entered = false;
            level.number = if level.object { level.number } else { level.number.saturating_add(1) };
        }
    }

    /// Whether there was room for one more.
    fn push(&mut self, object: bool) -> bool {
        match self.levels.get_mut(self.depth) {
            Some(level) => {
                *level = Level { object, entered: false, number: 0 };
                self.depth += 1;
                true
            }
            None => false,
        }
    }
}

/// From the opening quote to behind the closing one, if there is one.
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += 1;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 1,
            _ => {}
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for level in self.levels.iter().take(self.depth).take_while(|level| level.entered) {
            let number = level.number as usize;
            if level.object {
                let end = string_end(self.text, number).unwrap_or(number);
                let name = self.text.get(number + 1..end.saturating_sub(1)).unwrap_or(&[]);
                // What is wrong comes behind the path, and has to be seen too.
                let (shown, rest) = name.split_at_checked(NAME_SHOWN).map_or((name, ""), |(shown, _)| (shown, "…"));
                write!(f, "{separator}{}{rest}", Lossy(shown))?;
            } else {
                write!(f, "[{number}]")?;
            }
            separator = ".";
        }
        f.write_str(if separator.is_empty() { "" } else { ": " })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn at(text: &str, offset: usize) -> std::string::String {
        Place { name: "t", text: text.as_bytes(), offset }.to_string()
    }

    #[test]
    fn paths_and_positions() {
        let text = "{\"a\": 1,\n \"bé\": {\"c\": [[], {\"d\": \"x\\\"]\"}, 7]}}";
        for (needle, expected) in [
            ("{\"a\"", "t:1:1: "),
            ("\"a\"", "t:1:2: a: "),
            ("1,", "t:1:7: a: "),
            ("\"bé\"", "t:2:2: bé: "),
            ("{\"c\"", "t:2:8: bé: "),
            ("[[]", "t:2:14: bé.c: "),
            ("[],", "t:2:15: bé.c[0]: "),
            ("{\"d\"", "t:2:19: bé.c[1]: "),
            ("\"x", "t:2:25: bé.c[1].d: "),
            ("7]", "t:2:34: bé.c[2]: "),
            ("]}}", "t:2:35: bé.c[2]: "),
        ] {
            assert_eq!(at(text, text.find(needle).unwrap()), expected, "{needle}");
        }
    }

    #[test]
    fn a_broken_text_has_places_too() {
        for (text, offset, expected) in [
            ("", 0, "t:1:1: "),
            ("]", 0, "t:1:1: "),
            ("}},\"a\"", 3, "t:1:4: "),
            ("[1,", 3, "t:1:4: "),
            ("[1,,2]", 3, "t:1:4: "),
            ("[1 2]", 3, "t:1:4: [0]: "),
            ("{\"a\"", 4, "t:1:5: a: "),
            ("{\"a\" 1}", 5, "t:1:6: a: "),
            ("{\"a\":1,", 7, "t:1:8: "),
            ("{\"a\":1, x", 8, "t:1:9: "),
            ("{\"a\":[{\"b", 9, "t:1:10: a[0]: "),
            ("{\"a\":[{\"b\\", 10, "t:1:11: a[0]: "),
            ("[\n\n\"", 4, "t:3:2: [0]: "),
            ("[1]", 99, "t:1:4: "),
        ] {
            assert_eq!(at(text, offset), expected, "{text}");
        }
    }

    #[test]
    fn hostile_texts_stay_short_and_quick() {
        let name = "n".repeat(100_000);
        assert!(at(&std::format!("{{\"{name}\":1}}"), 100_004).len() < 120);
        let deep = "[".repeat(1 << 20);
        assert!(at(&deep, deep.len()).ends_with("[0][0]: "));
    }
}
