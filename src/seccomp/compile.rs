//! `linux.seccomp` as a filter program.
//!
//! What is decided, where the specification leaves it open, is what runc's users
//! are used to, libseccomp included:
//!
//! - Of the rules for a call one without conditions counts before all others. Then
//!   a rule counts before one that it is more general than, one on a later argument
//!   before one on an earlier, one that compares with a larger value before one with
//!   a smaller; else the first that matches.
//! - A rule whose conditions name one argument twice is a rule for each of them.
//! - A rule that answers what the default answers is none.
//! - A call with a higher number than all that the profile speaks of, on an
//!   architecture that it lists, is one that its author could not know: ENOSYS,
//!   unless the default lets calls through.
//! - A call by way of an architecture that is not listed ends the thread.
//! - On architectures of 32 bits the lower half of a value counts.

mod generate;

use super::filter::{Filter, Instruction, Label};
use super::names;
use super::numbers::{ARCHITECTURE_NAMES, ARCHITECTURES, CALLS, call_of, multiplexed, number_of};
use crate::error::Result;
use crate::json::{Text, Value, WORD};
use crate::limits;
use crate::spec::record::WordSet;
use crate::spec::seccomp::{Actions, Flags, Seccomp, Syscall};

// `SECCOMP_RET_*` of linux/seccomp.h.
const KILL_THREAD: u32 = 0;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// By the index of the word in [`Actions`].
const ANSWERS: [u32; 9] = [KILL_THREAD, 0x8000_0000, KILL_THREAD, 0x0003_0000, ERRNO, TRACE, ALLOW, LOG, NOTIFY];

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
/// By the index of the word in [`Flags`].
const FLAGS: [u32; 4] = [1, 2, SPEC_ALLOW, WAIT_KILLABLE_RECV];
const SPEC_ALLOW: u32 = 4;
const WAIT_KILLABLE_RECV: u32 = 32;
/// Only the kernel's own word for that a listener is wanted.
const NEW_LISTENER: u32 = 8;

/// A rule with conditions, or one that gets some on the way.
#[derive(Clone, Copy)]
struct Rule {
    /// Where its conditions stand in the document.
    conditions: u32,
    answer: u8,
    /// That is one condition, not a list of them.
    single: bool,
    /// Rules with less come first: the arguments spoken of, the first one highest.
    order: u8,
    /// Of such with the same, those with more come first: what the first condition
    /// compares with.
    value: u64,
}

/// The first argument in [`Rule::order`].
const FIRST_ARGUMENT: u8 = 1 << (ARGUMENTS - 1);
/// A call has so many (syscall(2)).
const ARGUMENTS: u32 = 6;

/// A list of rules: the last of them, and the list of those before. The same list
/// is there only once.
#[derive(Clone, Copy)]
struct Chain {
    rule: u16,
    /// The function of a multiplexed call; 0 is none.
    function: u8,
    /// Number of the chain before; 0 is none.
    before: u16,
    /// The tests that were made of it, for the architecture at hand.
    label: Option<Label>,
}

/// Calls that one thing becomes of.
#[derive(Clone, Copy)]
struct Range {
    from: u32,
    label: Label,
    weight: u32,
}

/// What becomes of a call: nothing said (0), a chain by its number, or an answer.
type Fate = u16;
const ALWAYS: Fate = 1 << 15;

/// The compiler and what it has made: 200 KiB, so it belongs into static memory.
pub struct SeccompFilter {
    filter: Filter,
    /// What becomes of each call, for each of [`ARCHITECTURES`].
    fates: [[Fate; CALLS]; ARCHITECTURES.len()],
    /// One more than the highest number that each is told of.
    known: [u32; ARCHITECTURES.len()],
    rules: [Rule; limits::SECCOMP_RULES],
    rule_count: usize,
    chains: [Chain; limits::SECCOMP_RULES],
    chain_count: usize,
    /// Of the architecture at hand, without gaps.
    ranges: [Range; 2 * CALLS],
    range_count: usize,
    default: Label,
    flags: u32,
    full: bool,
}

impl SeccompFilter {
    /// Empty, all zeros.
    pub const fn new() -> SeccompFilter {
        SeccompFilter {
            filter: Filter::new(),
            fates: [[0; _]; _],
            known: [0; _],
            rules: [Rule { conditions: 0, answer: 0, single: false, order: 0, value: 0 }; _],
            rule_count: 0,
            chains: [Chain { rule: 0, function: 0, before: 0, label: None }; _],
            chain_count: 0,
            ranges: [Range { from: 0, label: Label::NONE, weight: 0 }; _],
            range_count: 0,
            default: Label::NONE,
            flags: 0,
            full: false,
        }
    }

