//! From the command line to the first unit: what is to be done is read, devices and
//! network come up, the units are found; then the supervisor takes over.

use core::ffi::CStr;

use super::command_line::{CommandLine, Name, Options, Target};
use super::monitor::Lent;
use super::outcome::{Ending, Event, Sentence};
use super::power_button::PowerButton;
use super::pump::Room;
use super::reports::Reports;
use super::shutdown::set_on_exit;
use super::slots::{Slot, Slots};
use super::supervisor::Supervisor;
use super::trace::Trace;
use super::units::{self, Kind, Units};
use super::{channels, early, files, log, modules, mounts, ports};
use crate::error::{Error, Lossy, Result};
use crate::json::Extents;
use crate::lifecycle::{self, Arena, Changes, Workspace};
use crate::sys::fs::{AtFlags, CWD, statat};
use crate::sys::system::{RebootCommand, reboot, sethostname};
use crate::sys::{self, Deadline, SignalSet};
use crate::{fail, limits, network};

/// What process 1 has besides the workspace. All zeros at the start, as that is.
pub struct Memory {
    kernel_line: [u8; limits::KERNEL_LINE],
    file_line: [u8; limits::BOOT_FILE],
    arguments: [u8; limits::BOOT_STRINGS],
    environment: [u8; 2 * limits::BOOT_STRINGS],
    artifacts: [u8; limits::BOOT_STRINGS],
    strings: [u8; limits::UNIT_STRINGS],
    runtime: [u8; limits::RUNTIME_JSON],
    extents: Extents,
    rooms: [Room; 3],
    units: Units,
    slots: Slots,
}

impl Memory {
    pub const fn new() -> Memory {
        Memory {
            kernel_line: [0; limits::KERNEL_LINE],
            file_line: [0; limits::BOOT_FILE],
            arguments: [0; limits::BOOT_STRINGS],
            environment: [0; 2 * limits::BOOT_STRINGS],
            artifacts: [0; limits::BOOT_STRINGS],
            strings: [0; limits::UNIT_STRINGS],
            runtime: [0; limits::RUNTIME_JSON],
            extents: Extents::new(),
            rooms: [[0; _]; 3],
            units: heapless::Vec::new(),
            slots: heapless::Vec::new(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// The first mistake: the boot's outcome, as what was meant is not known. All of
/// them are on the log.
#[derive(Default)]
struct Mistakes(Option<Sentence>);

impl Mistakes {
    fn add(&mut self, error: &Error) {
        log::error(error);
        if self.0.is_none() {
            self.0 = Some(Sentence::of(format_args!("{error}")));
        }
    }

    /// What was asked for, or its default.
    fn hear<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.add(&error);
            T::default()
        })
    }
}

/// The boot, up to where nothing runs any more. Gives its outcome.
pub fn boot(workspace: &'static mut Workspace, memory: &'static mut Memory, first: u64) -> (Ending, Sentence) {
    let mut mistakes = Mistakes::default();
    let supervisor = prepare(workspace, memory, first, &mut mistakes);
    match (supervisor, mistakes.0) {
        (Ok(mut supervisor), None) => {
            supervisor.run();
            if cfg!(feature = "panics") {
                panic!("as it was built to");
            }
            supervisor.outcome()
        }
        (_, Some(sentence)) => (Ending::Error(125), sentence),
        (Err(error), None) => (Ending::Error(125), Sentence::of(format_args!("{error}"))),
    }
}

/// Everything before the first unit.
#[inline(never)]
fn prepare(
    workspace: &'static mut Workspace,
    memory: &'static mut Memory,
    first: u64,
    mistakes: &mut Mistakes,
) -> Result<Supervisor> {
    let Memory {
        kernel_line,
        file_line,
        arguments,
        environment,
        artifacts,
        strings,
        runtime,
        extents,
        rooms,
        units,
        slots,
    } = memory;
    let mut trace = Trace::new();
    trace.mark_at("first instruction", first);
    trace.mark("the kernel's file systems mounted");
    let mut strings = Arena::new(strings);
    let image = ImageFiles::find();
    let file = mistakes.hear(image.read(c"/ocinit/cmdline", file_line));
    let mut line = CommandLine::new(file, mistakes.hear(read_file(c"/proc/cmdline", kernel_line)));
    let options = line.read(&mut strings, &mut |error| mistakes.add(&error));
    set_on_exit(options.on_exit);
    let changes = mistakes.hear(changes(&line, &options, &image, arguments, environment));
    let artifacts = mistakes.hear(image.read(c"/ocinit/artifacts", artifacts));
    bring_up(&line, &options, mistakes, &mut trace, first);
    let hardened = lifecycle::harden_init()?;
    mistakes.hear(find_units(&options, units, workspace, &mut strings));
    if units.iter().any(|unit| unit.shares_mounts) {
        early::share_mounts();
    }
    for unit in units.iter() {
        let _ = slots.push(Slot::new(*unit)); // as many as there can be units
    }
    trace.mark("units read");
    Ok(Supervisor {
        options,
        changes,
        artifacts,
        hardened,
        slots,
        lent: Some(Lent { workspace, runtime, extents, rooms }),
        reports: Reports::new()?,
        signals: sys::signalfd(SignalSet::ALL).map_err(|errno| fail!(errno => "cannot watch for signals"))?,
        power_button: PowerButton::open(),
        trace,
        timeout_at: None,
        stopping: false,
        timed_out: false,
        ready: false,
        failure: None,
        started: 0,
    })
}

/// A file; empty where there is none.
///
/// # Errors
/// As [`files::read`].
fn read_file(path: &CStr, room: &'static mut [u8]) -> Result<&'static [u8]> {
    Ok(files::read(path, room)?.unwrap_or(&[]))
}

/// The files in the image's folder /ocinit, which few images have.
struct ImageFiles {
    exist: bool,
}

impl ImageFiles {
    fn find() -> ImageFiles {
        ImageFiles { exist: statat(CWD, c"/ocinit", AtFlags::empty()).is_ok() }
    }

    /// As [`read_file`].
    #[inline(never)]
    fn read(&self, path: &CStr, room: &'static mut [u8]) -> Result<&'static [u8]> {
        if self.exist { read_file(path, room) } else { Ok(&[]) }
    }
}

/// What the command line and the files change of the single bundle's process.
///
/// # Errors
/// A file cannot be read, or there is more than there is room for.
fn changes(
    line: &CommandLine,
    options: &Options,
    image: &ImageFiles,
    arguments: &'static mut [u8],
    environment: &'static mut [u8],
) -> Result<Changes> {
    let mut changes = Changes {
        arguments: None,
        environment: &[],
        cwd: options.cwd,
        user: options.user,
        terminal: options.terminal,
        console_size: options.console_size,
    };
    match line.arguments() {
        Some(words) => {
            let mut put = Put { room: arguments, length: 0 };
            for word in words {
                put.add(word.name)?;
                if let Some(value) = word.value {
                    put.add(b"=")?;
                    put.add(value)?;
                }
                put.add(&[0])?;
            }
            changes.arguments = Some(put.finish());
        }
        None => {
            let text = image.read(c"/ocinit/args", arguments)?;
            changes.arguments = if text.is_empty() { None } else { Some(text) };
        }
    }
    // The file's come first: those of the line win.
    let (room, rest) = environment.split_at_mut(limits::BOOT_STRINGS);
    let mut put = Put { room: rest, length: 0 };
    put.add(image.read(c"/ocinit/env", room)?)?;
    for value in line.values(Name::Env) {
        put.add(value)?;
        put.add(&[0])?;
    }
    changes.environment = put.finish();
    Ok(changes)
}

/// Bytes put one behind the other.
struct Put {
    room: &'static mut [u8],
    length: usize,
}

impl Put {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let most = self.room.len();
        let end = self.length.saturating_add(bytes.len());
        match self.room.get_mut(self.length..end) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(fail!("arguments or variables take more than the limit of {most} bytes")),
        }
        self.length = end;
        Ok(())
    }

    fn finish(self) -> &'static [u8] {
        self.room.get(..self.length).unwrap_or(&[])
    }
}

