//! A line of `ps`: what /proc tells of a process, in the order of ps(1)'s `-f`.

use core::fmt::{self, Display};

use super::columns::Columns;
use crate::bytes;
use crate::lifecycle::{ProcPath, stat_field};
use crate::sys::fs::{CWD, stat};
use crate::sys::read_file;

/// The columns' titles.
pub const TITLES: [&dyn Display; 5] = [&"UID", &"PID", &"PPID", &"TIME", &"CMD"];

/// The numbers have no more digits than the least width of a column has room for.
pub fn columns() -> Columns {
    Columns::new()
}

/// One process.
pub struct ProcessRow {
    pid: u32,
    /// Effective, as our user namespace has it.
    uid: u32,
    parent: u64,
    time: CpuTime,
    command: Command,
}

impl ProcessRow {
    /// Reads /proc/PID; `None` where the process has ended.
    pub fn read(pid: u32) -> Option<ProcessRow> {
        let number = i32::try_from(pid).ok()?;
        let mut buffer = [0; 1024];
        let path = ProcPath::new(number, "stat");
        let text = read_file(CWD, path.as_c_str(), &mut buffer).ok()?;
        // proc_pid_stat(5): ppid, and user and system time in ticks of 1/100 s.
        let parent = stat_field(text, 4)?;
        let ticks = stat_field(text, 14)?.saturating_add(stat_field(text, 15)?);
        let uid = stat(ProcPath::new(number, "").as_c_str()).ok()?.st_uid;
        Some(ProcessRow { pid, uid, parent, time: CpuTime(ticks / 100), command: Command::read(number) })
    }

    /// The cells of its line.
    pub fn cells(&self) -> [&dyn Display; 5] {
        [&self.uid, &self.pid, &self.parent, &self.time, &self.command]
    }
}

/// Seconds of processor time, as `HH:MM:SS`.
struct CpuTime(u64);

impl Display for CpuTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60, self.0 % 60)
    }
}

/// The command line with its arguments, as much as a line of a table should
/// have; for one that has none, such as a zombie, its name.
struct Command {
    text: [u8; 256],
    length: usize,
    is_name: bool,
}

impl Command {
    fn read(pid: i32) -> Command {
        let mut command = Command { text: [0; 256], length: 0, is_name: false };
        for file in ["cmdline", "comm"] {
            command.is_name = file == "comm";
            let read = read_file(CWD, ProcPath::new(pid, file).as_c_str(), &mut command.text);
            command.length = read.map_or(0, <[u8]>::len);
            if command.length > 0 {
                break;
            }
        }
        command
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.get(..self.length).unwrap_or(&[]).trim_ascii_end();
        if self.is_name {
            return write!(f, "[{}]", crate::error::Lossy(text));
        }
        let text = if let [text @ .., 0] = text { text } else { text };
        for (index, argument) in bytes::split(text, 0).enumerate() {
            f.write_str(if index > 0 { " " } else { "" })?;
            write!(f, "{}", crate::error::Lossy(argument))?;
        }
        Ok(())
    }
}
