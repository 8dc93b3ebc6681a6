//! How a unit is to be treated: the annotations of its config.json that begin with
//! `org.ocinit.`.
//!
//! | `org.ocinit.` | |
//! |---|---|
//! | `restart` | `no`, `on-failure` or `always`: of a service that has ended |
//! | `restart-budget` | so many times in a row; 5 by default |
//! | `stop-signal` | what asks it to end; TERM by default |
//! | `stop-timeout` | after which it is killed; 10s by default |
//! | `after` | names of services, with blanks between them, that are to have started before it |
//! | `stdout`, `stderr` | `console`, `null`, `virtio:NAME` or the absolute path of a file |
//! | `on-failure` | `continue`, or `stop`: a step that fails ends the boot |
//!
//! Any other name with this beginning is a mistake.

use super::command_line::{Target, target};
use crate::error::Result;
use crate::json::{PathBuffer, Text, Value};
use crate::lifecycle::Arena;
use crate::spec::record::{Map, Shape, Strictness, check};
use crate::word_list;
use crate::word_list::WordList;
use crate::{limits, words};

/// When a service that has ended is started again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    No,
    OnFailure,
    Always,
}

/// The annotations, read.
#[derive(Clone, Copy)]
pub struct Policy {
    pub restart: Restart,
    /// Restarts in a row.
    pub budget: u32,
    pub stop_signal: u32,
    /// Milliseconds.
    pub stop_timeout: u64,
    /// Names with blanks between them.
    pub after: &'static [u8],
    pub stdout: Option<Target<'static>>,
    pub stderr: Option<Target<'static>>,
    /// Its failure ends the boot.
    pub stops_boot: bool,
}

const PREFIX: &str = "org.ocinit.";

/// The image-spec's annotation for the signal, which counts where ours is absent.
const IMAGE_STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

const NAMES: WordList = word_list!(
    "org.ocinit.restart org.ocinit.restart-budget org.ocinit.stop-signal org.ocinit.stop-timeout \
                     org.ocinit.after org.ocinit.stdout org.ocinit.stderr org.ocinit.on-failure"
);

impl Policy {
    pub const DEFAULT: Policy = Policy {
        restart: Restart::No,
        budget: 5,
        stop_signal: 15,
        stop_timeout: 10_000,
        after: b"",
        stdout: None,
        stderr: None,
        stops_boot: false,
    };

    /// Reads the annotations; what is kept of them goes into `strings`. Those named
    /// in `useless` mean nothing for the unit: such a one is a mistake.
    ///
    /// # Errors
    /// With the place.
    #[inline(never)] // its buffer is not to be part of the caller's frame
    pub fn read(annotations: Value<'_>, useless: WordList, strings: &mut Arena<'static>) -> Result<Policy> {
        check(annotations, &<Map<'static, Text<'static>> as Shape>::FORM, Strictness::Valid)?;
        let annotations = <Map<'static, Text<'static>> as Shape>::field(Some(annotations));
        let mut policy = Policy::DEFAULT;
        let mut buffer: PathBuffer = [0; _];
        for (name, value) in annotations.iter() {
            if name.is(IMAGE_STOP_SIGNAL) {
                // Somebody else's: what it says may be anything.
                let signal = value.c_str(&mut buffer).ok().and_then(|text| words::signal_number(text.to_bytes()));
                policy.stop_signal = signal.filter(|signal| *signal > 0).unwrap_or(policy.stop_signal);
            }
        }
        for (name, value) in annotations.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            if name.place_in(useless).is_some() {
                return Err(value.error(format_args!("it has no effect on a unit of this kind")));
            }
            policy.take(name, value, strings, &mut buffer)?;
        }
        Ok(policy)
    }

    fn take(
        &mut self,
        name: Text<'_>,
        value: Text<'_>,
        strings: &mut Arena<'static>,
        buffer: &mut PathBuffer,
    ) -> Result<()> {
        let index = name.place_in(NAMES).ok_or_else(|| value.error(format_args!("there is no such annotation")))?;
        let text = value.c_str(buffer)?.to_bytes();
        let not = |what: &str| value.error(format_args!("\"{value}\" is not {what}"));
        match index {
            0 => {
                self.restart = match text {
                    b"no" => Restart::No,
                    b"on-failure" => Restart::OnFailure,
                    b"always" => Restart::Always,
                    _ => return Err(not("one of no, on-failure, always")),
                }
            }
            1 => self.budget = words::number(text).ok_or_else(|| not("a whole number"))?,
            2 => {
                let signal = words::signal_number(text).filter(|signal| *signal > 0);
                self.stop_signal = signal.ok_or_else(|| not("a signal"))?;
            }
            3 => self.stop_timeout = words::seconds(text).ok_or_else(|| not("a duration, such as 30s or 500ms"))?,
            4 => self.after = strings.join(&[text])?.to_bytes(),
            5 | 6 => {
                let kept = strings.join(&[text])?.to_bytes();
                let file = if kept.first() == Some(&b'/') { Some(Target::File(kept)) } else { None };
                let target = file.or_else(|| target(kept));
                let target = target.ok_or_else(|| not("one of console, null, virtio:NAME, an absolute path"))?;
                *(if index == 5 { &mut self.stdout } else { &mut self.stderr }) = Some(target);
            }
            _ => {
                self.stops_boot = match text {
                    b"continue" => false,
                    b"stop" => true,
                    _ => return Err(not("one of continue, stop")),
                }
            }
        }
        Ok(())
    }

    /// Whether a service that ended so is started again, having been `restarts`
    /// times in a row.
    pub fn restarts(&self, success: bool, restarts: u32) -> bool {
        restarts < self.budget
            && match self.restart {
                Restart::No => false,
                Restart::OnFailure => !success,
                Restart::Always => true,
            }
    }
}

