//! `ociboot run`: its arguments, and what it prints.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::artifacts::Artifact;
use super::machine::{Accel, Machine};
use super::report::{Failure, Report};
use super::shares::Share;
use super::watch::Limits;
use super::{Options, Streams, terminal};
use crate::pack::cli::ocinit;
use crate::pack::{is_units, output};

/// Boots a bundle, a root folder or a container image in QEMU and ends with its command's status
///
/// The command's standard streams are connected with ours, and a terminal with
/// ours where we have one; Ctrl-] typed three times ends the guest then. The
/// exit status is the command's; 124 where it ran out of time, 125 where QEMU,
/// the kernel or the boot failed, 126 or 127 where the command could not be
/// started, 128 and the signal's number where a signal ended it.
#[derive(clap::Args)]
pub struct Arguments {
    /// A bundle, a root folder, a LinuxKit tree, an OCI layout, or an archive of docker save or podman save
    source: PathBuf,
    /// In the place of the image's own command
    #[arg(last = true)]
    command: Vec<OsString>,
    /// The kernel [default: the newest readable one in /boot and /lib/modules]
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The folder of the kernel's modules [default: lib/modules/RELEASE beside it or on this machine]
    #[arg(long, value_name = "FOLDER")]
    modules: Option<PathBuf>,
    /// The ocinit that becomes /init [default: $OCINIT, else beside this program, in dist, or in the PATH]
    #[arg(long, value_name = "FILE")]
    ocinit: Option<PathBuf>,
    /// The time that the command has, from its start: 30s, 500ms, 2m; a number is seconds
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// The time until the command's start
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    boot_timeout: Duration,
    /// The guest's memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(32..))]
    memory: u64,
    /// The guest's processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    cpus: u32,
    #[arg(long, value_enum, default_value_t = Machine::Q35)]
    machine: Machine,
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    accel: Accel,
    /// A folder of this machine in the container
    #[arg(long = "share", value_name = "HOST:GUEST[:ro]")]
    shares: Vec<Share>,
    /// A file or folder of the container's, copied out at its end, even if the command fails
    #[arg(long = "artifact", value_name = "GUEST:HOST")]
    artifacts: Vec<Artifact>,
    /// A variable for the command; only its NAME: with the value that it has here
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<OsString>,
    /// A network card with QEMU's user network behind it, set up by DHCP
    #[arg(long)]
    net: bool,
    /// Where the kernel's console goes
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
    /// Another kernel module for the guest
    #[arg(long = "module", value_name = "NAME")]
    more_modules: Vec<String>,
    /// Another word for the kernel's command line
    #[arg(long, value_name = "WORD")]
    append: Vec<String>,
    /// Which image of several, by its name or tag
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// No terminal for the container, even where we have one
    #[arg(long)]
    no_terminal: bool,
    /// Where a report goes: outcome, phases, times
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where a report in JUnit's XML goes; tests of the command's TAP are its tests
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// The output must be TAP or KTAP: without any, or with a failure in it, status 0 becomes 1
    #[arg(long)]
    tap: bool,
}

impl Arguments {
    pub fn run(self) -> Result<ExitCode> {
        let begin = Instant::now();
        super::sys::ignore_job_control();
        let (json, junit, tap, source) = (self.json.clone(), self.junit.clone(), self.tap, self.source.clone());
        // Something was wrong before there was a guest.
        let failed = |error: &anyhow::Error| {
            let message = format!("{error:#}");
            eprintln!("ociboot: {message}");
            let failure = Failure { source: &source, message, time: begin.elapsed() };
            // Whether they can be written has been found out; it is a failure in any case.
            let _ = json.as_ref().map(|path| failure.write_json(path));
            let _ = junit.as_ref().map(|path| failure.write_junit(path));
            ExitCode::from(125)
        };
        let options = match self.prepare_reports().and_then(|()| self.options()) {
            Ok(options) => options,
            Err(error) => return Ok(failed(&error)),
        };
        let streams = Streams {
            stdin: std::io::stdin().as_fd().try_clone_to_owned().ok(),
            stdout: Box::new(File::from(std::io::stdout().as_fd().try_clone_to_owned()?)),
            stderr: Box::new(File::from(std::io::stderr().as_fd().try_clone_to_owned()?)),
        };
        let report = match super::run(&source, &options, streams) {
            Ok(report) => report,
            Err(error) => return Ok(failed(&error)),
        };
        print(&report);
        let mut status = report.status();
        if tap && status == 0 && report.tap.as_ref().is_none_or(|tap| tap.failed()) {
            status = 1;
            if report.tap.is_none() {
                eprintln!("ociboot: the output has no TAP in it");
            }
        }
        let written = json.map_or(Ok(()), |path| report.write_json(&path));
        let written = written.and(junit.map_or(Ok(()), |path| report.write_junit(&path)));
        if let Err(error) = written {
            eprintln!("ociboot: {error:#}");
            status = if status == 0 { 125 } else { status };
        }
        Ok(ExitCode::from(status))
    }