/// Name, modules, channels, devices, network.
fn bring_up(line: &CommandLine, options: &Options, mistakes: &mut Mistakes, trace: &mut Trace, first: u64) {
    // Ctrl-Alt-Del is to be a signal, not the end (reboot(2), CAD_OFF).
    let _ = reboot(RebootCommand::CadOff);
    if let Some(name) = options.hostname {
        let set = sethostname(name).map_err(|errno| fail!(errno => "ocinit.hostname={}", Lossy(name)));
        mistakes.hear(set);
    }
    let default = c"/ocinit/modules";
    if let Some(list) = options.modules.or_else(|| exists(default).then_some(default)) {
        mistakes.hear(modules::load(list));
        trace.mark("modules loaded");
    }
    if options.log != Target::Console {
        match ports::open_target(options.log, false) {
            Ok(log) => log::set(sys::keep(log), options.log == Target::Kmsg),
            Err(error) => mistakes.add(&error),
        }
    }
    channels::open(line, &mut |error| mistakes.add(&error));
    channels::tell(&Event { name: "init", unit: None, ending: None, us: first });
    let milliseconds = options.mount_timeout.unwrap_or(limits::MOUNT_PATIENCE);
    let deadline = || Deadline::after(milliseconds.saturating_mul(1_000_000));
    for value in line.values(Name::Mount) {
        mistakes.hear(mounts::mount(value, deadline()));
    }
    for value in line.values(Name::Address) {
        mistakes.hear(network::configure::address(value));
    }
    for value in line.values(Name::Gateway) {
        mistakes.hear(network::configure::gateway(value));
    }
    if let Some(device) = options.dhcp {
        let name = options.hostname.unwrap_or(b"");
        mistakes.hear(network::dhcp::start(device, name, Deadline::after(limits::DHCP_PATIENCE)));
    }
    for value in line.values(Name::Dns) {
        mistakes.hear(network::configure::dns(value));
    }
    trace.mark("devices and network set up");
}

fn exists(path: &CStr) -> bool {
    statat(CWD, path, AtFlags::empty()).is_ok()
}

/// The units of the folder, and the single bundle.
///
/// # Errors
/// They cannot be read, or there are none.
fn find_units(
    options: &Options,
    units: &mut Units,
    workspace: &mut Workspace,
    strings: &mut Arena<'static>,
) -> Result<()> {
    let (default_units, default_bundle) = (c"/containers", c"/bundle");
    if let Some(folder) = options.units.or_else(|| exists(default_units).then_some(default_units)) {
        units::find(folder, units, workspace, strings)?;
    }
    if let Some(bundle) = options.bundle.or_else(|| exists(default_bundle).then_some(default_bundle)) {
        let unit = units::read(Kind::Main, c"bundle", bundle, workspace, strings)?;
        units.push(unit).map_err(|_| units::too_many())?;
    }
    if units.is_empty() {
        return Err(fail!("there is nothing to start: neither a bundle at /bundle nor units in /containers"));
    }
    Ok(())
}
