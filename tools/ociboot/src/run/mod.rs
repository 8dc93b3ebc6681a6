//! `run`: boots something in QEMU, connects it to the user's streams, and tells
//! how it ended.

pub mod accel;
pub mod artifacts;
pub mod cli;
pub mod console;
pub mod machine;
pub mod outcome;
pub mod qemu;
mod relay;
pub mod report;
pub mod shares;
mod sys;
pub mod tap;
pub mod terminal;
pub mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::kernel::Kernel;
use crate::modules;
use crate::pack::{self, pack};
use crate::progress::Progress;
use crate::signals::{self, Temporary};
use artifacts::Artifact;
use machine::{Accel, Machine};
use qemu::{Builder, Process};
use relay::News;
use report::Report;
use shares::{Protocol, Share};
use watch::{Limits, Watch};

/// What is booted, with what, on which machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kernel; the newest that there is where it is not named.
    pub kernel: Option<PathBuf>,
    /// The folder of its modules, where it is not at its usual place.
    pub modules: Option<PathBuf>,
    /// The binary that becomes /init.
    pub ocinit: PathBuf,
    /// In the place of the image's own.
    pub command: Option<Vec<OsString>>,
    pub environment: Vec<OsString>,
    pub machine: Machine,
    pub accel: Accel,
    /// MiB.
    pub memory: u64,
    pub cpus: u32,
    pub limits: Limits,
    pub shares: Vec<Share>,
    pub artifacts: Vec<Artifact>,
    /// A network card with QEMU's user network behind it.
    pub network: bool,
    /// Where the kernel's console goes.
    pub console: Option<PathBuf>,
    /// Rows and columns, where the container gets a terminal.
    pub terminal: Option<(u16, u16)>,
    /// More modules for the guest.
    pub more_modules: Vec<String>,
    /// More words for the kernel's line.
    pub append: Vec<String>,
    /// Which image, where the source has several.
    pub image: Option<String>,
    /// A line on the terminal while it takes long.
    pub progress: bool,
    /// End the guest when one of the signals that end programs comes.
    pub signals: bool,
}

impl Options {
    pub fn new(ocinit: impl Into<PathBuf>) -> Options {
        Options {
            kernel: None,
            modules: None,
            ocinit: ocinit.into(),
            command: None,
            environment: Vec::new(),
            machine: Machine::Q35,
            accel: Accel::Auto,
            memory: 512,
            cpus: 1,
            limits: Limits { boot: Duration::from_secs(60), run: None },
            shares: Vec::new(),
            artifacts: Vec::new(),
            network: false,
            console: None,
            terminal: None,
            more_modules: Vec::new(),
            append: Vec::new(),
            image: None,
            progress: false,
            signals: false,
        }
    }
}

/// Where the container's standard streams come from and go to.
pub struct Streams {
    /// None: it is at its end from the start.
    pub stdin: Option<OwnedFd>,
    pub stdout: Box<dyn Write + Send>,
    pub stderr: Box<dyn Write + Send>,
}

/// The words that connect ocinit with the channels of `boot`.
const CHANNELS: &[&str] = &[
    "ocinit.status=virtio:ocinit.status",
    "ocinit.stdin=virtio:ocinit.stdin",
    "ocinit.stdout=virtio:ocinit.stdout",
    "ocinit.stderr=virtio:ocinit.stderr",
];

