//! What is left of a container: looked for in the kernel's own tables, not in
//! what the runtime says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Processes that were seen, with their start times: a pid alone may be reused.
pub type Seen = BTreeMap<i32, String>;

/// Where to look. All names contain `id`, which no other container has.
pub struct Traces<'a> {
    pub id: &'a str,
    pub bundle: &'a Path,
    /// The runtime's `--root`, for this container alone.
    pub state: &'a Path,
    pub seen: &'a Seen,
}

const CGROUPS: &str = "/sys/fs/cgroup";

/// The state letter and start time of a process (proc_pid_stat(5), fields 3 and 22).
fn stat(pid: i32) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.to_owned()))
}

/// Notes a process, so that it is found again whatever becomes of it.
pub fn note(pid: i32, seen: &mut Seen) {
    if let Some((_, start)) = stat(pid) {
        seen.insert(pid, start);
    }
}

impl Traces<'_> {
    /// Waits up to a second for everything to be gone; then says what is left.
    pub fn remains(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            crate::process::reap();
            let found = self.look();
            if found.is_empty() || begun.elapsed() > Duration::from_secs(1) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn look(&self) -> Vec<String> {
        let mut found: Vec<String> = self.processes().iter().map(|pid| describe(*pid)).collect();
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.mounts().iter().map(|path| format!("mount {path}")));
        let entries = fs::read_dir(self.state).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| format!("state {}", entry.path().display())));
        found
    }

    /// Alive and not a zombie: those seen while tracing, and those that carry
    /// the id in their arguments, environment or cgroup.
    fn processes(&self) -> Vec<i32> {
        let own = std::process::id() as i32;
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| *pid != own)
            .filter(|pid| {
                stat(*pid).is_some_and(|(state, start)| {
                    !matches!(state, 'Z' | 'X') && (self.seen.get(pid) == Some(&start) || self.carries_id(*pid))
                })
            })
            .collect()
    }

    fn carries_id(&self, pid: i32) -> bool {
        ["cmdline", "environ", "cgroup"].iter().any(|file| {
            fs::read(format!("/proc/{pid}/{file}"))
                .is_ok_and(|text| text.windows(self.id.len()).any(|part| part == self.id.as_bytes()))
        })
    }

    /// Depth first.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.walk(Path::new(CGROUPS), false, &mut found);
        found
    }

    fn walk(&self, folder: &Path, ours: bool, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let ours = ours || entry.file_name().to_string_lossy().contains(self.id);
                self.walk(&entry.path(), ours, found);
                if ours {
                    found.push(entry.path());
                }
            }
        }
    }

    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let places = [self.bundle, self.state].map(|path| path.to_string_lossy().into_owned());
        let lines =
            table.lines().filter(|line| places.iter().any(|place| line.contains(place)) || line.contains(self.id));
        lines.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect()
    }

    /// Removes whatever is left, so that the next run begins clean.
    pub fn clear(&self) {
        for pid in self.processes() {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for cgroup in self.cgroups() {
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            crate::process::reap();
            if self.cgroups().iter().all(|cgroup| fs::remove_dir(cgroup).is_ok()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for mount in self.mounts().iter().rev() {
            let _ = std::process::Command::new("umount").args(["-l", mount]).status();
        }
        let _ = fs::remove_dir_all(self.state);
    }
}

fn describe(pid: i32) -> String {
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
    let wait = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    format!("process {pid} ({}), in {wait}", arguments.trim())
}
