//! A classic BPF program (the kernel's filter.rst), put together from its end.
//!
//! What becomes of a call is a graph of tests: each compares one half of a word of
//! `struct seccomp_data` and goes on to one of two places. Tests are made last
//! first, so that where they go on to is there; what is known on the way to a
//! test, because another has asked for it, is not tested again. The program is
//! then written from its end too, so that every jump's length is known.

use crate::limits;

/// `struct sock_filter` of linux/filter.h as the integer that its eight bytes are
/// on a little-endian machine: code, both jumps, constant.
pub type Instruction = u64;

#[cfg(not(target_endian = "little"))]
compile_error!("instructions and words are put together for little-endian machines");

/// Codes of linux/bpf_common.h.
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// How a test compares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// BPF_JMP | BPF_JEQ | BPF_K, and from there to BPF_JGT and on to BPF_JGE.
const COMPARE: u16 = 0x15;
const NEXT_COMPARE: u16 = 0x10;

/// Half a word of the data, and which of its bits count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Bytes from the start of `struct seccomp_data`.
    pub offset: u8,
    pub mask: u32,
}

/// The number of the call.
pub const NUMBER: Operand = Operand { offset: 0, mask: u32::MAX };
/// Its architecture.
pub const ARCHITECTURE: Operand = Operand { offset: 4, mask: u32::MAX };

/// A place to go on to: a test by its number, or an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label(u16);

/// Set in a label that is an answer.
const ANSWER: u16 = 1 << 15;

impl Label {
    /// The first test there is: for tables before they are filled.
    pub const NONE: Label = Label(0);

    /// Ends with the answer of this number.
    pub fn answer(number: usize) -> Label {
        Label(ANSWER | number as u16) // of less than SECCOMP_ANSWERS
    }
}

/// One test.
#[derive(Clone, Copy)]
struct Test {
    operand: Operand,
    compare: Compare,
    value: u32,
    yes: Label,
    no: Label,
    /// Whether anything leads here, and whether from where the operand is not
    /// loaded.
    reached: bool,
    loads: bool,
    /// Where in the program it begins, and where its comparison stands.
    start: u16,
    comparison: u16,
}

impl Test {
    /// All zeros, so that a table of them takes no room in the file.
    const NONE: Test = Test {
        operand: Operand { offset: 0, mask: 0 },
        compare: Compare::Equal,
        value: 0,
        yes: Label(0),
        no: Label(0),
        reached: false,
        loads: false,
        start: 0,
        comparison: 0,
    };

    /// How it ends for this operand.
    fn outcome(&self, operand: u32) -> Label {
        let holds = match self.compare {
            Compare::Equal => operand == self.value,
            Compare::Greater => operand > self.value,
            Compare::GreaterOrEqual => operand >= self.value,
        };
        if holds { self.yes } else { self.no }
    }
}

/// Something that is known on the way to a label.
#[derive(Clone, Copy)]
pub struct Fact {
    pub operand: Operand,
    pub value: u32,
    /// The operand is this, or it is not.
    pub equal: bool,
}

/// A program: 130 KiB, so it belongs into static memory.
pub struct Filter {
    tests: [Test; limits::SECCOMP_PROGRAM],
    count: usize,
    /// What `answer` has given numbers to, and where the program has each last.
    answers: [u32; limits::SECCOMP_ANSWERS],
    places: [u16; limits::SECCOMP_ANSWERS],
    answers_count: usize,
    program: [Instruction; limits::SECCOMP_PROGRAM],
    /// Where the program begins; what is before it is not written yet.
    start: usize,
    /// Something had no room.
    full: bool,
}

impl Filter {
    /// Empty.
    pub const fn new() -> Filter {
        Filter {
            tests: [Test::NONE; _],
            count: 0,
            answers: [0; _],
            places: [0; _],
            answers_count: 0,
            program: [0; _],
            start: 0,
            full: false,
        }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.count = 0;
        self.answers_count = 0;
        self.start = limits::SECCOMP_PROGRAM;
        self.full = false;
    }

    /// The instructions, once [`Filter::finish`] has written them.
    pub fn instructions(&self) -> &[Instruction] {
        self.program.get(self.start..).unwrap_or(&[])
    }

