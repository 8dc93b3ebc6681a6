//! What becomes of a call under a profile, found without compiling anything: by
//! going through the rules.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::interpreter::Call;
use crate::libseccomp::action;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;

/// A name, and for a function of a multiplexed call which one; 0 is none.
type Way = (String, u64);

/// Which calls go by a number on an architecture: from a table of x86_64.
pub struct Table {
    names: Vec<String>,
    by_number: BTreeMap<(&'static str, u32), Vec<Way>>,
}

impl Table {
    /// Reads the table's text.
    pub fn read(text: &str) -> Table {
        let mut table = Table { names: Vec::new(), by_number: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(' ').collect();
            let name = fields[0].to_owned();
            for (column, token) in [(1, "SCMP_ARCH_X86_64"), (2, "SCMP_ARCH_X86"), (3, "SCMP_ARCH_X32")] {
                if let Ok(number) = fields[column].parse() {
                    table.by_number.entry((token, number)).or_default().push((name.clone(), 0));
                }
            }
            if let Some(function) = fields.get(4) {
                let (letter, function) = function.split_at(1);
                let number = if letter == "s" { 102 } else { 117 }; // socketcall, ipc
                let way = (name.clone(), function.parse().unwrap_or(0));
                table.by_number.entry(("SCMP_ARCH_X86", number)).or_default().push(way);
            }
            table.names.push(name);
        }
        table
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// Calls that the profile's author could not know: architecture, the last known
/// number and the last that counts.
pub type Unknown = (u32, u32, u32);

/// Whether the call is one of these.
pub fn is_unknown(unknown: &[Unknown], call: &Call) -> bool {
    unknown.iter().any(|(architecture, known, last)| {
        *architecture == call.architecture && call.number > *known && call.number <= *last
    })
}

/// What runc puts before libseccomp's program: a call with a higher number than
/// all that the profile speaks of, on an architecture that it lists, is ENOSYS,
/// where the default does not let it through.
pub fn unknown(profile: &Value, table: &Table) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    let default = profile["defaultAction"].as_str().unwrap_or("");
    if ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].contains(&default) || profile["defaultErrnoRet"] == 38 {
        return unknown;
    }
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    let names: BTreeSet<&str> = rules.flat_map(|rule| strings(&rule["names"])).collect();
    for listed in strings(&profile["architectures"]) {
        let of_listed = table.by_number.iter().filter(|((token, _), _)| *token == listed);
        let spoken_of = |way: &Way| way.1 == 0 && names.contains(way.0.as_str());
        let known = of_listed.filter(|(_, ways)| ways.iter().any(spoken_of)).map(|((_, number), _)| *number).max();
        if let Some(known) = known {
            unknown.push(match listed {
                "SCMP_ARCH_X32" => (X86_64, known | X32_BIT, u32::MAX),
                "SCMP_ARCH_X86_64" => (X86_64, known, X32_BIT - 1),
                _ => (X86, known, u32::MAX),
            });
        }
    }
    unknown
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The profile's rules for a call, for a message.
pub fn rules_for(profile: &Value, call: &Call, table: &Table) -> Vec<Value> {
    let number = call.number & !X32_BIT;
    let ways =
        ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"].map(|token| table.by_number.get(&(token, number)));
    let names: BTreeSet<&str> = ways.into_iter().flatten().flatten().map(|(name, _)| name.as_str()).collect();
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    rules.filter(|rule| strings(&rule["names"]).any(|name| names.contains(name))).cloned().collect()
}

/// What becomes of a call.
pub struct Answer {
    pub answer: u32,
    /// Whether there is one rule about arguments at most, and of its comparisons
    /// only one by size. Of other rules libseccomp 2.5 sometimes loses a condition.
    pub simple: bool,
}

#[derive(Clone, Copy)]
struct Condition {
    index: usize,
    holds: fn(u64, u64, u64) -> bool,
    one: u64,
    two: u64,
    by_size: bool,
}

/// A profile for x86_64, ready to be asked.
pub struct Model<'t> {
    table: &'t Table,
    listed: Vec<String>,
    default: u32,
    /// By name: answers, the first value compared with, and what has to hold.
    rules: BTreeMap<String, Vec<(u32, u64, Vec<Condition>)>>,
}

impl<'t> Model<'t> {
    pub fn new(profile: &Value, table: &'t Table) -> Result<Model<'t>> {
        let default = action(profile, "defaultAction", "defaultErrnoRet")?;
        let listed = strings(&profile["architectures"]).map(str::to_owned).collect();
        let mut rules: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for rule in profile["syscalls"].as_array().into_iter().flatten() {
            let answer = action(rule, "action", "errnoRet")?;
            let conditions =
                rule["args"].as_array().into_iter().flatten().map(condition).collect::<Result<Vec<_>>>()?;
            for name in strings(&rule["names"]).filter(|_| answer != default) {
                rules.entry(name.to_owned()).or_default().push((
                    answer,
                    conditions.first().map_or(0, |first| first.one),
                    conditions.clone(),
                ));
            }
        }
        Ok(Model { table, listed, default, rules })
    }

    /// What becomes of a call, but for those that are unknown.
    pub fn answer(&self, call: &Call) -> Answer {
        let closed = Answer { answer: 0, simple: true };
        let token = match (call.architecture, call.number & X32_BIT != 0) {
            (X86_64, true) if call.number != u32::MAX => "SCMP_ARCH_X32",
            (X86_64, _) => "SCMP_ARCH_X86_64",
            (X86, _) => "SCMP_ARCH_X86",
            _ => return closed,
        };
        let narrow = token != "SCMP_ARCH_X86_64";
        if narrow && !self.listed.iter().any(|listed| listed == token) {
            return closed;
        }
        let number = if call.architecture == X86 { call.number } else { call.number & !X32_BIT };
        let ways = self.table.by_number.get(&(token, number)).map(Vec::as_slice).unwrap_or_default();
        let (mut best, mut count, mut by_size) = (None, 0, 0);
        for (name, function) in ways {
            for (answer, value, conditions) in self.rules.get(name).map(Vec::as_slice).unwrap_or_default() {
                let mut conditions = conditions.clone();
                if *function != 0 {
                    conditions.retain(|condition| condition.index != 0);
                    conditions.push(Condition {
                        index: 0,
                        holds: |given, one, _| given == one,
                        one: *function,
                        two: 0,
                        by_size: false,
                    });
                }
                count += usize::from(!conditions.is_empty());
                by_size += conditions.iter().filter(|condition| condition.by_size).count();
                let cut = |value: u64| if narrow { value & 0xffff_ffff } else { value };
                let holds = conditions.iter().all(|condition| {
                    (condition.holds)(cut(call.arguments[condition.index]), cut(condition.one), cut(condition.two))
                });
                // Fewer conditions before more, later arguments before earlier, larger
                // values before smaller.
                let mut order: Vec<usize> = conditions.iter().map(|condition| condition.index).collect();
                order.sort_unstable();
                order.iter_mut().for_each(|index| *index = 6 - *index);
                let order = (order, Reverse(*value));
                if holds && best.as_ref().is_none_or(|(first, _)| order < *first) {
                    best = Some((order, *answer));
                }
            }
        }
        Answer { answer: best.map_or(self.default, |(_, answer)| answer), simple: count <= 1 && by_size <= 1 }
    }
}

fn condition(condition: &Value) -> Result<Condition> {
    let operator = condition["op"].as_str().context("an operator")?;
    let holds: fn(u64, u64, u64) -> bool = match operator {
        "SCMP_CMP_NE" => |given, one, _| given != one,
        "SCMP_CMP_LT" => |given, one, _| given < one,
        "SCMP_CMP_LE" => |given, one, _| given <= one,
        "SCMP_CMP_EQ" => |given, one, _| given == one,
        "SCMP_CMP_GE" => |given, one, _| given >= one,
        "SCMP_CMP_GT" => |given, one, _| given > one,
        _ => |given, one, two| given & one == two & one,
    };
    let number = |field: &str| condition[field].as_u64();
    Ok(Condition {
        index: number("index").context("an index")? as usize,
        holds,
        one: number("value").context("a value")?,
        two: number("valueTwo").unwrap_or(0),
        by_size: operator.contains("_L") || operator.contains("_G"),
    })
}
