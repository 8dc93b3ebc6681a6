//! What the cases share: the kernel, images, and a guest whose output is kept.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bundle::old_kernel::OldKernel;
use ociboot::kernel::Kernel;
use ociboot::run::machine::Machine;
use ociboot::run::outcome::Outcome;
use ociboot::run::qemu::find_program;
use ociboot::run::report::Report;
use ociboot::run::{Options, Streams, run};
use serde_json::{Value, json};

use crate::case::Skip;

/// What there is once for all.
pub struct Setup {
    pub ocinit: PathBuf,
    pub kernel: Kernel,
}

impl Setup {
    pub fn new(ocinit: PathBuf, kernel: Option<&Path>) -> Result<Setup> {
        ociboot::run::qemu::program()?;
        let kernel = match kernel {
            Some(image) => Kernel::find(Some(image), None)?,
            None => {
                let old = OldKernel::find()?;
                Kernel::find(Some(&old.image), Some(&old.modules))?
            }
        };
        Ok(Setup { ocinit, kernel })
    }
}

/// One case's.
pub struct Context<'s> {
    pub setup: &'s Setup,
    pub folder: &'s Path,
    pub machine: Machine,
}

/// A guest that has ended.
pub struct Ended {
    pub report: Report,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The outcome, and what there is to say where it is another one.
    pub fn expect(&self, outcome: &Outcome) -> Result<&Ended> {
        ensure!(
            self.report.outcome() == outcome,
            "the outcome is {:?}, not {outcome:?}; the output: {:?} {:?}; the console's end: {}",
            self.report.outcome(),
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(&self.stderr),
            self.console_end()
        );
        Ok(self)
    }

    pub fn expect_stdout(&self, text: &str) -> Result<&Ended> {
        let stdout = String::from_utf8_lossy(&self.stdout);
        ensure!(
            stdout == text,
            "standard output is {stdout:?}, not {text:?}; the console's end: {}",
            self.console_end()
        );
        Ok(self)
    }

    /// The message of a failure that has this in it.
    pub fn expect_failure(&self, part: &str) -> Result<&Ended> {
        match self.report.outcome() {
            Outcome::Failed(why) if why.contains(part) => Ok(self),
            other => bail!(
                "the outcome is {other:?}, not a failure with {part:?}; the console's end: {}",
                self.console_end()
            ),
        }
    }

    fn console_end(&self) -> String {
        let console = self.report.seen.console.tail();
        let lines: Vec<&str> = console.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::ErrorKind::Other)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn take(&self) -> Vec<u8> {
        self.0.lock().map(|mut bytes| std::mem::take(&mut *bytes)).unwrap_or_default()
    }
}

impl Context<'_> {
    /// What most cases want; emulation takes its time where other guests run.
    pub fn options(&self) -> Options {
        let mut options = Options::new(&self.setup.ocinit);
        options.kernel = Some(self.setup.kernel.image.clone());
        options.modules = self.setup.kernel.modules.clone();
        options.machine = self.machine;
        options.limits.boot = Duration::from_secs(120);
        options
    }

    pub fn boot(&self, source: &Path, options: &Options) -> Result<Ended> {
        self.boot_with(source, options, None)
    }

    pub fn boot_with(&self, source: &Path, options: &Options, stdin: Option<File>) -> Result<Ended> {
        let (stdout, stderr) = (Kept::default(), Kept::default());
        let streams = Streams {
            stdin: stdin.map(Into::into),
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
        };
        let report = run(source, options, streams)?;
        Ok(Ended { report, stdout: stdout.take(), stderr: stderr.take() })
    }

    /// Boots a busybox root with this script for its shell.
    pub fn script(&self, options: &mut Options, script: &str) -> Result<Ended> {
        options.command = Some(words(&["sh", "-c", script]));
        self.boot(&self.root()?, options)
    }

    /// A busybox root.
    pub fn root(&self) -> Result<PathBuf> {
        let root = self.folder.join("root");
        bundle::busybox_root(&root)?;
        Ok(root)
    }

    /// What `ocinit spec` writes, with this script and without a terminal.
    pub fn config(&self, script: &str) -> Result<Value> {
        let folder = tempfile::tempdir_in(self.folder)?;
        run_tool(Command::new(&self.setup.ocinit).arg("spec").current_dir(folder.path()))?;
        let mut config: Value = serde_json::from_slice(&fs::read(folder.path().join("config.json"))?)?;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        Ok(config)
    }

    /// A bundle at a place in the case's folder; its folder.
    pub fn bundle(&self, place: &str, config: &Value) -> Result<PathBuf> {
        let folder = self.folder.join(place);
        fs::create_dir_all(&folder)?;
        bundle::Bundle::from_config(&folder, config.clone())?;
        Ok(folder)
    }

    /// ociboot's command, with the kernel of these tests.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let program = std::env::current_exe()?.with_file_name("ociboot");
        if !program.is_file() {
            bail!(Skip(format!("{} was not built", program.display())));
        }
        let mut command = Command::new(program);
        command.arg("run").arg("--ocinit").arg(&self.setup.ocinit).arg("--kernel").arg(&self.setup.kernel.image);
        if let Some(modules) = &self.setup.kernel.modules {
            command.arg("--modules").arg(modules);
        }
        command.args(["--machine", name(self.machine), "--boot-timeout", "120s"]).args(arguments);
        command.env("TMPDIR", self.folder).current_dir(self.folder).stdin(Stdio::null());
        Ok(command)
    }
}

/// As the command line has it.
pub fn name(machine: Machine) -> &'static str {
    match machine {
        Machine::Q35 => "q35",
        Machine::Microvm => "microvm",
    }
}

pub fn words(list: &[&str]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

/// A program that must succeed.
pub fn run_tool(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{:?} failed: {}",
        command.get_args().collect::<Vec<_>>(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Skips the case where the program is missing.
pub fn need(program: &str) -> Result<()> {
    if find_program(program).is_none() {
        bail!(Skip(format!("no {program} here")));
    }
    Ok(())
}
