//! Kills a container runtime at every one of its system calls.
//!
//! Run n of a command kills the task that makes the n-th system call, counted
//! over all tasks of the runtime together, before that call has an effect.
//! Then `delete --force` runs, as an engine would run it, and nothing may be
//! left: no process, no cgroup, no mount, no state. A task that has become the
//! user's program is not the runtime any more: it is let go.

mod process;
mod remains;
mod scenario;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Parser;

use scenario::{Figure, SCENARIOS, Scenario};

#[derive(Parser)]
#[command(name = "killer", about = "Kills a container runtime at every one of its system calls in turn")]
struct Arguments {
    /// The runtime
    #[arg(long)]
    runtime: PathBuf,
    /// Another runtime, for comparison: a sample of its calls, its figure beside ours
    #[arg(long)]
    beside: Vec<PathBuf>,
    /// Only these commands; all by default
    #[arg(long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
    /// Only so many calls of each command, evenly spread
    #[arg(long)]
    sample: Option<u64>,
    /// Only so many of each command of the runtimes beside
    #[arg(long, default_value_t = 100)]
    beside_sample: u64,
    /// Only this call: what happens then is shown
    #[arg(long)]
    index: Option<u64>,
    /// In the host's own view of the cgroups, and not in a mount namespace with cgroup v2 alone
    #[arg(long)]
    host_view: bool,
}

/// Set in the process that already has its own view of the cgroups.
const VIEW: &str = "KILLER_HAS_PRIVATE_CGROUPS";

fn main() {
    match run(&Arguments::parse()) {
        Ok(true) => {}
        Ok(false) => std::process::exit(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(2);
        }
    }
}

/// True if the runtime (not those beside it) left nothing, whatever the command.
fn run(arguments: &Arguments) -> Result<bool> {
    if !arguments.host_view && std::env::var_os(VIEW).is_none() {
        let [program, rest @ ..] = bundle::PRIVATE_CGROUP2;
        let error = Command::new(program)
            .args(rest)
            .arg(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(VIEW, "1")
            .exec();
        return Err(error).context("cannot run unshare(1)");
    }
    let scenarios = chosen(&arguments.commands)?;
    // Containers outlive their runtime: their end is ours to see, as an engine's shim does.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let mut runtimes = vec![(arguments.runtime.as_path(), arguments.sample)];
    runtimes.extend(arguments.beside.iter().map(|runtime| (runtime.as_path(), Some(arguments.beside_sample))));
    let mut table = Vec::new();
    for (runtime, sample) in runtimes {
        // A thread each: what one runtime needs is not inherited by the next.
        let all = || every_command(runtime, &scenarios, sample, arguments.index);
        let figures = std::thread::scope(|scope| scope.spawn(all).join());
        table.push((name(runtime), figures.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?));
    }
    print_table(&scenarios, &table);
    Ok(table
        .first()
        .is_some_and(|(_, figures)| figures.iter().all(|figure| figure.as_ref().is_some_and(Figure::clean))))
}

fn every_command(
    runtime: &Path,
    scenarios: &[&Scenario],
    sample: Option<u64>,
    index: Option<u64>,
) -> Result<Vec<Option<Figure>>> {
    bundle::peers::help(runtime)?;
    let mut figures = Vec::new();
    for scenario in scenarios {
        let figure = scenario::kill_everywhere(runtime, scenario, sample, index);
        match &figure {
            Ok(figure) => println!("{}, {}: {figure}", name(runtime), scenario.name),
            // The others may work all the same.
            Err(error) => println!("{}, {}: cannot be tried: {error:#}", name(runtime), scenario.name),
        }
        figures.push(figure.ok());
    }
    Ok(figures)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| SCENARIOS.iter().all(|scenario| scenario.name != **name)) {
        let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        bail!("there is no command {unknown:?}; there are: {}", known.join(", "));
    }
    Ok(SCENARIOS.iter().filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name)).collect())
}

fn name(runtime: &Path) -> String {
    runtime.file_name().unwrap_or(runtime.as_os_str()).to_string_lossy().into_owned()
}

/// Kills that left something, of the kills that were made.
fn print_table(scenarios: &[&Scenario], table: &[(String, Vec<Option<Figure>>)]) {
    println!("\nkills after which something was left, of all kills:");
    print!("{:<16}", "");
    table.iter().for_each(|(name, _)| print!("{name:>16}"));
    println!();
    for (row, scenario) in scenarios.iter().enumerate() {
        print!("{:<16}", scenario.name);
        for (_, figures) in table {
            let figure = figures[row].as_ref();
            print!("{:>16}", figure.map_or("-".into(), |figure| format!("{} of {}", figure.bad(), figure.kills)));
        }
        println!();
    }
}
