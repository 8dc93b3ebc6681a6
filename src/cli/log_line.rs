//! The shape of one line of the log.

use core::fmt::{self, Display, Write};

use crate::bytes::Printed;
use crate::limits;

/// How grave it is: the words of runc's log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Warning,
    Error,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// A line: a message can double by escaping, and there is what stands around it.
pub type Line = Printed<{ 2 * limits::MESSAGE + 128 }>;

/// Puts the line together, its newline included.
///
/// As text: `time="…" level=error msg="…"`. As JSON, an object with `level`,
/// `msg` and `time`: containerd reads the last line of level `error`, podman
/// the file as a whole. A message too long for the line ends in "…".
pub fn compose(line: &mut Line, json: bool, level: Level, time: &str, message: fmt::Arguments<'_>) {
    line.clear();
    let level = level.word();
    // What follows the message has its room kept by `Escaped`.
    if json {
        line.add(format_args!("{{\"level\":\"{level}\",\"msg\":\""));
    } else {
        line.add(format_args!("time=\"{time}\" level={level} msg=\""));
    }
    let _ = Escaped { line, cut: false }.write_fmt(message);
    if json {
        line.add(format_args!("\",\"time\":\"{time}\"}}\n"));
    } else {
        line.push("\"\n");
    }
}

/// Writes into a quoted string, the same for JSON and for Go's `%q`.
struct Escaped<'a> {
    line: &'a mut Line,
    cut: bool,
}

impl Escaped<'_> {
    /// Bytes kept for what follows: "…", and the end of a JSON line.
    const KEPT: usize = 64;

    fn put(&mut self, text: &str) {
        if self.cut {
            return;
        }
        self.cut = self.line.room() < text.len().saturating_add(Self::KEPT);
        // Fits, by what is kept.
        self.line.push(if self.cut { "…" } else { text });
    }
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' => self.put("\\\""),
                '\\' => self.put("\\\\"),
                character if character.is_control() => self.put("?"),
                character => self.put(character.encode_utf8(&mut [0; 4])),
            }
        }
        Ok(())
    }
}

/// A message's first line, for standard error: `ocinit: …`.
pub fn compose_for_a_person(line: &mut Line, level: Level, message: &dyn Display) {
    line.clear();
    let prefix = match level {
        Level::Error => "ocinit: ",
        Level::Warning => "ocinit: warning: ",
    };
    line.push(prefix);
    let _ = write!(Plain(line), "{message}");
    // `Plain` has kept the room.
    line.push("\n");
}

/// Keeps a message on one line, and room for the newline.
struct Plain<'a>(&'a mut Line);

impl Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let character = if character.is_control() { '?' } else { character };
            // One byte is kept for the newline.
            if self.0.room() <= character.len_utf8() || !self.0.push(character.encode_utf8(&mut [0; 4])) {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const TIME: &str = "2026-01-02T03:04:05Z";

    fn line(json: bool, level: Level, message: &str) -> std::string::String {
        let mut line = Line::new();
        compose(&mut line, json, level, TIME, format_args!("{message}"));
        line.as_str().to_string()
    }

    #[test]
    fn lines() {
        for (json, level, message, expected) in [
            (false, Level::Error, "no", "time=\"2026-01-02T03:04:05Z\" level=error msg=\"no\"\n"),
            (
                false,
                Level::Warning,
                "a \"b\" \\",
                "time=\"2026-01-02T03:04:05Z\" level=warning msg=\"a \\\"b\\\" \\\\\"\n",
            ),
            (true, Level::Error, "no", "{\"level\":\"error\",\"msg\":\"no\",\"time\":\"2026-01-02T03:04:05Z\"}\n"),
            (
                true,
                Level::Warning,
                "\"\\\né",
                "{\"level\":\"warning\",\"msg\":\"\\\"\\\\?é\",\"time\":\"2026-01-02T03:04:05Z\"}\n",
            ),
        ] {
            assert_eq!(line(json, level, message), expected);
        }
    }

    #[test]
    fn a_message_too_long_leaves_a_whole_line() {
        for filler in ["x", "\"", "€"] {
            let line = line(true, Level::Error, &filler.repeat(3000));
            assert!(line.ends_with("…\",\"time\":\"2026-01-02T03:04:05Z\"}\n"), "{line}");
            assert_eq!(line.matches('…').count(), 1);
        }
        let mut line = Line::new();
        compose_for_a_person(&mut line, Level::Error, &"€".repeat(3000));
        assert!(line.as_str().ends_with("€\n"));
    }

    #[test]
    fn a_line_for_a_person() {
        let mut line = Line::new();
        compose_for_a_person(&mut line, Level::Warning, &"a\nb");
        assert_eq!(line.as_str(), "ocinit: warning: a?b\n");
    }
}