    /// The program, each instruction a `struct sock_filter`; of none where nothing
    /// was compiled.
    pub fn instructions(&self) -> &[Instruction] {
        self.filter.instructions()
    }

    /// `SECCOMP_FILTER_FLAG_*` to load it with.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether somebody is to be asked about calls.
    pub fn notifies(&self) -> bool {
        self.flags & NEW_LISTENER != 0
    }

    /// Makes it the filter that the document describes.
    ///
    /// # Errors
    /// What cannot be carried out, and where it stands.
    pub fn compile(&mut self, seccomp: &Seccomp<'_>) -> Result<()> {
        self.filter.clear();
        (self.rule_count, self.chain_count, self.full) = (0, 0, false);
        self.known = [0; _];
        self.fates = [[0; _]; _];
        let place = seccomp.value();
        let default = answer(seccomp.default_action(), seccomp.default_errno_ret(), place)?;
        if default == NOTIFY {
            return Err(place.error(format_args!("SCMP_ACT_NOTIFY cannot be used as default action")));
        }
        self.default = self.label(default);
        let listed = seccomp.architectures().iter().fold(0, |listed, name| {
            let index = name.place_in(ARCHITECTURE_NAMES);
            // Programs of another architecture cannot be executed here at all.
            index.map_or(listed, |index| listed | 1 << index)
        });
        seccomp.syscalls().iter().try_for_each(|rule| self.add(&rule, default, listed | 1))?;
        let notifies = seccomp.notifies();
        self.flags = flags(seccomp, notifies);
        if notifies {
            self.check_listener(seccomp, default)?;
        }
        self.generate(seccomp, default, listed);
        match self.full {
            true => Err(place.error(format_args!(
                "the filter takes more than the kernel's limit of {} instructions",
                limits::SECCOMP_PROGRAM
            ))),
            false => Ok(()),
        }
    }

    /// What the hand-over of the listener needs.
    fn check_listener(&mut self, seccomp: &Seccomp<'_>, default: u32) -> Result<()> {
        let place = seccomp.value();
        if seccomp.listener_path().is_none_or(|path| path.is_empty()) {
            return Err(place.error(format_args!("SCMP_ACT_NOTIFY needs \"listenerPath\"")));
        }
        let own = ARCHITECTURES.first().and_then(|own| call_of(own, names::find(b"sendmsg")?));
        let fate = own.and_then(|call| self.fates.first()?.get(call)).copied().unwrap_or(0);
        let answer = match fate {
            0 => default,
            fate => self.filter.answer_of(Label::answer((fate & !ALWAYS).into())),
        };
        match (fate & ALWAYS != 0 || fate == 0) && matches!(answer, ALLOW | LOG) {
            true => Ok(()),
            false => Err(place
                .error(format_args!("SCMP_ACT_NOTIFY needs sendmsg to be allowed: the listener is handed over by it"))),
        }
    }

    fn label(&mut self, answer: u32) -> Label {
        Label::answer(self.filter.answer(answer))
    }

    /// Takes in one of the document's rules.
    fn add(&mut self, rule: &Syscall<'_>, default: u32, architectures: u32) -> Result<()> {
        let answer = answer(rule.action(), rule.errno_ret(), rule.value())?;
        let (mut order, mut repeated, mut count, mut value) = (0, false, 0, 0);
        for condition in rule.args().iter() {
            let index = condition.index().unwrap_or(0);
            let argument = FIRST_ARGUMENT.checked_shr(index).unwrap_or(0);
            if argument == 0 {
                return Err(condition.value().error(format_args!("a call has arguments 0 to {}", ARGUMENTS - 1)));
            }
            if count == 0 {
                value = condition.value_one().unwrap_or(0);
            }
            repeated |= order & argument != 0;
            order |= argument;
            count += 1;
        }
        let (first, first_chain) = (self.rule_count, self.chain_count);
        if answer != default {
            let conditions = rule.args().value().map_or(0, |place| place.offset() as u32); // a document's size fits
            let answer = self.filter.answer(answer) as u8; // of SECCOMP_ANSWERS
            if repeated {
                for condition in rule.args().iter() {
                    let order = FIRST_ARGUMENT >> condition.index().unwrap_or(0).min(ARGUMENTS - 1);
                    let value = condition.value_one().unwrap_or(0);
                    let conditions = condition.value().offset() as u32;
                    self.add_rule(Rule { conditions, answer, single: true, order, value });
                }
            } else {
                self.add_rule(Rule { conditions, answer, single: false, order, value });
            }
        }
        for name in rule.names().iter() {
            if answer == NOTIFY && name.is("write") {
                return Err(name.error(format_args!("SCMP_ACT_NOTIFY cannot be used for the write syscall")));
            }
            let Some(name) = find(name) else { continue };
            for (index, architecture) in ARCHITECTURES.iter().enumerate() {
                if architectures & 1 << index == 0 {
                    continue;
                }
                let function = multiplexed(architecture, name);
                if let Some(call) = call_of(architecture, name) {
                    if let Some(known) = self.known.get_mut(index) {
                        *known = (*known).max(number_of(call) + 1);
                    }
                    self.mention(index, call, 0, first, first_chain, count);
                }
                if let Some((call, function)) = function {
                    self.mention(index, call, function, first, first_chain, 1);
                }
            }
        }
        Ok(())
    }

