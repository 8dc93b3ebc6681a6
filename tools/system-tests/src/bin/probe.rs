//! Looks around inside a container and prints what it sees as one JSON object.
//!
//! Static, and without any dependency: the container's root may be empty.
//! What differs from run to run without meaning anything (ids of mounts, of
//! namespaces, of pipes) is printed in a normal form, so that the outputs
//! under two runtimes can be compared as they are.
//!
//! Usage: `probe [SECTION]...`; all sections without an argument. `probe
//! notify MESSAGE` sends that to $NOTIFY_SOCKET, `probe flood MESSAGE` for ever. `probe
//! write PATH` tries to write there, `probe read PATH` to read, and both print
//! what came of it. `probe sleep SECONDS` prints all, then waits.
#![deny(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// As much of JSON as is printed here.
enum Json {
    Text(String),
    Number(i64),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    fn list<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Json {
        Json::List(items.into_iter().map(Json::text).collect())
    }

    fn print(&self, out: &mut String) {
        match self {
            Json::Text(text) => {
                out.push('"');
                for character in text.chars() {
                    match character {
                        '"' => out.push_str("\\\""),
                        '\\' => out.push_str("\\\\"),
                        c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
                        c => out.push(c),
                    }
                }
                out.push('"');
            }
            Json::Number(number) => out.push_str(&number.to_string()),
            Json::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.print(out);
                }
                out.push(']');
            }
            Json::Map(items) => {
                out.push('{');
                for (index, (key, value)) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    Json::text(key.as_str()).print(out);
                    out.push(':');
                    value.print(out);
                }
                out.push('}');
            }
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &str) -> String {
    match fs::read(path) {
        Ok(bytes) => lossy(&bytes),
        Err(error) => format!("error {}", code(&error)),
    }
}

fn link(path: &str) -> String {
    match fs::read_link(path) {
        Ok(target) => lossy(target.as_os_str().as_bytes()),
        Err(error) => format!("error {}", code(&error)),
    }
}

/// The errno's name where it is one that containers meet, else its number.
fn code(error: &std::io::Error) -> String {
    match error.raw_os_error().unwrap_or(0) {
        1 => "EPERM".into(),
        2 => "ENOENT".into(),
        5 => "EIO".into(),
        6 => "ENXIO".into(),
        13 => "EACCES".into(),
        17 => "EEXIST".into(),
        20 => "ENOTDIR".into(),
        21 => "EISDIR".into(),
        22 => "EINVAL".into(),
        26 => "ETXTBSY".into(),
        30 => "EROFS".into(),
        40 => "ELOOP".into(),
        number => format!("errno {number}"),
    }
}

/// Numbers in the order of their first appearance, in place of ids.
#[derive(Default)]
struct Ids(BTreeMap<String, usize>);

impl Ids {
    fn normal(&mut self, id: &str) -> i64 {
        let next = self.0.len();
        *self.0.entry(id.into()).or_insert(next) as i64
    }
}

fn mounts() -> Json {
    let mut ids = Ids::default();
    let mut peers = Ids::default();
    let mut list = Vec::new();
    let table = read("/proc/self/mountinfo");
    // A child may stand before its parent in the table: number all of them first.
    for line in table.lines() {
        ids.normal(line.split(' ').next().unwrap_or(""));
    }
    for line in table.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(dash) = words.iter().position(|word| *word == "-") else { continue };
        if dash < 6 || words.len() < dash + 4 {
            continue;
        }
        let own = ids.normal(words[0]);
        let parent = if ids.0.contains_key(words[1]) { ids.normal(words[1]) } else { -1 };
        // shared:7 and master:7 name a peer group by a number of the host's.
        let propagation = words[6..dash].iter().map(|field| match field.split_once(':') {
            Some((kind, id)) => format!("{kind}:{}", peers.normal(id)),
            None => (*field).to_string(),
        });
        list.push(Json::Map(vec![
            ("id".into(), Json::Number(own)),
            ("parent".into(), Json::Number(parent)),
            ("root".into(), Json::text(words[3])),
            ("point".into(), Json::text(words[4])),
            ("options".into(), Json::text(words[5])),
            ("propagation".into(), Json::list(propagation)),
            ("type".into(), Json::text(words[dash + 1])),
            ("source".into(), Json::text(words[dash + 2])),
            ("super".into(), Json::text(words[dash + 3])),
        ]));
    }
    Json::List(list)
}

/// `Name:<tab>value` lines, those whose name is wanted.
fn status() -> Json {
    const WANTED: &[&str] = &[
        "Umask", "Uid", "Gid", "Groups", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh",
        "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "CoreDumping", "NSpid",
    ];
    let text = read("/proc/self/status");
    let fields = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| WANTED.contains(name));
    Json::Map(
        fields
            .map(|(name, value)| (name.into(), Json::text(value.split_whitespace().collect::<Vec<_>>().join(" "))))
            .collect(),
    )
}

