//! Which number a system call has, on the architecture that we run on and on
//! those whose programs its kernel runs too.

use super::names::{COUNT, LINES, byte, field, number};
use crate::word_list;
use crate::word_list::WordList;

/// An architecture, as a filter sees it (seccomp(2), `struct seccomp_data`).
pub struct Architecture {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    pub audit: u32,
    /// Set in each of its numbers.
    pub bit: u32,
    /// Its arguments have 32 bits.
    pub narrow: bool,
    /// The column of the table that has its numbers.
    column: usize,
}

const fn architecture(audit: u32, column: usize) -> Architecture {
    Architecture { audit, bit: 0, narrow: column > 1, column }
}

/// Set in the number of an x32 call, which is one of x86_64 otherwise.
pub const X32_BIT: u32 = 0x4000_0000;

/// Our own first.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURES: &[Architecture] = &[
    architecture(0xc000_003e, 1),
    architecture(0x4000_0003, 2),
    Architecture { bit: X32_BIT, ..architecture(0xc000_003e, 3) },
];
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURES: &[Architecture] = &[architecture(0xc000_00b7, 1), architecture(0x4000_0028, 2)];
#[cfg(target_arch = "riscv64")]
pub const ARCHITECTURES: &[Architecture] = &[architecture(0xc000_00f3, 1)];

/// The specification's names of these, in their order.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE_NAMES: WordList = word_list!("SCMP_ARCH_X86_64 SCMP_ARCH_X86 SCMP_ARCH_X32");
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE_NAMES: WordList = word_list!("SCMP_ARCH_AARCH64 SCMP_ARCH_ARM");
#[cfg(target_arch = "riscv64")]
pub const ARCHITECTURE_NAMES: WordList = word_list!("SCMP_ARCH_RISCV64");

/// Calls are counted below this: their numbers, and from [`PRIVATE`] on those of
/// arm alone.
pub const CALLS: usize = PRIVATE + 16;
const PRIVATE: usize = 0x300;
/// `__ARM_NR_BASE` of asm/unistd.h.
const PRIVATE_BASE: usize = 0xf_0000;

/// The number, without the architecture's bit, of the call that is counted so.
pub fn number_of(call: usize) -> u32 {
    let number = if call < PRIVATE { call } else { call - PRIVATE + PRIVATE_BASE };
    number as u32 // of 20 bits
}

/// In a column: no such call.
const NONE: u16 = 0x3ff;
/// In the first column: what x32 has stands in its exceptions.
const X32_DIFFERS: u16 = 1 << 15;
/// In the first column: one that x86 multiplexes.
const MULTIPLEXED: u16 = 1 << 14;

const fn call(place: usize) -> u16 {
    match number(place) {
        None => NONE,
        Some(number) if number < PRIVATE => number as u16,
        Some(number) => {
            let call = number - PRIVATE_BASE + PRIVATE;
            assert!(number >= PRIVATE_BASE && call < CALLS, "a number that there is no room for");
            call as u16
        }
    }
}

const fn column(column: usize) -> [u16; COUNT] {
    let mut calls = [0; COUNT];
    let mut index = 0;
    while index < COUNT {
        let at = LINES[index];
        calls[index] = call(field(at, column));
        if column == 1 && ARCHITECTURES.len() == 3 {
            if calls[index] != call(field(at, 3)) {
                calls[index] |= X32_DIFFERS;
            }
            if byte(field(at, 4)) != b'\n' {
                calls[index] |= MULTIPLEXED;
            }
        }
        index += 1;
    }
    calls
}

static OWN: [u16; COUNT] = column(1);
#[cfg(not(target_arch = "riscv64"))]
static OTHER: [u16; COUNT] = column(2);
#[cfg(target_arch = "riscv64")]
static OTHER: [u16; 0] = [];

/// The call that an architecture of our list knows by the name of that number.
pub fn call_of(architecture: &Architecture, name: usize) -> Option<usize> {
    let call = match architecture.column {
        2 => *OTHER.get(name)?,
        _ => *OWN.get(name)?,
    };
    let call = match architecture.column {
        3 if call & X32_DIFFERS != 0 => return of_x32(name),
        _ => call & NONE,
    };
    (call != NONE).then_some(call.into())
}

