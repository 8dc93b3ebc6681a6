//! How something ended, and the lines that say so: for people in words, for
//! programs in JSON.

use core::fmt;

use crate::bytes::{self, Printed};
use crate::limits;
use crate::spec::write::Json;
use crate::word_list;

/// How a unit, or the whole boot, ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with that status.
    Exit(u8),
    Signal(u8),
    /// The kernel killed it for want of memory.
    OutOfMemory,
    /// It took longer than it was given.
    Timeout,
    /// It never ran, or its end could not be seen. The status is a shell's for
    /// that: 127 where the program does not exist, 126 where it may not be
    /// executed, else 125.
    Error(u8),
}

impl Ending {
    pub fn is_success(self) -> bool {
        self == Ending::Exit(0)
    }

    /// The status that a shell would give.
    pub fn status(self) -> u8 {
        match self {
            Ending::Exit(status) | Ending::Error(status) => status,
            Ending::Signal(signal) => signal.saturating_add(128),
            Ending::OutOfMemory => 137,
            Ending::Timeout => 124,
        }
    }

    /// As two bytes.
    pub fn encode(self) -> [u8; 2] {
        match self {
            Ending::Exit(status) => [0, status],
            Ending::Signal(signal) => [1, signal],
            Ending::OutOfMemory => [2, 9],
            Ending::Timeout => [3, 0],
            Ending::Error(status) => [4, status],
        }
    }

    /// What [`Ending::encode`] gave.
    pub fn decode([kind, number]: [u8; 2]) -> Ending {
        match kind {
            0 => Ending::Exit(number),
            1 => Ending::Signal(number),
            2 => Ending::OutOfMemory,
            3 => Ending::Timeout,
            _ => Ending::Error(number),
        }
    }

    /// An error, with the status that its sentence stands for.
    pub fn of_error(sentence: &str) -> Ending {
        // A program that is not there or cannot be executed is said in these words,
        // see `identity`'s search for it and `lifecycle`'s execve.
        let is_exec = bytes::after(sentence.as_bytes(), "exec").is_some();
        let ends = |words: &str| is_exec && sentence.ends_with(words);
        Ending::Error(if ends("no such file or directory") || ends("not found in $PATH") {
            127
        } else if ends("permission denied") || ends("exec format error") || ends("is a directory") {
            126
        } else {
            125
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exit(status) => write!(f, "ended with status {status}"),
            Ending::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Ending::OutOfMemory => f.write_str("was killed by the kernel: out of memory"),
            Ending::Timeout => f.write_str("took longer than it was given"),
            Ending::Error(_) => f.write_str("failed"),
        }
    }
}

/// One thing that happened.
pub struct Event<'a> {
    /// `init`, `starting`, `started`, `exited` or `outcome`.
    pub name: &'a str,
    pub unit: Option<&'a str>,
    /// How it ended, and for an error the sentence.
    pub ending: Option<(Ending, &'a str)>,
    /// Microseconds since the kernel's start.
    pub us: u64,
}

/// Room for an event: every byte of the sentence can take six, and the rest is
/// short.
pub type EventLine = [u8; 6 * limits::MESSAGE + 2 * limits::ID + 128];

/// In front of the outcome on the console.
pub const MARK: &str = "ocinit-outcome: ";

impl Event<'_> {
    /// As one line of JSON, its newline included.
    pub fn write<'b>(&self, line: &'b mut EventLine) -> &'b [u8] {
        let mut members = heapless::Vec::<(&str, Json<'_>), 8>::new();
        // Seven at most.
        let mut add = |name, value| {
            let _ = members.push((name, value));
        };
        add("event", Json::Text(self.name));
        if let Some(unit) = self.unit {
            add("unit", Json::Text(unit));
        }
        if let Some((ending, message)) = self.ending {
            let [kind, number] = ending.encode();
            let word = word_list!("exit signal oom timeout error").get(kind.into()).unwrap_or("error");
            add("result", Json::Text(word));
            match ending {
                Ending::Signal(_) | Ending::OutOfMemory => add("signal", Json::Number(number.into())),
                Ending::Exit(_) | Ending::Error(_) => add("status", Json::Number(number.into())),
                Ending::Timeout => {}
            }
            if let Ending::Error(_) = ending {
                add("message", Json::Text(message));
            }
        }
        add("us", Json::Number(self.us));
        let room = line.len() - 1;
        let length = line.get_mut(..room).and_then(|room| Json::Object(&members).write("an event", room).ok());
        let length = length.unwrap_or(0); // it fits, by the type
        if let Some(place) = line.get_mut(length) {
            *place = b'\n';
        }
        line.get(..=length).unwrap_or(&[])
    }
}

