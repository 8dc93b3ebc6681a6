//! Which variables of an environment count: of several with one name the last.

use crate::bytes;

/// An environment.
pub trait Variables {
    /// How many there are.
    fn count(&self) -> usize;
    /// `NAME=value`, by index.
    fn variable(&self, index: usize) -> &[u8];
    /// Behind this one another of the same name stands.
    fn overridden(&mut self, index: usize);
}

/// The name of `NAME=value`.
pub fn name(variable: &[u8]) -> &[u8] {
    bytes::cut(variable, b'=').0
}

/// So few are compared with each other, without the table.
const FEW: usize = 16;

/// Reports every variable that is overridden. Those that stay are looked at later, too.
///
/// In linear time: a document may hold a third of a million of them. `table` is
/// room for a hash table; it must have more slots than there are variables.
pub fn find_overridden(variables: &mut impl Variables, table: &mut [u32]) {
    let count = variables.count();
    if count <= FEW {
        // In this order, what is compared with has not been reported yet.
        for index in 0..count {
            let is_same = |later| name(variables.variable(later)) == name(variables.variable(index));
            if (index + 1..count).any(is_same) {
                variables.overridden(index);
            }
        }
        return;
    }
    let size = (2 * count).next_power_of_two().min(table.len());
    let Some(table) = table.get_mut(..size) else { return };
    table.fill(0);
    for index in (0..count).rev() {
        let start = hash(name(variables.variable(index)));
        // Slots hold an index plus one; 0 is a free one.
        for step in 0..size {
            let Some(slot) = table.get_mut((start + step) & (size - 1)) else { return };
            if *slot == 0 {
                *slot = index as u32 + 1;
                break;
            }
            if name(variables.variable(*slot as usize - 1)) == name(variables.variable(index)) {
                variables.overridden(index);
                break;
            }
        }
    }
}

/// FNV-1a, 32 bits.
fn hash(bytes: &[u8]) -> usize {
    bytes.iter().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    struct Environment<'a>(Vec<Option<&'a str>>);

    impl Variables for Environment<'_> {
        fn count(&self) -> usize {
            self.0.len()
        }
        fn variable(&self, index: usize) -> &[u8] {
            self.0[index].unwrap().as_bytes()
        }
        fn overridden(&mut self, index: usize) {
            self.0[index] = None;
        }
    }

    fn kept<'a>(variables: &[&'a str], slots: usize) -> Vec<&'a str> {
        let mut environment = Environment(variables.iter().map(|variable| Some(*variable)).collect());
        find_overridden(&mut environment, &mut std::vec![7; slots]);
        environment.0.into_iter().flatten().collect()
    }

    #[test]
    fn the_last_of_a_name_counts() {
        for (variables, expected) in [
            (&[][..], &[][..]),
            (&["A=1"], &["A=1"]),
            (&["A=1", "B=2", "A=3"], &["B=2", "A=3"]),
            (&["A=1", "A=", "AA=2", "A=x=y"], &["AA=2", "A=x=y"]),
            (&["PATH=/a", "PATH=/b", "PATH=/c"], &["PATH=/c"]),
        ] {
            assert_eq!(kept(variables, 64), expected);
            // And by the table.
            let more: Vec<_> = (0..FEW).map(|n| std::format!("MORE{n}=")).collect();
            let more: Vec<_> = more.iter().map(|variable| variable.as_str()).collect();
            assert_eq!(kept(&[&more, variables].concat(), 64), [&more, expected].concat());
        }
    }

    #[test]
    fn many_variables_take_linear_time() {
        let all: Vec<_> = (0..200_000).map(|n| std::format!("V{}=x", n % 100_000)).collect();
        let variables: Vec<&str> = all.iter().map(|variable| variable.as_str()).collect();
        assert_eq!(kept(&variables, 1 << 19).len(), 100_000);
    }
}
