//! `test`: all checks and all tests, and one line at the end that sums them up.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, install, line, need_root, run, target};
use crate::{check, dist};

/// Programs that the checks and tests use, and their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("crun", "crun"),
    ("git", "git"),
    ("mksquashfs", "squashfs-tools"),
    ("newuidmap", "uidmap"),
    ("objcopy", "binutils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("runc", "runc"),
    ("scmp_sys_resolver", "seccomp"), // brings libseccomp along, which filters are compared with
    ("skopeo", "skopeo"),
    ("strace", "strace"),
    ("tmux", "tmux"),
    ("umoci", "umoci"),
    ("unshare", "util-linux"),
];

/// How many tests ended how.
#[derive(Default, Debug, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// From a line of cargo's test harness ("test result: ok. 3 passed; 0
    /// failed; 1 ignored; …") or of our own ("3 passed, 0 failed, 1 skipped").
    fn from_line(line: &str) -> Option<Tally> {
        let line = line.trim();
        let counts = match line.strip_prefix("test result:") {
            Some(rest) => rest.split_once(". ")?.1,
            None => line,
        };
        let (mut tally, mut fields) = (Tally::default(), 0);
        for part in counts.split([',', ';']) {
            let mut words = part.split_whitespace();
            let (count, word) = (words.next()?, words.next().unwrap_or(""));
            let place = match word {
                "passed" => &mut tally.passed,
                "failed" => &mut tally.failed,
                "skipped" | "ignored" => &mut tally.skipped,
                // cargo goes on with "measured", "filtered out", "finished in".
                _ => continue,
            };
            *place = count.parse().ok()?;
            fields += 1;
        }
        (fields == 3).then_some(tally)
    }
}

pub fn test(filter: Option<&str>) -> Result<()> {
    need_root("test")?;
    install(PROGRAMS)?;
    let (mut total, mut complete) = (Tally::default(), true);

    println!("== host tests");
    for part in check::TESTED {
        complete &= tally(cargo().args(["test", "--quiet"]).args(*part).args(["--", "--show-output"]), &mut total);
    }

    println!("== checks");
    for (name, result) in check::all()? {
        match &result {
            Ok(check::Verdict::Passed(_)) => total.passed += 1,
            Ok(check::Verdict::Skipped(_)) => total.skipped += 1,
            Err(_) => total.failed += 1,
        }
        check::print(name, &result);
    }

    println!("== system tests");
    dist::panicking()?;
    let (ocinit, _) = dist::dist()?;
    run(cargo().args(["build", "--quiet", "--profile", "tools", "--package", "system-tests"]))?;
    let mut command = Command::new(target().join("tools/system-tests"));
    command.args(filter);
    complete &= tally(&mut command, &mut total);

    println!("== guests");
    run(cargo().args(["build", "--quiet", "--profile", "tools", "--package", "ociboot", "--package", "vm-tests"]))?;
    let mut command = Command::new(target().join("tools/vm-tests"));
    command.arg("--ocinit").arg(&ocinit).args(filter);
    complete &= tally(&mut command, &mut total);

    println!("total: {} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed > 0 || !complete {
        bail!("not all passed")
    }
    Ok(())
}

/// Runs it, shows what it prints and adds up its tallies; false if it failed
/// without saying that a test did.
fn tally(command: &mut Command, total: &mut Tally) -> bool {
    let (mut sum, mut skipped) = (Tally::default(), 0);
    let mut run = |sum: &mut Tally| -> Result<bool> {
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run `{}`", line(command)))?;
        for text in BufReader::new(child.stdout.take().context("its output is a pipe")?).lines() {
            let text = text?;
            println!("{text}");
            // cargo's harness takes a test for passed that says so and returns.
            skipped += u64::from(text.starts_with("skipped: "));
            if let Some(tally) = Tally::from_line(&text) {
                sum.add(&tally);
            }
        }
        Ok(child.wait()?.success())
    };
    let result = run(&mut sum);
    if let Err(error) = &result {
        println!("error: {error:#}");
    }
    sum.passed = sum.passed.saturating_sub(skipped);
    sum.skipped += skipped;
    let success = matches!(result, Ok(true));
    if !success && sum.failed == 0 {
        // It could not be built, or was killed: that counts as a failure too.
        sum.failed = 1;
    }
    total.add(&sum);
    success
}

/// `kill`: the killer, with these arguments.
pub fn kill(arguments: &[String]) -> Result<()> {
    need_root("kill")?;
    install(&[("busybox", "busybox-static"), ("objcopy", "binutils"), ("unshare", "util-linux")])?;
    let (ocinit, _) = dist::dist()?;
    run(cargo().args(["build", "--quiet", "--profile", "tools", "--package", "killer"]))?;
    let mut command = Command::new(target().join("tools/killer"));
    if !arguments.iter().any(|argument| argument.starts_with("--runtime")) {
        command.arg("--runtime").arg(ocinit);
    }
    run(command.args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies() {
        let tally = |passed, failed, skipped| Some(Tally { passed, failed, skipped });
        for (line, expected) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                tally(3, 0, 1),
            ),
            (
                "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s",
                tally(3, 2, 0),
            ),
            ("41 passed, 2 failed, 5 skipped", tally(41, 2, 5)),
            ("total: 41 passed, 2 failed", None),
            ("running 3 tests", None),
            ("", None),
        ] {
            assert_eq!(Tally::from_line(line), expected, "{line}");
        }
    }
}
