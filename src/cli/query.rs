//! `state`, `list`, `ps` and `events`: what there is, as JSON or as a table.

use core::ffi::CStr;
use core::fmt::{Display, Write};

use super::Invocation;
use super::columns::Columns;
use super::commands::Flag;
use super::output::{Output, print};
use super::process_row::{self, ProcessRow};
use super::report::Log;
use crate::error::Result;
use crate::lifecycle::{self, StateRoot, Workspace};
use crate::spec::state::StateDocument;
use crate::{fail, words};

fn print_document(state: &StateDocument<'_>, room: &mut [u8]) -> Result<()> {
    let length = state.write(room)?;
    print(room.get(..length).unwrap_or(&[]))
}

/// `state`.
pub fn state(invocation: &Invocation, root: &CStr, workspace: &mut Workspace) -> Result<i32> {
    let root = StateRoot::open(root, false)?;
    lifecycle::state(root.as_ref(), invocation.id(), workspace, &mut |state, room| {
        print_document(state, room).and_then(|()| print(b"\n"))
    })?;
    Ok(0)
}

/// `list`: a table, only ids, or a JSON array.
pub fn list(invocation: &Invocation, root: &CStr, log: &mut Log, workspace: &mut Workspace) -> Result<i32> {
    let root = StateRoot::open(root, false)?;
    let root = root.as_ref();
    let mut warn = |text: &str| log.warning(format_args!("{text}"));
    if invocation.has(Flag::Quiet) {
        lifecycle::list(root, workspace, &mut warn, &mut |state, _| {
            print(state.id.as_bytes()).and_then(|()| print(b"\n"))
        })?;
        return Ok(0);
    }
    if invocation.is(Flag::Format, "json") {
        let mut separator: &[u8] = b"[";
        lifecycle::list(root, workspace, &mut warn, &mut |state, room| {
            print(separator)?;
            separator = b",";
            print_document(state, room)
        })?;
        print(if separator == b"[" { b"[]\n" } else { b"]\n" })?;
        return Ok(0);
    }
    let titles: [&dyn Display; 6] = [&"ID", &"PID", &"STATUS", &"BUNDLE", &"CREATED", &"OWNER"];
    let mut columns = Columns::new();
    columns.measure(&titles);
    lifecycle::list(root, workspace, &mut warn, &mut |state, _| {
        columns.measure(&row(state));
        Ok(())
    })?;
    let mut out = Output::stdout();
    // What a write could not do, `finish` says.
    let _ = columns.write(&mut out, &titles);
    // Warned of above.
    lifecycle::list(root, workspace, &mut |_| {}, &mut |state, _| {
        let _ = columns.write(&mut out, &row(state));
        Ok(())
    })?;
    out.finish().map(|()| 0)
}

fn row<'a>(state: &'a StateDocument<'_>) -> [&'a dyn Display; 6] {
    [&state.id, &state.pid, &state.status, &state.bundle, &state.created, &state.owner]
}

/// `ps`: a table, or a JSON array of pids.
pub fn ps(invocation: &Invocation, root: &CStr, workspace: &mut Workspace) -> Result<i32> {
    if let Some(option) = invocation.words().nth(1).filter(|option| option.to_bytes() != b"-ef") {
        let option = crate::error::Lossy(option.to_bytes());
        return Err(fail!("ps option {option} is not supported: the table has a fixed form"));
    }
    let root = StateRoot::open(root, false)?;
    let mut out = Output::stdout();
    if invocation.is(Flag::Format, "json") {
        let mut separator = "[";
        lifecycle::processes(root.as_ref(), invocation.id(), workspace, &mut |pid| {
            let _ = write!(out, "{separator}{pid}");
            separator = ",";
            Ok(())
        })?;
        let _ = out.write_str(if separator == "[" { "[]\n" } else { "]\n" });
        return out.finish().map(|()| 0);
    }
    let columns = process_row::columns();
    let _ = columns.write(&mut out, &process_row::TITLES);
    lifecycle::processes(root.as_ref(), invocation.id(), workspace, &mut |pid| {
        // One that has ended since is not in the table.
        if let Some(row) = ProcessRow::read(pid) {
            let _ = columns.write(&mut out, &row.cells());
        }
        Ok(())
    })?;
    out.finish().map(|()| 0)
}

/// `events`: lines of JSON, each in one write.
pub fn events(invocation: &Invocation, root: &CStr, workspace: &mut Workspace) -> Result<i32> {
    const USUAL: u64 = 5000;
    let interval = invocation.value(Flag::Interval).and_then(|text| words::duration(text.to_bytes()));
    let interval = if invocation.has(Flag::Stats) { None } else { interval.or(Some(USUAL)) };
    let root = StateRoot::open(root, false)?;
    lifecycle::events(root.as_ref(), invocation.id(), interval, workspace, &mut print).map(|()| 0)
}
