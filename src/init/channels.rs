//! How the outside is told: the status channels of the command line, the console,
//! and the socket that a virtual machine's monitor may have named (systemd's "VM
//! Interface", the credential `vmm.notify_socket`).

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};

use super::command_line::{Channel, CommandLine, Name, Target, channel, vsock};
use super::log::{self, try_write};
use super::outcome::{Ending, Event, EventLine, MARK};
use super::ports::open_target;
use super::shutdown::on_exit;
use super::smbios::{Structures, credential};
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::sys::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, open as open_file};
use crate::sys::{
    AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, VSOCK_DGRAM, VSOCK_SEQPACKET, VSOCK_STREAM, boot_time, borrow_raw,
    connect_vsock, io, keep, read_file, write_io_port,
};
use crate::{fail, limits};

/// How long an event may take, in milliseconds, and the last one.
const PATIENCE: u64 = 2000;
const LAST_PATIENCE: u64 = 3000;

/// The descriptors' numbers, each -1 where there is none: in statics, so that the
/// panic handler finds them too. Nobody closes them.
static OPEN: [AtomicI32; limits::STATUS_CHANNELS] = [const { AtomicI32::new(NONE) }; _];
/// The monitor's socket: one more than its place in [`KINDS`], or 0 where there is
/// none; the machine and the port.
static NOTIFY: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
/// The I/O port of isa-debug-exit.
static DEBUG_EXIT: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;

/// Opens all channels that the command line names, and looks for the monitor's
/// socket. Those that cannot be opened are told to `mistake`.
pub fn open(line: &CommandLine, mistake: &mut dyn FnMut(Error)) {
    for value in line.values(Name::Status) {
        if let Err(error) = channel(value).map_or(Ok(()), add) {
            mistake(fail!("ocinit.status={}: {error}", Lossy(value)));
        }
    }
    find_notify_socket();
}

fn add(channel: Channel<'_>) -> Result<()> {
    let opened = match channel {
        Channel::DebugExit(port) => {
            DEBUG_EXIT.store(port.into(), Relaxed);
            return Ok(());
        }
        Channel::Virtio(name) => open_target(Target::Virtio(name), false)?,
        Channel::Vsock { cid, port } => connect(cid, port, &[VSOCK_STREAM])
            .map_err(|errno| fail!(errno => "cannot connect to port {port} of machine {cid}"))?,
    };
    match OPEN.iter().find(|place| place.load(Relaxed) == NONE) {
        Some(place) => {
            place.store(keep(opened).as_raw_fd(), Relaxed);
            Ok(())
        }
        None => Err(fail!("more channels than the limit of {}", limits::STATUS_CHANNELS)),
    }
}

/// The descriptor that `number` holds.
fn held(number: &AtomicI32) -> Option<BorrowedFd<'static>> {
    u32::try_from(number.load(Relaxed)).ok().map(borrow_raw)
}

/// Tells of something. A channel that does not take it in time hears of nothing
/// any more.
pub fn tell(event: &Event<'_>) {
    write(event, PATIENCE);
}

fn write(event: &Event<'_>, patience: u64) {
    if OPEN.iter().any(|number| held(number).is_some()) {
        write_to_all(event, patience);
    }
}

#[inline(never)] // the line's room is on the stack alone
fn write_to_all(event: &Event<'_>, patience: u64) {
    let mut line = [0; _];
    let line = event.write(&mut line);
    for number in &OPEN {
        if held(number).is_some_and(|channel| !try_write(channel, line, patience)) {
            number.store(NONE, Relaxed);
            log::warning(&fail!("a status channel is not read: it is told nothing more"));
        }
    }
}

/// The system is up.
pub fn ready() {
    notify("READY=1");
}

/// The last word: to the channels, the monitor and the console. Where the outcome
/// is one that isa-debug-exit can carry, the machine ends here.
pub fn outcome(ending: Ending, sentence: &str) {
    let event = Event { name: "outcome", unit: None, ending: Some((ending, sentence)), us: boot_time() };
    let status = Printed::<64>::of(format_args!("EXIT_STATUS={}\nX_SYSTEMD_SHUTDOWN={}", ending.status(), on_exit().1));
    notify(status.as_str());
    write(&event, LAST_PATIENCE);
    tell_console(&event);
    exit_by_port(ending);
}

