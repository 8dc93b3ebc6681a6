//! The second half of the compiler: what becomes of each call, as a program.

use super::{
    ALLOW, ALWAYS, ARGUMENTS, ENOSYS, ERRNO, FIRST_ARGUMENT, Fate, KILL_THREAD, LOG, Range, Rule, SeccompFilter, TRACE,
};
use crate::seccomp::filter::{ARCHITECTURE, Compare, Fact, Label, NUMBER, Operand};
use crate::seccomp::numbers::{ARCHITECTURES, CALLS, X32_BIT, number_of};
use crate::spec::record::{List, Shape, WordSet};
use crate::spec::seccomp::{Operators, Seccomp, SyscallArg};

type Conditions = List<'static, SyscallArg<'static>>;

impl SeccompFilter {
    /// Makes the program of what was taken in.
    pub(super) fn generate(&mut self, seccomp: &Seccomp<'_>, default: u32, listed: u32) {
        let denied = self.label(KILL_THREAD);
        let unknown = match default {
            ALLOW | LOG => self.default,
            trace if trace & 0xffff_0000 == TRACE => self.default,
            _ => self.label(ERRNO | ENOSYS),
        };
        let mut root = denied;
        for (index, architecture) in ARCHITECTURES.iter().enumerate().rev() {
            // One by a bit is part of another, and our own is always there.
            if architecture.bit != 0 || (listed | 1) & 1 << index == 0 {
                continue;
            }
            self.range_count = 0;
            self.add_ranges(seccomp, index, if listed & 1 << index == 0 { self.default } else { unknown });
            let by_bit = ARCHITECTURES.iter().position(|other| other.bit != 0 && index == 0);
            match by_bit {
                Some(by_bit) if listed & 1 << by_bit != 0 => self.add_ranges(seccomp, by_bit, unknown),
                Some(_) => {
                    self.add_range(X32_BIT, denied);
                    // What a tracer makes of a call that is not to be made.
                    self.add_range(u32::MAX, self.default);
                }
                None => {}
            }
            let tree = self.bisect();
            root = self.filter.test(ARCHITECTURE, Compare::Equal, architecture.audit, tree, root);
        }
        self.full |= !self.filter.finish(root);
    }

    /// The ranges of equal fate of an architecture's calls.
    fn add_ranges(&mut self, seccomp: &Seccomp<'_>, index: usize, unknown: Label) {
        let Some(architecture) = ARCHITECTURES.get(index) else { return };
        for chain in self.chains.iter_mut().take(self.chain_count) {
            chain.label = None;
        }
        let known = self.known.get(index).copied().unwrap_or(0);
        for call in 0..CALLS {
            let label = match self.fates.get(index).and_then(|fates| fates.get(call)).copied().unwrap_or(0) {
                0 if known != 0 && number_of(call) >= known => unknown,
                0 => self.default,
                fate if fate & ALWAYS != 0 => Label::answer((fate & !ALWAYS).into()),
                fate => self.tests(seccomp, fate, architecture.narrow),
            };
            self.add_range(number_of(call) | architecture.bit, label);
        }
    }

    /// From `number` on it is `label`.
    fn add_range(&mut self, number: u32, label: Label) {
        let last = self.range_count.checked_sub(1).and_then(|last| self.ranges.get(last));
        if last.is_some_and(|last| last.label == label) {
            return;
        }
        if let Some(place) = self.ranges.get_mut(self.range_count) {
            *place = Range { from: number, label, weight: 0 }; // there is room for each call
            self.range_count += 1;
        }
    }

    /// Makes one label of all ranges.
    fn bisect(&mut self) -> Label {
        let SeccompFilter { ranges, filter, range_count, .. } = self;
        let ranges = ranges.get_mut(..*range_count).unwrap_or(&mut []);
        // A single call among others that share a fate takes one test, not two.
        let (mut count, mut next) = (0, 0);
        while let Some(mut range) = ranges.get(next).copied() {
            let end = |index: usize| ranges.get(index).map(|range| range.from);
            let mut last = next + 1;
            if let Some([single, rest]) = ranges.get(next + 1..next + 3)
                && rest.label == range.label
                && rest.from - single.from == 1
            {
                range.label = filter.test(NUMBER, Compare::Equal, single.from, single.label, range.label);
                last = next + 3;
            }
            // By how many calls it is for; what goes on for long is for none.
            range.weight = match end(last).map_or(u32::MAX, |end| end - range.from) {
                calls @ ..1024 => calls + 20,
                _ => 1,
            };
            next = last;
            if let Some(place) = ranges.get_mut(count) {
                *place = range;
                count += 1;
            }
        }
        // Then the two neighbours that are called least become one, again and again:
        // what many calls share comes to lie near the root.
        while count > 1 {
            let mut least = (u32::MAX, 0);
            for first in 0..count - 1 {
                let weight = ranges.get(first..first + 2).map_or(0, |pair| pair.iter().map(|range| range.weight).sum());
                least = least.min((weight, first));
            }
            let (weight, first) = least;
            let Some([one, two]) = ranges.get(first..first + 2) else { break };
            let label = filter.test(NUMBER, Compare::GreaterOrEqual, two.from, two.label, one.label);
            let joined = Range { from: one.from, label, weight };
            count -= 1;
            ranges.copy_within(first + 2..count + 1, first + 1);
            if let Some(place) = ranges.get_mut(first) {
                *place = joined;
            }
        }
        ranges.first().map_or(Label::NONE, |range| range.label)
    }

