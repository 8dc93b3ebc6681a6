//! `linux.resources` as lines for the files of a cgroup (the kernel's
//! cgroup-v2.rst; config-linux.md, "Control groups").
//!
//! The specification speaks the language of version 1: shares, weights of 10 to
//! 1000, swap that includes memory. The numbers come out as under runc and crun.
//! Whatever is wrong with a value is found here, without a cgroup; whether the
//! machine has a file is not known.

use core::ffi::CStr;
use core::fmt;

use crate::bytes::{self, Printed};
use crate::error::Result;
use crate::json::{Text, Value};
use crate::limits;
use crate::spec::record::{asks_for_nothing, not_between};
use crate::spec::resources::{BlockIo, Cpu, Memory, Rdma, Resources};

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

/// The lines for `resources`, in the order in which they are to be written, to
/// `each`.
///
/// # Errors
/// With the place: a value that makes no sense; or what `each` fails of.
pub fn lines(resources: &Resources<'_>, each: &mut Each<'_>) -> Result<()> {
    let mut lines = Lines { each };
    if let Some(pids) = resources.pids()
        && let Some((place, limit)) = integer(pids.value(), "limit", -1, i64::MAX)?
    {
        // With 0 no process could be born in it; with 1 it is as unable to fork.
        let limit = if limit == 0 { 1 } else { limit };
        lines.put(place, How::Must, format_args!("pids.max"), format_args!("{}", Maximum(limit)))?;
    }
    resources.memory().map_or(Ok(()), |memory| lines.memory(&memory))?;
    resources.block_io().map_or(Ok(()), |block_io| lines.block_io(&block_io))?;
    resources.cpu().map_or(Ok(()), |cpu| lines.cpu(&cpu))?;
    for huge in resources.hugepage_limits().iter() {
        let (Some(size), Some(limit)) = (huge.page_size(), huge.limit()) else { continue };
        // The second: what is reserved, not yet used; kernels before 5.7 lack it.
        for (how, kind) in [(How::Must, "max"), (How::IfThere, "rsvd.max")] {
            lines.put(huge.value(), how, format_args!("hugetlb.{size}.{kind}"), format_args!("{limit}"))?;
        }
    }
    for (device, rdma) in resources.rdma().iter() {
        lines.rdma(device, &rdma)?;
    }
    for (file, text) in resources.unified().iter() {
        check_file(file)?;
        lines.put(text.value(), How::Must, format_args!("{file}"), format_args!("{text}"))?;
    }
    Ok(())
}

