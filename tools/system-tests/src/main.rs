//! `system-tests`: see the library for what it is, `--help` for how to call it.

use std::process::ExitCode;

use clap::Parser;
use system_tests::harness::{self, Options};
use system_tests::helper;

fn main() -> ExitCode {
    // Two hidden forms, which the harness itself starts.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(|word| word.to_str()) {
        Some("--one") => return harness::one(words),
        Some("--helper") => return helper::main(words),
        _ => {}
    }
    match harness::main(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("system-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}