/// Packs the source, boots it and sees it through. An error is for what was
/// found wrong before there was a guest; all else is the report's outcome.
pub fn run(source: &Path, options: &Options, streams: Streams) -> Result<Report> {
    let begin = Instant::now();
    let mut progress = Progress::new(options.progress);
    qemu::program()?;
    progress.say("looking for a kernel");
    let kernel = Kernel::find(options.kernel.as_deref(), options.modules.as_deref())?;
    let protocol = match options.shares.is_empty() {
        true => None,
        false => Some(Protocol::choose(&kernel)?),
    };
    let devices = 1 + usize::from(options.network) + options.shares.len();
    ensure!(
        devices <= options.machine.devices(),
        "{} has room for {} devices, and this needs {devices}: share fewer folders, or take another --machine",
        options.machine.name(),
        options.machine.devices()
    );
    let say = options.progress && std::io::stderr().is_terminal();
    let accel = accel::choose(options.accel, options.machine, &kernel, say)?;
    let make = || tempfile::Builder::new().prefix("ociboot-").tempdir();
    let work = Temporary::of(make, TempDir::path).context("cannot make a temporary folder")?;
    progress.say("packing");
    let initramfs = work.0.path().join("initramfs");
    let summary = pack(source, &pack_options(options, &kernel, protocol)?, &initramfs)?;
    let packed = begin.elapsed();

    let mut builder = Builder::new(options.machine.arguments(accel, options.memory, options.cpus));
    let mut servers = match protocol {
        Some(protocol) => {
            shares::serve(&options.shares, protocol, options.machine, options.memory, work.0.path(), &mut builder)?
        }
        None => Vec::new(),
    };
    let mut words = options.machine.kernel_words(accel);
    words.extend(options.append.iter().cloned());
    let image = kernel.image.to_str().context("the kernel's path is not UTF-8")?.to_owned();
    // QEMU reads it through an open descriptor: nobody else can put another in its place.
    let file = File::open(&initramfs).context("cannot open the initramfs")?;
    let initramfs = qemu::path_of(&mut builder, file);
    builder.add(["-kernel", &image, "-initrd", &initramfs, "-append", &words.join(" ")]);
    if options.network {
        builder.add(["-netdev", "user,id=network"]);
        builder.add(["-device", &format!("{},netdev=network", options.machine.device("virtio-net"))]);
    }
    let (seen, [tap, errors]) = boot(builder, &mut servers, options, streams, &mut progress)?;
    drop(servers);
    Ok(Report {
        source: source.to_owned(),
        machine: options.machine,
        accel,
        kernel,
        warnings: summary.warnings,
        packed,
        total: begin.elapsed(),
        artifacts: options.artifacts.clone(),
        seen,
        lost: [("output", tap.lost), ("error", errors.lost)]
            .into_iter()
            .filter_map(|(name, lost)| Some(format!("standard {name} could not be written as a whole: {}", lost?)))
            .collect(),
        tap: tap.tap,
    })
}

/// What the initramfs is to hold.
fn pack_options(options: &Options, kernel: &Kernel, protocol: Option<Protocol>) -> Result<pack::Options> {
    let mut names: Vec<String> = [options.machine.transport(), "virtio_console"].map(String::from).to_vec();
    if options.network {
        names.push("virtio_net".into());
    }
    names.extend(protocol.iter().flat_map(|protocol| protocol.modules()).map(|name| (*name).to_owned()));
    names.extend(options.more_modules.iter().cloned());
    for name in &names {
        ensure!(
            kernel.has(name),
            "the kernel {} has no {name}, built in or as a module{}",
            kernel.image.display(),
            if kernel.modules.is_none() { ": its modules were not found, name their folder by --modules" } else { "" }
        );
    }
    // LinuxKit's writable units need it.
    if kernel.modules.is_some() && kernel.has("overlay") {
        names.push("overlay".into());
    }
    let mut words: Vec<String> = CHANNELS.iter().map(|word| (*word).to_owned()).collect();
    if options.network {
        words.push("ocinit.dhcp=any".into());
    }
    if let Some(limit) = options.limits.run {
        words.push(format!("ocinit.timeout={}ms", limit.as_millis()));
    }
    if let Some((rows, columns)) = options.terminal {
        words.push("ocinit.terminal=1".into());
        words.push(format!("ocinit.console-size={rows}x{columns}"));
    }
    if !options.artifacts.is_empty() {
        words.push("ocinit.artifacts=virtio:ocinit.artifacts".into());
    }
    let mut pack = pack::Options::new(&options.ocinit);
    pack.command = options.command.clone();
    pack.environment = options.environment.clone();
    pack.artifacts = options.artifacts.iter().map(|artifact| artifact.guest.clone()).collect();
    pack.mounts = match protocol {
        Some(protocol) => shares::mounts(&options.shares, protocol)?,
        None => Vec::new(),
    };
    pack.terminal = options.terminal.is_some();
    pack.modules = kernel.modules.clone().map(|folder| modules::Request { folder, names });
    // It is read once, from memory: packing it would take longer than reading.
    pack.compression = pack::Compression::None;
    pack.boot_words = words;
    pack.name_servers = options.append.iter().any(|word| pack::names_servers(word));
    pack.image = options.image.clone();
    pack.progress = options.progress;
    Ok(pack)
}