    /// The number that an answer goes by (`SECCOMP_RET_*`, seccomp(2)).
    pub fn answer(&mut self, answer: u32) -> usize {
        let known = self.answers.get(..self.answers_count).unwrap_or(&[]);
        if let Some(number) = known.iter().position(|known| *known == answer) {
            return number;
        }
        let number = self.answers_count;
        match self.answers.get_mut(number) {
            Some(place) => *place = answer,
            None => {
                self.full = true;
                return 0;
            }
        }
        self.answers_count += 1;
        number
    }

    /// The answer that a label is.
    pub fn answer_of(&self, label: Label) -> u32 {
        self.answers.get(usize::from(label.0 & !ANSWER)).copied().unwrap_or(0)
    }

    /// A test. Where both outcomes are the same there is none.
    #[inline(never)]
    pub fn test(&mut self, operand: Operand, compare: Compare, value: u32, yes: Label, no: Label) -> Label {
        let (mut yes, mut no) = (yes, no);
        if compare == Compare::Equal {
            yes = self.knowing(yes, Fact { operand, value, equal: true });
            no = self.knowing(no, Fact { operand, value, equal: false });
        }
        if yes == no {
            return yes;
        }
        let Some(place) = self.tests.get_mut(self.count) else {
            self.full = true;
            return yes;
        };
        *place = Test { operand, compare, value, yes, no, ..Test::NONE };
        self.count += 1;
        Label(self.count as u16 - 1)
    }

    /// Where `label` leads to in the end where the fact holds.
    #[inline(never)]
    pub fn knowing(&self, mut label: Label, fact: Fact) -> Label {
        while let Some(test) = self.tests.get(usize::from(label.0))
            && test.operand == fact.operand
        {
            label = match fact.equal {
                true => test.outcome(fact.value),
                false if test.compare == Compare::Equal && test.value == fact.value => test.no,
                false => break,
            };
        }
        label
    }

    /// Writes the program that begins with `root`; whether there was room for
    /// everything.
    #[must_use = "a program that is not whole must not be used"]
    pub fn finish(&mut self, root: Label) -> bool {
        self.reach(root, ARCHITECTURE, true);
        // What leads somewhere was made after it.
        for index in (0..self.count).rev() {
            let Some(test) = self.tests.get(index).copied().filter(|test| test.reached) else { continue };
            self.reach(test.yes, test.operand, false);
            self.reach(test.no, test.operand, false);
        }
        self.places = [u16::MAX; _];
        if root.0 & ANSWER != 0 {
            self.near(root, ARCHITECTURE); // every call has the same
        }
        for index in 0..self.count {
            if let Some(test) = self.tests.get(index).copied().filter(|test| test.reached) {
                self.write(index, test);
            }
        }
        !self.full
    }

    /// Something leads to `label` that has `loaded` the operand, unless it is the
    /// `first` of all.
    fn reach(&mut self, label: Label, loaded: Operand, first: bool) {
        if let Some(test) = self.tests.get_mut(usize::from(label.0)) {
            test.reached = true;
            test.loads |= first || test.operand != loaded;
        }
    }

    fn write(&mut self, index: usize, test: Test) {
        let yes = self.near(test.yes, test.operand);
        let no = self.near(test.no, test.operand);
        // Jumps count from the next instruction, which is now the first.
        let (yes, no) = (yes - self.start, no - self.start);
        self.push(COMPARE + NEXT_COMPARE * test.compare as u16, yes as u8, no as u8, test.value);
        let comparison = self.start as u16;
        if test.loads {
            if test.operand.mask != u32::MAX {
                self.push(AND, 0, 0, test.operand.mask);
            }
            self.push(LOAD, 0, 0, test.operand.offset.into());
        }
        let start = self.start as u16;
        if let Some(test) = self.tests.get_mut(index) {
            (test.start, test.comparison) = (start, comparison);
        }
    }

