//! The program, run by a small interpreter, against a naive reading of the rules.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::json::Document;

/// Runs a device program as the kernel would.
fn run(program: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
    let context = [access << 16 | kind, major, minor];
    let mut registers = [None; 11];
    let mut at = 0usize;
    for _ in 0..=program.len() {
        let word = program[at];
        let (code, destination, source) = (word as u8, (word >> 8 & 0xf) as usize, (word >> 12 & 0xf) as usize);
        let (offset, immediate) = ((word >> 16) as u16 as i16, (word >> 32) as u32);
        let value = registers[destination];
        match code {
            0x61 | 0x69 => {
                assert_eq!(source, 1);
                let word = context[offset as usize / 4] >> (8 * (offset as usize % 4));
                registers[destination] = Some(if code == 0x69 { word & 0xffff } else { word });
            }
            0xb4 => registers[destination] = Some(immediate),
            0x54 => registers[destination] = Some(value.unwrap() & immediate),
            0x5c => registers[destination] = Some(value.unwrap() & registers[source].unwrap()),
            0x44 => registers[destination] = Some(value.unwrap() | immediate),
            0xa4 => registers[destination] = Some(value.unwrap() ^ immediate),
            0x56 if value.unwrap() != immediate => at += offset as usize,
            0x56 => {}
            0x95 => return value.unwrap(),
            _ => panic!("code {code:#x}"),
        }
        at += 1;
    }
    panic!("runs in a circle");
}

fn assemble(rules: &str) -> Result<Program, String> {
    let json = format!("{{\"devices\": [{rules}]}}");
    let document = Document::of("c", json.as_bytes()).unwrap();
    let resources = crate::spec::resources::Resources::view(document.root());
    let mut program = Program::new();
    program.assemble(resources.devices()).map_err(|error| error.to_string())?;
    Ok(program)
}

/// A small generator of numbers (xorshift), seeded: the same ones every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn granted(rules: &[Rule], kind: i32, access: i32, major: u32, minor: u32) -> bool {
    let one = |bit: i32| {
        let matching = |rule: &&Rule| {
            (rule.kind == ANY || rule.kind == kind)
                && (rule.major == ANY || rule.major as u32 == major)
                && (rule.minor == ANY || rule.minor as u32 == minor)
                && rule.access & bit != 0
        };
        rules.iter().rev().find(matching).is_some_and(|rule| rule.allow)
    };
    [MKNOD, READ, WRITE].iter().filter(|bit| access & **bit != 0).all(|bit| one(*bit))
}

fn json_of(rule: &Rule) -> String {
    let letters: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter(|(b, _)| rule.access & b != 0)
        .map(|(_, l)| *l)
        .collect();
    let kind = match rule.kind {
        ANY => "a",
        BLOCK => "b",
        _ => "c",
    };
    format!(
        r#"{{"allow": {}, "type": "{kind}", "major": {}, "minor": {}, "access": "{letters}"}}"#,
        rule.allow, rule.major, rule.minor
    )
}

#[test]
fn random_rules_against_the_naive_reading() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..400 {
        let number = |random: &mut Random| match random.below(4) {
            0 => ANY,
            n => [1, 3, i32::MAX][n as usize - 1],
        };
        let mut rules = Vec::new();
        for _ in 0..random.below(8) {
            rules.push(Rule {
                allow: random.below(2) == 0,
                kind: [ANY, BLOCK, CHARACTER][random.below(3) as usize],
                major: number(&mut random),
                minor: number(&mut random),
                access: 1 + random.below(7) as i32,
            });
        }
        let text: Vec<String> = rules.iter().map(json_of).collect();
        let program = assemble(&text.join(",")).unwrap();
        rules.extend_from_slice(ALWAYS);
        for kind in [BLOCK, CHARACTER] {
            for access in 1..8 {
                for major in [0, 1, 3, 5, 136, i32::MAX as u32, 0xffff_ffff] {
                    for minor in [0, 1, 3, 5, i32::MAX as u32, 0xffff_ffff] {
                        assert_eq!(
                            run(program.instructions(), kind as u32, access as u32, major, minor) == 1,
                            granted(&rules, kind, access, major, minor),
                            "{text:?}: {kind} {major}:{minor} {access}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn denies_by_default_and_allows_what_every_container_has() {
    let program = assemble("").unwrap();
    let may = |kind: i32, major, minor, access: i32| {
        run(program.instructions(), kind as u32, access as u32, major, minor) == 1
    };
    assert!(may(CHARACTER, 1, 3, EVERYTHING) && may(CHARACTER, 136, 77, READ | WRITE));
    assert!(may(BLOCK, 8, 0, MKNOD) && !may(BLOCK, 8, 0, READ) && !may(BLOCK, 8, 0, MKNOD | READ));
    assert!(!may(CHARACTER, 5, 1, READ), "the host's console");
    assert!(!may(CHARACTER, 1, 1, READ), "the host's memory");
    assert!(!may(CHARACTER, 1, 3, 8), "an access that is not known");
}

#[test]
fn a_rule_for_everything_forgets_those_before_it() {
    let one = assemble(r#"{"allow": false}"#).unwrap();
    let two = r#"{"allow": true, "type": "c", "major": 4},{"allow": true, "type": "c", "major": 5},"#;
    let many = assemble(&format!("{}{}", two.repeat(1500), r#"{"allow": false}"#));
    assert!(many.is_err(), "the limit is met before the rule that would make room");
    let some = assemble(&format!("{}{}", two.repeat(150), r#"{"allow": false}"#));
    assert_eq!(one.instructions(), some.unwrap().instructions());
}

#[test]
fn the_room_that_is_kept_is_enough() {
    let rule = r#"{"allow": true, "type": "c", "major": 4, "minor": 5, "access": "r"}"#;
    let mut count = 1;
    while assemble(&std::vec![rule; count].join(",")).is_ok() {
        count += 1;
    }
    let program = assemble(&std::vec![rule; count - 1].join(",")).unwrap();
    assert!(count > 500 && program.instructions().ends_with(EPILOGUE), "{count}");
    assert_eq!(run(program.instructions(), CHARACTER as u32, READ as u32, 136, 0), 1);
}