/// Milliseconds to wait before the restart that follows `restarts` others: twice
/// as long each time.
pub fn back_off(restarts: u32) -> u64 {
    limits::BACK_OFF_FIRST.checked_shl(restarts).unwrap_or(u64::MAX).min(limits::BACK_OFF_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn read(annotations: &str) -> Result<Policy, String> {
        read_without(word_list!(""), annotations)
    }

    fn read_without(useless: WordList, annotations: &str) -> Result<Policy, String> {
        let document = Document::of("c", annotations.as_bytes()).unwrap();
        let mut strings = Arena::new(Vec::leak(std::vec![0; 4096]));
        Policy::read(document.root(), useless, &mut strings).map_err(|error| error.to_string())
    }

    #[test]
    fn what_has_no_effect_is_a_mistake() {
        let read = |annotations| read_without(word_list!("org.ocinit.restart org.ocinit.after"), annotations);
        assert_eq!(
            read("{\"org.ocinit.after\":\"x\"}").err().unwrap(),
            "c:1:21: org.ocinit.after: it has no effect on a unit of this kind"
        );
        assert!(read("{\"org.ocinit.restart-budget\":\"2\"}").is_ok());
    }

    #[test]
    fn annotations() {
        let policy = read(
            "{\"a\":\"b\",\"org.ocinit.restart\":\"always\",\"org.ocinit.restart-budget\":\"2\",\
             \"org.ocinit.stop-signal\":\"SIGINT\",\"org.ocinit.stop-timeout\":\"500ms\",\"org.ocinit.after\":\"x y\",\
             \"org.ocinit.stdout\":\"/log\",\"org.ocinit.stderr\":\"null\",\"org.ocinit.on-failure\":\"stop\",\
             \"org.opencontainers.image.stopSignal\":\"HUP\"}",
        )
        .unwrap();
        assert!(policy.restart == Restart::Always && policy.budget == 2 && policy.stop_signal == 2);
        assert!(policy.stop_timeout == 500 && policy.after == b"x y" && policy.stops_boot);
        assert!(policy.stdout == Some(Target::File(b"/log")) && policy.stderr == Some(Target::Null));
        let policy = read("{\"org.opencontainers.image.stopSignal\":\"HUP\"}").unwrap();
        assert!(policy.stop_signal == 1 && policy.restart == Restart::No && !policy.stops_boot);
        assert!(read("{\"org.opencontainers.image.stopSignal\":\"NONSENSE\"}").unwrap().stop_signal == 15);
    }

    #[test]
    fn mistakes_have_their_place() {
        for (annotations, expected) in [
            (
                "{\"org.ocinit.restart\":\"maybe\"}",
                "c:1:23: org.ocinit.restart: \"maybe\" is not one of no, on-failure, always",
            ),
            ("{\"a\":1}", "c:1:6: a: expected a string, found a number"),
            ("{\"org.ocinit.restrat\":\"no\"}", "c:1:23: org.ocinit.restrat: there is no such annotation"),
            ("{\"org.ocinit.stop-signal\":\"0\"}", "c:1:27: org.ocinit.stop-signal: \"0\" is not a signal"),
            (
                "{\"org.ocinit.stdout\":\"x\"}",
                "c:1:22: org.ocinit.stdout: \"x\" is not one of console, null, virtio:NAME, an absolute path",
            ),
        ] {
            assert_eq!(read(annotations).err().unwrap(), expected);
        }
    }

    #[test]
    fn restarts_have_a_budget_and_take_longer_each_time() {
        let policy = Policy { restart: Restart::OnFailure, budget: 2, ..Policy::DEFAULT };
        assert!(policy.restarts(false, 0) && policy.restarts(false, 1) && !policy.restarts(false, 2));
        assert!(!policy.restarts(true, 0) && !Policy::DEFAULT.restarts(false, 0));
        assert!(Policy { restart: Restart::Always, ..policy }.restarts(true, 0));
        let waits: Vec<u64> = (0..4).map(back_off).collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        assert_eq!(back_off(64), 30_000);
        assert_eq!(back_off(u32::MAX), 30_000);
    }
}