    /// The tests of a chain.
    fn tests(&mut self, seccomp: &Seccomp<'_>, chain: Fate, narrow: bool) -> Label {
        let at = |chain: Fate| usize::from(chain).wrapping_sub(1);
        if let Some(label) = self.chains.get(at(chain)).and_then(|chain| chain.label) {
            return label;
        }
        let mut label = self.default;
        // What counts last is made first. Each turn finds what comes before the last.
        let mut before = (u8::MAX, 0, chain);
        loop {
            let mut latest: Option<((u8, u64, Fate), Rule, u8)> = None;
            let mut next = chain;
            while let Some(link) = self.chains.get(at(next)).copied() {
                if let Some(rule) = self.rules.get(usize::from(link.rule)).copied() {
                    let order = if link.function == 0 { rule.order } else { rule.order | FIRST_ARGUMENT };
                    let place = (order, !rule.value, next);
                    if place < before && latest.is_none_or(|(latest, ..)| place > latest) {
                        latest = Some((place, rule, link.function));
                    }
                }
                next = link.before;
            }
            let Some((place, rule, function)) = latest else { break };
            label = self.rule(seccomp, rule, function, narrow, label);
            before = place;
        }
        if let Some(chain) = self.chains.get_mut(at(chain)) {
            chain.label = Some(label);
        }
        label
    }

    /// The tests of a rule, before the others.
    fn rule(&mut self, seccomp: &Seccomp<'_>, rule: Rule, function: u8, narrow: bool, others: Label) -> Label {
        let place = seccomp.value().elsewhere(rule.conditions as usize);
        let mut label = Label::answer(rule.answer.into());
        if rule.single {
            label = self.condition(&SyscallArg::view(place), function, narrow, label, others);
        } else {
            let conditions = Conditions::field(Some(place).filter(|_| rule.conditions != 0));
            for condition in conditions.iter() {
                label = self.condition(&condition, function, narrow, label, others);
            }
        }
        match function {
            0 => label,
            function => self.filter.test(argument(0, 0, u32::MAX), Compare::Equal, function.into(), label, others),
        }
    }

    /// The tests of a condition.
    fn condition(&mut self, condition: &SyscallArg<'_>, function: u8, narrow: bool, yes: Label, no: Label) -> Label {
        let index = condition.index().unwrap_or(0);
        if function != 0 && index == 0 {
            // The arguments of a multiplexed call stand in memory, and where the
            // first would be is the function.
            return yes;
        }
        let (one, two) = (condition.value_one().unwrap_or(0), condition.value_two().unwrap_or(0));
        let operator = condition.op().and_then(|word| word.place_in(Operators::WORDS)).unwrap_or(0);
        // In the order of the words: NE LT LE EQ GE GT MASKED_EQ.
        let compare = match operator {
            1 | 4 => Compare::GreaterOrEqual,
            2 | 5 => Compare::Greater,
            _ => Compare::Equal,
        };
        let (yes, no) = if operator < 3 { (no, yes) } else { (yes, no) };
        let (mask, value) = if operator == 6 { (one, one & two) } else { (u64::MAX, one) };
        let half = |number: u64| ((number >> 32) as u32, number as u32);
        let ((high_mask, low_mask), (high_value, low_value)) = (half(mask), half(value));
        let high = argument(index, 4, high_mask);
        let low = argument(index, 0, low_mask);
        let filter = &mut self.filter;
        if narrow || high_mask == 0 {
            return if low_mask == 0 { yes } else { filter.test(low, compare, low_value, yes, no) };
        }
        let fact = Fact { operand: high, value: high_value, equal: true };
        let (low_yes, low_no) = (filter.knowing(yes, fact), filter.knowing(no, fact));
        let low = if low_mask == 0 { yes } else { filter.test(low, compare, low_value, low_yes, low_no) };
        let equal = filter.test(high, Compare::Equal, high_value, low, no);
        match compare {
            Compare::Equal => equal,
            _ => filter.test(high, Compare::Greater, high_value, yes, equal),
        }
    }
}

/// Half an argument: `half` bytes from its start.
fn argument(index: u32, half: u8, mask: u32) -> Operand {
    const ARGUMENTS_START: u8 = 16;
    Operand { offset: ARGUMENTS_START + 8 * index.min(ARGUMENTS - 1) as u8 + half, mask }
}
