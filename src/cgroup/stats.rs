//! What a cgroup has used, from the text of its files to the JSON that runc's
//! `events` prints.
//!
//! Where the files are is not known here. One that is missing, as the controller
//! is, counts as empty; members that are zero under version 2 are left out, as
//! runc leaves out zeros.

use core::fmt::{Result, Write};

use crate::bytes::{self, Printed};
use crate::error::Lossy;
use crate::limits;

/// Gives the text of a file of the cgroup, in the buffer; nothing of one that is
/// not there.
pub type Reader<'r> = dyn for<'b> FnMut(&str, &'b mut [u8]) -> &'b [u8] + 'r;

/// Room for the largest of the files, memory.stat: sixty lines.
type Buffer = [u8; limits::CGROUP_LINE];

/// Pages of the hugetlb controller, in its files' names, on all architectures.
const HUGE_PAGES: &str = "64KB 1MB 2MB 16MB 32MB 512MB 1GB 2GB 16GB";

/// Writes the `data` of a `stats` event.
pub fn write(read: &mut Reader<'_>, out: &mut dyn Write) -> Result {
    let buffer: &mut Buffer = &mut [0; _];
    let text = read("cpu.stat", buffer);
    let micro = |name| value(text, name).saturating_mul(1000);
    write!(
        out,
        "{{\"cpu\":{{\"usage\":{{\"total\":{},\"kernel\":{},\"user\":{}}},\
         \"throttling\":{{\"periods\":{},\"throttledPeriods\":{},\"throttledTime\":{}}}",
        micro("usage_usec "),
        micro("system_usec "),
        micro("user_usec "),
        value(text, "nr_periods "),
        value(text, "nr_throttled "),
        micro("throttled_usec "),
    )?;
    pressure(read("cpu.pressure", buffer), out)?;
    out.write_str("},\"cpuset\":{},\"memory\":{")?;
    memory(read, buffer, out)?;
    pressure(read("memory.pressure", buffer), out)?;
    let current = number(read("pids.current", buffer));
    let limit = number(read("pids.max", buffer));
    let limit = if limit == u64::MAX { 0 } else { limit };
    write!(out, "}},\"pids\":{{\"current\":{current},\"limit\":{limit}}},\"blkio\":{{")?;
    let text = read("io.stat", buffer);
    io(text, "ioServiceBytesRecursive", ["rbytes=", "wbytes="], out)?;
    out.write_str(",")?;
    io(text, "ioServicedRecursive", ["rios=", "wios="], out)?;
    pressure(read("io.pressure", buffer), out)?;
    out.write_str("},\"hugetlb\":{")?;
    hugetlb(read, buffer, out)?;
    out.write_str("},\"intel_rdt\":{},\"network_interfaces\":null}")
}

fn memory(read: &mut Reader<'_>, buffer: &mut Buffer, out: &mut dyn Write) -> Result {
    let usage = number(read("memory.current", buffer));
    let limit = number(read("memory.max", buffer));
    let peak = number(read("memory.peak", buffer));
    let failures = value(read("memory.events", buffer), "max ");
    // As under version 1, swap includes the memory.
    let swap = number(read("memory.swap.current", buffer)).saturating_add(usage);
    let swap_limit = number(read("memory.swap.max", buffer)).saturating_add(limit);
    let text = read("memory.stat", buffer);
    write!(
        out,
        "\"cache\":{},\"usage\":{{\"limit\":{limit},\"usage\":{usage},\"max\":{peak},\"failcnt\":{failures}}},\
         \"swap\":{{\"limit\":{swap_limit},\"usage\":{swap},\"failcnt\":0}},\
         \"kernel\":{{\"limit\":0,\"failcnt\":0}},\"kernelTCP\":{{\"limit\":0,\"failcnt\":0}},\"raw\":{{",
        value(text, "file "),
    )?;
    let mut separator = "";
    for line in bytes::split(text, b'\n') {
        let (name, Some(amount)) = bytes::cut(line, b' ') else { continue };
        if let (Ok(name), Some(amount)) = (core::str::from_utf8(name), bytes::decimal(amount)) {
            write!(out, "{separator}\"{name}\":{amount}")?;
            separator = ",";
        }
    }
    out.write_str("}")
}

/// One table of numbers by device and kind of access.
fn io(text: &[u8], table: &str, keys: [&str; 2], out: &mut dyn Write) -> Result {
    write!(out, "\"{table}\":[")?;
    let mut separator = "";
    for line in bytes::split(text, b'\n') {
        let (device, Some(rest)) = bytes::cut(line, b' ') else { continue };
        let (major, minor) = bytes::cut(device, b':');
        let (Some(major), Some(minor)) = (bytes::decimal(major), minor.and_then(bytes::decimal)) else { continue };
        for (key, op) in keys.iter().zip(["Read", "Write"]) {
            let amount = bytes::split(rest, b' ').find_map(|word| bytes::decimal(bytes::after(word, key)?));
            write!(
                out,
                "{separator}{{\"major\":{major},\"minor\":{minor},\"op\":\"{op}\",\"value\":{}}}",
                amount.unwrap_or(0)
            )?;
            separator = ",";
        }
    }
    out.write_str("]")
}

fn hugetlb(read: &mut Reader<'_>, buffer: &mut Buffer, out: &mut dyn Write) -> Result {
    let mut separator = "";
    for size in bytes::words(HUGE_PAGES) {
        let mut file = |kind: &str| -> Option<u64> {
            let name = Printed::<64>::of(format_args!("hugetlb.{size}.{kind}"));
            let text = read(name.as_str(), buffer);
            let amount = if kind == "events" { value(text, "max ") } else { number(text) };
            (!text.is_empty()).then_some(amount)
        };
        // What is reserved, where the kernel counts it.
        let Some(usage) = file("rsvd.current").or_else(|| file("current")) else { continue };
        let failures = file("events").unwrap_or(0);
        write!(out, "{separator}\"{size}\":{{\"usage\":{usage},\"failcnt\":{failures}}}")?;
        separator = ",";
    }
    Ok(())
}

/// A file of pressure (the kernel's psi.rst): lines of a word and `name=number`.
/// Its numbers are JSON's.
fn pressure(text: &[u8], out: &mut dyn Write) -> Result {
    let Ok(text @ [_, ..]) = core::str::from_utf8(text).map(|text| text.trim_ascii().as_bytes()) else { return Ok(()) };
    out.write_str(",\"psi\":{")?;
    for (index, line) in bytes::split(text, b'\n').enumerate() {
        let (kind, rest) = bytes::cut(line, b' ');
        write!(out, "{}\"{}\":{{", if index == 0 { "" } else { "," }, Lossy(kind))?;
        for (index, word) in bytes::split(rest.unwrap_or(&[]), b' ').enumerate() {
            let (name, number) = bytes::cut(word, b'=');
            let (name, number) = (Lossy(name), Lossy(number.unwrap_or(b"0")));
            write!(out, "{}\"{name}\":{number}", if index == 0 { "" } else { "," })?;
        }
        out.write_str("}")?;
    }
    out.write_str("}")
}

/// The number in the line that begins with `name`.
pub fn value(text: &[u8], name: &str) -> u64 {
    bytes::field(text, name).and_then(bytes::decimal).unwrap_or(0)
}

/// The number that a file is; without a limit, the largest there is.
fn number(text: &[u8]) -> u64 {
    match text.trim_ascii() {
        b"max" => u64::MAX,
        text => bytes::decimal(text).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::string::String;

    const FILES: &[(&str, &str)] = &[
        (
            "cpu.stat",
            "usage_usec 147905\nuser_usec 82169\nsystem_usec 65735\nnr_periods 4\nnr_throttled 1\nthrottled_usec 5186\n",
        ),
        (
            "cpu.pressure",
            "some avg10=0.12 avg60=0.00 avg300=0.00 total=17\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        ),
        ("memory.current", "552960\n"),
        ("memory.max", "67108864\n"),
        ("memory.swap.current", "0\n"),
        ("memory.swap.max", "33554432\n"),
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n"),
        ("memory.stat", "anon 49152\nfile 253952\nfile_mapped 12288\n"),
        ("pids.current", "1\n"),
        ("pids.max", "100\n"),
        ("io.stat", "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:1 \n"),
        ("hugetlb.2MB.current", "4194304\n"),
        ("hugetlb.2MB.events", "max 2\n"),
        ("hugetlb.1GB.current", "0\n"),
        ("hugetlb.1GB.rsvd.current", "1073741824\n"),
    ];

    fn written(files: &[(&str, &str)]) -> Value {
        let mut text = String::new();
        let mut read = |name: &str, buffer: &mut [u8]| -> usize {
            let found = files.iter().find(|(file, _)| *file == name).map_or("", |(_, text)| text);
            buffer[..found.len()].copy_from_slice(found.as_bytes());
            found.len()
        };
        fn adapt<'b>(read: &mut dyn FnMut(&str, &mut [u8]) -> usize, name: &str, buffer: &'b mut [u8]) -> &'b [u8] {
            let length = read(name, buffer);
            &buffer[..length]
        }
        write(&mut |name, buffer| adapt(&mut read, name, buffer), &mut text).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    // Names and numbers are those that runc 1.1.5 printed of the same files; runc
    // since 1.2 has "psi", and 1.3 "max".
    #[test]
    fn what_runc_prints() {
        let device = |major, minor, op, value| json!({"major": major, "minor": minor, "op": op, "value": value});
        let found = written(FILES);
        let expected = json!({
            "cpu": {
                "usage": {"total": 147905000, "kernel": 65735000, "user": 82169000},
                "throttling": {"periods": 4, "throttledPeriods": 1, "throttledTime": 5186000},
                "psi": {
                    "some": {"avg10": 0.12, "avg60": 0.0, "avg300": 0.0, "total": 17},
                    "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0},
                },
            },
            "cpuset": {},
            "memory": {
                "cache": 253952,
                "usage": {"limit": 67108864, "usage": 552960, "max": 0, "failcnt": 3},
                "swap": {"limit": 100663296, "usage": 552960, "failcnt": 0},
                "kernel": {"limit": 0, "failcnt": 0},
                "kernelTCP": {"limit": 0, "failcnt": 0},
                "raw": {"anon": 49152, "file": 253952, "file_mapped": 12288},
            },
            "pids": {"current": 1, "limit": 100},
            "blkio": {
                "ioServiceBytesRecursive": [device(254, 0, "Read", 4096), device(254, 0, "Write", 8192),
                    device(8, 1, "Read", 0), device(8, 1, "Write", 0)],
                "ioServicedRecursive": [device(254, 0, "Read", 1), device(254, 0, "Write", 2),
                    device(8, 1, "Read", 0), device(8, 1, "Write", 0)],
            },
            "hugetlb": {
                "2MB": {"usage": 4194304, "failcnt": 2},
                "1GB": {"usage": 1073741824, "failcnt": 0},
            },
            "intel_rdt": {},
            "network_interfaces": null,
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn without_controllers_there_are_zeros() {
        let found = written(&[("memory.max", "max\n"), ("memory.swap.max", "max\n"), ("pids.max", "max\n")]);
        assert_eq!(found["memory"]["usage"]["limit"], u64::MAX);
        assert_eq!(found["memory"]["swap"]["limit"], u64::MAX);
        assert_eq!(found["pids"], json!({"current": 0, "limit": 0}));
        assert_eq!(found["blkio"]["ioServicedRecursive"], json!([]));
        assert_eq!(found["hugetlb"], json!({}));
        assert_eq!(found["cpu"].get("psi"), None);
    }
}