fn limits() -> Json {
    let text = read("/proc/self/limits");
    let mut list = Vec::new();
    for line in text.lines().skip(1) {
        let Some((name, rest)) = line.split_at_checked(26) else { continue };
        let values: Vec<&str> = rest.split_whitespace().take(2).collect();
        list.push((name.trim().to_string(), Json::text(values.join(" "))));
    }
    Json::Map(list)
}

fn namespaces() -> Json {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"];
    Json::Map(names.iter().map(|n| (n.to_string(), Json::text(link(&format!("/proc/self/ns/{n}"))))).collect())
}

fn environment() -> Json {
    Json::list(std::env::vars_os().map(|(k, v)| format!("{}={}", lossy(k.as_bytes()), lossy(v.as_bytes()))))
}

fn devices() -> Json {
    let mut list = Vec::new();
    walk(Path::new("/dev"), 3, &mut list);
    list.sort_by(|a, b| a.0.cmp(&b.0));
    Json::Map(list)
}

fn walk(folder: &Path, depth: usize, list: &mut Vec<(String, Json)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        list.push((lossy(path.as_os_str().as_bytes()), Json::text(describe(&path))));
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, depth - 1, list);
        }
    }
}

/// What stands at `path`: kind, mode, owner; a device's number; a link's target.
fn describe(path: &Path) -> String {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return format!("error {}", code(&error)),
    };
    let (major, minor) = numbers(meta.rdev());
    let kind = meta.file_type();
    let what = if kind.is_symlink() {
        return format!("link to {}", link(&path.to_string_lossy()));
    } else if kind.is_dir() {
        "folder".into()
    } else if kind.is_char_device() {
        format!("char {major}:{minor}")
    } else if kind.is_block_device() {
        format!("block {major}:{minor}")
    } else if kind.is_fifo() {
        "fifo".into()
    } else if kind.is_socket() {
        "socket".into()
    } else {
        "file".into()
    };
    format!("{what} mode {:o} owner {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid())
}

/// Major and minor of a device number (makedev(3), Linux's encoding).
fn numbers(device: u64) -> (u64, u64) {
    ((device >> 8 & 0xfff) | (device >> 32 & !0xfff), (device & 0xff) | (device >> 12 & !0xff))
}

/// The paths that runc, crun, Docker and podman mask or make read-only.
const GUARDED: &[&str] = &[
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/fs/selinux", "/sys/dev/block",
    "/proc/interrupts", "/sys/devices/virtual/powercap", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
    "/proc/sysrq-trigger",
];

/// How a mask looks from inside: what it is, and how much can be read.
fn reading(path: &str) -> String {
    let found = describe(Path::new(path));
    if found.starts_with("error") {
        return found;
    }
    let content = match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => match fs::read_dir(path) {
            Ok(entries) => if entries.count() == 0 { "empty".into() } else { "not empty".into() },
            Err(error) => code(&error),
        },
        Ok(_) => {
            let mut one = [0; 1];
            // NONBLOCK: a fifo or a terminal must not hold the probe up.
            let opened = fs::OpenOptions::new().read(true).custom_flags(0o4000).open(path);
            match opened.and_then(|mut file| file.read(&mut one)) {
                Ok(0) => "empty".into(),
                Ok(_) => "not empty".into(),
                Err(error) => code(&error),
            }
        }
        Err(error) => code(&error),
    };
    format!("{found}, {content}")
}

/// Whether something can be written at `path`, without changing what is there.
fn writing(path: &str) -> String {
    let result = match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let name = format!("{path}/.probe");
            let made = fs::OpenOptions::new().write(true).create_new(true).open(&name);
            if made.is_ok() {
                let _ = fs::remove_file(&name);
            }
            made.map(drop)
        }
        Ok(_) => fs::OpenOptions::new().write(true).custom_flags(0o4000).open(path).map(drop),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => "writable".into(),
        Err(error) => code(&error),
    }
}

fn guarded(look: fn(&str) -> String) -> Json {
    Json::Map(GUARDED.iter().map(|path| (path.to_string(), Json::text(look(path)))).collect())
}

fn descriptors() -> Json {
    let mut list = Vec::new();
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Json::List(list) };
    let mut numbers: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    for number in numbers {
        let target = link(&format!("/proc/self/fd/{number}"));
        // The folder just read, closed again by now.
        if target.starts_with("error") {
            continue;
        }
        let target = match target.split_once(":[") {
            Some((kind, _)) => kind.to_string(),
            None => target,
        };
        list.push(Json::text(format!("{number} {target}")));
    }
    Json::List(list)
}

