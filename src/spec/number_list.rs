//! Lists of CPUs and memory nodes, as cpuset(7) writes them: `0-3,7`.

use super::record::Pattern;
use crate::bytes;
use crate::json::{PathBuffer, Text};
use crate::limits;

/// The numbers of a list, as the kernel takes them: bit n is number n.
pub struct NumberSet(pub [u64; limits::CPUS / 64]);

impl NumberSet {
    /// The numbers that `list` names; `None` where it is no such list, or has a
    /// number from the limit on.
    #[inline(never)] // its buffer is gone from the stack before anything deeper
    pub fn read(list: Text<'_>) -> Option<NumberSet> {
        let mut buffer: PathBuffer = [0; limits::PATH];
        let list = list.c_str(&mut buffer).ok()?.to_bytes();
        let mut set = NumberSet([0; _]);
        for part in bytes::split(list, b',').map(<[u8]>::trim_ascii) {
            let (first, last) = bytes::cut(part, b'-');
            let first = bytes::decimal(first)?;
            let last = last.map_or(Some(first), bytes::decimal).filter(|last| *last >= first)?;
            for number in first..=last {
                *set.0.get_mut(usize::try_from(number / 64).ok()?)? |= 1 << (number % 64);
            }
        }
        Some(set)
    }
}

/// Such a list, or nothing.
pub struct NumberList;

impl Pattern for NumberList {
    const SAYS: &'static str = "a list of numbers such as \"0-3,7\"";
    const MOST: usize = limits::PATH - 1;
    fn holds(text: Text<'_>) -> bool {
        text.is_empty() || NumberSet::read(text).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::format;
    use std::vec::Vec;

    #[test]
    fn lists_as_the_kernel_reads_them() {
        for (list, expected) in [
            ("0", Some(&[0][..])),
            ("0-3,7", Some(&[0, 1, 2, 3, 7])),
            (" 1 , 63-64,1", Some(&[1, 63, 64])),
            ("8191", Some(&[8191])),
            ("8192", None),
            ("0-18446744073709551615", None),
            ("3-1", None),
            ("", None),
            ("1,", None),
            ("-1", None),
            ("1-", None),
            ("a", None),
            ("1 2", None),
            ("1--2", None),
        ] {
            let text = format!("\"{list}\"");
            let document = Document::of("c", text.as_bytes()).unwrap();
            let list = document.root().as_text().unwrap();
            let numbers = NumberSet::read(list).map(|set| {
                (0..limits::CPUS).filter(|number| set.0[number / 64] >> (number % 64) & 1 == 1).collect::<Vec<_>>()
            });
            assert_eq!(numbers.as_deref(), expected, "{text}");
        }
    }
}
