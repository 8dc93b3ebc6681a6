//! `linux.resources.devices` as a program that the kernel asks at every
//! opening and making of a device node (BPF_PROG_TYPE_CGROUP_DEVICE).
//!
//! Each of the three accesses (read, write, mknod) is decided by itself: by
//! the last rule that speaks of it and of the device; where none does, it is
//! denied. A request is granted when everything that it asks for is. After the
//! rules of the configuration come those for the devices that every container
//! has, which therefore cannot be denied.
//!
//! The peers agree but for corners in which they grant more: they let a
//! read-write opening past a rule that denies only writing.

use crate::error::Result;
use crate::limits;
use crate::spec::record::List;
use crate::spec::resources::DeviceRule;

/// `struct bpf_insn` of linux/bpf.h as the integer that its eight bytes are on
/// a little-endian machine: code, registers, offset, immediate.
type Instruction = u64;

#[cfg(not(target_endian = "little"))]
compile_error!("instructions are put together for little-endian machines");

/// `BPF_DEVCG_ACC_*` of linux/bpf.h.
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const EVERYTHING: i32 = MKNOD | READ | WRITE;
/// `BPF_DEVCG_DEV_*` of linux/bpf.h.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

/// Any kind or number.
const ANY: i32 = -1;

/// A rule.
#[derive(Clone, Copy)]
struct Rule {
    allow: bool,
    kind: i32,
    major: i32,
    minor: i32,
    access: i32,
}

const fn always(kind: i32, major: i32, minor: i32, access: i32) -> Rule {
    Rule { allow: true, kind, major, minor, access }
}

/// What every container may do, as under runc. Making a node is harmless where
/// opening it is not allowed; engines rely on it when they unpack an image.
const ALWAYS: &[Rule] = &[
    always(CHARACTER, ANY, ANY, MKNOD),
    always(BLOCK, ANY, ANY, MKNOD),
    always(CHARACTER, 1, 3, EVERYTHING),     // null
    always(CHARACTER, 1, 5, EVERYTHING),     // zero
    always(CHARACTER, 1, 7, EVERYTHING),     // full
    always(CHARACTER, 1, 8, EVERYTHING),     // random
    always(CHARACTER, 1, 9, EVERYTHING),     // urandom
    always(CHARACTER, 5, 0, EVERYTHING),     // tty
    always(CHARACTER, 5, 2, EVERYTHING),     // ptmx
    always(CHARACTER, 10, 200, EVERYTHING),  // net/tun, which acts in the own network namespace only
    always(CHARACTER, 136, ANY, EVERYTHING), // pts/*, among them what /dev/console is bound to
];

// Registers. The program is entered with the context, a `struct
// bpf_cgroup_dev_ctx`, in 1; it calls nothing.
const GRANTED: u8 = 0;
const CONTEXT: u8 = 1;
const VALUE: u8 = 2;

// Where the context has what the rules speak of. The access is the upper half
// of its first word, the kind the lower one.
const KIND: i16 = 0;
const ACCESS: i16 = 2;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

// Codes of linux/bpf.h and linux/bpf_common.h, all on 32 bits.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const LOAD_HALF: u8 = 0x69; // BPF_LDX | BPF_MEM | BPF_H
const SET: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const AND_REGISTER: u8 = 0x5c; // BPF_ALU | BPF_AND | BPF_X
const OR: u8 = 0x44; // BPF_ALU | BPF_OR | BPF_K
const XOR: u8 = 0xa4; // BPF_ALU | BPF_XOR | BPF_K
const JUMP_IF_NOT: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    code as u64
        | (destination as u64 | (source as u64) << 4) << 8
        | (offset as u16 as u64) << 16
        | (immediate as u32 as u64) << 32
}

/// Begins with nothing granted.
const PROLOGUE: &[Instruction] = &[instruction(SET, GRANTED, 0, 0, 0)];

/// Answers 1 if nothing was asked for that is not granted, else 0. An access
/// that only a later kernel knows is never granted.
const EPILOGUE: &[Instruction] = &[
    instruction(XOR, GRANTED, 0, 0, -1),
    instruction(LOAD_HALF, VALUE, CONTEXT, ACCESS, 0),
    instruction(AND_REGISTER, GRANTED, VALUE, 0, 0),
    instruction(JUMP_IF_NOT, GRANTED, 0, 2, 0),
    instruction(SET, GRANTED, 0, 0, 1),
    instruction(EXIT, 0, 0, 0, 0),
    instruction(SET, GRANTED, 0, 0, 0),
    instruction(EXIT, 0, 0, 0, 0),
];

