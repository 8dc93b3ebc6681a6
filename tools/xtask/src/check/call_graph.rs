//! Which function may call which, from the machine code and the data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use super::machine_code::{Body, Flow, Target, flow, returns};

/// The program's functions by address, and how they may call each other.
pub struct Program {
    pub architecture: Architecture,
    pub functions: BTreeMap<u64, Function>,
    /// Words of the data that hold a function's address, by their own address.
    stored: BTreeMap<u64, u64>,
    /// Functions by their offset in the tables of trait objects.
    methods: BTreeMap<u64, BTreeSet<u64>>,
    /// Functions whose address stands in data, but in no such table.
    loose: BTreeSet<u64>,
    /// All functions whose address is taken.
    taken: BTreeSet<u64>,
}

pub struct Function {
    pub name: String,
    pub flow: Flow,
}

impl Program {
    pub fn read(path: &Path) -> Result<Program> {
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

    pub fn named(&self, name: &str) -> Option<u64> {
        self.functions.iter().find(|(_, function)| function.name == name).map(|(start, _)| *start)
    }

    /// Whom a call may reach.
    pub fn reached(&self, caller: &Function, target: Target) -> Result<Vec<u64>> {
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
    pub fn table(&self, chain: &[(u64, u64)]) -> String {
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
