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
    Pack(Box<ociboot::pack::cli::Arguments>),
    Run(Box<ociboot::run::cli::Arguments>),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // `run` has the statuses of its command: 2 might be one.
            let run = std::env::args_os().nth(1).is_some_and(|word| word == "run");
            let status = if run { 125 } else { 2 };
            return if error.use_stderr() { ExitCode::from(status) } else { ExitCode::SUCCESS };
        }
    };
    let result = ociboot::signals::take().and_then(|()| match cli.command {
        Command::Pack(arguments) => arguments.run(),
        Command::Run(arguments) => arguments.run(),
    });
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("ociboot: {error:#}");
            ExitCode::FAILURE
        }
    }
}
