//! `update`: flags that are written as the JSON which `lifecycle` reads.

use core::ffi::CStr;

use super::Invocation;
use super::commands::{Flag, Takes, UPDATE};
use super::report::Log;
use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::lifecycle::{self, Source, StateRoot, Workspace};
use crate::spec::write::Json;
use crate::{fail, words};

/// Bytes of the JSON that flags can come to.
const ROOM: usize = 4096;

/// The members that the flags behind the first of [`UPDATE`] set: an object's name
/// where one begins, and the member's.
const MEMBERS: &str = "blockIO weight|cpu period| quota| burst| shares| realtimePeriod| realtimeRuntime| cpus| mems| \
                       idle|memory limit| reservation| swap|pids limit";

/// Gives a container new limits.
#[inline(never)] // its buffers are not to be part of the other commands' frame
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
    let mut schemata = [0; ROOM];
    let schemata = write_schemata(invocation, &mut schemata)?;
    let root = StateRoot::open(root, false)?;
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    lifecycle::update(root.as_ref(), invocation.id(), source, schemata, workspace, &mut warn).map(|()| 0)
}

/// The `linux.intelRdt` that the flags stand for.
fn write_schemata<'b>(invocation: &Invocation, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    let mut members = heapless::Vec::<_, 2>::new();
    for (flag, name) in [(Flag::L3CacheSchema, "l3CacheSchema"), (Flag::MemBwSchema, "memBwSchema")] {
        if let Some(lines) = invocation.path(flag) {
            let lines = lines.to_str().map_err(|_| fail!("--{}: not UTF-8", flag.row().long))?;
            let _ = members.push((name, Json::Text(lines))); // there are two
        }
    }
    let length = Json::Object(&members).write("what the flags say", buffer)?;
    Ok(buffer.get(..length).unwrap_or(&[]))
}

/// The JSON object that the flags stand for.
fn write_flags(invocation: &Invocation, text: &mut Printed<ROOM>) -> Result<()> {
    let mut fits = text.push("{");
    // What stands before the next member; and the object that it is in.
    let (mut before, mut object, mut end) = ("", "", "}");
    for (index, flag) in UPDATE.iter().copied().skip(1).enumerate() {
        let Some(member) = bytes::part(MEMBERS, b'|', index) else { break };
        let (begun, name) = (bytes::part(member, b' ', 0).unwrap_or(""), bytes::part(member, b' ', 1).unwrap_or(""));
        if !begun.is_empty() {
            object = begun;
        }
        // As under runc an empty value is none.
        let Some(value) = invocation.path(flag) else { continue };
        if !object.is_empty() {
            fits &= text.add(format_args!("{before}\"{object}\":{{"));
            (before, object, end) = ("},", "", "}}");
        } else {
            fits &= text.push(",");
        }
        fits &= match flag.row().takes() {
            Takes::Size => text.add(format_args!("\"{name}\":{}", words::size(value.to_bytes()).unwrap_or(0))),
            Takes::Integer => {
                let (negative, magnitude) = words::integer(value.to_bytes()).unwrap_or((false, 0));
                text.add(format_args!("\"{name}\":{}{magnitude}", if negative { "-" } else { "" }))
            }
            _ => match value.to_str() {
                Ok(list) if !list.contains(['"', '\\']) => text.add(format_args!("\"{name}\":\"{list}\"")),
                _ => return Err(fail!("--{}: not a list of numbers", flag.row().long)),
            },
        };
    }
    match fits && text.push(end) {
        true => Ok(()),
        false => Err(fail!("the flags take more than the limit of {ROOM} bytes")),
    }
}
