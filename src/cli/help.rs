//! The texts of `--help` and `--version`, written from the table of commands.

use core::fmt::{self, Write};

use crate::bytes::Printed;
use crate::spec::version;

use super::commands::{COMMANDS, Command, Flag, FlagRow, GLOBAL, LATER_TEXT};

/// What `--version` prints. Engines read the first line's last word, and the
/// lines that begin with `commit:` and `spec:`.
pub fn version(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "ocinit version {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "commit: {}", env!("OCINIT_COMMIT"))?;
    writeln!(out, "spec: {}", version::MOST)
}

/// The help of the program as a whole.
pub fn overall(out: &mut dyn Write) -> fmt::Result {
    out.write_str("ocinit runs OCI containers: folders with a config.json and a root file system.\n\n")?;
    out.write_str("usage: ocinit [flags] COMMAND [flags] [ID] …\n\ncommands:\n")?;
    for command in COMMANDS {
        entry(out, format_args!("{}", command.name), command.about)?;
    }
    out.write_str("\nflags before the command:\n")?;
    flags(out, GLOBAL)?;
    out.write_str("\n`ocinit help COMMAND` explains one command.\nnot supported by this version:")?;
    out.write_str(LATER_TEXT)?;
    out.write_str("\n")
}

/// The help of one command.
pub fn command(out: &mut dyn Write, command: &Command) -> fmt::Result {
    let space = if command.words.is_empty() { "" } else { " " };
    writeln!(out, "ocinit {}: {}.\n", command.name, command.about)?;
    writeln!(out, "usage: ocinit {} [flags]{space}{}\n\nflags:", command.name, command.words)?;
    flags(out, command.flags)
}

fn flags(out: &mut dyn Write, flags: &[Flag]) -> fmt::Result {
    for flag in flags.iter().chain(&[Flag::Help]) {
        let row = flag.row();
        entry(out, format_args!("{}", Names(&row)), row.about)?;
    }
    Ok(())
}

/// How a flag is written: `-b, --bundle DIR`.
struct Names<'a>(&'a FlagRow);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.short {
            "" => f.write_str("    ")?,
            short => write!(f, "-{short}, ")?,
        }
        let space = if self.0.value.is_empty() { "" } else { " " };
        write!(f, "--{}{space}{}", self.0.long, self.0.value)
    }
}

/// A line of two columns; what is too wide for the first gets a line of its own.
fn entry(out: &mut dyn Write, name: fmt::Arguments<'_>, about: &str) -> fmt::Result {
    const WIDTH: usize = 30;
    let line = Printed::<128>::of(name);
    let mut name = line.as_str();
    if name.len() > WIDTH {
        writeln!(out, "  {name}")?;
        name = "";
    }
    writeln!(out, "  {name:WIDTH$}  {about}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn what_engines_read_of_the_version() {
        let mut text = String::new();
        version(&mut text).unwrap();
        let lines: std::vec::Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("ocinit version ") && lines[0].split(' ').count() == 3);
        assert!(lines[1].starts_with("commit: "));
        assert_eq!(lines[2], "spec: 1.3.0");
    }

    #[test]
    fn every_command_and_flag_is_explained_in_lines_of_a_terminal() {
        let mut all = String::new();
        overall(&mut all).unwrap();
        for each in COMMANDS {
            let mut text = String::new();
            command(&mut text, each).unwrap();
            assert!(all.contains(each.name), "{}", each.name);
            for flag in each.flags {
                assert!(text.contains(&std::format!("--{}", flag.row().long)), "{} {}", each.name, flag.row().long);
            }
            assert!(text.contains("-h, --help"));
            all.push_str(&text);
        }
        for line in all.lines() {
            assert!(line.chars().count() <= 120, "{line}");
        }
    }
}
