//! One function's machine code: how deep the stack is at each of its calls.
//!
//! Only x86_64, and only what compilers write: an instruction that moves the
//! stack pointer in a way that is not understood is an error, not a guess.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

/// A function's place and bytes.
pub struct Body<'a> {
    pub name: &'a str,
    pub start: u64,
    pub bytes: &'a [u8],
}

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The function at this address.
    Function(u64),
    /// The function whose address is stored at this address.
    Stored(u64),
    /// A method of a trait object: what its table holds at this offset.
    Method(u64),
    /// Whatever a register or a place in memory holds.
    Unknown,
}

/// A call, or a jump out of the function.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub target: Target,
    /// Bytes of stack in use below the caller's own return address, what the
    /// call itself pushes included.
    pub depth: u64,
}

/// What there is to know of a function.
#[derive(Default, Debug)]
pub struct Flow {
    /// The most bytes of stack that it uses itself.
    pub frame: u64,
    pub calls: Vec<Call>,
    /// Addresses that it forms: of functions, among others.
    pub addresses: Vec<u64>,
}

/// No trait object's method is stored before this offset: its table begins with
/// the destructor, size and alignment.
const FIRST_METHOD: u64 = 0x18;

/// Whether control can come back from it: a function without any return and
/// without jumps to elsewhere never does.
pub fn returns(body: &Body<'_>) -> bool {
    let inside = body.start..body.start + body.bytes.len() as u64;
    decode(body).iter().any(|instruction| match instruction.flow_control() {
        FlowControl::Return | FlowControl::IndirectBranch => true,
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            !inside.contains(&instruction.near_branch_target())
        }
        _ => false,
    })
}

fn decode(body: &Body<'_>) -> Vec<Instruction> {
    Decoder::with_ip(64, body.bytes, body.start, DecoderOptions::NONE).into_iter().collect()
}

/// Follows all ways through the function. `comes_back` tells of a function by
/// its address whether calls to it return.
pub fn flow(body: &Body<'_>, comes_back: &dyn Fn(u64) -> bool) -> Result<Flow> {
    let instructions = decode(body);
    let mut walk = Walk {
        places: instructions.iter().enumerate().map(|(at, instruction)| (instruction.ip(), at)).collect(),
        instructions: &instructions,
        depths: vec![None; instructions.len()],
        pending: vec![(0, 0)],
        through_tables: None,
        frame_pointer: None,
        probed: None,
        factory: InstructionInfoFactory::new(),
        found: Flow::default(),
    };
    walk.all(comes_back).with_context(|| format!("in {}", body.name))?;
    let mut found = walk.found;
    found.addresses = instructions
        .iter()
        .filter(|instruction| instruction.is_ip_rel_memory_operand())
        .map(Instruction::ip_rel_memory_address)
        .collect();
    Ok(found)
}

struct Walk<'a> {
    instructions: &'a [Instruction],
    places: BTreeMap<u64, usize>,
    /// The deepest that the stack can be before each instruction.
    depths: Vec<Option<i64>>,
    /// Instructions to go to, with the depth there.
    pending: Vec<(usize, i64)>,
    /// The depth at jumps through tables, whose targets are not known here.
    through_tables: Option<i64>,
    /// The depth that rbp stands for.
    frame_pointer: Option<i64>,
    /// The depth that a loop of probes goes to: large frames touch every page.
    probed: Option<i64>,
    factory: InstructionInfoFactory,
    found: Flow,
}

