//! Runs classic BPF programs as the kernel does (its filter.rst), as far as
//! seccomp allows them (seccomp(2)).

use anyhow::{Context, Result, bail, ensure};

/// `struct sock_filter` of linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub yes: u8,
    pub no: u8,
    pub constant: u32,
}

impl Instruction {
    /// From its eight bytes on a little-endian machine.
    pub fn from_word(word: u64) -> Instruction {
        Instruction {
            code: word as u16,
            yes: (word >> 16) as u8,
            no: (word >> 24) as u8,
            constant: (word >> 32) as u32,
        }
    }
}

/// A call, as `struct seccomp_data` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub architecture: u32,
    pub number: u32,
    pub arguments: [u64; 6],
}

impl Call {
    /// The word `offset` bytes into the structure.
    fn word(&self, offset: u32) -> Result<u32> {
        let half = |word: u64, upper: bool| if upper { (word >> 32) as u32 } else { word as u32 };
        match offset {
            0 => Ok(self.number),
            4 => Ok(self.architecture),
            8 | 12 => bail!("a filter that looks at the instruction pointer"),
            16..64 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                Ok(half(argument, offset % 8 == 4))
            }
            _ => bail!("no word at {offset}"),
        }
    }
}

/// The answer to a call, and how many instructions it took.
pub fn run(program: &[Instruction], call: &Call) -> Result<(u32, usize)> {
    let (mut next, mut accumulator, mut count) = (0usize, 0u32, 0);
    loop {
        let Instruction { code, yes, no, constant } = *program.get(next).context("a jump behind the end")?;
        next += 1;
        count += 1;
        let jump = |holds: bool| usize::from(if holds { yes } else { no });
        match code {
            0x20 => accumulator = call.word(constant)?,
            0x54 => accumulator &= constant,
            0x05 => next += constant as usize,
            0x15 => next += jump(accumulator == constant),
            0x25 => next += jump(accumulator > constant),
            0x35 => next += jump(accumulator >= constant),
            0x45 => next += jump(accumulator & constant != 0),
            0x06 => return Ok((constant, count)),
            _ => bail!("instruction {code:#x} at {}", next - 1),
        }
    }
}

/// Whether the kernel would take the program: its length, its codes, its jumps.
pub fn check(program: &[Instruction]) -> Result<()> {
    ensure!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    for (index, instruction) in program.iter().enumerate() {
        let furthest = match instruction.code {
            0x20 => {
                ensure!(instruction.constant < 64 && instruction.constant.is_multiple_of(4), "a load at {index}");
                0
            }
            0x54 | 0x06 => 0,
            0x05 => instruction.constant as usize,
            0x15 | 0x25 | 0x35 | 0x45 => instruction.yes.max(instruction.no).into(),
            code => bail!("instruction {code:#x} at {index}"),
        };
        ensure!(index + 1 + furthest < program.len() || instruction.code == 0x06, "a jump behind the end at {index}");
    }
    ensure!(program.last().is_some_and(|last| last.code == 0x06), "the last instruction does not return");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u16, yes: u8, no: u8, constant: u32) -> Instruction {
        Instruction { code, yes, no, constant }
    }

    #[test]
    fn a_small_program() {
        let program = [
            instruction(0x20, 0, 0, 20), // upper half of the first argument
            instruction(0x54, 0, 0, 0xf0),
            instruction(0x15, 0, 1, 0x10),
            instruction(0x06, 0, 0, 1),
            instruction(0x06, 0, 0, 2),
        ];
        check(&program).unwrap();
        let call = |argument| Call { architecture: 0, number: 0, arguments: [argument, 0, 0, 0, 0, 0] };
        assert_eq!(run(&program, &call(0x1f_0000_0000)).unwrap(), (1, 4));
        assert_eq!(run(&program, &call(0x1f)).unwrap(), (2, 4));
        assert!(check(&program[..3]).is_err());
        assert!(run(&program[..3], &call(0)).is_err());
    }
}
