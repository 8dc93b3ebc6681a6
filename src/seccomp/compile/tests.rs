//! Profiles and calls of x86_64.
#![cfg(target_arch = "x86_64")]

use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use filters::interpreter::{Call, Instruction, check, run};
use serde_json::{Value as Json, json};

use super::*;
use crate::json::Document;
use crate::seccomp::numbers::X32_BIT;
use crate::spec::record::{Shape, Strictness};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;

fn errno(number: u32) -> u32 {
    ERRNO | number
}

fn compile(profile: &Json) -> Result<Vec<Instruction>, String> {
    let text = profile.to_string();
    let document = Document::of("config.json", text.as_bytes()).map_err(|error| error.to_string())?;
    crate::spec::record::check(document.root(), &<Seccomp<'static> as Shape>::FORM, Strictness::Supported)
        .map_err(|error| error.to_string())?;
    let mut filter = Box::new(SeccompFilter::new());
    filter.compile(&Seccomp::view(document.root())).map_err(|error| error.to_string())?;
    let program: Vec<_> = filter.instructions().iter().map(|word| Instruction::from_word(*word)).collect();
    check(&program).map_err(|error| format!("the kernel would refuse it: {error}"))?;
    Ok(program)
}

fn answer_to(program: &[Instruction], architecture: u32, number: u32, first: &[u64]) -> u32 {
    let mut arguments = [0; 6];
    arguments[..first.len()].copy_from_slice(first);
    run(program, &Call { architecture, number, arguments }).unwrap().0
}

fn rule(names: &[&str], action: &str, args: Json) -> Json {
    json!({"names": names, "action": action, "args": args})
}

fn argument(index: u32, op: &str, value: u64, two: u64) -> Json {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two})
}

/// getpid is 39 on x86_64 and 20 on x86.
fn getpid_fails_where(args: Json) -> Vec<Instruction> {
    compile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(&["getpid"], "SCMP_ACT_ERRNO", args)],
                    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}))
    .unwrap()
}

#[test]
fn every_action_has_its_answer() {
    for (action, expected) in [
        ("KILL", 0),
        ("KILL_PROCESS", 0x8000_0000),
        ("KILL_THREAD", 0),
        ("TRAP", 0x3_0000),
        ("ERRNO", errno(1)),
        ("TRACE", TRACE | 1),
        ("ALLOW", ALLOW),
        ("LOG", LOG),
    ] {
        let action = format!("SCMP_ACT_{action}");
        let default = if expected == LOG { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_LOG" };
        let program = compile(&json!({"defaultAction": default, "syscalls": [rule(&["getpid"], &action, json!([]))]}));
        assert_eq!(answer_to(&program.unwrap(), X86_64, 39, &[]), expected, "{action}");
        let program = compile(&json!({"defaultAction": action}));
        assert_eq!(answer_to(&program.unwrap(), X86_64, 39, &[]), expected, "{action}");
    }
}

#[test]
fn operators_compare_64_bits() {
    let values =
        [0, 1, 5, 6, 0xffff_ffff, 1 << 32, (1 << 32) + 5, (5 << 32) + 5, (6 << 32) + 1, u64::MAX - 1, u64::MAX];
    type Holds = fn(u64, u64, u64) -> bool;
    let operators: [(&str, Holds); 7] = [
        ("NE", |a, one, _| a != one),
        ("LT", |a, one, _| a < one),
        ("LE", |a, one, _| a <= one),
        ("EQ", |a, one, _| a == one),
        ("GE", |a, one, _| a >= one),
        ("GT", |a, one, _| a > one),
        ("MASKED_EQ", |a, mask, two| a & mask == two & mask),
    ];
    for (op, holds) in operators {
        for one in values {
            for two in [0, 5, 1 << 32, u64::MAX] {
                let program = getpid_fails_where(json!([argument(1, op, one, two)]));
                for given in values {
                    let expected = if holds(given, one, two) { errno(1) } else { ALLOW };
                    assert_eq!(
                        answer_to(&program, X86_64, 39, &[9, given]),
                        expected,
                        "{given:#x} {op} {one:#x} {two:#x}"
                    );
                    let low = |number| number & 0xffff_ffff;
                    let expected = if holds(low(given), low(one), low(two)) { errno(1) } else { ALLOW };
                    assert_eq!(answer_to(&program, X86, 20, &[9, low(given)]), expected, "{given:#x} {op} {one:#x}");
                }
            }
        }
    }
}

#[test]
fn conditions_of_a_rule_hold_together() {
    let program = getpid_fails_where(json!([argument(0, "EQ", 5, 0), argument(2, "EQ", 7, 0)]));
    for (arguments, expected) in [([5, 0, 7], errno(1)), ([5, 0, 0], ALLOW), ([0, 0, 7], ALLOW), ([0, 0, 0], ALLOW)] {
        assert_eq!(answer_to(&program, X86_64, 39, &arguments), expected, "{arguments:?}");
    }
    // But one argument named twice is two rules.
    let program =
        getpid_fails_where(json!([argument(0, "EQ", 5, 0), argument(0, "EQ", 6, 0), argument(1, "EQ", 1, 0)]));
    for (arguments, expected) in [([5, 0], errno(1)), ([6, 0], errno(1)), ([0, 1], errno(1)), ([0, 0], ALLOW)] {
        assert_eq!(answer_to(&program, X86_64, 39, &arguments), expected, "{arguments:?}");
    }
}

#[test]
fn which_of_several_rules_counts() {
    let five = argument(0, "EQ", 5, 0);
    let both = json!([five, argument(1, "EQ", 1, 0)]);
    let one = argument(1, "EQ", 1, 0);
    for (what, rules, arguments, expected) in [
        ("the one without conditions", [("KILL", json!([five])), ("TRAP", json!([]))], [5, 0], 0x3_0000),
        ("the one without conditions", [("TRAP", json!([])), ("KILL", json!([five]))], [5, 0], 0x3_0000),
        ("the first without conditions", [("TRAP", json!([])), ("KILL", json!([]))], [5, 0], 0x3_0000),
        ("the more general", [("TRAP", json!([five])), ("KILL", both.clone())], [5, 1], 0x3_0000),
        ("the more general", [("KILL", both), ("TRAP", json!([five]))], [5, 1], 0x3_0000),
        ("the later argument", [("KILL", json!([five])), ("TRAP", json!([one]))], [5, 1], 0x3_0000),
        ("the later argument", [("TRAP", json!([one])), ("KILL", json!([five]))], [5, 1], 0x3_0000),
        ("the first", [("TRAP", json!([five])), ("KILL", json!([five]))], [5, 0], 0x3_0000),
        ("the default's is none", [("ALLOW", json!([])), ("TRAP", json!([five]))], [5, 0], 0x3_0000),
    ] {
        let rules = rules.map(|(action, args)| rule(&["getpid"], &format!("SCMP_ACT_{action}"), args));
        let program = compile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).unwrap();
        assert_eq!(answer_to(&program, X86_64, 39, &arguments), expected, "{what}");
    }
}

