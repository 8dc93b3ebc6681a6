//! What the shipped file promises to the kernel.

use std::fs;

use anyhow::{Context, ensure};
use object::LittleEndian;
use object::elf::{DT_NEEDED, ET_DYN, FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_TLS};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::{Outcome, Subject, passed};

pub fn check(subject: &Subject) -> Outcome {
    const ENDIAN: LittleEndian = LittleEndian;
    let data = fs::read(&subject.shipped)?;
    let data = data.as_slice();
    let header = FileHeader64::<LittleEndian>::parse(data)?;
    ensure!(header.e_type(ENDIAN) == ET_DYN, "not position-independent: e_type is {}", header.e_type(ENDIAN));
    let segments = header.program_headers(ENDIAN, data)?;
    let (mut stack, mut dynamic, mut loads) = (None, false, 0);
    for segment in segments {
        let flags = segment.p_flags(ENDIAN);
        match segment.p_type(ENDIAN) {
            PT_INTERP => anyhow::bail!("it asks for an interpreter (PT_INTERP)"),
            // Nobody here sets up thread-local storage.
            PT_TLS => anyhow::bail!("it has thread-local storage (PT_TLS)"),
            PT_LOAD => {
                loads += 1;
                ensure!(flags & (PF_W | PF_X) != PF_W | PF_X, "a segment is both writable and executable");
            }
            PT_GNU_STACK => stack = Some(flags),
            PT_DYNAMIC => {
                dynamic = true;
                for entry in segment.dynamic(ENDIAN, data)?.context("PT_DYNAMIC is empty")? {
                    ensure!(entry.d_tag(ENDIAN) != u64::from(DT_NEEDED), "it needs a shared library (DT_NEEDED)");
                }
            }
            _ => {}
        }
    }
    ensure!(dynamic, "not a static-PIE: no PT_DYNAMIC, so it cannot relocate itself");
    let stack = stack.context("no PT_GNU_STACK: the kernel would make the stack executable")?;
    ensure!(stack & PF_X == 0, "the stack is executable");
    passed(format!("static-PIE, no interpreter, {loads} segments W^X, stack not executable"))
}
