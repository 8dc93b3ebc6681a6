//! Figures of one traced command: calls, memory, programs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{Action, End, Event, FileId, Tid, Tracer, Until, high_water_mark, name};

/// What one process was, between two execs.
#[derive(Debug, Clone)]
pub struct Image {
    pub process: Tid,
    /// Its executable; a process that was only forked has its parent's.
    pub path: PathBuf,
    /// VmHWM in KiB, read before it executed another program or ended.
    pub high_water_mark: u64,
}

/// The figures.
#[derive(Debug, Default)]
pub struct Report {
    /// System calls by name.
    pub calls: BTreeMap<String, u64>,
    /// Those that would be a heap: brk, and mmap of anonymous memory, with the
    /// id of the task and the arguments.
    pub heap: Vec<String>,
    /// The processes' images in the order of their ends.
    pub images: Vec<Image>,
    /// What was executed, in order.
    pub executed: Vec<PathBuf>,
    /// How the command ended.
    pub end: Option<End>,
}

impl Report {
    /// Runs the command to its end. A task that executes `payload` is not ours
    /// any more: neither it nor its children count.
    pub fn of(command: Command, payload: Option<FileId>, until: Until) -> Result<Report> {
        let mut report = Report::default();
        let mut images = BTreeMap::<Tid, PathBuf>::new();
        let mut tracer = Tracer::spawn(command, until)?;
        tracer.limit(std::time::Duration::from_secs(60));
        let end = tracer.follow(|event| report.note(event, &mut images, payload))?;
        anyhow::ensure!(!tracer.expired(), "the command did not end within a minute and was killed");
        report.end = Some(end);
        Ok(report)
    }

    /// All system calls together.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    fn note(&mut self, event: &Event, images: &mut BTreeMap<Tid, PathBuf>, payload: Option<FileId>) -> Action {
        match event {
            Event::Enter { tid, number, arguments } => self.entered(*tid, *number, arguments, images),
            Event::Spawned { parent, child } => {
                let path = images.get(parent).cloned().unwrap_or_default();
                images.insert(*child, path);
            }
            Event::Executed { tid, file, path } => {
                self.executed.push(path.clone());
                if payload == Some(*file) {
                    images.remove(tid);
                    return Action::Release;
                }
                images.insert(*tid, path.clone());
            }
            Event::Exiting { tid } => {
                self.measure(*tid, images);
                images.remove(tid);
            }
            Event::Leave { .. } | Event::Gone { .. } => {}
        }
        Action::Continue
    }

    fn entered(&mut self, tid: Tid, number: u64, arguments: &[u64; 6], images: &BTreeMap<Tid, PathBuf>) {
        let name = name(number);
        let anonymous = arguments[3] & libc::MAP_ANONYMOUS as u64 != 0;
        if name == "brk" || (name == "mmap" && anonymous) {
            self.heap.push(format!(
                "{tid}: {name}({:#x}, {:#x}, {:#x}, {:#x})",
                arguments[0], arguments[1], arguments[2], arguments[3]
            ));
        }
        if name.starts_with("execve") {
            // After it, this image's memory is gone.
            self.measure(tid, images);
        }
        *self.calls.entry(name).or_default() += 1;
    }

    fn measure(&mut self, tid: Tid, images: &BTreeMap<Tid, PathBuf>) {
        let Some((process, high_water_mark)) = high_water_mark(tid) else { return };
        let path = images.get(&tid).cloned().unwrap_or_default();
        match self.images.iter_mut().rev().find(|image| image.process == process && image.path == path) {
            Some(image) => image.high_water_mark = image.high_water_mark.max(high_water_mark),
            None => self.images.push(Image { process, path, high_water_mark }),
        }
    }
}
