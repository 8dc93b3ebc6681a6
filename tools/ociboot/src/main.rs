//! `ociboot`: the command line; see the library for what it does.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Packs bundles and container images with ocinit as their init, and boots them
#[derive(Parser)]
#[command(name = "ociboot", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Pack(ociboot::pack::cli::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pack(arguments) => arguments.run(),
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("ociboot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
