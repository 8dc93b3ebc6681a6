//! How the outside is told: the status channels of the command line, the console,
//! and the socket that a virtual machine's monitor may have named (systemd's "VM
//! Interface", the credential `vmm.notify_socket`).

use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use super::command_line::{Channel, CommandLine, Name, Target, channel, vsock};
use super::log::{self, try_write};
use super::outcome::{Ending, Event, MARK};
use super::ports::open_target;
use super::smbios::oem_string;
use crate::bytes::{self, Printed};
use crate::error::{Error, Lossy, Result};
use crate::sys::fs::{CWD, OFlags, fcntl_getfl, fcntl_setfl};
use crate::sys::{
    AsFd, AsRawFd, BorrowedFd, Errno, OwnedFd, VSOCK_DGRAM, VSOCK_SEQPACKET, VSOCK_STREAM, boot_time, borrow_raw,
    connect_vsock, keep, read_file, write_io_port,
};
use crate::{fail, limits};

/// How long an event may take, in milliseconds, and the last one.
const PATIENCE: i64 = 500;
const LAST_PATIENCE: i64 = 3000;

/// The descriptors' numbers, each -1 where there is none: in statics, so that the
/// panic handler finds them too. Nobody closes them.
static OPEN: [AtomicI32; limits::STATUS_CHANNELS] = [const { AtomicI32::new(NONE) }; _];
static NOTIFY: AtomicI32 = AtomicI32::new(NONE);
/// The I/O port of isa-debug-exit.
static DEBUG_EXIT: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = -1;

/// Opens all channels that the command line names, and the monitor's socket. Those
/// that cannot be opened are told to `mistake`.
pub fn open(line: &CommandLine, mistake: &mut dyn FnMut(Error)) {
    for value in line.values(Name::Status) {
        if let Err(error) = channel(value).map_or(Ok(()), add) {
            mistake(fail!("ocinit.status={}: {error}", Lossy(value)));
        }
    }
    if let Some(socket) = notify_socket() {
        NOTIFY.store(keep(socket).as_raw_fd(), Relaxed);
    }
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

fn write(event: &Event<'_>, patience: i64) {
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
    let status = Printed::<24>::of(format_args!("EXIT_STATUS={}", ending.status()));
    notify(status.as_str());
    write(&event, LAST_PATIENCE);
    if let Ok(console) = open_target(Target::Console, false) {
        let mut line = [0; _];
        let line = event.write(&mut line);
        // On a line of its own, whatever a container has left there.
        for part in [b"\r\n", MARK.as_bytes(), line.trim_ascii_end(), b"\r\n"] {
            log::write_within(console.as_fd(), part, LAST_PATIENCE);
        }
    }
    exit_by_port(ending);
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

fn notify(message: &str) {
    if held(&NOTIFY).is_some_and(|socket| !try_write(socket, message.as_bytes(), PATIENCE)) {
        log::warning(&fail!("the virtual machine's monitor does not listen (vmm.notify_socket)"));
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

/// The socket of the credential `vmm.notify_socket`, from the machine's SMBIOS
/// tables or QEMU's fw_cfg.
fn notify_socket() -> Option<OwnedFd> {
    let mut buffer = [0; 8192];
    let table = read_file(CWD, c"/sys/firmware/dmi/tables/DMI", &mut buffer).unwrap_or(&[]);
    let mut name = [0; 128];
    let address = match oem_string(table, "io.systemd.credential:vmm.notify_socket=") {
        Some(address) => address,
        None => {
            let path = c"/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/vmm.notify_socket/raw";
            read_file(CWD, path, &mut name).ok()?
        }
    };
    let (kind, rest) = bytes::cut(address.trim_ascii_end(), b':');
    let kinds: &[u32] = match kind {
        b"vsock-stream" => &[VSOCK_STREAM],
        b"vsock-dgram" => &[VSOCK_DGRAM],
        b"vsock-seqpacket" => &[VSOCK_SEQPACKET],
        b"vsock" => &[VSOCK_SEQPACKET, VSOCK_STREAM],
        _ => &[],
    };
    let connected = match rest.and_then(vsock) {
        Some((cid, port)) => connect(cid, port, kinds),
        None => Err(Errno::INVAL),
    };
    connected.map_err(|errno| log::warning(&fail!(errno => "vmm.notify_socket={}", Lossy(address)))).ok()
}