const ALL_THREE: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];

#[test]
fn architectures_that_are_not_listed_are_closed() {
    let with = |listed: &[&str]| {
        let rules = [rule(&["getpid"], "SCMP_ACT_ERRNO", json!([]))];
        compile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": listed, "syscalls": rules})).unwrap()
    };
    let x32 = X32_BIT;
    for (listed, answers) in [
        (&[][..], [errno(1), 0, 0]),
        (&ALL_THREE[..1], [errno(1), 0, 0]),
        (&ALL_THREE[1..2], [errno(1), errno(1), 0]),
        (&["SCMP_ARCH_S390X", "SCMP_ARCH_ARM"], [errno(1), 0, 0]),
        (&ALL_THREE, [errno(1); 3]),
    ] {
        let program = with(listed);
        let calls = [(X86_64, 39), (X86, 20), (X86_64, x32 | 39)];
        assert_eq!(calls.map(|(audit, number)| answer_to(&program, audit, number, &[])), answers, "{listed:?}");
        assert_eq!(answer_to(&program, X86_64, 40, &[]), ALLOW);
        // aarch64's, whoever may have sent it.
        assert_eq!(answer_to(&program, 0xc000_00b7, 39, &[]), KILL_THREAD);
    }
    // x32 has numbers of its own: execve.
    let rules = [rule(&["execve"], "SCMP_ACT_ERRNO", json!([]))];
    let program = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ALL_THREE, "syscalls": rules});
    let program = compile(&program).unwrap();
    assert_eq!(answer_to(&program, X86_64, x32 | 520, &[]), errno(1));
    assert_eq!(answer_to(&program, X86_64, x32 | 59, &[]), ALLOW);
}

#[test]
fn calls_that_the_profile_cannot_know_do_not_exist() {
    let with = |default: Json, listed: &[&str], name: &str| {
        let mut profile =
            json!({"architectures": listed, "syscalls": [rule(&["read", name], "SCMP_ACT_ALLOW", json!([]))]});
        profile.as_object_mut().unwrap().extend(default.as_object().unwrap().clone());
        compile(&profile).unwrap()
    };
    let program = with(json!({"defaultAction": "SCMP_ACT_ERRNO"}), &ALL_THREE, "statx"); // 332, 383
    let x32 = X32_BIT;
    for (audit, number, expected) in [
        (X86_64, 0, ALLOW),
        (X86_64, 1, errno(1)),
        (X86_64, 331, errno(1)),
        (X86_64, 333, errno(ENOSYS)),
        (X86_64, x32 - 1, errno(ENOSYS)),
        (X86_64, x32 | 331, errno(1)),
        (X86_64, x32 | 333, errno(ENOSYS)),
        (X86_64, u32::MAX, errno(ENOSYS)),
        (X86, 382, errno(1)),
        (X86, 384, errno(ENOSYS)),
    ] {
        assert_eq!(answer_to(&program, audit, number, &[]), expected, "{audit:#x} {number}");
    }
    let one = &ALL_THREE[..1];
    // Not where the profile lists no architecture, nor where x32 is closed.
    let program = with(json!({"defaultAction": "SCMP_ACT_ERRNO"}), &[], "statx");
    assert_eq!(answer_to(&program, X86_64, 5000, &[]), errno(1));
    let program = with(json!({"defaultAction": "SCMP_ACT_KILL"}), one, "statx");
    assert_eq!(answer_to(&program, X86_64, 5000, &[]), errno(ENOSYS));
    assert_eq!(answer_to(&program, X86_64, x32 | 5000, &[]), KILL_THREAD);
    assert_eq!(answer_to(&program, X86_64, u32::MAX, &[]), KILL_THREAD);
    // A profile of 5 says 5 of what it knows.
    let program = with(json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5}), one, "statx");
    assert_eq!(answer_to(&program, X86_64, 331, &[]), errno(5));
    assert_eq!(answer_to(&program, X86_64, 5000, &[]), errno(ENOSYS));
    // What lets calls through lets these through.
    for (action, expected) in [("SCMP_ACT_LOG", LOG), ("SCMP_ACT_TRACE", TRACE | 1)] {
        let program = with(json!({"defaultAction": action}), one, "statx");
        assert_eq!(answer_to(&program, X86_64, 5000, &[]), expected);
    }
}

