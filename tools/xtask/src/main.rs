//! The developers' commands. `cargo xtask` lists them.

mod bench;
mod boot_bench;
mod check;
mod demo;
mod dist;
mod engines;
mod shell;
mod sizes;
mod syscalls;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The developers' commands of ocinit")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the shipped, stripped binary: dist/ocinit
    Dist,
    /// Build dist/ocinit-panics, which does so on purpose: for the tests of what follows
    Panics,
    /// Verify what can be seen without running a container: floors, style, size, the ELF file, stack depth
    Check,
    /// Where the bytes of the shipped binary are
    Size,
    /// Write docs/fields.md: each field of the specification and the tests that prove it
    Fields,
    /// Run a container that shows itself (needs root)
    Demo,
    /// All checks and all tests (needs root)
    Test {
        /// Only the system tests and guests (`vm/…`) whose name contains this
        filter: Option<String>,
    },
    /// Size, memory, system calls and latency beside crun, runc and a bare baseline (needs root)
    Bench(bench::Arguments),
    /// podman and docker, where they are installed, with runc and with ocinit (needs root)
    Engines {
        /// Only the cases whose name contains this
        filter: Option<String>,
    },
    /// Write the tables of system calls anew, from the kernel's headers
    Syscalls,
    /// Kill a runtime at every one of its system calls and look at what is left (needs root)
    Kill {
        /// Arguments of the killer; `--help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Dist => dist::dist().map(|_| ()),
        Command::Panics => dist::panicking(),
        Command::Check => check::check(),
        Command::Size => sizes::print(),
        Command::Fields => check::fields::write(),
        Command::Demo => demo::demo(),
        Command::Test { filter } => test::test(filter.as_deref()),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Engines { filter } => engines::engines(filter.as_deref()),
        Command::Syscalls => syscalls::write(),
        Command::Kill { arguments } => test::kill(&arguments),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