    /// That they can be written is found out before there is a guest, not after its work;
    /// and those of an earlier run are not to be taken for this one's, however it ends.
    fn prepare_reports(&self) -> Result<()> {
        for path in [&self.json, &self.junit, &self.console].into_iter().flatten() {
            output::check(path)?;
        }
        for path in [&self.json, &self.junit].into_iter().flatten() {
            if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
                std::fs::remove_file(path).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn options(self) -> Result<Options> {
        let mut options = Options::new(ocinit(self.ocinit)?);
        // Units have no terminal; what they write is the console's.
        let terminal = !self.no_terminal && !is_units(&self.source);
        options.terminal = if terminal { terminal::size() } else { None };
        options.environment = self.environment.into_iter().map(variable).collect::<Result<_>>()?;
        if options.terminal.is_some()
            && let Some(value) = std::env::var_os("TERM")
        {
            let mut variable = OsString::from("TERM=");
            variable.push(value);
            options.environment.insert(0, variable);
        }
        options.command = (!self.command.is_empty()).then_some(self.command);
        options.kernel = self.kernel;
        options.modules = self.modules;
        options.machine = self.machine;
        options.accel = self.accel;
        options.memory = self.memory;
        options.cpus = self.cpus;
        options.limits = Limits { boot: self.boot_timeout, run: self.timeout };
        options.shares = self.shares;
        options.artifacts = self.artifacts;
        options.network = self.net;
        options.console = self.console;
        options.more_modules = self.more_modules;
        options.append = self.append;
        options.image = self.image;
        options.progress = true;
        options.signals = true;
        Ok(options)
    }
}

/// One line for each thing that the exit status does not say.
fn print(report: &Report) {
    for remark in report.remarks() {
        eprintln!("ociboot: {remark}");
    }
    if let Some(sentence) = report.outcome().sentence() {
        eprintln!("ociboot: {}", sentence.replace('\n', " "));
    }
    if let Some(tap) = &report.tap {
        eprintln!("ociboot: {}", tap.summary());
    }
}

/// `30s`, `500ms`, `2m`, `1h`; a plain number is seconds.
fn duration(text: &str) -> Result<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => bail!("a time is a number and ms, s, m or h"),
    };
    let number: u64 = number.parse().context("a time is a number and ms, s, m or h")?;
    match number.checked_mul(factor) {
        Some(0) => bail!("it must be longer than nothing"),
        Some(milliseconds) if milliseconds <= 366 * 86_400_000 => Ok(Duration::from_millis(milliseconds)),
        _ => bail!("more than a year"),
    }
}

fn variable(text: OsString) -> Result<OsString> {
    use std::os::unix::ffi::OsStrExt;
    if text.as_bytes().contains(&b'=') {
        return Ok(text);
    }
    let value =
        std::env::var_os(&text).with_context(|| format!("--env {}: there is no such variable", text.display()))?;
    let mut variable = text;
    variable.push("=");
    variable.push(value);
    Ok(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("7", Some(7000)),
            ("0", None),
            ("", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("99999999999999999999", None),
            ("9999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