#[test]
fn multiplexed_calls_of_x86() {
    let rules = [rule(&["socket"], "SCMP_ACT_ALLOW", json!([])), rule(&["shmat"], "SCMP_ACT_ALLOW", json!([]))];
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ALL_THREE, "syscalls": rules});
    let program = compile(&profile).unwrap();
    for (number, first, expected) in
        [(359, 0, ALLOW), (102, 1, ALLOW), (102, 2, errno(1)), (117, 21, ALLOW), (117, 22, errno(1)), (397, 0, ALLOW)]
    {
        assert_eq!(answer_to(&program, X86, number, &[first]), expected, "{number} {first}");
    }
}

#[test]
fn unknown_calls_are_left_out() {
    let long = "x".repeat(5000);
    let rules = [rule(&["no_such_call", &long, "getpid"], "SCMP_ACT_ERRNO", json!([]))];
    let program = compile(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})).unwrap();
    assert_eq!(answer_to(&program, X86_64, 39, &[]), errno(1));
}

#[test]
fn what_cannot_be_carried_out_is_an_error() {
    let notify = |rest: Json| {
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/l"});
        profile["syscalls"] = json!([rule(&["getppid"], "SCMP_ACT_NOTIFY", json!([]))]);
        for (name, value) in rest.as_object().unwrap() {
            profile[name] = value.clone();
        }
        profile
    };
    let read =
        |action: &str| json!([rule(&["read"], action, json!([])), rule(&["getppid"], "SCMP_ACT_NOTIFY", json!([]))]);
    let many: Vec<_> =
        (0..2000).map(|value| rule(&["read"], "SCMP_ACT_ERRNO", json!([argument(0, "GE", value, 0)]))).collect();
    let answers: Vec<_> = (0..300)
        .map(|value| json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": value, "args": [argument(0, "EQ", value, 0)]}))
        .collect();
    for (profile, expected) in [
        (notify(json!({"defaultAction": "SCMP_ACT_NOTIFY"})), "SCMP_ACT_NOTIFY cannot be used as default action"),
        (notify(json!({"syscalls": [rule(&["write"], "SCMP_ACT_NOTIFY", json!([]))]})), "cannot be used for the write"),
        (notify(json!({"listenerPath": ""})), "needs \"listenerPath\""),
        (
            notify(json!({"syscalls": [rule(&["sendmsg"], "SCMP_ACT_NOTIFY", json!([]))]})),
            "needs sendmsg to be allowed",
        ),
        (notify(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": read("SCMP_ACT_ALLOW")})), "needs sendmsg to be"),
        (json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}), "no such errno"),
        (json!({"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65536}), "no such errno"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(&["read"], "SCMP_ACT_ERRNO", json!([argument(6, "EQ", 0, 0)]))]}),
            "syscalls[0].args[0]: a call has arguments 0 to 5",
        ),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": many}), "limit of 4096 instructions"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": answers}), "limit of"),
    ] {
        let said = compile(&profile).expect_err(expected);
        assert!(said.contains(expected), "{said}");
    }
    compile(&notify(json!({}))).unwrap();
    compile(&notify(json!({"defaultAction": "SCMP_ACT_LOG"}))).unwrap();
}

#[test]
fn flags_for_the_kernel() {
    let of = |flags: Option<&[&str]>, notifies: bool| {
        let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW"});
        if let Some(flags) = flags {
            profile["flags"] = flags.iter().map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}")).collect();
        }
        let text = profile.to_string();
        let document = Document::of("config.json", text.as_bytes()).unwrap();
        super::flags(&Seccomp::view(document.root()), notifies)
    };
    let all = &["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"][..];
    assert_eq!([of(None, false), of(Some(&[]), false), of(Some(all), false)], [4, 0, 7]);
    assert_eq!([of(None, true), of(Some(&[]), true), of(Some(all), true)], [12, 8, 2 | 4 | 8 | 32]);
}
