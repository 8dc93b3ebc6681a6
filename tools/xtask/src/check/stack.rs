//! The maximum depth of the stack, from the machine code.
//!
//! Every function is disassembled: how deep the stack is at each of its calls
//! is known from the instructions that move it. The deepest chain of calls from
//! the entry point is the bound. It is on the safe side: an indirect call may
//! reach any function whose address is taken anywhere, and a chain of calls may
//! be one that no run takes.
//!
//! A function that can come to be called by itself has no bound of its own;
//! [`RECURSION`] gives it one, with the reason.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};
use object::Architecture;

use super::call_graph::Program;
use super::{Outcome, Subject, Verdict, passed};

#[allow(dead_code, reason = "only the limits of recursion are of interest here")]
#[path = "../../../../src/limits.rs"]
mod limits;

/// Bytes of stack that the program may need. The kernel gives 8 MiB unless told
/// otherwise; what is not touched takes no memory.
const BOUND: u64 = 98_304;

/// Functions that may be entered again while they run: part of the name, how
/// many times they can be on the stack at once, and why not more often. The
/// first that fits counts.
const RECURSION: &[(&str, u64, &str)] = &[
    ("ocinit::spec::check::check", 16, "it follows the forms of the specification, whose deepest path has 8 names"),
    ("ocinit::spec::check::asks_for_nothing", limits::NESTING as u64 + 1, "each time one level deeper in the document"),
    (
        "ocinit::spec::write::Json",
        4,
        "the deepest of our documents has objects in objects in the whole, and strings in them",
    ),
    ("ocinit::rootfs::copy_up::copy_entries", limits::COPY_UP_DEPTH as u64 + 1, "it counts the levels, and ends there"),
    (
        "ocinit::init::artifacts::Archive::add",
        limits::ARTIFACT_DEPTH as u64 + 1,
        "it counts the levels, and ends there",
    ),
    ("ocinit::init::artifacts::Archive::folder", limits::ARTIFACT_DEPTH as u64 + 1, "as for the one above"),
    ("ocinit::worker::start", 1, "what a worker does is not left to another"),
    ("rust_begin_unwind", 1, "what reports a panic does nothing that can panic"),
    ("<ocinit::error::Error as core::fmt::Display>", 1, "an error's sentence was formatted when the error was made"),
    (
        "core::fmt::write",
        4,
        "a message's arguments are messages: sentence, position, path, name; none contains its own",
    ),
    ("core::fmt::Display>::fmt", 6, "as for core::fmt::write; the two in between hand on (`&T`, `Arguments`)"),
];

pub fn check(subject: &Subject) -> Outcome {
    let program = Program::read(&subject.built)?;
    if program.architecture != Architecture::X86_64 {
        return Ok(Verdict::Skipped("only x86_64 code can be analysed".into()));
    }
    let mut search = Search::new(&program)?;
    let start = program.named("_start").context("there is no _start")?;
    let budget: Budget = RECURSION.iter().map(|(_, times, _)| *times).collect();
    let depth = search.depth(start, budget.clone());
    let chain = search.chain(start, budget);
    let cycles: Vec<_> = search.cycles.into_iter().collect();
    ensure!(cycles.is_empty(), "without a bound (see RECURSION) may call themselves:\n  {}", cycles.join("\n  "));
    ensure!(depth <= BOUND, "{depth} bytes are more than the bound of {BOUND}:\n{}", program.table(&chain));
    let largest = program.functions.values().max_by_key(|function| function.flow.frame).context("no functions")?;
    passed(format!(
        "at most {depth} bytes of {BOUND} by the machine code, {} functions; the largest frame is {} in {}",
        program.functions.len(),
        largest.flow.frame,
        largest.name
    ))
}

/// How many more times each function of [`RECURSION`] may be entered.
type Budget = Vec<u64>;

/// A function, and the budget with which it is entered.
type Entry = (u64, Budget);

