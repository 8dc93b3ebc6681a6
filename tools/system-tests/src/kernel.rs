//! What the kernel shows of itself and of other processes, through /proc and
//! the cgroup tree.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the cgroup2 tree is seen by the tests (see `harness::prepare`).
pub fn cgroup_root() -> PathBuf {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found = table.lines().filter(|line| line.contains(" - cgroup2 ")).filter_map(|line| line.split(' ').nth(4));
    found.next_back().map_or_else(|| "/sys/fs/cgroup".into(), PathBuf::from)
}

pub fn controllers() -> Vec<String> {
    let text = fs::read_to_string(cgroup_root().join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(String::from).collect()
}

/// Major and minor version of the running kernel.
pub fn version() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A field of /proc/PID/status.
pub fn status_field(pid: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_string()))
}

pub fn has_capability(number: u32) -> bool {
    let set = status_field("self", "CapEff").and_then(|text| u64::from_str_radix(&text, 16).ok());
    set.is_some_and(|set| set >> number & 1 == 1)
}

pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).collect::<Vec<_>>();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    folders.into_iter().chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// All processes, by number.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// State letter and parent of a process (proc_pid_stat(5)).
pub fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Time at which the process started, in clock ticks since boot.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Whether the process exists and is not merely waiting to be reaped.
pub fn alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

pub fn children() -> Vec<u32> {
    let own = std::process::id();
    processes().into_iter().filter(|pid| state_and_parent(*pid).is_some_and(|(_, parent)| parent == own)).collect()
}

pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_string()
}

/// All folders of the cgroup tree whose name or path holds `part`, deepest first.
pub fn cgroups_with(part: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, part: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), part, found);
                if entry.path().to_string_lossy().contains(part) {
                    found.push(entry.path());
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(&cgroup_root(), part, &mut found);
    found
}

/// Whether a process lives in a cgroup or below it.
pub fn is_populated(folder: &Path) -> bool {
    fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default().contains("populated 1")
}

/// In which function of the kernel a process sleeps.
pub fn wait_channel(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default()
}

/// Children of ours that have ended and are not reaped.
pub fn zombies() -> Vec<u32> {
    let is_zombie = |pid: &u32| state_and_parent(*pid).is_some_and(|(state, _)| state == 'Z');
    children().into_iter().filter(is_zombie).collect()
}

/// The mount table, without the fields that change by themselves.
pub fn mount_table() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    text.lines().map(String::from).collect()
}
