//! `linux.resources` as lines for the files of a cgroup (the kernel's
//! cgroup-v2.rst; config-linux.md, "Control groups").
//!
//! The specification speaks the language of version 1: shares, weights of 10 to
//! 1000, swap that includes memory. The numbers come out as under runc and crun.
//! Whatever is wrong with a value is found here, without a cgroup; whether the
//! machine has a file is not known.

use core::ffi::CStr;
use core::fmt;

use super::shares::weight_of_shares;
use crate::bytes::{self, Printed};
use crate::error::{Lossy, Result};
use crate::json::{Items, Members, Text, Value};
use crate::limits;
use crate::spec::record::{asks_for_nothing, not_between};
use crate::spec::resources::Resources;
use crate::spec::version::is_before_1_3;
use crate::word_list;
use crate::word_list::WordList;

/// What a container may use, and how it is to be read.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub resources: Resources<'a>,
    /// Whether a `pids.limit` of 0 is none. Version 1.3.0 of the specification made
    /// -1 of that, and a real limit of 0; engines send it as before, by the version
    /// that they write their documents in.
    pub zero_is_no_limit: bool,
}

impl<'a> Limits<'a> {
    /// `resources` in a document of `version`.
    pub fn new(resources: Resources<'a>, version: Option<Text<'_>>) -> Limits<'a> {
        Limits { resources, zero_is_no_limit: version.is_none_or(is_before_1_3) }
    }

    /// Whether the version makes a difference.
    pub fn limits_to_zero(resources: &Resources<'_>) -> bool {
        resources.pids().is_some_and(|pids| pids.limit() == Some(0))
    }
}

/// What is to be written into one file.
pub struct Line<'l> {
    /// Where it comes from.
    pub place: Value<'l>,
    pub file: &'l CStr,
    pub text: &'l str,
    pub how: How,
}

/// What may be different when it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing.
    Must,
    /// The file need not be there: without it, what is asked for is so.
    IfThere,
    /// The kernel may refuse the value; it is tried again later.
    Try,
    /// The file need not be there: the next line stands in for this one.
    Either,
    /// Only where the file of the line before was not there. The device may have
    /// no use for it.
    Otherwise,
    /// The text is the second word of the file, whose first one stays.
    Second,
}

/// Is given each line, in order.
pub type Each<'e> = dyn FnMut(&Line<'_>) -> Result<()> + 'e;

/// The controller that a file belongs to: `memory` of `memory.max`.
pub fn controller(file: &CStr) -> &[u8] {
    bytes::cut(file.to_bytes(), b'.').0
}

/// Whether nothing is asked for but devices, as most do, which are no lines.
#[inline(never)]
fn are_devices_alone(resources: &Resources<'_>) -> bool {
    resources.value().members().all(|(name, value)| name.is("devices") || value.is_null())
}

/// The lines for `limits`, in the order in which they are to be written, to
/// `each`.
///
/// # Errors
/// With the place: a value that makes no sense; or what `each` fails of.
pub fn lines(limits: &Limits<'_>, each: &mut Each<'_>) -> Result<()> {
    let resources = limits.resources.value();
    if are_devices_alone(&limits.resources) {
        return Ok(());
    }
    let get = |name| resources.get(name).filter(|value| !value.is_null());
    let mut lines = Lines { each, zero_is_no_limit: limits.zero_is_no_limit };
    let mut last = ("", None);
    for row in bytes::split(ROWS.as_bytes(), b'\n') {
        let (kind, row) = bytes::cut(row, b' ');
        let word = |index| core::str::from_utf8(bytes::split(row.unwrap_or(&[]), b' ').nth(index)?).ok();
        let (Some(&kind), Some(object), Some(name), Some(file)) = (kind.first(), word(0), word(1), word(2)) else {
            continue;
        };
        if last.0 != object {
            last = (object, get(object));
        }
        if let Some(object) = last.1 {
            lines.member(object, name, file, kind)?;
        }
    }
    get("blockIO").map_or(Ok(()), |block_io| lines.block_io(block_io))?;
    for huge in Items::of(get("hugepageLimits")) {
        let (Some(size), Some(limit)) = (huge.get("pageSize"), huge.get("limit")) else { continue };
        let (size, limit) = (Text::at(size), limit.as_u64().unwrap_or(0));
        // The second: what is reserved, not yet used; kernels before 5.7 lack it.
        for (how, kind) in [(How::Must, "max"), (How::IfThere, "rsvd.max")] {
            let file = FileName::of(format_args!("hugetlb.{size}.{kind}"));
            lines.put(huge, how, file.as_str(), format_args!("{limit}"))?;
        }
    }
    for (device, rdma) in Members::of(get("rdma")) {
        lines.rdma(device, rdma)?;
    }
    for (file, text) in Members::of(get("unified")).filter(|(_, text)| !text.is_null()) {
        check_file(file)?;
        let name = FileName::of(format_args!("{file}"));
        lines.put(text, How::Must, name.as_str(), format_args!("{}", Text::at(text)))?;
    }
    Ok(())
}

