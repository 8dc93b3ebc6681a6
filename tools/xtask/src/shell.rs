//! Running other programs, and what they need to be there.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The workspace's top folder. As cargo says when it runs this program: the one
/// that it was built in may be a copy of another place.
pub fn top() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    own.ancestors().nth(2).expect("tools/xtask is two levels down").to_owned()
}

/// Cargo, as it runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(top());
    command
}

/// Where cargo leaves what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| top().join("target"), PathBuf::from)
}

/// The command as a person would type it.
pub fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs it to its end; a failure is an error that shows the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", line(command)))?;
    ensure!(status.success(), "`{}` failed: {status}", line(command));
    Ok(())
}

/// Runs it and returns its standard output; a failure shows what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run `{}`", line(command)))?;
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    ensure!(
        output.status.success(),
        "`{}` failed: {}\n{}",
        line(command),
        output.status,
        String::from_utf8_lossy(&both).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether this process is root: the real thing, by its effective user id.
pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    })
}

/// An error that says how to become root, unless this is root.
pub fn need_root(command: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "`cargo xtask {command}` makes containers, which needs root. Run it as root:\n  \
         sudo -E env \"PATH=$PATH\" cargo xtask {command}\n\
         or in a container or virtual machine where you are root."
    )
}

/// Where the program of this name is: in PATH, or where root's are.
pub fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
        .with_context(|| format!("there is no {program} here"))
}

pub fn have(program: &str) -> bool {
    find(program).is_ok()
}

/// Installs the Debian packages of those programs that are missing. Pairs of
/// program and package.
pub fn install(programs: &[(&str, &str)]) -> Result<()> {
    let mut packages: Vec<&str> =
        programs.iter().filter(|(program, _)| !have(program)).map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    ensure!(
        have("apt-get"),
        "missing: {}. Install them with your distribution's package manager (names as in Debian)",
        packages.join(" ")
    );
    println!("installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
        // apt's own progress is of no interest unless it fails.
        output(&mut command).map(|_| ())
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&packages);
    // A fresh image has no package lists yet; a used one may have old ones.
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))
}
