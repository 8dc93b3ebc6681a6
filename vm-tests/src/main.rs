//! Cases that boot a kernel. Each makes an image, boots it by ociboot's library
//! or its command, and holds the outcome against what it must be: on each machine
//! that ociboot has, as `vm/MACHINE/group/case`.
//!
//! The kernel is the one of `--kernel`, else Debian's 6.1 from the user's cache.

#[macro_use]
mod case;
mod cases;
mod context;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use ociboot::run::machine::Machine;

use case::{Case, Skip};
use context::{Context, Setup, name};

/// The shipped binary as the init of guests
#[derive(Parser)]
struct Options {
    /// Only cases whose name holds one of these
    filter: Vec<String>,
    /// The binary under test [default: dist/ocinit]
    #[arg(long, default_value = "dist/ocinit")]
    ocinit: PathBuf,
    /// The kernel [default: Debian's 6.1, fetched into the cache folder]
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// Print the names of the cases and stop
    #[arg(long)]
    list: bool,
    /// Print how long each case took
    #[arg(long)]
    times: bool,
    /// So many guests at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vm-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Passed, failed, skipped.
#[derive(Default)]
struct Count([usize; 3]);

fn run(options: &Options) -> Result<bool> {
    let named = |machine| cases::all().map(move |case| (format!("vm/{}/{}", name(machine), case.name), case, machine));
    let wanted = |name: &str| options.filter.is_empty() || options.filter.iter().any(|part| name.contains(part));
    let chosen: Vec<(String, &Case, Machine)> =
        [Machine::Q35, Machine::Microvm].into_iter().flat_map(named).filter(|(name, ..)| wanted(name)).collect();
    if options.list {
        chosen.iter().for_each(|(name, ..)| println!("{name}"));
        return Ok(true);
    }
    let count = Mutex::new(Count::default());
    if !chosen.is_empty() {
        let ocinit = std::fs::canonicalize(&options.ocinit)
            .with_context(|| format!("there is no {}: `cargo xtask dist` makes it", options.ocinit.display()))?;
        let setup = Setup::new(ocinit, options.kernel.as_deref());
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..options.jobs.max(1) {
                scope.spawn(|| {
                    while let Some((name, case, machine)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let begin = Instant::now();
                        let result = one(case, *machine, &setup);
                        let time = options.times.then(|| format!(" ({} ms)", begin.elapsed().as_millis()));
                        report(&count, &format!("{name}{}", time.unwrap_or_default()), result);
                    }
                });
            }
        });
    }
    let [passed, failed, skipped] = count.into_inner().unwrap_or_else(|error| error.into_inner()).0;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// One case, in a folder of its own.
fn one(case: &Case, machine: Machine, setup: &Result<Setup>) -> Result<()> {
    let setup = setup.as_ref().map_err(|why| Skip(format!("{why:#}")))?;
    let folder = tempfile::Builder::new().prefix("vm-tests-").tempdir()?;
    let context = Context { setup, folder: folder.path(), machine };
    let run = std::panic::AssertUnwindSafe(|| (case.run)(&context));
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err(anyhow::anyhow!("the case itself panicked")))
}

fn report(count: &Mutex<Count>, name: &str, result: Result<()>) {
    let mut count = count.lock().unwrap_or_else(|error| error.into_inner());
    let line = |why: &str| why.replace('\n', " | ");
    let index = match result {
        Ok(()) => {
            println!("ok {name}");
            0
        }
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(Skip(why)) => {
                println!("skipped {name}: {}", line(why));
                2
            }
            None => {
                println!("FAILED {name}: {}", line(&format!("{error:#}")));
                1
            }
        },
    };
    count.0[index] += 1;
}