type FileName = Printed<{ limits::CGROUP_FILE }>;

/// Tells of the first limit that cannot be kept because there is no cgroup.
pub fn warn_without_cgroup(limits: &Limits<'_>, warn: &mut dyn FnMut(&str)) -> Result<()> {
    let mut first = None;
    lines(limits, &mut |line| {
        if first.is_none() {
            first = Some(line.place.error(format_args!("not limited: the container has no cgroup")));
        }
        Ok(())
    })?;
    if let Some(error) = first {
        warn(error.text(&mut [0; limits::MESSAGE]));
    }
    Ok(())
}

/// What of `resources` version 2 has no counterpart for, with a sentence each to
/// `warn`.
pub fn ignored(resources: &Resources<'_>, warn: &mut dyn FnMut(&str)) {
    if are_devices_alone(resources) {
        return;
    }
    for line in bytes::split(IGNORED.as_bytes(), b'\n') {
        let (object, name) = bytes::cut(line, b' ');
        let name = core::str::from_utf8(name.unwrap_or(&[])).unwrap_or("");
        let object = core::str::from_utf8(object).unwrap_or("");
        tell_of_ignored(resources.value().get(object), name, warn);
    }
    let devices = resources.value().get("blockIO").and_then(|block_io| block_io.get("weightDevice"));
    for device in Items::of(devices) {
        tell_of_ignored(Some(device), "leafWeight", warn);
    }
}

#[inline(never)]
fn tell_of_ignored(object: Option<Value<'_>>, name: &str, warn: &mut dyn FnMut(&str)) {
    let place = object.and_then(|object| object.get(name));
    if let Some(place) = place.filter(|place| !asks_for_nothing(*place)) {
        let error = place.error(format_args!("ignored: there is no such thing in cgroup version 2"));
        warn(error.text(&mut [0; limits::MESSAGE]));
    }
}

/// Members of version 1 alone: an object's name and its own.
const IGNORED: &str = "\
memory kernel
memory kernelTCP
memory swappiness
memory disableOOMKiller
cpu realtimeRuntime
cpu realtimePeriod
blockIO leafWeight
network classID
network priorities";

struct Lines<'e, 'f> {
    each: &'e mut Each<'f>,
    zero_is_no_limit: bool,
}

impl Lines<'_, '_> {
    #[inline(never)]
    fn put(&mut self, place: Value<'_>, how: How, file: &str, text: fmt::Arguments<'_>) -> Result<()> {
        let mut name = FileName::new();
        let mut line = Printed::<{ limits::CGROUP_LINE }>::new();
        if !name.push(file) || !line.add(text) {
            return Err(place.error(format_args!("more than a cgroup's file takes: {} bytes", limits::CGROUP_LINE - 1)));
        }
        (self.each)(&Line { place, file: name.as_c_str(), text: line.as_str(), how })
    }

