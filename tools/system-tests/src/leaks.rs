//! What a case must not leave: mounts, cgroups, processes, state.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::kernel;

/// How things were before the case.
pub struct Before {
    mounts: Vec<String>,
}

/// How long what is dying may take: a pid namespace's last task, a cgroup's
/// emptiness.
const GRACE: Duration = Duration::from_secs(2);

impl Before {
    pub fn now() -> Before {
        Before { mounts: kernel::mount_table() }
    }

    /// Lists what is there that was not, after the case with `tag` has ended.
    pub fn left(&self, tag: &str, state: &Path) -> Vec<String> {
        let end = Instant::now() + GRACE;
        loop {
            reap();
            let found = self.look(tag, state);
            if found.is_empty() || Instant::now() > end {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn look(&self, tag: &str, state: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for line in kernel::mount_table() {
            if !self.mounts.contains(&line) {
                found.push(format!("mount {line}"));
            }
        }
        for line in &self.mounts {
            if !kernel::mount_table().contains(line) {
                found.push(format!("lost mount {line}"));
            }
        }
        for folder in kernel::cgroups_with(tag) {
            found.push(format!("cgroup {}", folder.display()));
        }
        for pid in strays(tag) {
            found.push(format!("process {pid} ({})", kernel::command_line(pid)));
        }
        for entry in fs::read_dir(state).into_iter().flatten().flatten() {
            found.push(format!("state {}", entry.file_name().to_string_lossy()));
        }
        found
    }

    /// Removes what a failed case left, so that the next one starts clean.
    pub fn clear(&self, tag: &str) {
        for folder in kernel::cgroups_with(tag) {
            let _ = fs::write(folder.join("cgroup.kill"), "1");
        }
        for pid in strays(tag) {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            reap();
            let folders = kernel::cgroups_with(tag);
            if folders.is_empty() && strays(tag).is_empty() {
                break;
            }
            for folder in folders {
                let _ = fs::remove_dir(folder);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for line in kernel::mount_table().iter().rev() {
            if let (false, Some(point)) = (self.mounts.contains(line), line.split(' ').nth(4)) {
                let _ = unmount(point, UnmountFlags::DETACH);
            }
        }
    }
}

/// Collects every child that has ended. The harness is a subreaper: what a
/// case orphaned ends up here.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// Processes that descend from the case: children of the harness, and all
/// that carry the case's tag in their environment.
fn strays(tag: &str) -> Vec<u32> {
    let own = std::process::id();
    let marked = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(tag.len()).any(|window| window == tag.as_bytes())
    };
    let all = kernel::processes().into_iter().filter(|pid| *pid != own);
    all.filter(|pid| match kernel::state_and_parent(*pid) {
        Some((_, parent)) => parent == own || marked(*pid),
        None => false,
    })
    .collect()
}