/// The search for the deepest chain.
struct Search<'a> {
    program: &'a Program,
    /// Whom each function may call, and how deep the stack is then.
    calls: BTreeMap<u64, BTreeMap<u64, u64>>,
    /// Which of [`RECURSION`] can be met from each function on: the budget for
    /// the others makes no difference there.
    ahead: BTreeMap<u64, Vec<bool>>,
    /// The depth from here on, and the next function of the deepest chain.
    known: HashMap<Entry, (u64, Option<Entry>)>,
    /// The chain that is being followed.
    open: Vec<Entry>,
    /// Functions that may call themselves without a bound, each with its way.
    cycles: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn new(program: &'a Program) -> Result<Search<'a>> {
        let mut calls = BTreeMap::new();
        for (start, function) in &program.functions {
            let mut callees = BTreeMap::new();
            for call in &function.flow.calls {
                for callee in program.reached(function, call.target)? {
                    let depth = callees.entry(callee).or_insert(0);
                    *depth = call.depth.max(*depth);
                }
            }
            calls.insert(*start, callees);
        }
        let mut search = Search {
            program,
            calls,
            ahead: BTreeMap::new(),
            known: HashMap::new(),
            open: Vec::new(),
            cycles: BTreeSet::new(),
        };
        search.look_ahead();
        Ok(search)
    }

    fn look_ahead(&mut self) {
        self.ahead = self.calls.keys().map(|start| (*start, vec![false; RECURSION.len()])).collect();
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for (start, callees) in &self.calls {
                let mut ahead = self.ahead[start].clone();
                for callee in callees.keys() {
                    let beyond = &self.ahead[callee];
                    ahead.iter_mut().zip(beyond).for_each(|(here, there)| *here |= there);
                    if let Some(entry) = self.bounded(*callee) {
                        ahead[entry] = true;
                    }
                }
                changed |= ahead != self.ahead[start];
                self.ahead.insert(*start, ahead);
            }
        }
    }

    /// Its place in [`RECURSION`].
    fn bounded(&self, function: u64) -> Option<usize> {
        let name = &self.program.functions[&function].name;
        RECURSION.iter().position(|(part, _, _)| name.contains(part))
    }

    /// The most bytes of stack that a call of this function takes, without its
    /// return address.
    fn depth(&mut self, start: u64, budget: Budget) -> u64 {
        let key = (start, budget);
        if let Some((depth, _)) = self.known.get(&key) {
            return *depth;
        }
        if let Some(first) = self.open.iter().position(|open| *open == key) {
            let cycle: Vec<_> = self.open[first..].iter().map(|(at, _)| &*self.program.functions[at].name).collect();
            self.cycles.insert(cycle.join(" -> "));
            return 0;
        }
        self.open.push(key.clone());
        let (mut most, mut next) = (self.program.functions[&start].flow.frame, None);
        for (callee, depth) in self.calls[&start].clone() {
            let Some(budget) = self.entered(callee, &key.1) else { continue };
            let depth = depth + self.depth(callee, budget.clone());
            if depth > most {
                (most, next) = (depth, Some((callee, budget)));
            }
        }
        self.open.pop();
        self.known.insert(key, (most, next));
        most
    }

    /// The budget after entering a function; `None` where it is used up.
    fn entered(&self, callee: u64, budget: &Budget) -> Option<Budget> {
        let mut budget = budget.clone();
        if let Some(entry) = self.bounded(callee) {
            budget[entry] = budget[entry].checked_sub(1)?;
        }
        budget.iter_mut().zip(&self.ahead[&callee]).filter(|(_, ahead)| !**ahead).for_each(|(left, _)| *left = 0);
        Some(budget)
    }

    /// The deepest chain from this function on, with the depth left at each.
    fn chain(&self, start: u64, budget: Budget) -> Vec<(u64, u64)> {
        let (mut chain, mut key) = (Vec::new(), Some((start, budget)));
        while let Some(at) = key {
            let Some((depth, next)) = self.known.get(&at) else { break };
            chain.push((at.0, *depth));
            key = next.clone();
        }
        chain
    }
}