    /// The member `name` of `object`, by its row in [`ROWS`].
    fn member(&mut self, object: Value<'_>, name: &str, file: &str, kind: u8) -> Result<()> {
        const LEAST_TIME: i64 = 1000;
        let other = |name| integer(object, name, i64::MIN, i64::MAX).ok().flatten();
        let other = |name| other(name).filter(|(_, number)| *number != 0);
        if kind == b't' {
            return self.list(object.get(name).and_then(|list| list.as_text()), file);
        }
        let (least, most, zero_counts) = bounds(kind);
        let found = integer(object, name, least, most)?.filter(|(_, number)| *number != 0 || zero_counts);
        let limit = if kind == b's' { other("limit") } else { None };
        let (place, mut number) = match (found, limit) {
            (Some(found), _) => found,
            // Whoever lifts the limit means both, as in version 1.
            (None, Some((place, -1))) => (place, -1),
            (None, _) => return Ok(()),
        };
        let quota = other("quota").map_or(0, |(_, quota)| quota);
        let mut how = How::Must;
        match kind {
            b'n' if number == 0 && self.zero_is_no_limit => number = -1,
            // With 0 no process could be born in it; with 1 it is as unable to fork.
            b'n' if number == 0 => number = 1,
            b's' if number != -1 => number = swap_alone(place, number, limit.map_or(-1, |(_, limit)| limit))?,
            // An idle group has no weight of its own: the kernel refuses to set one.
            b'w' if other("idle").is_some() => return Ok(()),
            b'w' => number = weight_of_shares(number.unsigned_abs()).into(),
            b'q' | b'p' if (0..LEAST_TIME).contains(&number) => {
                return Err(place.error(format_args!("less than the least that the kernel takes, {LEAST_TIME}")));
            }
            // Below zero is none.
            b'q' => number = number.max(-1),
            b'p' if quota != 0 => return Ok(()),
            b'p' => how = How::Second,
            // A burst must never be more than the quota: a smaller one goes before a
            // smaller quota, a larger one behind a larger.
            b'e' if quota == 0 => return Ok(()),
            b'e' if quota > 0 && number > quota => return Err(place.error(format_args!("more than \"quota\""))),
            b'e' => how = How::Try,
            _ => {}
        }
        if kind == b's' && number <= 0 {
            // Where the kernel does not count swap, there is none, or no limit.
            how = How::IfThere;
        }
        match other("period").filter(|_| kind == b'q') {
            Some((_, period)) => self.put(place, how, file, format_args!("{} {period}", Maximum(number))),
            // Of a quota alone: the kernel leaves the period as it is.
            None => self.put(place, how, file, format_args!("{}", Maximum(number))),
        }
    }

    fn list(&mut self, list: Option<Text<'_>>, file: &str) -> Result<()> {
        match list.filter(|list| !list.is_empty()) {
            None => Ok(()),
            Some(list) if is_list(list) => self.put(list.value(), How::Must, file, format_args!("{list}")),
            Some(list) => {
                Err(list.error(format_args!("expected a list of numbers such as \"0-3,7\", found \"{list}\"")))
            }
        }
    }

    fn block_io(&mut self, block_io: Value<'_>) -> Result<()> {
        self.weight(block_io, &Printed::new())?;
        for line in bytes::split(OF_DEVICES.as_bytes(), b'\n') {
            let (key, name) = bytes::cut(line, b' ');
            let name = core::str::from_utf8(name.unwrap_or(&[])).unwrap_or("");
            for object in Items::of(block_io.get(name)) {
                let mut numbers = [0; 2];
                for (number, name) in numbers.iter_mut().zip(["major", "minor"]) {
                    *number = integer(object, name, 0, u32::MAX.into())?.map_or(0, |(_, found)| found);
                }
                let [major, minor] = numbers;
                let device = Printed::of(format_args!("{major}:{minor} "));
                if key.is_empty() {
                    self.weight(object, &device)?;
                    continue;
                }
                let (device, key) = (device.as_str(), Lossy(key));
                // As in version 1, zero is none.
                match object.get("rate").and_then(|rate| rate.as_u64()).unwrap_or(0) {
                    0 => self.put(object, How::Must, "io.max", format_args!("{device}{key}=max"))?,
                    rate => self.put(object, How::Must, "io.max", format_args!("{device}{key}={rate}"))?,
                }
            }
        }
        Ok(())
    }

    /// The weight that `object` has, of a device or of all: for the one scheduler
    /// that has weights of its own, in the numbers of version 1; else for all of
    /// them.
    #[inline(never)]
    fn weight(&mut self, object: Value<'_>, device: &Printed<32>) -> Result<()> {
        const LEAST: i64 = 10;
        let weight = integer(object, "weight", 0, 1000)?.filter(|(_, weight)| *weight != 0);
        let Some((place, weight)) = weight else { return Ok(()) };
        if weight < LEAST {
            return Err(not_between(place, LEAST, 1000));
        }
        let device = device.as_str();
        let other = 1 + (weight - LEAST) * 9999 / 990;
        for (how, file, weight) in [(How::Either, "io.bfq.weight", weight), (How::Otherwise, "io.weight", other)] {
            self.put(place, how, file, format_args!("{device}{weight}"))?;
        }
        Ok(())
    }

