//! The names of the system calls, packed while compiling: from the tables in
//! `syscalls/`, one for each architecture that we run on.
//!
//! Sorted names have much in common with the one before, so each is kept as the
//! number of bytes that it shares with that and the rest. Every sixteenth is kept
//! whole, and found by bisection.

#[cfg(target_arch = "x86_64")]
const TEXT: &[u8] = include_bytes!("syscalls/x86_64.txt");
#[cfg(target_arch = "aarch64")]
const TEXT: &[u8] = include_bytes!("syscalls/aarch64.txt");
#[cfg(target_arch = "riscv64")]
const TEXT: &[u8] = include_bytes!("syscalls/riscv64.txt");

/// Names from one that is kept whole to the next.
const BLOCK: usize = 16;

/// How many names there are.
pub(super) const COUNT: usize = {
    let (mut at, mut count) = (0, 0);
    while at < TEXT.len() {
        count += (TEXT[at] != b'#') as usize;
        at = line_end(at);
    }
    count
};

/// Where the line behind the one at `at` begins.
const fn line_end(mut at: usize) -> usize {
    while TEXT[at] != b'\n' {
        at += 1;
    }
    at + 1
}

/// Where the line of name number `index` begins, being at `at` with the one before.
const fn next_line(mut at: usize) -> usize {
    at = line_end(at);
    while at < TEXT.len() && TEXT[at] == b'#' {
        at = line_end(at);
    }
    at
}

/// Where the field number `field` of the line at `at` begins; the name is the
/// first. At the end of the line where there is none.
pub(super) const fn field(mut at: usize, mut field: usize) -> usize {
    while field > 0 {
        while TEXT[at] != b' ' && TEXT[at] != b'\n' {
            at += 1;
        }
        if TEXT[at] == b'\n' {
            return at;
        }
        at += 1;
        field -= 1;
    }
    at
}

/// The decimal number in a field, `None` where it says `-` or nothing.
pub(super) const fn number(mut at: usize) -> Option<usize> {
    let mut number = None;
    while TEXT[at].is_ascii_digit() {
        let so_far = match number {
            Some(so_far) => so_far,
            None => 0,
        };
        number = Some(so_far * 10 + (TEXT[at] - b'0') as usize);
        at += 1;
    }
    number
}

/// The byte at a place of the table.
pub(super) const fn byte(at: usize) -> u8 {
    TEXT[at]
}

/// Where each name's line begins.
pub(super) const LINES: [usize; COUNT] = {
    let mut lines = [0; COUNT];
    let (mut at, mut index) = (0, 0);
    if TEXT[0] == b'#' {
        at = next_line(0);
    }
    while index < COUNT {
        lines[index] = at;
        at = next_line(at);
        index += 1;
    }
    lines
};

/// The names, packed, and where every sixteenth begins.
struct Packed {
    bytes: [u8; TEXT.len()],
    length: usize,
    blocks: [u16; COUNT.div_ceil(BLOCK)],
}

const PACKED: Packed = {
    let mut packed = Packed { bytes: [0; _], length: 0, blocks: [0; _] };
    let mut index = 0;
    while index < COUNT {
        let at = LINES[index];
        let mut shared = 0;
        if index % BLOCK == 0 {
            packed.blocks[index / BLOCK] = packed.length as u16;
        } else {
            while TEXT[at + shared] == TEXT[LINES[index - 1] + shared] {
                shared += 1;
            }
        }
        assert!(shared < b' ' as usize, "a length must not look like a letter");
        packed.bytes[packed.length] = shared as u8;
        packed.length += 1;
        while TEXT[at + shared] != b' ' {
            packed.bytes[packed.length] = TEXT[at + shared];
            packed.length += 1;
            shared += 1;
        }
        index += 1;
    }
    packed
};

/// Of each name: how many bytes it shares with the one before, and the others.
/// All of these are larger than any such number.
static NAMES: [u8; PACKED.length] = {
    let mut names = [0; PACKED.length];
    let mut index = 0;
    while index < PACKED.length {
        names[index] = PACKED.bytes[index];
        index += 1;
    }
    names
};

static BLOCKS: [u16; COUNT.div_ceil(BLOCK)] = PACKED.blocks;

/// The number of a name among all; `None` where no system call is called so.
pub fn find(name: &[u8]) -> Option<usize> {
    let rest = |start: usize| NAMES.get(start..).unwrap_or(&[]);
    // The last block whose first name is not behind this one.
    let (mut low, mut high) = (0, BLOCKS.len());
    while high - low > 1 {
        let middle = (low + high) / 2;
        let start = BLOCKS.get(middle).map_or(0, |start| usize::from(*start) + 1);
        match compare(rest(start), name) {
            Order::Behind => high = middle,
            _ => low = middle,
        }
    }
    let mut names = rest(usize::from(*BLOCKS.get(low)?));
    // Bytes in common with the name before.
    let mut common = 0;
    for index in low * BLOCK..(low + 1) * BLOCK {
        let (shared, letters) = names.split_first()?;
        let shared = usize::from(*shared);
        if shared < common {
            return None; // what the name goes on with would stand before
        }
        if shared == common {
            match compare(letters, name.get(common..)?) {
                Order::Same => return Some(index),
                Order::Before(more) => common += more,
                Order::Behind => return None,
            }
        }
        let length = letters.iter().position(|letter| *letter < b' ').unwrap_or(letters.len());
        names = letters.get(length..)?;
    }
    None
}

/// How a packed name stands to the one that is looked for.
enum Order {
    /// Before it, with so many bytes in common.
    Before(usize),
    Same,
    Behind,
}

fn compare(letters: &[u8], name: &[u8]) -> Order {
    let mut letters = letters.iter().copied();
    for (common, wanted) in name.iter().enumerate() {
        match letters.next() {
            Some(letter) if letter == *wanted => {}
            Some(letter) if letter > *wanted => return Order::Behind,
            _ => return Order::Before(common), // or the name ends here
        }
    }
    match letters.next() {
        Some(letter) if letter >= b' ' => Order::Behind,
        _ => Order::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<&[u8]> =
            LINES.iter().map(|at| TEXT.get(*at..).unwrap().split(|byte| *byte == b' ').next().unwrap()).collect();
        assert!(names.is_sorted() && names.len() == COUNT);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(find(name), Some(index), "{}", name.escape_ascii());
            for other in [[name, &b"x"[..]].concat(), name[1..].to_vec(), name[..name.len() - 1].to_vec()] {
                assert_eq!(find(&other), names.iter().position(|name| **name == other), "{}", other.escape_ascii());
            }
            // Its like, with each letter one up and one down.
            for at in 0..name.len() {
                for step in [1, u8::MAX] {
                    let mut other = name.to_vec();
                    other[at] = other[at].wrapping_add(step);
                    assert_eq!(find(&other), names.iter().position(|name| **name == other), "{}", other.escape_ascii());
                }
            }
        }
        for name in [&b""[..], b"\0", b" ", b"zzz", b"A", b"\xff", &[b'a'; 300]] {
            assert_eq!(find(name), None);
        }
    }
}
