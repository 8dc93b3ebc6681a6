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

use heapless::Vec;

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

/// A rule, checked. `None` is any.
#[derive(Clone, Copy)]
struct Rule {
    allow: bool,
    kind: Option<i32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: i32,
}

const fn always(kind: i32, major: Option<u32>, minor: Option<u32>, access: i32) -> Rule {
    Rule { allow: true, kind: Some(kind), major, minor, access }
}

/// What every container may do, as under runc. Making a node is harmless where
/// opening it is not allowed; engines rely on it when they unpack an image.
const ALWAYS: &[Rule] = &[
    always(CHARACTER, None, None, MKNOD),
    always(BLOCK, None, None, MKNOD),
    always(CHARACTER, Some(1), Some(3), EVERYTHING),    // null
    always(CHARACTER, Some(1), Some(5), EVERYTHING),    // zero
    always(CHARACTER, Some(1), Some(7), EVERYTHING),    // full
    always(CHARACTER, Some(1), Some(8), EVERYTHING),    // random
    always(CHARACTER, Some(1), Some(9), EVERYTHING),    // urandom
    always(CHARACTER, Some(5), Some(0), EVERYTHING),    // tty
    always(CHARACTER, Some(5), Some(2), EVERYTHING),    // ptmx
    always(CHARACTER, Some(10), Some(200), EVERYTHING), // net/tun, which acts in the own network namespace only
    always(CHARACTER, Some(136), None, EVERYTHING),     // pts/*, among them what /dev/console is bound to
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
pub struct Program {
    instructions: Vec<Instruction, { limits::DEVICE_PROGRAM }>,
}

impl Program {
    /// Empty, which no kernel takes: see [`Program::assemble`].
    pub const fn new() -> Program {
        Program { instructions: Vec::new() }
    }

    /// Makes it the program for these rules and those of every container.
    ///
    /// # Errors
    /// With the place: a rule that makes no sense, or more rules than the
    /// limit has room for.
    pub fn assemble(&mut self, rules: List<'_, DeviceRule<'static>>) -> Result<()> {
        self.instructions.clear();
        let _ = self.append(PROLOGUE);
        for rule in rules.iter() {
            let checked = check(&rule)?;
            // What follows always fits, so its room is kept free.
            let room = limits::DEVICE_PROGRAM - ALWAYS.len() * LONGEST_RULE - EPILOGUE.len() - LONGEST_RULE;
            if self.instructions.len() > room {
                return Err(rule.value().error(format_args!(
                    "the device rules up to here take more than {room} of at most {} instructions",
                    limits::DEVICE_PROGRAM
                )));
            }
            self.rule(checked);
        }
        for rule in ALWAYS {
            self.rule(*rule);
        }
        let _ = self.append(EPILOGUE);
        Ok(())
    }

    /// The instructions, for bpf(2).
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    fn rule(&mut self, rule: Rule) {
        let conditions = [
            (LOAD_HALF, KIND, rule.kind),
            (LOAD_WORD, MAJOR, rule.major.map(|number| number as i32)),
            (LOAD_WORD, MINOR, rule.minor.map(|number| number as i32)),
        ];
        let mut left = conditions.iter().filter(|(_, _, value)| value.is_some()).count() as i16;
        if left == 0 && rule.access == EVERYTHING {
            // It overrules all that came before.
            self.instructions.truncate(PROLOGUE.len());
        }
        for (load, field, value) in conditions {
            if let Some(value) = value {
                left -= 1;
                // Loaded for each rule anew: the kernel's verifier follows what
                // a comparison has shown of a register for as long as it lives,
                // which would make its work grow with the square of the rules.
                // The jump goes past the other conditions, two instructions
                // each, and the change.
                let _ = self.append(&[
                    instruction(load, VALUE, CONTEXT, field, 0),
                    instruction(JUMP_IF_NOT, VALUE, 0, 2 * left + 1, value),
                ]);
            }
        }
        let change = match rule.allow {
            true => instruction(OR, GRANTED, 0, 0, rule.access),
            false => instruction(AND, GRANTED, 0, 0, !rule.access),
        };
        let _ = self.append(&[change]);
    }

    /// The room was measured by `assemble`, so this does not fail.
    fn append(&mut self, instructions: &[Instruction]) -> Result<(), impl Sized> {
        self.instructions.extend_from_slice(instructions)
    }
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

/// Three conditions of two instructions, and what they guard.
const LONGEST_RULE: usize = 7;

fn check(rule: &DeviceRule<'_>) -> Result<Rule> {
    let kind = match rule.kind() {
        None => None,
        Some(kind) if kind.is("a") || kind.is_empty() => None,
        Some(kind) if kind.is("c") || kind.is("u") => Some(CHARACTER),
        Some(kind) if kind.is("b") => Some(BLOCK),
        Some(kind) => return Err(kind.error(format_args!("\"{kind}\" is not one of a, b, c"))),
    };
    let mut access = 0;
    match rule.access() {
        None => access = EVERYTHING,
        // runc refuses it too: it could be meant as nothing or as everything.
        Some(letters) if letters.is_empty() => return Err(letters.error(format_args!("names no access (r, w, m)"))),
        Some(letters) => {
            for letter in letters.bytes() {
                access |= match letter {
                    b'r' => READ,
                    b'w' => WRITE,
                    b'm' => MKNOD,
                    _ => return Err(letters.error(format_args!("\"{letters}\" is not an access (r, w, m)"))),
                };
            }
        }
    }
    Ok(Rule {
        allow: rule.allow() == Some(true),
        kind,
        major: number(rule, "major", rule.major())?,
        minor: number(rule, "minor", rule.minor())?,
        access,
    })
}

fn number(rule: &DeviceRule<'_>, name: &str, number: Option<i64>) -> Result<Option<u32>> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => match u32::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(rule.value().error(format_args!("{name} {number} is not a device number, nor -1 for any"))),
        },
    }
}

#[cfg(test)]
mod tests;
