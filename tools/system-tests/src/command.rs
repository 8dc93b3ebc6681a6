//! Running a command with a time limit, and what came of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::kernel;

/// No command of a runtime may take longer.
pub const LIMIT: Duration = Duration::from_secs(10);

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub line: String,
    /// Exit status; 128+n where a signal n ended the command itself.
    pub status: i32,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The output, if the command succeeded.
    pub fn ok(self) -> Result<Output> {
        self.status(0)
    }

    /// The output, if the command ended with `status`.
    pub fn status(self, status: i32) -> Result<Output> {
        if self.status != status {
            bail!(
                "`{}` ended with {}, expected {status}; it said {:?} {:?}",
                self.line,
                self.status,
                self.stdout,
                self.stderr
            );
        }
        Ok(self)
    }

    /// The output, if the command failed with `status` and one line on
    /// standard error that holds all of `parts`.
    pub fn error(self, status: i32, parts: &[&str]) -> Result<Output> {
        let output = self.status(status)?;
        for part in parts {
            holds!(output.stderr, *part, "the error of `{}`", output.line);
        }
        if output.stderr.trim_end_matches('\n').lines().count() != 1 {
            bail!("the error of `{}` is not one line: {:?}", output.line, output.stderr);
        }
        Ok(output)
    }

    /// Lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("`{}` printed no JSON: {:?}", self.line, self.stdout))
    }
}

/// Where a command's standard output and error go: files, since a container
/// inherits them and may hold a pipe open after the command has ended.
pub struct Capture {
    stdout: PathBuf,
    stderr: PathBuf,
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Capture {
    pub fn new(folder: &Path) -> Capture {
        // The harness captures a case as a whole in the folder where the case,
        // another process, captures its commands.
        let number = format!("{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Capture { stdout: folder.join(format!("out.{number}")), stderr: folder.join(format!("err.{number}")) }
    }

    pub fn attach(&self, command: &mut Command) -> Result<()> {
        // Appending, as a container and its runtime may write by turns.
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        command.stdout(open(&self.stdout)?).stderr(open(&self.stderr)?);
        Ok(())
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap_or_default()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }
}

/// How the command reads for a person.
pub fn show(command: &Command) -> String {
    let mut line = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// A command under way.
pub struct Running {
    pub child: Child,
    pub capture: Capture,
    line: String,
}

impl Running {
    pub fn start(mut command: Command, folder: &Path) -> Result<Running> {
        let capture = Capture::new(folder);
        capture.attach(&mut command)?;
        let line = show(&command);
        let child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        Ok(Running { child, capture, line })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end; past the limit the command is killed and the case fails.
    pub fn finish(self) -> Result<Output> {
        self.finish_within(LIMIT)
    }

    pub fn finish_within(mut self, limit: Duration) -> Result<Output> {
        let Some(status) = wait_within(&mut self.child, limit)? else {
            let pid = self.child.id();
            let stack = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            let _ = self.child.kill();
            let _ = self.child.wait();
            bail!(
                "`{}` did not end within {limit:?} (waiting in {stack}); it said {:?} {:?}",
                self.line,
                self.capture.stdout(),
                self.capture.stderr()
            );
        };
        Ok(Output {
            line: self.line.clone(),
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            signal: status.signal(),
            stdout: self.capture.stdout(),
            stderr: self.capture.stderr(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wait_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > end {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// A file's content as standard input.
pub fn input(folder: &Path, text: &[u8]) -> Result<Stdio> {
    let mut file = File::options().create(true).truncate(true).read(true).write(true).open(folder.join("input"))?;
    file.write_all(text)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// Runs a program of the host's to its end; its standard output.
pub fn host<S: AsRef<OsStr>>(folder: &Path, program: &str, arguments: &[S]) -> Result<String> {
    let path = kernel::find_program(program).with_context(|| format!("no {program} here"))?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null());
    Ok(Running::start(command, folder)?.finish()?.ok()?.stdout)
}