#[cfg(not(target_arch = "x86_64"))]
fn of_x32(_: usize) -> Option<usize> {
    None
}

/// Which function of which call it is on x86, which has it by that way too.
#[cfg(not(target_arch = "x86_64"))]
pub fn multiplexed(_: &Architecture, _: usize) -> Option<(usize, u8)> {
    None
}

#[cfg(target_arch = "x86_64")]
pub use x86::multiplexed;
#[cfg(target_arch = "x86_64")]
use x86::of_x32;

/// What x86_64 and its relatives have that others do not.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Architecture, COUNT, LINES, MULTIPLEXED, OWN, byte, field, number};

    /// The x32 calls that are not x86_64's: name, by number.
    const X32_FIRST: usize = 512;
    const X32_CALLS: usize = 36;
    static X32: [u16; X32_CALLS] = {
        let mut names = [u16::MAX; X32_CALLS];
        let mut index = 0;
        while index < COUNT {
            if let Some(number) = number(field(LINES[index], 3))
                && number >= X32_FIRST
            {
                names[number - X32_FIRST] = index as u16;
            }
            index += 1;
        }
        names
    };

    /// The functions of socketcall(2), and behind them those of ipc(2): name, by
    /// number.
    const IPC: usize = 21;
    static FUNCTIONS: [u16; IPC + 25] = {
        let mut names = [u16::MAX; IPC + 25];
        let mut index = 0;
        while index < COUNT {
            let at = field(LINES[index], 4);
            if byte(at) != b'\n'
                && let Some(number) = number(at + 1)
            {
                names[if byte(at) == b'i' { IPC + number } else { number }] = index as u16;
            }
            index += 1;
        }
        names
    };

    fn place(names: &[u16], name: usize) -> Option<usize> {
        names.iter().position(|known| usize::from(*known) == name)
    }

    pub(super) fn of_x32(name: usize) -> Option<usize> {
        place(&X32, name).map(|place| place + X32_FIRST)
    }

    /// Which function of which call it is on x86, which has it by that way too.
    pub fn multiplexed(architecture: &Architecture, name: usize) -> Option<(usize, u8)> {
        const SOCKETCALL_NUMBER: usize = 102;
        const IPC_NUMBER: usize = 117;
        if architecture.column != 2 || OWN.get(name)? & MULTIPLEXED == 0 {
            return None;
        }
        let function = place(&FUNCTIONS, name)?;
        Some(match function.checked_sub(IPC) {
            None => (SOCKETCALL_NUMBER, function as u8),
            Some(function) => (IPC_NUMBER, function as u8),
        })
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::super::names::find;
    use super::*;

    fn numbers(name: &str) -> [Option<u32>; 3] {
        let name = find(name.as_bytes()).unwrap();
        [0, 1, 2].map(|index| call_of(&ARCHITECTURES[index], name).map(number_of))
    }

    #[test]
    fn numbers_of_the_three() {
        for (name, expected) in [
            ("read", [Some(0), Some(3), Some(0)]),
            ("accept", [Some(43), None, Some(43)]),
            ("execve", [Some(59), Some(11), Some(520)]),
            ("preadv2", [Some(327), Some(378), Some(546)]),
            ("send", [None, None, None]),
            ("socketcall", [None, Some(102), None]),
            ("uselib", [Some(134), Some(86), None]),
            ("_llseek", [None, Some(140), None]),
            ("listns", [Some(470); 3]),
        ] {
            assert_eq!(numbers(name), expected, "{name}");
        }
    }

    #[test]
    fn multiplexed_calls() {
        let function = |name: &str| multiplexed(&ARCHITECTURES[1], find(name.as_bytes()).unwrap());
        assert_eq!(function("socket"), Some((102, 1)));
        assert_eq!(function("sendmmsg"), Some((102, 20)));
        assert_eq!(function("recv"), Some((102, 10)));
        assert_eq!(function("semop"), Some((117, 1)));
        assert_eq!(function("shmctl"), Some((117, 24)));
        assert_eq!(function("read"), None);
        assert_eq!(multiplexed(&ARCHITECTURES[0], find(b"socket").unwrap()), None);
    }

    #[test]
    fn private_numbers_have_their_room() {
        assert_eq!([0, PRIVATE - 1, PRIVATE + 5].map(number_of), [0, 0x2ff, 0xf_0005]);
    }
}