/// Fields of /proc/self/stat behind the name (proc_pid_stat(5)).
fn session() -> Json {
    let stat = read("/proc/self/stat");
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |number: usize| Json::text(*fields.get(number - 3).unwrap_or(&"?"));
    Json::Map(vec![
        ("pid".into(), Json::Number(i64::from(std::process::id()))),
        ("ppid".into(), field(4)),
        ("pgrp".into(), field(5)),
        ("session".into(), field(6)),
        ("tty_nr".into(), field(7)),
        ("nice".into(), field(19)),
        ("policy".into(), field(41)),
        (
            "terminals".into(),
            Json::list(
                [std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal()]
                    .map(|yes| yes.to_string()),
            ),
        ),
    ])
}

fn files(paths: &[&str]) -> Json {
    Json::Map(paths.iter().map(|path| (path.to_string(), Json::text(read(path).trim_end()))).collect())
}

fn processes() -> Json {
    let Ok(entries) = fs::read_dir("/proc") else { return Json::List(Vec::new()) };
    let mut list: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    list.sort_unstable();
    Json::list(list.iter().map(|pid| format!("{pid} {}", read(&format!("/proc/{pid}/comm")).trim_end())))
}

fn section(name: &str) -> Json {
    match name {
        "mounts" => mounts(),
        "status" => status(),
        "limits" => limits(),
        "namespaces" => namespaces(),
        "environment" => environment(),
        "cwd" => Json::text(link("/proc/self/cwd")),
        "devices" => devices(),
        "masked" => guarded(reading),
        "readonly" => guarded(writing),
        "descriptors" => descriptors(),
        "session" => session(),
        "sysctl" => files(&[
            "/proc/sys/net/ipv4/ip_unprivileged_port_start",
            "/proc/sys/net/ipv4/ping_group_range",
            "/proc/sys/net/ipv4/ip_forward",
            "/proc/sys/kernel/msgmax",
            "/proc/sys/kernel/shmmax",
            "/proc/sys/fs/mqueue/msg_max",
        ]),
        "names" => files(&["/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]),
        "process" => files(&[
            "/proc/self/oom_score_adj",
            "/proc/self/cgroup",
            "/proc/self/uid_map",
            "/proc/self/gid_map",
            "/proc/self/setgroups",
            "/proc/self/timens_offsets",
            "/proc/self/personality",
            "/proc/self/coredump_filter",
            "/proc/self/timerslack_ns",
            "/proc/self/attr/current",
        ]),
        "network" => {
            let text = read("/proc/self/net/dev");
            Json::list(text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim())))
        }
        "processes" => processes(),
        "arguments" => Json::list(std::env::args_os().map(|a| lossy(a.as_bytes()))),
        "root" => Json::list({
            let mut names: Vec<String> =
                fs::read_dir("/").into_iter().flatten().flatten().map(|e| lossy(e.file_name().as_bytes())).collect();
            names.sort();
            names
        }),
        _ => Json::text(format!("no section {name}")),
    }
}

const ALL: &[&str] = &[
    "mounts", "status", "limits", "namespaces", "environment", "cwd", "devices", "masked", "readonly", "descriptors",
    "session", "sysctl", "names", "process", "network", "processes", "root",
];

/// As sd_notify(3).
fn notify(message: &str) {
    let target = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(message.as_bytes(), target));
    if let Err(error) = sent {
        eprintln!("cannot notify: {error}");
        std::process::exit(1);
    }
}

/// The same again and again, as fast as it is taken, until nobody is there.
fn flood(message: &str) {
    let target = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    // What one socket has on its way is limited; who waits for room is slower than who reads.
    let socket = |_| -> Option<std::os::unix::net::UnixDatagram> {
        let socket = std::os::unix::net::UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok().map(|()| socket)
    };
    let send = || {
        let sockets: Vec<_> = (0..16).filter_map(socket).collect();
        let is_taken = |sent: std::io::Result<usize>| {
            sent.map_or_else(|error| error.kind() == std::io::ErrorKind::WouldBlock, |_| true)
        };
        while sockets.iter().all(|socket| is_taken(socket.send_to(message.as_bytes(), &target))) {}
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(send))));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (sections, sleep): (&[&str], u64) = match words.as_slice() {
        [] => (ALL, 0),
        ["sleep", seconds] => (ALL, seconds.parse().unwrap_or(0)),
        ["read", paths @ ..] => return paths.iter().for_each(|path| println!("{path}: {}", reading(path))),
        ["write", paths @ ..] => return paths.iter().for_each(|path| println!("{path}: {}", writing(path))),
        ["notify", message] => return notify(message),
        ["flood", message] => return flood(message),
        sections => (sections, 0),
    };
    let mut out = String::new();
    Json::Map(sections.iter().map(|name| (name.to_string(), section(name))).collect()).print(&mut out);
    out.push('\n');
    let mut stdout = std::io::stdout();
    if stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(1);
    }
    std::thread::sleep(std::time::Duration::from_secs(sleep));
}
