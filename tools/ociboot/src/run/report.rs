//! What a run came to: for people, as JSON, and as JUnit.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event as Xml};
use serde_json::{Value, json};

use super::artifacts::Artifact;
use super::machine::{Accel, Machine};
use super::outcome::{Kind, Outcome};
use super::tap::{Point, Tap, Verdict};
use super::watch::Seen;
use crate::kernel::Kernel;

/// Everything about a run that has ended.
pub struct Report {
    pub source: PathBuf,
    pub machine: Machine,
    pub accel: Accel,
    pub kernel: Kernel,
    /// Of packing.
    pub warnings: Vec<String>,
    pub packed: Duration,
    pub total: Duration,
    pub artifacts: Vec<Artifact>,
    pub seen: Seen,
    /// What the command wrote and could not be passed on, a sentence for each stream.
    pub lost: Vec<String>,
    /// What standard output held of it.
    pub tap: Option<Tap>,
}

impl Report {
    pub fn outcome(&self) -> &Outcome {
        &self.seen.outcome
    }

    /// The exit status. A result that nobody has must not look like a success.
    pub fn status(&self) -> u8 {
        match self.outcome().status() {
            0 if !self.lost_results().is_empty() => 125,
            status => status,
        }
    }

    /// What the command wrote and nobody has, a sentence for each.
    fn lost_results(&self) -> Vec<String> {
        let mut lost = self.lost.clone();
        match &self.seen.artifacts {
            Some(Ok(received)) => {
                let missing = self.artifacts.iter().zip(&received.entries).filter(|(_, entries)| **entries == 0);
                lost.extend(missing.map(|(artifact, _)| format!("the artifact {} did not come", artifact.guest)));
            }
            Some(Err(error)) => lost.push(format!("{error:#}")),
            None if !self.artifacts.is_empty() => lost.push("the artifacts did not come".into()),
            None => {}
        }
        lost
    }

    /// Sentences on what went less well than the command's own status says.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.warnings.clone();
        if let Some(Ok(received)) = &self.seen.artifacts {
            remarks.extend(received.warnings.iter().cloned());
        }
        remarks.extend(self.lost_results());
        remarks
    }

    /// Microseconds of the guest's clock at an event.
    fn time_of(&self, fits: fn(&Kind) -> bool) -> Option<u64> {
        self.seen.events.iter().find(|event| fits(&event.kind)).map(|event| event.us)
    }

    pub fn json(&self) -> Value {
        let units = self.seen.events.iter().filter_map(|event| match &event.kind {
            Kind::Starting { unit } => Some(json!({ "event": "starting", "unit": unit, "us": event.us })),
            Kind::Started { unit } => Some(json!({ "event": "started", "unit": unit, "us": event.us })),
            Kind::Exited { unit, outcome } => {
                let mut value = outcome_json(outcome);
                value["event"] = json!("exited");
                value["unit"] = json!(unit);
                value["us"] = json!(event.us);
                Some(value)
            }
            _ => None,
        });
        let units = units.collect::<Vec<_>>();
        let mut value = json!({
            "source": self.source,
            "status": self.status(),
            "outcome": outcome_json(self.outcome()),
            "phase": self.seen.phase.name(),
            "machine": self.machine.name(),
            "accel": if self.accel == Accel::Kvm { "kvm" } else { "tcg" },
            "kernel": { "image": self.kernel.image, "release": self.kernel.release },
            "milliseconds": { "pack": millis(self.packed), "total": millis(self.total) },
            "guest_microseconds": {
                "init": self.time_of(|kind| *kind == Kind::Init),
                "start": self.time_of(|kind| matches!(kind, Kind::Starting { .. })),
                "started": self.time_of(|kind| matches!(kind, Kind::Started { .. })),
                "outcome": self.time_of(|kind| matches!(kind, Kind::Outcome(_))),
            },
            "events": units,
            "remarks": self.remarks(),
        });
        if let Some(tap) = &self.tap {
            let points: Vec<Value> = tap
                .points
                .iter()
                .map(|point| json!({ "name": point.name, "verdict": word(point.verdict), "remark": point.remark }))
                .collect();
            value["tap"] = json!({ "tests": points, "faults": tap.faults });
        }
        if matches!(self.outcome(), Outcome::Failed(_)) {
            value["console"] = json!(self.seen.console.tail());
        }
        value
    }

    pub fn write_json(&self, path: &Path) -> Result<()> {
        write_json(&self.json(), path)
    }

    /// One test for the command, and one for each of its own where it wrote TAP.
    pub fn write_junit(&self, path: &Path) -> Result<()> {
        self.suite().write(path)
    }

    fn suite(&self) -> Suite<'_> {
        let mut faults = Vec::new();
        if self.outcome().status() != 0 {
            let status = || format!("exit status {}", self.outcome().status());
            faults.push(self.outcome().sentence().unwrap_or_else(status));
        }
        faults.extend(self.lost_results());
        faults.extend(self.tap.iter().flat_map(|tap| tap.faults.iter().map(ToString::to_string)));
        let points = self.tap.as_ref().map_or(&[][..], |tap| &tap.points);
        Suite { source: &self.source, time: self.total, faults, points }
    }
}