/// Tells of the first limit that cannot be kept because there is no cgroup.
pub fn warn_without_cgroup(resources: &Resources<'_>, warn: &mut dyn FnMut(&str)) -> Result<()> {
    let mut first = None;
    lines(resources, &mut |line| {
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
    for line in bytes::split(IGNORED.as_bytes(), b'\n') {
        let (object, name) = bytes::cut(line, b' ');
        let name = core::str::from_utf8(name.unwrap_or(&[])).unwrap_or("");
        let object = core::str::from_utf8(object).unwrap_or("");
        let place = resources.value().get(object).and_then(|object| object.get(name));
        if let Some(place) = place.filter(|place| !asks_for_nothing(*place)) {
            let error = place.error(format_args!("ignored: there is no such thing in cgroup version 2"));
            warn(error.text(&mut [0; limits::MESSAGE]));
        }
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
}

impl Lines<'_, '_> {
    #[inline(never)]
    fn put(&mut self, place: Value<'_>, how: How, file: fmt::Arguments<'_>, text: fmt::Arguments<'_>) -> Result<()> {
        let mut name = Printed::<{ limits::CGROUP_FILE }>::new();
        let mut line = Printed::<{ limits::CGROUP_LINE }>::new();
        if !name.add(file) || !line.add(text) {
            return Err(place.error(format_args!("more than a cgroup's file takes: {} bytes", limits::CGROUP_LINE - 1)));
        }
        (self.each)(&Line { place, file: name.as_c_str(), text: line.as_str(), how })
    }

    /// Swap first, as runc: the two are one value of version 1.
    fn memory(&mut self, memory: &Memory<'_>) -> Result<()> {
        let member =
            |name| integer(memory.value(), name, -1, i64::MAX).map(|member| member.filter(|(_, number)| *number != 0));
        let (limit, swap) = (member("limit")?, member("swap")?);
        let swap = match (limit, swap) {
            // Whoever lifts the limit means both, as in version 1.
            (Some((place, -1)), None) | (_, Some((place, -1))) => Some((place, How::IfThere, -1)),
            (_, None) => None,
            (None | Some((_, -1)), Some((place, _))) => {
                return Err(place.error(format_args!("includes the memory, so it needs a \"limit\" too")));
            }
            (Some((_, limit)), Some((place, swap))) if swap < limit => {
                return Err(place.error(format_args!("includes the memory, so it cannot be less than \"limit\"")));
            }
            (Some((_, limit)), Some((place, swap))) => {
                Some((place, if swap == limit { How::IfThere } else { How::Must }, swap - limit))
            }
        };
        if let Some((place, how, swap)) = swap {
            self.put(place, how, format_args!("memory.swap.max"), format_args!("{}", Maximum(swap)))?;
        }
        for (member, file) in [(limit, "max"), (member("reservation")?, "low")] {
            if let Some((place, number)) = member {
                self.put(place, How::Must, format_args!("memory.{file}"), format_args!("{}", Maximum(number)))?;
            }
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: &Cpu<'_>) -> Result<()> {
        let object = cpu.value();
        let idle = integer(object, "idle", 0, 1)?;
        if let Some((place, idle)) = idle {
            self.put(place, How::Must, format_args!("cpu.idle"), format_args!("{idle}"))?;
        }
        // An idle group has no weight of its own: the kernel refuses to set one.
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && idle.is_none_or(|(_, idle)| idle == 0)) {
            let place = member(object, "shares");
            self.put(place, How::Must, format_args!("cpu.weight"), format_args!("{}", weight_of_shares(shares)))?;
        }
        self.bandwidth(cpu)?;
        for (list, file) in [(cpu.cpus(), "cpus"), (cpu.mems(), "mems")] {
            let Some(list) = list.filter(|list| !list.is_empty()) else { continue };
            if !is_list(list) {
                return Err(list.error(format_args!("expected a list of numbers such as \"0-3,7\", found \"{list}\"")));
            }
            self.put(list.value(), How::Must, format_args!("cpuset.{file}"), format_args!("{list}"))?;
        }
        Ok(())
    }

    /// Quota, period and burst, in microseconds, within the kernel's bounds.
    fn bandwidth(&mut self, cpu: &Cpu<'_>) -> Result<()> {
        const LEAST: i64 = 1000;
        const MOST: i64 = 1_000_000;
        let object = cpu.value();
        // Below zero is none.
        let quota = integer(object, "quota", i64::MIN, i64::MAX)?.filter(|(_, quota)| *quota != 0);
        let quota = quota.map(|(place, quota)| (place, quota.max(-1)));
        let period = integer(object, "period", 0, MOST)?.filter(|(_, period)| *period != 0);
        let burst = integer(object, "burst", 0, i64::MAX)?;
        for (place, number) in [quota, period].into_iter().flatten() {
            if number != -1 && number < LEAST {
                return Err(place.error(format_args!("{number} is less than the least that the kernel takes: {LEAST}")));
            }
        }
        let with_quota = quota.filter(|(_, quota)| *quota > 0);
        if let (Some((_, quota)), Some((place, burst))) = (with_quota, burst)
            && burst > quota
        {
            return Err(place.error(format_args!("more than \"quota\"")));
        }
        // A burst must never be more than the quota: a smaller one goes before a
        // smaller quota, a larger one behind a larger.
        self.burst(burst.filter(|_| with_quota.is_some()), How::Try)?;
        self.quota(quota, period)?;
        self.burst(burst, How::Must)
    }

    fn burst(&mut self, burst: Option<(Value<'_>, i64)>, how: How) -> Result<()> {
        match burst {
            Some((place, burst)) => self.put(place, how, format_args!("cpu.max.burst"), format_args!("{burst}")),
            None => Ok(()),
        }
    }

    fn quota(&mut self, quota: Option<(Value<'_>, i64)>, period: Option<(Value<'_>, i64)>) -> Result<()> {
        let (place, how, text) = match (quota, period) {
            (Some((place, quota)), Some((_, period))) => {
                (place, How::Must, Printed::<48>::of(format_args!("{} {period}", Maximum(quota))))
            }
            // The kernel leaves the period as it is.
            (Some((place, quota)), None) => (place, How::Must, Printed::of(format_args!("{}", Maximum(quota)))),
            (None, Some((place, period))) => (place, How::Second, Printed::of(format_args!("{period}"))),
            (None, None) => return Ok(()),
        };
        self.put(place, how, format_args!("cpu.max"), format_args!("{}", text.as_str()))
    }

    fn block_io(&mut self, block_io: &BlockIo<'_>) -> Result<()> {
        self.weight(block_io.value(), None)?;
        for device in block_io.weight_device().iter() {
            self.weight(device.value(), Some(Device::of(device.value())?))?;
        }
        for (list, key) in [
            (block_io.throttle_read_bps_device(), "rbps"),
            (block_io.throttle_write_bps_device(), "wbps"),
            (block_io.throttle_read_iops_device(), "riops"),
            (block_io.throttle_write_iops_device(), "wiops"),
        ] {
            for throttle in list.iter() {
                let device = Device::of(throttle.value())?;
                // As in version 1, zero is none.
                let rate = throttle.rate().filter(|rate| *rate != 0);
                let text: &dyn fmt::Display = rate.as_ref().map_or(&"max", |rate| rate);
                self.put(throttle.value(), How::Must, format_args!("io.max"), format_args!("{device} {key}={text}"))?;
            }
        }
        Ok(())
    }

    /// The weight that `object` has: for the one scheduler that has weights of
    /// its own, in the numbers of version 1; else for all of them.
    fn weight(&mut self, object: Value<'_>, device: Option<Device>) -> Result<()> {
        const LEAST: i64 = 10;
        let Some((place, weight)) = integer(object, "weight", 0, 1000)?.filter(|(_, weight)| *weight != 0) else {
            return Ok(());
        };
        if weight < LEAST {
            return Err(not_between(place, LEAST, 1000));
        }
        let key = device.map_or(Printed::<32>::new(), |device| Printed::of(format_args!("{device} ")));
        let other = 1 + (weight - LEAST) * 9999 / 990;
        for (how, file, weight) in [(How::Either, "bfq.weight", weight), (How::Otherwise, "weight", other)] {
            self.put(place, how, format_args!("io.{file}"), format_args!("{}{weight}", key.as_str()))?;
        }
        Ok(())
    }

    fn rdma(&mut self, device: Text<'_>, rdma: &Rdma<'_>) -> Result<()> {
        let mut text = Printed::<64>::new();
        for (key, number) in [("handle", rdma.hca_handles()), ("object", rdma.hca_objects())] {
            if let Some(number) = number {
                text.add(format_args!(" hca_{key}={number}")); // two of them fit
            }
        }
        match text.as_str() {
            "" => Ok(()),
            text => self.put(device.value(), How::Must, format_args!("rdma.max"), format_args!("{device}{text}")),
        }
    }
}

/// -1 is no limit.
struct Maximum(i64);

impl fmt::Display for Maximum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == -1 { f.write_str("max") } else { self.0.fmt(f) }
    }
}

/// A block device by its numbers.
struct Device(i64, i64);

impl Device {
    fn of(object: Value<'_>) -> Result<Device> {
        let number =
            |name| integer(object, name, 0, u32::MAX.into()).map(|found| found.map_or(0, |(_, number)| number));
        Ok(Device(number("major")?, number("minor")?))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// The place of a member, or of the object where it is absent.
fn member<'a>(object: Value<'a>, name: &str) -> Value<'a> {
    object.get(name).unwrap_or(object)
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

/// `unified` names files that limit something: those of controllers, and the two
/// of every cgroup that bound what is made below it. Its others are ours to
/// write.
fn check_file(file: Text<'_>) -> Result<()> {
    let is_name = file.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-'));
    let dot = file.bytes().position(|byte| byte == b'.');
    let of_controller = dot.is_some_and(|dot| dot > 0) && !file.starts_with("cgroup.");
    match is_name && (of_controller || file.starts_with("cgroup.max.")) {
        true => Ok(()),
        false => Err(file.error(format_args!("expected the name of a controller's file, such as \"memory.high\""))),
    }
}

/// Binary digits behind the point.
const FRACTION: u32 = 40;

/// The weight of so many shares, as runc (1.3.2) and crun (1.23) have it:
/// ⌈10^((L² + 125·L)/612 - 7/34)⌉ with L = log₂(shares). It goes through the least
/// (2 is 1), the default (1024 is 100) and the most (262144 is 10000) of both.
fn weight_of_shares(shares: u64) -> u32 {
    const MOST: u32 = 10_000;
    let shares = match u32::try_from(shares) {
        Ok(0..=2) => return 1,
        Ok(shares) if shares < 1 << 18 => shares,
        _ => return MOST,
    };
    // Without powers: the weight is the least whose logarithm is not below the
    // exponent, both to the base 2 and times 612.
    let l = log2(shares);
    let exponent = ((((l * l) >> FRACTION) + 125 * l - (126 << FRACTION)) * log2(10)) >> FRACTION;
    let (mut least, mut most) = (1, MOST);
    while least < most {
        let middle = (least + most) / 2;
        // What the logarithms are too small by is less than this.
        if 612 * log2(middle) + (612 << 8) >= exponent {
            most = middle;
        } else {
            least = middle + 1;
        }
    }
    least
}

/// The logarithm of a number that is not zero to the base 2, digit by digit: the
/// square of a number has twice its logarithm.
fn log2(number: u32) -> u128 {
    let whole = number.ilog2();
    let mut rest = u128::from(number) << (62 - whole);
    let mut logarithm = u128::from(whole);
    for _ in 0..FRACTION {
        rest = (rest * rest) >> 62;
        logarithm <<= 1;
        if rest >> 63 != 0 {
            rest >>= 1;
            logarithm |= 1;
        }
    }
    logarithm
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