#[inline(never)] // each line's room is on the stack alone
fn tell_console(event: &Event<'_>) {
    if let Ok(console) = open_target(Target::Console, false) {
        const HEAD: usize = 2 + MARK.len();
        let mut room = [0; HEAD + size_of::<EventLine>() + 1];
        // On a line of its own, whatever a container has left there; in one piece, so
        // that nothing of others' gets into it.
        let Some((head, line)) = room.split_first_chunk_mut::<HEAD>() else { return };
        head.iter_mut().zip(b"\r\n".iter().chain(MARK.as_bytes())).for_each(|(place, byte)| *place = *byte);
        let length = line.first_chunk_mut().map_or(0, |line| event.write(line).trim_ascii_end().len());
        line.iter_mut().skip(length).zip(b"\r\n").for_each(|(place, byte)| *place = *byte);
        log::write_within(console.as_fd(), room.get(..HEAD + length + 2).unwrap_or(&[]), LAST_PATIENCE);
    }
}

/// Ends the machine with the status, where isa-debug-exit is there and can say it:
/// QEMU makes 2n+1 of n, and never 0.
fn exit_by_port(ending: Ending) {
    if let (Ok(port), Ending::Exit(status @ 1..=127)) = (u16::try_from(DEBUG_EXIT.load(Relaxed)), ending) {
        super::clock::pause(50); // for what the console and the ports still have to pass on
        if let Err(errno) = write_io_port(port, status) {
            log::warning(&fail!(errno => "cannot write to the I/O port {port:#x} of isa-debug-exit"));
        }
    }
}

/// Tells the monitor, over a connection of its own for each message: those who
/// listen take what comes over one for the whole (sd_notify(3) connects anew too).
fn notify(message: &str) {
    let [kind, cid, port] = NOTIFY.each_ref().map(|number| number.load(Relaxed));
    let Some((name, kinds)) = (kind as usize).checked_sub(1).and_then(|index| KINDS.get(index)) else { return };
    if !connect(cid, port, kinds).is_ok_and(|socket| try_write(socket.as_fd(), message.as_bytes(), PATIENCE)) {
        let first = message.lines().next().unwrap_or("");
        log::warning(&fail!("nobody takes \"{first}\" at {name}:{cid}:{port} (vmm.notify_socket)"));
    }
}

/// The first type of socket that gets through.
fn connect(cid: u32, port: u32, kinds: &[u32]) -> Result<OwnedFd, Errno> {
    let mut last = Errno::NODEV;
    for kind in kinds {
        match connect_vsock(cid, port, *kind) {
            Ok(socket) => {
                fcntl_getfl(&socket).and_then(|flags| fcntl_setfl(&socket, flags | OFlags::NONBLOCK))?;
                return Ok(socket);
            }
            Err(errno) => last = errno,
        }
    }
    Err(last)
}

/// The types of sockets that the monitor's may have, each with what is tried.
const KINDS: [(&str, &[u32]); 4] = [
    ("vsock", &[VSOCK_SEQPACKET, VSOCK_STREAM]),
    ("vsock-stream", &[VSOCK_STREAM]),
    ("vsock-dgram", &[VSOCK_DGRAM]),
    ("vsock-seqpacket", &[VSOCK_SEQPACKET]),
];

/// The address in the credential `vmm.notify_socket`, from the machine's SMBIOS
/// tables or QEMU's fw_cfg.
fn find_notify_socket() {
    let mut room = [0; 192];
    if !from_smbios() {
        let path = c"/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/vmm.notify_socket/raw";
        if let Ok(address) = read_file(CWD, path, &mut room) {
            set_notify_socket(address);
        }
    }
}

/// Whether it is there.
fn from_smbios() -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = open_file(c"/sys/firmware/dmi/tables/DMI", flags, Mode::empty()) else { return false };
    let mut structures = Structures::new();
    let (mut bytes, mut room) = ([0; 512], [0; 128]);
    while let Ok(length @ 1..) = io::read(&file, &mut bytes) {
        for byte in bytes.iter().take(length) {
            let Some(string) = structures.take(*byte) else { continue };
            if let Some(address) = credential(string, "vmm.notify_socket", &mut room) {
                set_notify_socket(address);
                return true;
            }
        }
    }
    false
}

fn set_notify_socket(address: &[u8]) {
    let (kind, rest) = bytes::cut(address.trim_ascii_end(), b':');
    let kind = KINDS.iter().position(|(name, _)| name.as_bytes() == kind);
    match (kind, rest.and_then(vsock)) {
        (Some(kind), Some((cid, port))) => {
            for (place, number) in NOTIFY.iter().zip([kind as u32 + 1, cid, port]) {
                place.store(number, Relaxed);
            }
        }
        _ => log::warning(&fail!("vmm.notify_socket: \"{}\" is not vsock[-TYPE]:CID:PORT", Lossy(address))),
    }
}