impl Walk<'_> {
    fn all(&mut self, comes_back: &dyn Fn(u64) -> bool) -> Result<()> {
        loop {
            while let Some((at, depth)) = self.pending.pop() {
                self.run(at, depth, comes_back)?;
            }
            // What was not reached is a table's target, if there is a table. The
            // first such instruction begins a block.
            match (self.through_tables, self.depths.iter().position(Option::is_none)) {
                (Some(depth), Some(at)) => self.pending.push((at, depth)),
                _ => return Ok(()),
            }
        }
    }

    /// From one instruction on, as long as the way is straight.
    fn run(&mut self, mut at: usize, mut depth: i64, comes_back: &dyn Fn(u64) -> bool) -> Result<()> {
        while let Some(instruction) = self.instructions.get(at).copied() {
            if self.depths[at].is_some_and(|known| known >= depth) {
                return Ok(());
            }
            self.depths[at] = Some(depth);
            let flow = match instruction.mnemonic() {
                // A system call works on the kernel's stack, and returns.
                Mnemonic::Syscall => FlowControl::Next,
                _ => instruction.flow_control(),
            };
            match flow {
                FlowControl::Next => {
                    depth = self.moved(&instruction, depth)?;
                    ensure!(
                        (0..1 << 24).contains(&depth),
                        "at {:#x} the stack would be {depth} deep",
                        instruction.ip()
                    );
                    self.found.frame = self.found.frame.max(depth as u64);
                }
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                    self.branch(at, &instruction, depth);
                    if flow == FlowControl::UnconditionalBranch {
                        return Ok(());
                    }
                }
                FlowControl::IndirectBranch if self.is_table_jump(at) => {
                    self.through_tables = self.through_tables.max(Some(depth));
                    return Ok(());
                }
                FlowControl::IndirectBranch => {
                    let target = self.indirect(at, &instruction);
                    self.call(target, depth);
                    return Ok(());
                }
                FlowControl::Call => {
                    let target = instruction.near_branch_target();
                    self.call(Target::Function(target), depth + 8);
                    if !comes_back(target) {
                        return Ok(());
                    }
                }
                FlowControl::IndirectCall => {
                    let target = self.indirect(at, &instruction);
                    self.call(target, depth + 8);
                }
                FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => return Ok(()),
                FlowControl::XbeginXabortXend => bail!("a transaction at {:#x}", instruction.ip()),
            }
            at += 1;
        }
        Ok(())
    }

    fn call(&mut self, target: Target, depth: i64) {
        self.found.calls.push(Call { target, depth: depth as u64 });
        self.found.frame = self.found.frame.max(depth as u64);
    }

    fn branch(&mut self, at: usize, instruction: &Instruction, depth: i64) {
        let target = instruction.near_branch_target();
        // The loop of probes has been taken to its end already.
        let closes_probes = at > 0 && is_probe_test(&self.instructions[at - 1]);
        match self.places.get(&target) {
            Some(_) if closes_probes => {}
            Some(place) => self.pending.push((*place, depth)),
            None => self.call(Target::Function(target), depth),
        }
    }

    /// The depth after an instruction that does not branch.
    fn moved(&mut self, instruction: &Instruction, depth: i64) -> Result<i64> {
        if is_probe_test(instruction) {
            return self.probed.take().context("a loop of probes without its limit");
        }
        let first = instruction.op0_register();
        let offset = instruction.memory_displacement64() as i64;
        let immediate = matches!(
            instruction.op1_kind(),
            OpKind::Immediate8to64 | OpKind::Immediate32to64 | OpKind::Immediate8 | OpKind::Immediate32
        );
        match instruction.mnemonic() {
            Mnemonic::Syscall => return Ok(depth),
            Mnemonic::Lea if first == Register::R11 && instruction.memory_base() == Register::RSP && offset < 0 => {
                self.probed = Some(depth - offset);
                return Ok(depth);
            }
            Mnemonic::Mov if first == Register::R11 && instruction.op1_register() == Register::RSP => {
                self.probed = Some(depth);
                return Ok(depth);
            }
            Mnemonic::Sub if first == Register::R11 && immediate => {
                self.probed = self.probed.map(|probed| probed + instruction.immediate(1) as i64);
                return Ok(depth);
            }
            Mnemonic::Mov if first == Register::RBP && instruction.op1_register() == Register::RSP => {
                self.frame_pointer = Some(depth);
                return Ok(depth);
            }
            _ => {}
        }
        if instruction.is_stack_instruction() {
            if instruction.mnemonic() == Mnemonic::Leave {
                return Ok(self.frame_pointer.context("leave without a frame pointer")? - 8);
            }
            return Ok(depth - i64::from(instruction.stack_pointer_increment()));
        }
        if !self.writes_stack_pointer(instruction) {
            return Ok(depth);
        }
        Ok(match instruction.mnemonic() {
            Mnemonic::Sub if immediate => depth + instruction.immediate(1) as i64,
            Mnemonic::Add if immediate => depth - instruction.immediate(1) as i64,
            // Alignment takes at most so many bytes.
            Mnemonic::And if immediate => depth - instruction.immediate(1) as i64 - 1,
            Mnemonic::Lea if instruction.memory_index() == Register::None => match instruction.memory_base() {
                Register::RSP => depth - offset,
                Register::RBP => self.frame_pointer.context("no frame pointer")? - offset,
                _ => bail!("the stack pointer comes from a register at {:#x}", instruction.ip()),
            },
            Mnemonic::Mov if instruction.op1_register() == Register::RBP => {
                self.frame_pointer.context("no frame pointer")?
            }
            _ => bail!("the stack pointer moves in an unknown way at {:#x}: {instruction:?}", instruction.ip()),
        })
    }

    fn writes_stack_pointer(&mut self, instruction: &Instruction) -> bool {
        let used = self.factory.info(instruction).used_registers();
        used.iter().any(|used| {
            used.register().full_register() == Register::RSP
                && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None)
        })
    }

    /// A jump through a table of offsets, as `match` becomes: the offset was
    /// loaded just before.
    fn is_table_jump(&self, at: usize) -> bool {
        self.instructions[at].op0_kind() == OpKind::Register
            && self.instructions[..at].iter().rev().take(8).any(|earlier| earlier.mnemonic() == Mnemonic::Movsxd)
    }

    /// Whom an indirect call or jump may reach.
    fn indirect(&mut self, at: usize, instruction: &Instruction) -> Target {
        if instruction.op0_kind() == OpKind::Memory {
            return stored(instruction);
        }
        // The last instruction before it that wrote the register.
        let register = instruction.op0_register().full_register();
        for earlier in self.instructions[..at].iter().rev() {
            let used = self.factory.info(earlier).used_registers();
            let writes = used.iter().any(|used| {
                used.register().full_register() == register
                    && matches!(used.access(), OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite)
            });
            if writes {
                return match earlier.mnemonic() {
                    Mnemonic::Mov if earlier.op1_kind() == OpKind::Memory => stored(earlier),
                    _ => Target::Unknown,
                };
            }
        }
        Target::Unknown
    }
}

