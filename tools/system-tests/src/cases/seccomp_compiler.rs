//! The compiler of seccomp profiles, beside libseccomp: what the programs answer,
//! how long they are, how many instructions a call takes, and how long compiling
//! takes. libseccomp is asked as runc asks it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use filters::interpreter::{Call, Instruction, check, run};
use filters::libseccomp::Libseccomp;
use filters::model::{Model, Table, is_unknown, rules_for, unknown};
use filters::random::{Random, VALUES, profile};
use ocinit::json::{Document, Extents};
use ocinit::seccomp::SeccompFilter;
use ocinit::spec::record::{Shape, Strictness, check as check_form};
use ocinit::spec::seccomp::Seccomp;
use serde_json::Value;

use super::comparison::ENGINES;
use crate::case::Need;
use crate::context::Context;

cases!("seccomp_compiler":
    the_same_answers_as_libseccomp [Need::Host, Need::Libseccomp],
    fewer_instructions_than_libseccomp [Need::Host, Need::Libseccomp],
    no_call_takes_more_instructions [Need::Host, Need::Libseccomp],
    compiles_in_200_microseconds [Need::Host],
    the_same_numbers_as_libseccomp [Need::Host, Need::Libseccomp],
);

/// The names and numbers that are compiled into the program.
const TABLE: &str = include_str!("../../../../src/seccomp/syscalls/x86_64.txt");

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;
const ALLOW: u32 = 0x7fff_0000;
const ENOSYS: u32 = 0x5_0026;

fn libseccomp() -> Result<Libseccomp> {
    Libseccomp::open().context("libseccomp is gone")
}

/// The shipped compiler's program for a profile.
fn compile(profile: &Value) -> Result<Vec<Instruction>> {
    let mut filter = Box::new(SeccompFilter::new());
    compile_text(&mut filter, profile.to_string().as_bytes())?;
    let program: Vec<_> = filter.instructions().iter().map(|word| Instruction::from_word(*word)).collect();
    check(&program)?;
    Ok(program)
}

