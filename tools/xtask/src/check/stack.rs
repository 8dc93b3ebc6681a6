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
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use super::machine_code::{Body, Flow, Target, flow, returns};
use super::{Outcome, Subject, Verdict, passed};

/// Bytes of stack that the program may need. The kernel gives 8 MiB unless told
/// otherwise, and 128 KiB of it at exec in any case; half of that is plenty.
const BOUND: u64 = 65_536;

/// Functions that may be entered again while they run: part of the name, how
/// many times they can be on the stack at once, and why not more often. The
/// first that fits counts.
const RECURSION: &[(&str, u64, &str)] = &[
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
    let mut search = Search { program: &program, known: HashMap::new(), open: Vec::new() };
    let start = program.named("_start").context("there is no _start")?;
    let budget: Budget = RECURSION.iter().map(|(_, times, _)| *times).collect();
    let depth = search.depth(start, budget.clone())?;
    let chain = search.chain(start, budget);
    ensure!(depth <= BOUND, "{depth} bytes are more than the bound of {BOUND}:\n{}", program.table(&chain));
    let largest = program.functions.values().max_by_key(|function| function.flow.frame).context("no functions")?;
    passed(format!(
        "at most {depth} bytes of {BOUND} by the machine code, {} functions; the largest frame is {} in {}",
        program.functions.len(),
        largest.flow.frame,
        largest.name
    ))
}

/// The program's functions by address, and how they may call each other.
struct Program {
    architecture: Architecture,
    functions: BTreeMap<u64, Function>,
    /// Words of the data that hold a function's address, by their own address.
    stored: BTreeMap<u64, u64>,
    /// Functions by their offset in the tables of trait objects.
    methods: BTreeMap<u64, BTreeSet<u64>>,
    /// Functions whose address stands in data, but in no such table.
    loose: BTreeSet<u64>,
    /// All functions whose address is taken.
    taken: BTreeSet<u64>,
}

struct Function {
    name: String,
    flow: Flow,
}

impl Program {
    fn read(path: &Path) -> Result<Program> {
        let data = fs::read(path)?;
        let file = object::File::parse(data.as_slice()).context("cannot read the binary")?;
        let mut program = Program {
            architecture: file.architecture(),
            functions: BTreeMap::new(),
            stored: BTreeMap::new(),
            methods: BTreeMap::new(),
            loose: BTreeSet::new(),
            taken: BTreeSet::new(),
        };
        if program.architecture == Architecture::X86_64 {
            program.read_code(&file)?;
            program.read_data(&file)?;
        }
        Ok(program)
    }

    fn read_code(&mut self, file: &object::File<'_>) -> Result<()> {
        let text = file.section_by_name(".text").context("there is no .text")?;
        let (code, base) = (text.data()?, text.address());
        let end = base + code.len() as u64;
        let mut names = BTreeMap::new();
        for symbol in file.symbols() {
            // Functions written in assembler have neither kind nor size.
            let is_code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown | SymbolKind::Label);
            if is_code && (base..end).contains(&symbol.address()) {
                names.insert(symbol.address(), (symbol.name().unwrap_or("?").to_owned(), symbol.size()));
            }
        }
        let starts: Vec<u64> = names.keys().copied().collect();
        let bodies: Vec<Body<'_>> = names
            .iter()
            .enumerate()
            .map(|(at, (start, (name, size)))| {
                let next = starts.get(at + 1).copied().unwrap_or(end);
                let stop = if *size == 0 { next } else { start + size };
                Body { name, start: *start, bytes: &code[(start - base) as usize..(stop - base) as usize] }
            })
            .collect();
        let returning: BTreeSet<u64> = bodies.iter().filter(|body| returns(body)).map(|body| body.start).collect();
        for body in &bodies {
            let flow = flow(body, &|target| returning.contains(&target))?;
            let name = format!("{:#}", rustc_demangle::demangle(body.name));
            self.functions.insert(body.start, Function { name, flow });
        }
        Ok(())
    }

    /// Finds function addresses: in words of the data, which hold them already
    /// (the relocations only add the load address), and in instructions.
    fn read_data(&mut self, file: &object::File<'_>) -> Result<()> {
        let mut words = BTreeMap::new();
        for section in file.sections().filter(|section| section.kind() != SectionKind::Text) {
            let Ok(data) = section.data() else { continue };
            for (at, word) in data.chunks_exact(8).enumerate() {
                let word = word.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
                words.insert(section.address() + at as u64 * 8, word);
            }
        }
        for (_, relocation) in file.dynamic_relocations().into_iter().flatten() {
            let addend = relocation.addend() as u64;
            if self.functions.contains_key(&addend) {
                self.loose.insert(addend);
            }
        }
        for (place, word) in words.iter().filter(|(place, word)| **place != 0 && **word != 0) {
            if !self.functions.contains_key(word) {
                continue;
            }
            self.stored.insert(*place, *word);
            match self.method_offset(&words, *place) {
                Some(offset) => _ = self.methods.entry(offset).or_default().insert(*word),
                None => _ = self.loose.insert(*word),
            }
        }
        self.taken = self.stored.values().copied().chain(self.loose.iter().copied()).collect();
        let formed = self.functions.values().flat_map(|function| &function.flow.addresses);
        self.taken.extend(formed.filter(|address| self.functions.contains_key(address)));
        Ok(())
    }

    /// Where in a trait object's table (destructor or none, size, alignment,
    /// methods) this word stands, if it stands in one.
    fn method_offset(&self, words: &BTreeMap<u64, u64>, place: u64) -> Option<u64> {
        let word = |place: u64| words.get(&place).copied();
        let is_function = |word: u64| self.functions.contains_key(&word);
        for offset in (0x18..=0x40).step_by(8) {
            let base = place.checked_sub(offset)?;
            let (destructor, size, alignment) = (word(base)?, word(base + 8)?, word(base + 16)?);
            let head = (destructor == 0 || is_function(destructor)) && size < 1 << 20;
            if head && alignment.is_power_of_two() && alignment <= 4096 {
                return Some(offset);
            }
            // Between the table's head and this word there are only methods.
            if offset > 0x18 && !is_function(word(base + 0x18)?) {
                return None;
            }
        }
        None
    }

    fn named(&self, name: &str) -> Option<u64> {
        self.functions.iter().find(|(_, function)| function.name == name).map(|(start, _)| *start)
    }

    /// Whom a call may reach.
    fn reached(&self, caller: &Function, target: Target) -> Result<Vec<u64>> {
        let set: BTreeSet<u64> = match target {
            Target::Function(address) => {
                ensure!(self.functions.contains_key(&address), "{} calls {address:#x}, no function", caller.name);
                return Ok(vec![address]);
            }
            Target::Stored(place) if self.stored.contains_key(&place) => return Ok(vec![self.stored[&place]]),
            Target::Method(offset) => {
                let methods = self.methods.get(&offset).into_iter().flatten();
                methods.chain(&self.loose).copied().collect()
            }
            Target::Stored(_) | Target::Unknown => self.taken.clone(),
        };
        Ok(set.into_iter().filter(|callee| fits(&caller.name, &self.functions[callee].name)).collect())
    }

    /// The chain as a table: what each function adds.
    fn table(&self, chain: &[(u64, u64)]) -> String {
        let mut table = String::new();
        for (start, depth) in chain {
            let _ = writeln!(table, "  {depth:>8}  {}", self.functions[start].name);
        }
        table
    }
}