    fn rdma(&mut self, device: Text<'_>, rdma: Value<'_>) -> Result<()> {
        let mut text = Printed::<64>::new();
        for (key, name) in [("handle", "hcaHandles"), ("object", "hcaObjects")] {
            if let Some((_, number)) = integer(rdma, name, 0, u32::MAX.into())? {
                text.add(format_args!(" hca_{key}={number}")); // two of them fit
            }
        }
        match text.as_str() {
            "" => Ok(()),
            text => self.put(device.value(), How::Must, "rdma.max", format_args!("{device}{text}")),
        }
    }
}

/// Members of objects and the files that they are for, by how they come out: `n`
/// a number of processes, `s` swap, `l` a limit, `i` a switch, `w` a weight, `e`
/// and `b` a burst, before the quota and behind it, `q` a quota, `p` a period, `t`
/// a text. Swap goes before memory, as under runc.
const ROWS: &str = "\
n pids limit pids.max
s memory swap memory.swap.max
l memory limit memory.max
l memory reservation memory.low
i cpu idle cpu.idle
w cpu shares cpu.weight
e cpu burst cpu.max.burst
q cpu quota cpu.max
p cpu period cpu.max
b cpu burst cpu.max.burst
t cpu cpus cpuset.cpus
t cpu mems cpuset.mems";

/// What the kernel, or the specification, takes of a kind of row: the least, the
/// most, and whether zero is a value; else it stands for absent.
fn bounds(kind: u8) -> (i64, i64, bool) {
    match kind {
        b'n' => (-1, i64::MAX, true),
        b'i' => (0, 1, true),
        b'e' | b'b' => (0, i64::MAX, true),
        b'w' => (0, i64::MAX, false),
        b'p' => (0, 1_000_000, false),
        b'q' => (i64::MIN, i64::MAX, false),
        _ => (-1, i64::MAX, false),
    }
}

/// What of memory and swap together is swap.
fn swap_alone(place: Value<'_>, both: i64, limit: i64) -> Result<i64> {
    match limit {
        -1 => Err(place.error(format_args!("includes the memory, so it needs a \"limit\" too"))),
        _ if both < limit => Err(place.error(format_args!("includes the memory, so it cannot be less than \"limit\""))),
        _ => Ok(both - limit),
    }
}

/// Lists of `blockIO`, each with the key that its rates have in io.max; one has
/// weights.
const OF_DEVICES: &str = " weightDevice
rbps throttleReadBpsDevice
wbps throttleWriteBpsDevice
riops throttleReadIOPSDevice
wiops throttleWriteIOPSDevice";

/// -1 is no limit.
struct Maximum(i64);

impl fmt::Display for Maximum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == -1 { f.write_str("max") } else { self.0.fmt(f) }
    }
}

/// The member called `name` and its place; nothing where it is absent.
#[inline(never)]
fn integer<'a>(object: Value<'a>, name: &str, least: i64, most: i64) -> Result<Option<(Value<'a>, i64)>> {
    let Some(place) = object.get(name).filter(|place| !place.is_null()) else { return Ok(None) };
    match place.as_i64().filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(Some((place, number))),
        None => Err(not_between(place, least, most.unsigned_abs())),
    }
}

/// Whether `text` is a list of numbers and ranges, as cpuset(7) has them.
fn is_list(text: Text<'_>) -> bool {
    let (mut from, mut number) = (None, None);
    for byte in text.bytes().chain([b',']) {
        match byte {
            b'0'..=b'9' => {
                number = Some(number.unwrap_or(0u32).saturating_mul(10).saturating_add(u32::from(byte - b'0')));
            }
            b'-' if from.is_none() && number.is_some() => from = number.take(),
            b',' if number.is_some() && from <= number => (from, number) = (None, None),
            _ => return false,
        }
    }
    true
}

/// What `unified` may not write: where processes and controllers are, and whether they
/// run, are ours to say.
const OURS: WordList =
    word_list!("cgroup.procs cgroup.threads cgroup.kill cgroup.freeze cgroup.subtree_control cgroup.type");

/// `unified` names files in the cgroup's folder, those of controllers or of every
/// cgroup, which are written whether we know them or not (config-linux.md, "Unified").
fn check_file(file: Text<'_>) -> Result<()> {
    let is_name = file.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-'));
    let dot = file.bytes().position(|byte| byte == b'.');
    if !is_name || dot.is_none_or(|dot| dot == 0) {
        return Err(file.error(format_args!("expected the name of a controller's file, such as \"memory.high\"")));
    }
    match file.place_in(OURS).is_some() {
        false => Ok(()),
        true => Err(file.error(format_args!("{file} is written by the runtime alone"))),
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