    /// Where the program has `label`, or a jump to it, within the reach of a
    /// conditional jump from what is written next but one.
    fn near(&mut self, label: Label, loaded: Operand) -> usize {
        const REACH: usize = u8::MAX as usize - 1;
        let number = usize::from(label.0 & !ANSWER);
        let place = match self.tests.get(usize::from(label.0)) {
            None => self.places.get(number).copied().unwrap_or(u16::MAX),
            Some(test) if test.operand == loaded => test.comparison,
            Some(test) => test.start,
        };
        let distance = usize::from(place).saturating_sub(self.start);
        if distance < REACH {
            return place.into();
        }
        match self.answers.get(number).copied().filter(|_| label.0 & ANSWER != 0) {
            Some(answer) => {
                self.push(RETURN, 0, 0, answer);
                if let Some(place) = self.places.get_mut(number) {
                    *place = self.start as u16;
                }
            }
            None => self.push(JUMP, 0, 0, distance as u32),
        }
        self.start
    }

    /// Puts an instruction before the others.
    fn push(&mut self, code: u16, yes: u8, no: u8, constant: u32) {
        let place = self.start.checked_sub(1);
        match place.and_then(|place| self.program.get_mut(place)) {
            Some(instruction) => {
                *instruction = u64::from(code) | u64::from(yes) << 16 | u64::from(no) << 24 | u64::from(constant) << 32;
                self.start -= 1;
            }
            None => self.full = true,
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use filters::interpreter::{Call, Instruction as Read, check, run};

    use super::*;

    const FIRST: Operand = Operand { offset: 16, mask: u32::MAX };

    fn answers(filter: &mut Filter, root: Label, firsts: &[u64]) -> Vec<(u32, usize)> {
        assert!(filter.finish(root));
        let program: Vec<_> = filter.instructions().iter().map(|word| Read::from_word(*word)).collect();
        check(&program).unwrap();
        let call = |first: &u64| Call { architecture: 0, number: 0, arguments: [*first, 0, 0, 0, 0, 0] };
        firsts.iter().map(|first| run(&program, &call(first)).unwrap()).collect()
    }

    #[test]
    fn what_is_known_is_not_asked_again() {
        let mut filter = Box::new(Filter::new());
        filter.clear();
        let [one, two, three] = [1, 2, 3].map(|answer| Label::answer(filter.answer(answer)));
        let second = filter.test(FIRST, Compare::Equal, 5, two, three);
        let first = filter.test(FIRST, Compare::Equal, 5, one, second);
        // A load, a comparison, an answer: where it is not 5 the second one is passed by.
        assert_eq!(answers(&mut filter, first, &[5, 6]), [(1, 3), (3, 3)]);
        assert_eq!(filter.instructions().len(), 4);
        let same = filter.test(FIRST, Compare::Greater, 9, one, one);
        assert!(same == one);
    }

    #[test]
    fn jumps_reach_as_far_as_they_must() {
        let mut filter = Box::new(Filter::new());
        filter.clear();
        // A chain with the same answer at both ends, and others on the way.
        let last = Label::answer(filter.answer(1000));
        let mut label = last;
        for value in (0..600).rev() {
            let answer = if value % 100 == 0 { last } else { Label::answer(filter.answer(value % 50)) };
            label = filter.test(FIRST, Compare::Equal, value, answer, label);
        }
        let firsts: Vec<u64> = (0..601).collect();
        for ((found, _), value) in answers(&mut filter, label, &firsts).into_iter().zip(0..) {
            let expected = if value % 100 == 0 || value >= 600 { 1000 } else { value % 50 };
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn a_program_without_a_test() {
        let mut filter = Box::new(Filter::new());
        filter.clear();
        let only = Label::answer(filter.answer(7));
        assert_eq!(answers(&mut filter, only, &[0]), [(7, 1)]);
    }

    #[test]
    fn too_much_is_noticed() {
        let mut filter = Box::new(Filter::new());
        filter.clear();
        let [one, two] = [1, 2].map(|answer| Label::answer(filter.answer(answer)));
        let mut label = one;
        for value in 0..5000 {
            label = filter.test(FIRST, Compare::GreaterOrEqual, value, label, two);
        }
        assert!(!filter.finish(label));
        filter.clear();
        let _ = (0..300).map(|answer| filter.answer(answer)).count();
        let label = Label::answer(filter.answer(0));
        assert!(!filter.finish(label));
    }
}