/// Starts QEMU with a channel for each stream, and watches it.
fn boot(
    mut builder: Builder,
    servers: &mut [Process],
    options: &Options,
    streams: Streams,
    progress: &mut Progress,
) -> Result<(watch::Seen, [relay::Passed; 2])> {
    let console = builder.channel("console")?;
    builder.add(["-serial", "chardev:console"]);
    builder.add(["-device", &options.machine.device("virtio-serial")]);
    let mut port = |name: &str| -> Result<OwnedFd> {
        let ours = builder.channel(name)?;
        builder.add(["-device", &format!("virtserialport,chardev={name},name=ocinit.{name}")]);
        Ok(ours)
    };
    let status = port("status")?;
    let (stdin, stdout, stderr) = (port("stdin")?, port("stdout")?, port("stderr")?);
    let artifacts = if options.artifacts.is_empty() { None } else { Some(port("artifacts")?) };
    let file = match &options.console {
        Some(path) => Some(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => None,
    };
    let (news, receiver) = channel();
    let told = news.clone();
    let signals = options.signals.then(|| {
        signals::listen(move |signal| {
            let _ = told.send(News::Signal(signal));
        })
    });
    let raw = match options.terminal {
        Some(_) => Some(terminal::Raw::new(std::io::stdin())?),
        None => None,
    };
    progress.say("booting the kernel");
    let mut qemu = builder.start()?;
    relay::console(console, file, news.clone());
    relay::status(status, news.clone());
    let stdout = relay::output(stdout, streams.stdout);
    let stderr = relay::output(stderr, streams.stderr);
    let (stop_reader, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match streams.stdin {
        Some(from) => relay::input(from, stdin, stop_reader, options.terminal.is_some(), news.clone()),
        None => relay::input(File::open("/dev/null")?.into(), stdin, stop_reader, false, news.clone()),
    }
    let channels = 2 + usize::from(artifacts.is_some());
    if let Some(artifacts) = artifacts {
        receive_artifacts(artifacts, options.artifacts.clone(), news.clone());
    }
    drop(news);
    let seen = Watch::new(&mut qemu, servers, options.limits, channels).run(&receiver, progress);
    drop((stop, raw, signals));
    let passed = [stdout, stderr].map(|stream| stream.join().unwrap_or_default());
    Ok((seen, passed))
}

fn receive_artifacts(channel: OwnedFd, artifacts: Vec<Artifact>, news: Sender<News>) {
    std::thread::spawn(move || {
        let told = news.clone();
        let channel = Told { channel: File::from(channel), news: told, at: None };
        let mut stream = std::io::BufReader::with_capacity(64 << 10, channel);
        let received = artifacts::receive(&mut stream, &artifacts);
        // What follows the archive, or what is not understood of it, must not stop the guest.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        let _ = news.send(News::Artifacts(received));
    });
}

/// A channel whose deliveries are told to the one that watches, as long as they come.
struct Told {
    channel: File,
    news: Sender<News>,
    /// When that was told last.
    at: Option<Instant>,
}

impl Read for Told {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.channel.read(buffer)?;
        if count > 0 && self.at.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
            self.at = Some(Instant::now());
            let _ = self.news.send(News::Delivery);
        }
        Ok(count)
    }
}
