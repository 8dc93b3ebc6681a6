//! Watches a boot: which phase it is in, whether it has come to a stop, and
//! what it comes to.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::artifacts::Received;
use super::console::{Console, TOO_SMALL};
use super::outcome::{Event, Kind, Outcome};
use super::qemu::Process;
use super::relay::News;
use crate::progress::Progress;

/// How far a boot has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// QEMU runs, the kernel has said nothing.
    Firmware,
    /// The kernel speaks.
    Kernel,
    /// ocinit runs: modules, mounts, network.
    Init,
    /// The first container is being made.
    Start,
    /// A container's process runs.
    Run,
    /// ocinit has told the outcome.
    End,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Firmware => "no kernel output",
            Phase::Kernel => "kernel",
            Phase::Init => "init",
            Phase::Start => "start",
            Phase::Run => "run",
            Phase::End => "end",
        }
    }

    fn doing(self) -> &'static str {
        match self {
            Phase::Firmware | Phase::Kernel => "booting the kernel",
            Phase::Init | Phase::Start => "starting the container",
            Phase::Run | Phase::End => "running",
        }
    }
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From QEMU's start to the container's.
    pub boot: Duration,
    /// From the container's start to its process's end; what is copied then takes its time.
    pub run: Option<Duration>,
}

/// ocinit keeps the time itself, and needs this long to end the container and
/// say so; only a guest that is stuck as a whole needs us.
const GRACE: Duration = Duration::from_secs(10);

/// From the command's end, or from what came last since then, to whatever comes next:
/// bytes of an artifact, the end of a service or of a step. ocinit itself waits for a
/// minute for any of them.
const AFTERWARDS: Duration = Duration::from_secs(90);

/// From the outcome to the power-off.
const POWER_OFF: Duration = Duration::from_secs(20);

/// From the console's end to QEMU's.
const QEMU_END: Duration = Duration::from_secs(5);

/// What was seen.
pub struct Seen {
    pub outcome: Outcome,
    /// The last phase before the outcome.
    pub phase: Phase,
    pub console: Console,
    /// What the status channel said, in order.
    pub events: Vec<Event>,
    pub artifacts: Option<anyhow::Result<Received>>,
}

/// One boot being watched.
pub struct Watch<'a> {
    qemu: &'a mut Process,
    /// Who serves shared folders.
    servers: &'a mut [Process],
    limits: Limits,
    start: Instant,
    running_since: Option<Instant>,
    /// When the guest was last heard of since the command's end.
    ended_since: Option<Instant>,
    unserved_since: Option<Instant>,
    told: Option<(Outcome, Instant)>,
    /// Channels that are open.
    open: usize,
    seen: Seen,
}