/// Whom the address in the instruction's memory operand names.
fn stored(instruction: &Instruction) -> Target {
    if instruction.is_ip_rel_memory_operand() {
        return Target::Stored(instruction.ip_rel_memory_address());
    }
    let offset = instruction.memory_displacement64();
    let base = instruction.memory_base();
    if instruction.memory_index() == Register::None
        && !matches!(base, Register::RSP | Register::RBP)
        && (FIRST_METHOD..0x200).contains(&offset)
        && offset.is_multiple_of(8)
    {
        return Target::Method(offset);
    }
    Target::Unknown
}

/// `cmp rsp, r11`: whether the probes have come to the frame's end.
fn is_probe_test(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Cmp
        && instruction.op0_register() == Register::RSP
        && instruction.op1_register() == Register::R11
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Flow {
        flow(&Body { name: "f", start: 0x1000, bytes }, &|_| true).unwrap()
    }

    #[test]
    fn pushes_and_subtractions_add_up() {
        // push rbx; sub rsp, 0x20; call 0x2000; add rsp, 0x20; pop rbx; ret
        let flow = of(b"\x53\x48\x83\xec\x20\xe8\xf6\x0f\0\0\x48\x83\xc4\x20\x5b\xc3");
        assert_eq!(flow.frame, 8 + 0x20 + 8);
        assert_eq!(flow.calls.len(), 1);
        assert_eq!((flow.calls[0].target, flow.calls[0].depth), (Target::Function(0x2000), 48));
    }

    #[test]
    fn a_loop_of_probes_counts_once() {
        // lea r11, [rsp-0x3000]; 1: sub rsp, 0x1000; mov qword [rsp], 0; cmp rsp, r11; jne 1b; sub rsp, 0x10; ud2
        let code =
            b"\x4c\x8d\x9c\x24\x00\xd0\xff\xff\x48\x81\xec\x00\x10\0\0\x48\xc7\x04\x24\0\0\0\0\x4c\x39\xdc\x75\xec\
                     \x48\x83\xec\x10\x0f\x0b";
        assert_eq!(of(code).frame, 0x3010);
    }

    #[test]
    fn methods_of_trait_objects_are_recognised() {
        // mov rax, [rsi+0x18]; jmp rax
        let flow = of(b"\x48\x8b\x46\x18\xff\xe0");
        assert_eq!((flow.calls[0].target, flow.calls[0].depth), (Target::Method(0x18), 0));
    }
}