    fn add_rule(&mut self, rule: Rule) {
        match self.rules.get_mut(self.rule_count) {
            Some(place) => *place = rule,
            None => return self.full = true,
        }
        self.rule_count += 1;
    }

    /// Adds the rules from `first` on to those of a call.
    fn mention(&mut self, architecture: usize, call: usize, function: u8, first: usize, chains: usize, count: usize) {
        for number in first..self.rule_count {
            let Some(fate) = self.fates.get(architecture).and_then(|fates| fates.get(call)).copied() else { return };
            if fate & ALWAYS != 0 {
                return;
            }
            let new = match self.rules.get(number) {
                Some(rule) if count == 0 => ALWAYS | Fate::from(rule.answer),
                _ => self.chain(number as u16, function, fate, chains),
            };
            if let Some(fate) = self.fates.get_mut(architecture).and_then(|fates| fates.get_mut(call)) {
                *fate = new;
            }
        }
    }

    /// The number of the chain of `rule` behind those `before`, which can be there
    /// only from `from` on.
    fn chain(&mut self, rule: u16, function: u8, before: Fate, from: usize) -> Fate {
        let same = |chain: &Chain| chain.rule == rule && chain.function == function && chain.before == before;
        let known = self.chains.get(from..self.chain_count).unwrap_or(&[]);
        if let Some(index) = known.iter().position(same) {
            return (from + index + 1) as Fate;
        }
        match self.chains.get_mut(self.chain_count) {
            Some(place) => *place = Chain { rule, function, before, label: None },
            None => {
                self.full = true;
                return before;
            }
        }
        self.chain_count += 1;
        self.chain_count as Fate
    }
}

impl Default for SeccompFilter {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of the system call of that name.
fn find(name: Text<'_>) -> Option<usize> {
    names::find(name.word(&mut [0; WORD])?)
}

/// What the kernel is to be told of an action.
fn answer(action: Option<Text<'_>>, errno: Option<u32>, place: Value<'_>) -> Result<u32> {
    let index = action.and_then(|action| action.place_in(Actions::WORDS));
    let answer = index.and_then(|index| ANSWERS.get(index)).copied().unwrap_or(KILL_THREAD);
    match (answer, errno) {
        // MAX_ERRNO: the kernel would make it less.
        (ERRNO, Some(4096..)) | (TRACE, Some(0x1_0000..)) => Err(place.error(format_args!("no such errno"))),
        (ERRNO | TRACE, errno) => Ok(answer | errno.unwrap_or(EPERM)),
        (_, None) => Ok(answer),
        (_, Some(_)) => Err(place.error(format_args!("an errno is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE only"))),
    }
}

/// The flags to load the filter with.
fn flags(seccomp: &Seccomp<'_>, notifies: bool) -> u32 {
    let listener = if notifies { NEW_LISTENER } else { 0 };
    // As runc: where the profile does not say, speculation stays as it is.
    let Some(_) = seccomp.flags().value() else { return SPEC_ALLOW | listener };
    let flags = seccomp.flags().iter().fold(0, |flags, word| {
        flags | word.place_in(Flags::WORDS).and_then(|index| FLAGS.get(index)).copied().unwrap_or(0)
    });
    match notifies {
        // There is one thread only; the kernel refuses the two together.
        true => flags & !1 | listener,
        false => flags & !WAIT_KILLABLE_RECV, // about listeners only
    }
}

#[cfg(test)]
mod tests;
