//! How a boot ended, and what the guest says of it: the lines of the status
//! channel, and the statuses that a shell would give. Pure.

use serde::Deserialize;
use serde_json::Value;

/// What a boot came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Exit(u8),
    Signal(u8),
    /// Ended by the kernel, which had no memory left for it.
    Oom,
    /// Ran longer than it was given.
    Timeout,
    /// ocinit could not carry it out: a sentence, and 126, 127 or 125.
    Error {
        message: String,
        status: u8,
    },
    /// QEMU, the kernel or the boot failed before there was an outcome.
    Failed(String),
    /// We were told to stop by this signal.
    Interrupted(i32),
}

impl Outcome {
    /// The exit status, as shells give it.
    pub fn status(&self) -> u8 {
        match self {
            Outcome::Exit(status) => *status,
            Outcome::Signal(signal) => 128_u8.saturating_add(*signal),
            Outcome::Oom => 137,
            Outcome::Timeout => 124,
            Outcome::Error { status, .. } => *status,
            Outcome::Failed(_) => 125,
            Outcome::Interrupted(signal) => 128_u8.saturating_add(u8::try_from(*signal).unwrap_or(0)),
        }
    }

    /// The word for it in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Exit(_) => "exit",
            Outcome::Signal(_) => "signal",
            Outcome::Oom => "oom",
            Outcome::Timeout => "timeout",
            Outcome::Error { .. } => "error",
            Outcome::Failed(_) => "failed",
            Outcome::Interrupted(_) => "interrupted",
        }
    }

    /// What a person must be told beyond the exit status; `None` where the command spoke for itself.
    pub fn sentence(&self) -> Option<String> {
        match self {
            Outcome::Exit(_) | Outcome::Interrupted(_) => None,
            Outcome::Signal(signal) => Some(format!("the command was ended by signal {signal}")),
            Outcome::Oom => Some("the command was killed: it ran out of memory".into()),
            Outcome::Timeout => Some("the command ran out of time".into()),
            Outcome::Error { message, .. } | Outcome::Failed(message) => Some(message.clone()),
        }
    }
}

/// The members that the lines of the status channel may have.
#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    unit: String,
    result: Option<String>,
    status: Option<u8>,
    signal: Option<u8>,
    message: Option<String>,
    us: Option<u64>,
}

/// One line of the status channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Kind,
    /// Microseconds since the guest's kernel started.
    pub us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ocinit runs.
    Init,
    /// A unit is about to be made.
    Starting {
        unit: String,
    },
    Started {
        unit: String,
    },
    Exited {
        unit: String,
        outcome: Outcome,
    },
    Outcome(Outcome),
}

/// In front of the outcome on the console.
const ON_CONSOLE: &str = "ocinit-outcome: ";

impl Event {
    /// `None` for what is not understood: a newer ocinit may say more.
    pub fn parse(text: &str) -> Option<Event> {
        let value: Value = serde_json::from_str(text.trim()).ok()?;
        let line = Line::deserialize(value).ok()?;
        let kind = match line.event.as_str() {
            "init" => Kind::Init,
            "starting" => Kind::Starting { unit: line.unit },
            "started" => Kind::Started { unit: line.unit },
            "exited" => Kind::Exited { outcome: outcome(&line)?, unit: line.unit },
            "outcome" => Kind::Outcome(outcome(&line)?),
            _ => return None,
        };
        Some(Event { kind, us: line.us.unwrap_or(0) })
    }

    /// The outcome, where a line of the console holds it.
    pub fn on_console(line: &str) -> Option<Event> {
        let at = line.find(ON_CONSOLE)?;
        Event::parse(line.get(at + ON_CONSOLE.len()..)?)
    }
}

fn outcome(line: &Line) -> Option<Outcome> {
    Some(match line.result.as_deref()? {
        "exit" => Outcome::Exit(line.status?),
        "signal" => Outcome::Signal(line.signal?),
        "oom" => Outcome::Oom,
        "timeout" => Outcome::Timeout,
        "error" => Outcome::Error {
            message: line.message.clone().unwrap_or_else(|| "ocinit failed without saying why".into()),
            status: line.status.filter(|status| *status != 0).unwrap_or(125),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_statuses() {
        for (line, expected, status) in [
            (r#"{"event":"outcome","result":"exit","status":42,"us":5}"#, Outcome::Exit(42), 42),
            (r#"{"event":"outcome","result":"exit","status":0,"more":[1,2]}"#, Outcome::Exit(0), 0),
            (r#"{"event":"outcome","result":"signal","signal":15}"#, Outcome::Signal(15), 143),
            (r#"{"event":"outcome","result":"oom","signal":9}"#, Outcome::Oom, 137),
            (r#"{"event":"outcome","result":"timeout"}"#, Outcome::Timeout, 124),
            (
                r#"{"event":"outcome","result":"error","message":"no such program","status":127}"#,
                Outcome::Error { message: "no such program".into(), status: 127 },
                127,
            ),
            (
                r#"{"event":"outcome","result":"error","message":"x","status":0}"#,
                Outcome::Error { message: "x".into(), status: 125 },
                125,
            ),
        ] {
            let event = Event::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(event.kind, Kind::Outcome(expected.clone()), "{line}");
            assert_eq!(expected.status(), status, "{line}");
            assert_eq!(Event::on_console(&format!("[    1.2] ocinit-outcome: {line}\r")), Some(event), "{line}");
        }
        assert_eq!(Outcome::Signal(200).status(), 255);
        assert_eq!(Outcome::Interrupted(2).status(), 130);
    }

    #[test]
    fn what_is_not_understood_is_skipped() {
        for line in [
            "",
            "hello",
            "{",
            "{}",
            r#"{"event":"novel"}"#,
            r#"{"event":"outcome"}"#,
            r#"{"event":"outcome","result":"exit"}"#,
            r#"{"event":"outcome","result":"exit","status":256}"#,
            r#"{"event":"outcome","result":"novel","status":0}"#,
        ] {
            assert_eq!(Event::parse(line), None, "{line}");
            assert_eq!(Event::on_console(line), None, "{line}");
        }
        assert_eq!(Event::on_console("ocinit-outcome: {"), None);
    }

    #[test]
    fn the_other_events() {
        let started = Event::parse(r#"{"event":"started","unit":"010-a","us":7}"#);
        assert_eq!(started, Some(Event { kind: Kind::Started { unit: "010-a".into() }, us: 7 }));
        let starting = Event::parse(r#"{"event":"starting","unit":"010-a","us":6}"#);
        assert_eq!(starting, Some(Event { kind: Kind::Starting { unit: "010-a".into() }, us: 6 }));
        let exited = Event::parse(r#"{"event":"exited","unit":"b","result":"exit","status":3,"us":9}"#);
        assert_eq!(exited, Some(Event { kind: Kind::Exited { unit: "b".into(), outcome: Outcome::Exit(3) }, us: 9 }));
        assert_eq!(Event::parse(r#"{"event":"init","us":1}"#), Some(Event { kind: Kind::Init, us: 1 }));
    }
}