/// Whether a function of this name may be what the caller reaches indirectly.
/// Only formatting is told apart: it is the one place where types are erased
/// again and again, and everything would seem to reach everything.
fn fits(caller: &str, callee: &str) -> bool {
    let formats = |name: &str| name.contains("core::fmt");
    // A formatter's own methods know nothing but where they write to.
    if caller.contains("core::fmt::Formatter>::") {
        return callee.contains("core::fmt::Write");
    }
    // Formatting calls `Display::fmt` and its like, and methods of `fmt::Write`.
    !formats(caller) || formats(callee)
}

/// How many more times each function of [`RECURSION`] may be entered.
type Budget = Vec<u64>;

/// A function, and the budget with which it is entered.
type Entry = (u64, Budget);

/// The search for the deepest chain.
struct Search<'a> {
    program: &'a Program,
    /// The depth from here on, and the next function of the deepest chain.
    known: HashMap<Entry, (u64, Option<Entry>)>,
    /// The chain that is being followed.
    open: Vec<Entry>,
}

impl Search<'_> {
    /// The most bytes of stack that a call of this function takes, without its
    /// return address.
    fn depth(&mut self, start: u64, budget: Budget) -> Result<u64> {
        let key = (start, budget);
        if let Some((depth, _)) = self.known.get(&key) {
            return Ok(*depth);
        }
        if let Some(first) = self.open.iter().position(|open| *open == key) {
            let cycle: Vec<_> = self.open[first..].iter().map(|(at, _)| &*self.program.functions[at].name).collect();
            bail!("may call itself without a bound (see RECURSION):\n  {}", cycle.join("\n  "));
        }
        self.open.push(key.clone());
        let function = &self.program.functions[&start];
        let (mut most, mut next) = (function.flow.frame, None);
        for call in &function.flow.calls {
            for callee in self.program.reached(function, call.target)? {
                let Some(budget) = self.entered(callee, &key.1) else { continue };
                let depth = call.depth + self.depth(callee, budget.clone())?;
                if depth > most {
                    (most, next) = (depth, Some((callee, budget)));
                }
            }
        }
        self.open.pop();
        self.known.insert(key, (most, next));
        Ok(most)
    }

    /// The budget after entering a function; `None` where it is used up.
    fn entered(&self, callee: u64, budget: &Budget) -> Option<Budget> {
        let name = &self.program.functions[&callee].name;
        let mut budget = budget.clone();
        if let Some(entry) = RECURSION.iter().position(|(part, _, _)| name.contains(part)) {
            budget[entry] = budget[entry].checked_sub(1)?;
        }
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