/// The reports of a run that found something wrong before there was a guest.
pub struct Failure<'a> {
    pub source: &'a Path,
    pub message: String,
    pub time: Duration,
}

impl Failure<'_> {
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let outcome = Outcome::Failed(self.message.clone());
        let value = json!({
            "source": self.source,
            "status": outcome.status(),
            "outcome": outcome_json(&outcome),
            "phase": null,
            "milliseconds": { "total": millis(self.time) },
            "events": [],
            "remarks": [],
        });
        write_json(&value, path)
    }

    pub fn write_junit(&self, path: &Path) -> Result<()> {
        Suite { source: self.source, time: self.time, faults: vec![self.message.clone()], points: &[] }.write(path)
    }
}

fn write_json(value: &Value, path: &Path) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What JUnit is told.
struct Suite<'a> {
    source: &'a Path,
    time: Duration,
    /// Of the command as a whole.
    faults: Vec<String>,
    points: &'a [Point],
}

impl Suite<'_> {
    fn write(&self, path: &Path) -> Result<()> {
        let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut file = BufWriter::new(file);
        self.write_to(&mut file)
            .and_then(|()| Ok(file.flush()?))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn write_to(&self, to: &mut impl Write) -> Result<()> {
        let name = self.source.file_name().unwrap_or(self.source.as_os_str()).to_string_lossy().into_owned();
        let points = self.points;
        let count = |verdict| points.iter().filter(|point| point.verdict == verdict).count();
        let whole_failed = !self.faults.is_empty();
        let time = format!("{:.3}", self.time.as_secs_f64());
        let mut writer = Writer::new_with_indent(to, b' ', 2);
        writer.write_event(Xml::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let suite = writer.create_element("testsuite").with_attributes([
            ("name", plain(&name).as_str()),
            ("tests", (points.len() + 1).to_string().as_str()),
            ("failures", (count(Verdict::Failed) + usize::from(whole_failed)).to_string().as_str()),
            ("skipped", count(Verdict::Skipped).to_string().as_str()),
            ("time", time.as_str()),
        ]);
        suite.write_inner_content(|writer| {
            let case = |name: &str| ("name", plain(name));
            let whole = writer.create_element("testcase").with_attributes([
                ("classname", "ociboot"),
                ("name", plain(&name).as_str()),
                ("time", time.as_str()),
            ]);
            if whole_failed {
                let why = self.faults.join("; ");
                whole.write_inner_content(|writer| problem(writer, "failure", &why, ""))?;
            } else {
                whole.write_empty()?;
            }
            for point in points {
                let (key, name) = case(&point.name);
                let element =
                    writer.create_element("testcase").with_attributes([("classname", "tap"), (key, name.as_str())]);
                match point.verdict {
                    Verdict::Passed => element.write_empty()?,
                    Verdict::Failed => {
                        element.write_inner_content(|writer| problem(writer, "failure", "not ok", &point.remark))?
                    }
                    Verdict::Skipped => {
                        element.write_inner_content(|writer| problem(writer, "skipped", &point.remark, ""))?
                    }
                };
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn problem<W: Write>(writer: &mut Writer<W>, kind: &str, message: &str, text: &str) -> std::io::Result<()> {
    let message = plain(message);
    let element = writer.create_element(kind).with_attribute(("message", message.as_str()));
    element.write_text_content(BytesText::new(&plain(text)))?;
    Ok(())
}

/// Without the characters that XML 1.0 cannot have in any form.
fn plain(text: &str) -> String {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Skipped => "skipped",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn outcome_json(outcome: &Outcome) -> Value {
    let mut value = json!({ "result": outcome.word() });
    match outcome {
        Outcome::Exit(status) => value["status"] = json!(status),
        Outcome::Signal(signal) => value["signal"] = json!(signal),
        Outcome::Oom => value["signal"] = json!(9),
        Outcome::Timeout => {}
        Outcome::Error { message, status } => {
            value["status"] = json!(status);
            value["message"] = json!(message);
        }
        Outcome::Failed(message) => value["message"] = json!(message),
        Outcome::Interrupted(signal) => value["signal"] = json!(signal),
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::console::Console;
    use super::super::watch::Phase;
    use super::*;

    fn report(outcome: Outcome, tap: Option<Tap>) -> Report {
        Report {
            source: "a <b>&\"c\"".into(),
            machine: Machine::Q35,
            accel: Accel::Tcg,
            kernel: Kernel { image: "k".into(), release: "6.1".into(), modules: None },
            warnings: Vec::new(),
            packed: Duration::from_millis(5),
            total: Duration::from_millis(1500),
            artifacts: Vec::new(),
            seen: Seen { outcome, phase: Phase::Run, console: Console::default(), events: Vec::new(), artifacts: None },
            lost: Vec::new(),
            tap,
        }
    }

    fn junit(report: &Report) -> String {
        let mut text = Vec::new();
        report.suite().write_to(&mut text).expect("written");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn as_junit() {
        let point = |name: &str, verdict, remark: &str| Point { name: name.into(), verdict, remark: remark.into() };
        let tap = Tap {
            points: vec![
                point("a", Verdict::Passed, ""),
                point("b \u{1}<", Verdict::Failed, "why & where"),
                point("c", Verdict::Skipped, "SKIP"),
            ],
            faults: Vec::new(),
        };
        let text = junit(&report(Outcome::Exit(0), Some(tap)));
        for part in [
            r#"tests="4" failures="1" skipped="1" time="1.500""#,
            r#"name="a &lt;b&gt;&amp;&quot;c&quot;""#,
            "name=\"b \u{fffd}&lt;\"",
            "why &amp; where",
            r#"<skipped message="SKIP">"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = junit(&report(Outcome::Timeout, None));
        assert!(text.contains(r#"tests="1" failures="1""#) && text.contains("ran out of time"), "{text}");
    }

    #[test]
    fn what_did_not_come_is_no_success() {
        use super::super::artifacts::Received;
        let received = |entries| Some(Ok(Received { entries, warnings: Vec::new() }));
        for (outcome, artifacts, status) in [
            (Outcome::Exit(0), received(vec![1]), 0),
            (Outcome::Exit(0), received(vec![0]), 125),
            (Outcome::Exit(0), Some(Err(anyhow::anyhow!("cannot store it"))), 125),
            (Outcome::Exit(0), None, 125),
            (Outcome::Exit(3), None, 3),
        ] {
            let mut report = report(outcome, None);
            report.artifacts.push(Artifact { guest: "/x".into(), host: "y".into() });
            report.seen.artifacts = artifacts;
            assert_eq!(report.status(), status);
            assert_eq!(report.json()["status"], status);
            assert!(junit(&report).contains(if status == 0 { "failures=\"0\"" } else { "failures=\"1\"" }));
        }
    }

    #[test]
    fn as_json() {
        let mut report = report(Outcome::Error { message: "m".into(), status: 127 }, None);
        report.artifacts.push(Artifact { guest: "/x".into(), host: "y".into() });
        let value = report.json();
        assert_eq!(value["status"], 127);
        assert_eq!(value["outcome"], json!({ "result": "error", "status": 127, "message": "m" }));
        assert_eq!(value["remarks"], json!(["the artifacts did not come"]));
        assert_eq!(value["phase"], "run");
    }
}
