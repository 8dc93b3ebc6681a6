//! `update`: flags that are written as the JSON which `lifecycle` reads.

use core::ffi::CStr;

use super::Invocation;
use super::commands::{Flag, Takes};
use super::report::Log;
use super::words;
use crate::bytes::Printed;
use crate::error::Result;
use crate::fail;
use crate::lifecycle::{self, Source, StateRoot, Workspace};

/// Bytes of the JSON that flags can come to.
const ROOM: usize = 4096;

/// The members of `linux.resources` that have flags, by the objects they are in.
const MEMBERS: &[(&str, &[(Flag, &str)])] = &[
    ("blockIO", &[(Flag::BlkioWeight, "weight")]),
    (
        "cpu",
        &[
            (Flag::CpuPeriod, "period"),
            (Flag::CpuQuota, "quota"),
            (Flag::CpuBurst, "burst"),
            (Flag::CpuShare, "shares"),
            (Flag::CpuRtPeriod, "realtimePeriod"),
            (Flag::CpuRtRuntime, "realtimeRuntime"),
            (Flag::CpusetCpus, "cpus"),
            (Flag::CpusetMems, "mems"),
            (Flag::CpuIdle, "idle"),
        ],
    ),
    ("memory", &[(Flag::Memory, "limit"), (Flag::MemoryReservation, "reservation"), (Flag::MemorySwap, "swap")]),
    ("pids", &[(Flag::PidsLimit, "limit")]),
];

/// Gives a container new limits.
pub fn update(invocation: &Invocation, root: &CStr, log: &mut Log, workspace: &mut Workspace) -> Result<i32> {
    let mut text = Printed::new();
    let source = match invocation.path(Flag::Resources) {
        Some(path) if path.to_bytes() == b"-" => Source::StandardInput,
        Some(path) => Source::File(path),
        None => {
            write_flags(invocation, &mut text)?;
            Source::Text(text.as_bytes())
        }
    };
    let root = StateRoot::open(root, false)?;
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    lifecycle::update(root.as_ref(), invocation.id(), source, workspace, &mut warn).map(|()| 0)
}

/// The JSON object that the flags stand for.
fn write_flags(invocation: &Invocation, text: &mut Printed<ROOM>) -> Result<()> {
    let mut fits = text.push("{");
    let mut objects = "";
    for (object, members) in MEMBERS {
        let mut begin = true;
        for (flag, name) in *members {
            // As under runc an empty value is none.
            let Some(value) = invocation.path(*flag) else { continue };
            fits &= match begin {
                true => text.add(format_args!("{objects}\"{object}\":{{\"{name}\":")),
                false => text.add(format_args!(",\"{name}\":")),
            };
            (begin, objects) = (false, "},");
            fits &= match flag.row().takes() {
                Takes::Size => text.add(format_args!("{}", words::size(value.to_bytes()).unwrap_or(0))),
                Takes::Integer => {
                    let (negative, magnitude) = words::integer(value.to_bytes()).unwrap_or((false, 0));
                    text.add(format_args!("{}{magnitude}", if negative { "-" } else { "" }))
                }
                _ => match value.to_str() {
                    Ok(list) if !list.contains(['"', '\\']) => text.add(format_args!("\"{list}\"")),
                    _ => return Err(fail!("--{}: not a list of numbers", flag.row().long)),
                },
            };
        }
    }
    match fits && text.push(if objects.is_empty() { "}" } else { "}}" }) {
        true => Ok(()),
        false => Err(fail!("the flags take more than the limit of {ROOM} bytes")),
    }
}