impl<'a> Watch<'a> {
    /// `open`: how many channels tell their end.
    pub fn new(qemu: &'a mut Process, servers: &'a mut [Process], limits: Limits, open: usize) -> Watch<'a> {
        let seen = Seen {
            outcome: Outcome::Failed(String::new()),
            phase: Phase::Firmware,
            console: Console::default(),
            events: Vec::new(),
            artifacts: None,
        };
        Watch {
            qemu,
            servers,
            limits,
            start: Instant::now(),
            running_since: None,
            ended_since: None,
            unserved_since: None,
            told: None,
            open,
            seen,
        }
    }

    /// To the end, whichever it is; QEMU has ended then.
    pub fn run(mut self, news: &Receiver<News>, progress: &mut Progress) -> Seen {
        let outcome = loop {
            let wait = self.deadline().saturating_duration_since(Instant::now()).min(Duration::from_millis(100));
            match news.recv_timeout(wait) {
                Ok(piece) => {
                    if let Some(outcome) = self.take(piece) {
                        break outcome;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if Instant::now() >= self.deadline() {
                        break self.overdue();
                    }
                    if let Some(outcome) = self.served_no_more() {
                        break outcome;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break self.ended(),
            }
            match self.seen.phase {
                Phase::Run | Phase::End => progress.finish(),
                phase => progress.say(phase.doing()),
            }
        };
        self.qemu.kill();
        self.rest(news);
        self.seen.outcome = outcome;
        self.seen
    }

    /// The outcome, where this piece of news ends the watch.
    fn take(&mut self, piece: News) -> Option<Outcome> {
        match piece {
            News::Console(bytes) => {
                self.seen.console.take(&bytes);
                self.reach(Phase::Kernel);
            }
            News::Status(event) => self.event(event),
            News::Artifacts(received) => {
                self.seen.artifacts = Some(received);
                self.open -= 1;
            }
            News::Delivery => self.heard_of(),
            News::End => self.open -= 1,
            News::Signal(signal) => return Some(Outcome::Interrupted(signal)),
            News::Escape => return Some(Outcome::Interrupted(2)),
        }
        (self.open == 0).then(|| self.ended())
    }

    fn reach(&mut self, phase: Phase) {
        self.seen.phase = self.seen.phase.max(phase);
    }

    fn heard_of(&mut self) {
        if let Some(since) = &mut self.ended_since {
            *since = Instant::now();
        }
    }

    fn event(&mut self, event: Event) {
        self.heard_of();
        match &event.kind {
            Kind::Init => self.reach(Phase::Init),
            Kind::Starting { .. } => self.reach(Phase::Start),
            Kind::Started { .. } => {
                self.reach(Phase::Run);
                self.running_since.get_or_insert(Instant::now());
            }
            Kind::Exited { unit, .. } if unit == "bundle" => self.ended_since = Some(Instant::now()),
            Kind::Exited { .. } => {}
            Kind::Outcome(outcome) => self.told = Some((outcome.clone(), Instant::now())),
        }
        self.seen.events.push(event);
    }

    fn deadline(&self) -> Instant {
        if let Some((_, at)) = &self.told {
            return *at + POWER_OFF;
        }
        if let Some(since) = self.ended_since {
            return since + AFTERWARDS;
        }
        match (self.running_since, self.limits.run) {
            (Some(since), Some(limit)) => since + limit + GRACE,
            (Some(_), None) => Instant::now() + Duration::from_secs(3600),
            (None, _) => self.start + self.limits.boot,
        }
    }

    /// Without its server, whoever opens a file of a shared folder hangs for ever.
    fn served_no_more(&mut self) -> Option<Outcome> {
        let (status, said) = self.servers.iter_mut().find_map(|server| Some((server.ended()?, server.complaint())))?;
        // They end with QEMU as well, which is seen by itself a moment later.
        let since = *self.unserved_since.get_or_insert(Instant::now());
        if since.elapsed() < QEMU_END || self.told.is_some() {
            return None;
        }
        let said = said.unwrap_or_else(|| "it did not say why".into());
        Some(Outcome::Failed(format!("the server of a shared folder ended ({status}): {said}")))
    }

    /// A deadline has passed.
    fn overdue(&mut self) -> Outcome {
        if let Some((outcome, _)) = self.told.take() {
            return outcome;
        }
        if self.ended_since.is_some() {
            let seconds = AFTERWARDS.as_secs();
            return Outcome::Failed(format!("the command has ended, and for {seconds} s nothing came of the guest"));
        }
        if self.running_since.is_some() {
            return Outcome::Timeout;
        }
        if let Some(why) = &self.seen.console.not_unpacked {
            return Outcome::Failed(why.clone());
        }
        let mut text = format!("hang in phase {:?}", self.seen.phase.name()).replace('"', "");
        text.push_str(&format!(": nothing was started within {} s", self.limits.boot.as_secs_f32()));
        if self.seen.phase != Phase::Firmware {
            text.push_str(&format!("; the console's last line: {}", self.seen.console.last_line()));
        }
        Outcome::Failed(text)
    }

    /// All channels are closed.
    fn ended(&mut self) -> Outcome {
        let status = self.qemu.wait(QEMU_END);
        if let Some((outcome, _)) = self.told.take() {
            return outcome;
        }
        // What follows from it says less.
        if let Some(why) = &self.seen.console.not_unpacked {
            return Outcome::Failed(why.clone());
        }
        if let Some(panic) = &self.seen.console.panic {
            if self.seen.phase <= Phase::Kernel && panic.contains("deadlocked on memory") {
                return Outcome::Failed(format!("{TOO_SMALL} (kernel panic: {panic})"));
            }
            return Outcome::Failed(format!("kernel panic: {panic}"));
        }
        if let Some(Event { kind: Kind::Outcome(outcome), .. }) = &self.seen.console.outcome {
            return outcome.clone();
        }
        let said = self.qemu.complaint();
        Outcome::Failed(match (status, said) {
            (None, _) => "QEMU closed the console and goes on".into(),
            (Some(status), said) if !status.success() => {
                format!("QEMU failed ({status}): {}", said.unwrap_or_else(|| "it did not say why".into()))
            }
            _ => format!(
                "the guest ended without an outcome, in phase {}; the console's last line: {}",
                self.seen.phase.name(),
                self.seen.console.last_line()
            ),
        })
    }

    /// What is still on its way, now that QEMU has ended: the threads send it and end.
    fn rest(&mut self, news: &Receiver<News>) {
        while self.open > 0 {
            let Ok(piece) = news.recv_timeout(QEMU_END) else { break };
            self.take_late(piece);
        }
    }

    fn take_late(&mut self, piece: News) {
        match piece {
            News::Console(bytes) => self.seen.console.take(&bytes),
            News::Artifacts(received) => {
                self.seen.artifacts = Some(received);
                self.open -= 1;
            }
            News::Status(event) => self.seen.events.push(event),
            News::End => self.open -= 1,
            News::Signal(_) | News::Escape | News::Delivery => {}
        }
    }
}