/// A sentence that goes with an ending.
pub type Sentence = Printed<{ limits::MESSAGE + 1 }>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_of_json() {
        for (name, unit, ending, expected) in [
            ("init", None, None, "{\"event\":\"init\",\"us\":7}\n"),
            ("started", Some("bundle"), None, "{\"event\":\"started\",\"unit\":\"bundle\",\"us\":7}\n"),
            (
                "exited",
                Some("010-dhcp"),
                Some((Ending::Exit(0), "")),
                "{\"event\":\"exited\",\"unit\":\"010-dhcp\",\"result\":\"exit\",\"status\":0,\"us\":7}\n",
            ),
            (
                "outcome",
                None,
                Some((Ending::Signal(15), "")),
                "{\"event\":\"outcome\",\"result\":\"signal\",\"signal\":15,\"us\":7}\n",
            ),
            (
                "outcome",
                None,
                Some((Ending::OutOfMemory, "")),
                "{\"event\":\"outcome\",\"result\":\"oom\",\"signal\":9,\"us\":7}\n",
            ),
            ("outcome", None, Some((Ending::Timeout, "")), "{\"event\":\"outcome\",\"result\":\"timeout\",\"us\":7}\n"),
            (
                "outcome",
                None,
                Some((Ending::Error(127), "say \"no\"\\")),
                "{\"event\":\"outcome\",\"result\":\"error\",\"status\":127,\"message\":\"say \\\"no\\\"\\\\\",\"us\":7}\n",
            ),
        ] {
            let mut line = [0; _];
            let event = Event { name, unit, ending, us: 7 };
            assert_eq!(core::str::from_utf8(event.write(&mut line)).unwrap(), expected);
        }
    }

    #[test]
    fn the_longest_sentence_fits() {
        let mut line = [0; _];
        let message = "\u{1}".repeat(limits::MESSAGE);
        let unit = "u".repeat(limits::ID);
        let ending = Some((Ending::Error(125), message.as_str()));
        let event = Event { name: "outcome", unit: Some(&unit), ending, us: u64::MAX };
        let text = event.write(&mut line);
        let parsed: serde_json::Value = serde_json::from_slice(text).unwrap();
        assert_eq!(parsed["message"], message);
    }

    #[test]
    fn endings_come_back_from_two_bytes() {
        for (ending, status) in [
            (Ending::Exit(0), 0),
            (Ending::Exit(255), 255),
            (Ending::Signal(15), 143),
            (Ending::OutOfMemory, 137),
            (Ending::Timeout, 124),
            (Ending::Error(126), 126),
        ] {
            assert!(Ending::decode(ending.encode()) == ending && ending.status() == status);
            assert_eq!(ending.is_success(), status == 0);
        }
    }

    #[test]
    fn errors_have_the_status_that_a_shell_gives() {
        for (sentence, status) in [
            ("exec: \"x\": executable file not found in $PATH", 127),
            ("exec: \"/x\": stat /x: no such file or directory", 127),
            ("exec /bin/x: no such file or directory", 127),
            ("exec: \"/x\": permission denied", 126),
            ("exec /x: exec format error", 126),
            ("cannot open the bundle /b: no such file or directory", 125),
            ("", 125),
        ] {
            assert!(Ending::of_error(sentence) == Ending::Error(status), "{sentence}");
        }
    }
}
