//! What a cgroup has used, from the text of its files to the JSON that runc's
//! `events` prints.
//!
//! Where the files are is not known here. One that is missing, as the controller
//! is, counts as empty; members that are zero under version 2 are left out, as
//! runc leaves out zeros.

use core::fmt::{Error, Result, Write};

use crate::bytes::{self, Printed};
use crate::error::Lossy;
use crate::word_list;
use crate::word_list::WordList;

/// Gives the text of a file of the cgroup, in the buffer; nothing of one that is
/// not there.
pub type Reader<'r> = dyn for<'b> FnMut(&str, &'b mut [u8]) -> &'b [u8] + 'r;

/// Pages of the hugetlb controller, in its files' names, on all architectures.
const HUGE_PAGES: WordList = word_list!("64KB 1MB 2MB 16MB 32MB 512MB 1GB 2GB 16GB");

/// The document, in lines: a text of it; behind a tab what follows it, of which
/// file, and of which line there. `u` is microseconds, told as nanoseconds; `v` a
/// number; `n` the number that the file is; `l` the same, where no limit is zero;
/// `+` the sum of two files; `r` all lines; `p` pressure; `d` numbers of devices;
/// `h` huge pages.
const DOCUMENT: &str = r#"{"cpu":{"usage":{"total":	u cpu.stat usage_usec
,"kernel":	u cpu.stat system_usec
,"user":	u cpu.stat user_usec
},"throttling":{"periods":	v cpu.stat nr_periods
,"throttledPeriods":	v cpu.stat nr_throttled
,"throttledTime":	u cpu.stat throttled_usec
}	p cpu.pressure
},"cpuset":{},"memory":{"cache":	v memory.stat file
,"usage":{"limit":	n memory.max
,"usage":	n memory.current
,"max":	n memory.peak
,"failcnt":	v memory.events max
},"swap":{"limit":	+ memory.swap.max memory.max
,"usage":	+ memory.swap.current memory.current
,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{	r memory.stat
}	p memory.pressure
},"pids":{"current":	n pids.current
,"limit":	l pids.max
},"blkio":{"ioServiceBytesRecursive":[	d io.stat rbytes= wbytes=
],"ioServicedRecursive":[	d io.stat rios= wios=
]	p io.pressure
},"hugetlb":{	h -
},"intel_rdt":{},"network_interfaces":null}"#;

/// Writes the `data` of a `stats` event. `buffer`: room for one file, the largest
/// of which is io.stat, with a line for each device.
///
/// # Errors
/// There is not enough of it, or `out` takes no more.
pub fn write(read: &mut Reader<'_>, buffer: &mut [u8], out: &mut dyn Write) -> Result {
    let most = buffer.len();
    for line in bytes::split(DOCUMENT.as_bytes(), b'\n') {
        let (literal, rest) = bytes::cut(line, b'\t');
        write!(out, "{}", Lossy(literal))?;
        let word = |index| {
            core::str::from_utf8(bytes::split(rest.unwrap_or(&[]), b' ').nth(index).unwrap_or(&[])).unwrap_or("")
        };
        let text = read(word(1), buffer);
        if text.len() == most {
            return Err(Error); // there may be more of it
        }
        let found = match word(0).as_bytes().first() {
            Some(b'u') => value(text, word(2)).saturating_mul(1000),
            Some(b'v') => value(text, word(2)),
            Some(b'n') => number(text),
            Some(b'l') => Some(number(text)).filter(|limit| *limit != u64::MAX).unwrap_or(0),
            // As under version 1, swap includes the memory.
            Some(b'+') => number(text).saturating_add(number(read(word(2), buffer))),
            kind => {
                match kind {
                    Some(b'r') => lines(text, out)?,
                    Some(b'p') => pressure(text, out)?,
                    Some(b'd') => io(text, [word(2), word(3)], out)?,
                    Some(b'h') => hugetlb(read, buffer, out)?,
                    _ => {}
                }
                continue;
            }
        };
        write!(out, "{found}")?;
    }
    Ok(())
}

/// Lines of a name and a number.
fn lines(text: &[u8], out: &mut dyn Write) -> Result {
    let mut separator = "";
    for line in bytes::split(text, b'\n') {
        let (name, amount) = bytes::cut(line, b' ');
        if let Some(amount) = amount.and_then(bytes::decimal) {
            write!(out, "{separator}\"{}\":{amount}", Lossy(name))?;
            separator = ",";
        }
    }
    Ok(())
}

/// Numbers by device and kind of access.
fn io(text: &[u8], keys: [&str; 2], out: &mut dyn Write) -> Result {
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
    Ok(())
}

fn hugetlb(read: &mut Reader<'_>, buffer: &mut [u8], out: &mut dyn Write) -> Result {
    let mut separator = "";
    for size in HUGE_PAGES.iter() {
        let mut file = |kind: &str| -> Option<u64> {
            let name = Printed::<64>::of(format_args!("hugetlb.{size}.{kind}"));
            let text = read(name.as_str(), buffer);
            let amount = if kind == "events" { value(text, "max") } else { number(text) };
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

/// The number in the line that `name` begins.
pub fn value(text: &[u8], name: &str) -> u64 {
    let found = bytes::split(text, b'\n').map(|line| bytes::cut(line, b' ')).find(|(word, _)| *word == name.as_bytes());
    found.and_then(|(_, amount)| bytes::decimal(amount?)).unwrap_or(0)
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
        write(&mut |name, buffer| adapt(&mut read, name, buffer), &mut [0; 65_536], &mut text).unwrap();
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
    fn many_devices() {
        let lines: String =
            (0..500).map(|minor| std::format!("8:{minor} rbytes=4096 wbytes=0 rios=1 wios=0\n")).collect();
        let found = written(&[("io.stat", &lines)]);
        let devices = found["blkio"]["ioServiceBytesRecursive"].as_array().unwrap();
        assert_eq!(devices.len(), 1000);
        assert_eq!(devices[998], json!({"major": 8, "minor": 499, "op": "Read", "value": 4096}));
        // Where there is no room for them, nothing is left out.
        let mut text = String::new();
        assert!(write(&mut |_, buffer| buffer, &mut [b'0'; 64], &mut text).is_err());
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