/// A device program: 32 KiB, so it belongs into static memory.
#[repr(C)] // the length is in the page of the first instructions
pub struct Program {
    length: usize,
    /// The kind and major number of the last rule, and where its tests of them begin.
    group: (i32, i32, usize),
    instructions: [Instruction; limits::DEVICE_PROGRAM],
}

impl Program {
    /// Empty, which no kernel takes: see [`Program::assemble`].
    pub const fn new() -> Program {
        Program { instructions: [0; _], length: 0, group: (0, 0, 0) }
    }

    /// Makes it the program for these rules, which were checked with the
    /// document, and those of every container.
    ///
    /// # Errors
    /// With the place: more rules than the limit has room for.
    pub fn assemble(&mut self, rules: List<'_, DeviceRule<'static>>) -> Result<()> {
        (self.length, self.group) = (0, (0, 0, 0));
        self.append(PROLOGUE);
        for rule in rules.iter() {
            // What follows always fits, so its room is kept free.
            let room = limits::DEVICE_PROGRAM - ALWAYS.len() * LONGEST_RULE - EPILOGUE.len() - LONGEST_RULE;
            if self.length > room {
                return Err(rule.value().error(format_args!(
                    "the device rules up to here take more than {room} of at most {} instructions",
                    limits::DEVICE_PROGRAM
                )));
            }
            self.rule(read(&rule));
        }
        for rule in ALWAYS {
            self.rule(*rule);
        }
        self.append(EPILOGUE);
        Ok(())
    }

    /// The instructions, for bpf(2).
    pub fn instructions(&self) -> &[Instruction] {
        self.instructions.get(..self.length).unwrap_or(&[])
    }

    fn rule(&mut self, rule: Rule) {
        let conditions = [(LOAD_HALF, KIND, rule.kind), (LOAD_WORD, MAJOR, rule.major), (LOAD_WORD, MINOR, rule.minor)];
        let mut left = conditions.iter().filter(|(_, _, value)| *value != ANY).count() as i16;
        if left == 0 && rule.access == EVERYTHING {
            // It overrules all that came before.
            self.length = PROLOGUE.len();
        }
        // Devices of one driver stand together as a rule: those behind the first
        // are put behind its tests of kind and major number.
        let (kind, major, start) = self.group;
        let joins = (kind, major) == (rule.kind, rule.major) && kind != ANY && major != ANY;
        if joins {
            left -= 2;
        } else {
            self.group = (rule.kind, rule.major, self.length);
        }
        for (load, field, value) in conditions.into_iter().skip(if joins { 2 } else { 0 }) {
            if value != ANY {
                left -= 1;
                // Loaded for each rule anew: the kernel's verifier follows what
                // a comparison has shown of a register for as long as it lives,
                // which would make its work grow with the square of the rules.
                // The jump goes past the other conditions, two instructions
                // each, and the change.
                self.append(&[
                    instruction(load, VALUE, CONTEXT, field, 0),
                    instruction(JUMP_IF_NOT, VALUE, 0, 2 * left + 1, value),
                ]);
            }
        }
        let change = match rule.allow {
            true => instruction(OR, GRANTED, 0, 0, rule.access),
            false => instruction(AND, GRANTED, 0, 0, !rule.access),
        };
        self.append(&[change]);
        if joins {
            for (place, value) in [(start + 1, kind), (start + 3, major)] {
                let past = self.length.saturating_sub(place + 1) as i16;
                if let Some(jump) = self.instructions.get_mut(place) {
                    *jump = instruction(JUMP_IF_NOT, VALUE, 0, past, value);
                }
            }
        }
    }

    /// The room was measured by `assemble`, so this does not fail.
    #[inline(never)]
    fn append(&mut self, instructions: &[Instruction]) {
        for instruction in instructions {
            if let Some(place) = self.instructions.get_mut(self.length) {
                *place = *instruction;
                self.length += 1;
            }
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

/// Three conditions of two instructions, and what they guard.
const LONGEST_RULE: usize = 7;

/// The rule of the document, whose words, letters and numbers were checked.
fn read(rule: &DeviceRule<'_>) -> Rule {
    let kind = match rule.kind() {
        Some(kind) if kind.is("c") => CHARACTER,
        Some(kind) if kind.is("b") => BLOCK,
        _ => ANY,
    };
    let access = rule.access().map_or(EVERYTHING, |letters| {
        letters.bytes().fold(0, |access, letter| {
            access
                | match letter {
                    b'r' => READ,
                    b'w' => WRITE,
                    _ => MKNOD,
                }
        })
    });
    let number = |number: Option<i64>| number.unwrap_or(-1) as i32;
    Rule { allow: rule.allow() == Some(true), kind, major: number(rule.major()), minor: number(rule.minor()), access }
}

#[cfg(test)]
mod tests;