fn compile_text(filter: &mut SeccompFilter, text: &[u8]) -> Result<Duration> {
    let mut extents = Extents::new();
    let document = Document::parse("config.json", text, &mut extents).map_err(|error| anyhow::anyhow!("{error}"))?;
    check_form(document.root(), &<Seccomp<'static> as Shape>::FORM, Strictness::Supported)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let start = Instant::now();
    filter.compile(&Seccomp::view(document.root())).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(start.elapsed())
}

/// The engines' profiles.
fn engines() -> Result<Vec<(&'static str, Value)>> {
    ENGINES
        .iter()
        .map(|(name, text)| {
            let config: Value = serde_json::from_str(text)?;
            Ok((*name, config["linux"]["seccomp"].clone()))
        })
        .collect()
}

/// Calls of all architectures.
fn numbers() -> impl Iterator<Item = (u32, u32)> {
    let of = |architecture, from: u32| (0..560).map(move |number| (architecture, from | number));
    let ends =
        [(X86_64, X32_BIT - 1), (X86_64, u32::MAX), (X86_64, 5000), (X86, X32_BIT), (X86, u32::MAX), (0xc000_00b7, 0)];
    of(X86_64, 0).chain(of(X86, 0)).chain(of(X86_64, X32_BIT)).chain(ends)
}

fn the_same_answers_as_libseccomp(_: &Context) -> Result<()> {
    const PROFILES: u64 = 400;
    let library = libseccomp()?;
    let table = Table::read(TABLE);
    let mut known: Vec<String> = table.names().map(str::to_owned).collect();
    // What is newer than libseccomp.
    known.retain(|name| library.number(X86_64, name).is_ok_and(|number| number != -1 && number < 440));
    ensure!(known.len() > 350, "only {} calls known to libseccomp", known.len());
    let (mut compared, mut same, mut different) = (0, 0u64, 0u64);
    for seed in 0..PROFILES {
        let mut random = Random(seed);
        let profile = profile(&mut random, &known);
        // It refuses a rule that contradicts another.
        let Ok(theirs) = library.compile(&profile, false) else { continue };
        let ours = compile(&profile).with_context(|| format!("profile {seed}"))?;
        compared += 1;
        let (model, unknown) = (Model::new(&profile, &table)?, unknown(&profile, &table));
        for (architecture, number) in numbers() {
            for _ in 0..4 {
                let mut arguments = [0; 6].map(|_: u64| *random.one(&VALUES));
                if random.below(4) == 0 {
                    arguments[0] = random.below(26) as u64; // a function of ipc and socketcall
                }
                let call = Call { architecture, number, arguments };
                let (ours, _) = run(&ours, &call)?;
                let is_unknown = is_unknown(&unknown, &call);
                let (theirs, expected) = match is_unknown {
                    true => (ENOSYS, ENOSYS),
                    false => (run(&theirs, &call)?.0, model.answer(&call).answer),
                };
                let what = || {
                    let (rules, default) = (rules_for(&profile, &call, &table), &profile["defaultAction"]);
                    format!("profile {seed}: {call:x?}: {ours:#x}, libseccomp {theirs:#x}: {default}, {rules:?}")
                };
                ensure!(ours == expected, "{}: should be {expected:#x}", what());
                ensure!(ours == theirs || !model.answer(&call).simple, "{}", what());
                *(if ours == theirs { &mut same } else { &mut different }) += 1;
            }
        }
    }
    ensure!(compared > PROFILES / 2, "only {compared} profiles were compared");
    ensure!(different < same / 1000, "{different} answers are not libseccomp's, {same} are");
    Ok(())
}

fn fewer_instructions_than_libseccomp(_: &Context) -> Result<()> {
    let library = libseccomp()?;
    for (name, profile) in engines()? {
        let ours = compile(&profile)?.len();
        let theirs = [false, true].map(|optimize| library.compile(&profile, optimize).map(|program| program.len()));
        let [plain, tree] = theirs;
        let (plain, tree) = (plain?, tree?);
        println!("     {name}: {ours} instructions, libseccomp {plain}, with a binary tree {tree}");
        ensure!(ours < plain.min(tree), "{name}: {ours} instructions, libseccomp {plain}, with a binary tree {tree}");
    }
    Ok(())
}

fn no_call_takes_more_instructions(_: &Context) -> Result<()> {
    let library = libseccomp()?;
    let mut random = Random(2);
    for (name, profile) in engines()? {
        let (ours, theirs) = (compile(&profile)?, library.compile(&profile, true)?);
        let (mut most, mut sums, mut allowed, mut longer) = (0, (0, 0), 0, Vec::new());
        for (architecture, number) in numbers() {
            for round in 0..8 {
                // Without arguments first, which most rules about them let through.
                let arguments = [0; 6].map(|_: u64| if round == 0 { 0 } else { *random.one(&VALUES) });
                let call = Call { architecture, number, arguments };
                let (answer, count) = run(&ours, &call)?;
                let (their_answer, their_count) = run(&theirs, &call)?;
                if answer != ALLOW {
                    continue;
                }
                ensure!(their_answer == ALLOW, "{name}: {call:x?} is allowed, by libseccomp it is not");
                if count > their_count {
                    longer.push(format!("{architecture:x}/{number:x}: {count}/{their_count}"));
                }
                most = most.max(count);
                sums = (sums.0 + count, sums.1 + their_count);
                allowed += 1;
            }
        }
        ensure!(
            longer.is_empty(),
            "{name}: {} calls take more than with libseccomp: {}",
            longer.len(),
            longer.join(" ")
        );
        ensure!(allowed > 2000, "{name}: only {allowed} calls are allowed");
        println!(
            "     {name}: {:.1} instructions a call, at most {most}; libseccomp {:.1}",
            sums.0 as f64 / f64::from(allowed),
            sums.1 as f64 / f64::from(allowed)
        );
    }
    Ok(())
}

fn compiles_in_200_microseconds(_: &Context) -> Result<()> {
    let mut filter = Box::new(SeccompFilter::new());
    for (name, profile) in engines()? {
        let text = profile.to_string();
        // The best of some: others are at work on this machine too, or on the one that
        // it is a part of, for seconds at a time.
        let limit = Duration::from_micros(200);
        let (mut best, end) = (Duration::MAX, Instant::now() + Duration::from_secs(10));
        for run in 0.. {
            best = best.min(compile_text(&mut filter, text.as_bytes())?);
            if run >= 200 && (best < limit || Instant::now() > end) {
                break;
            }
        }
        println!("     {name}: {best:?}");
        ensure!(best < limit, "{name}: {best:?}");
    }
    Ok(())
}

fn the_same_numbers_as_libseccomp(_: &Context) -> Result<()> {
    let library = libseccomp()?;
    let mut compared = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        for (field, architecture) in [(1, X86_64), (2, X86), (3, X86_64 & !0x8000_0000)] {
            let theirs = library.number(architecture, fields[0])?;
            // Unknown to it, or multiplexed, for which it has numbers of its own.
            if theirs < 0 {
                continue;
            }
            compared += 1;
            let theirs = (theirs as u32 & !X32_BIT).to_string();
            ensure!(fields[field] == theirs, "{line}: libseccomp says {theirs} on {architecture:#x}");
        }
    }
    ensure!(compared > 1000, "only {compared} numbers were compared");
    Ok(())
}
