//! The command line, as the table of commands describes it.
//!
//! Nothing is stored: the kernel's argument vector is walked again for each
//! question, so a line of any length costs no memory. Written as Go's flag
//! package takes them, since engines do: one dash or two, `--flag=value` or
//! `--flag value`, switches with or without `=true`, `--` ends the flags.
//!
//! Where the arguments come from is not known here.

use core::ffi::CStr;

use super::commands::{self, COMMANDS, Command, Flag, GLOBAL, LATER, MANY, Takes, Task};
use crate::bytes;
use crate::error::{Lossy, Result};
use crate::{fail, words};

/// A command line: the program's arguments, its own name not among them.
#[derive(Clone)]
pub struct Invocation<I> {
    arguments: I,
}

/// What a command line asks for, once it is known to be right.
pub enum Request {
    /// The help of the program, or of one command.
    Help(Option<&'static Command>),
    Version,
    Carry(&'static Command),
}

/// One thing on a command line.
#[derive(Clone, Copy)]
enum Item {
    /// A switch and how it is set.
    Switch(Flag, bool),
    /// A flag and its value.
    Value(Flag, &'static CStr),
    Command(&'static Command),
    /// A word that belongs to the command.
    Word(&'static CStr),
    /// What was found and makes no sense; nothing follows.
    Wrong(Mistake, &'static CStr),
}

#[derive(Clone, Copy)]
enum Mistake {
    Unknown,
    Syntax,
    NeedsValue,
    NotBoolean,
    NoSuchCommand,
    Later,
}

impl<I: Iterator<Item = &'static CStr> + Clone> Invocation<I> {
    /// `arguments`: argv without its first string.
    pub fn new(arguments: I) -> Self {
        Invocation { arguments }
    }

    fn items(&self) -> Items<I> {
        Items { rest: self.arguments.clone(), command: None, only_words: false, over: false }
    }

    /// Whether a switch is set. What stands last counts.
    pub fn has(&self, flag: Flag) -> bool {
        self.items().fold(false, |set, item| match item {
            Item::Switch(this, to) if this == flag => to,
            _ => set,
        })
    }

    /// A flag's values in their order, for those that may be repeated.
    pub fn values(&self, flag: Flag) -> impl Iterator<Item = &'static CStr> + Clone {
        self.items().filter_map(move |item| match item {
            Item::Value(this, value) if this == flag => Some(value),
            _ => None,
        })
    }

    /// A flag's value; the last one, where there are several.
    pub fn value(&self, flag: Flag) -> Option<&'static CStr> {
        self.values(flag).last()
    }

    /// A flag's value, where it is not empty: engines pass empty paths for none.
    pub fn path(&self, flag: Flag) -> Option<&'static CStr> {
        self.value(flag).filter(|path| !path.is_empty())
    }

    /// The value of a flag that takes a number.
    pub fn number(&self, flag: Flag) -> Option<u32> {
        words::number(self.value(flag)?.to_bytes())
    }

    /// Whether a flag's value is the text `text`.
    pub fn is(&self, flag: Flag, text: &str) -> bool {
        self.value(flag).is_some_and(|value| value.to_bytes() == text.as_bytes())
    }

    /// The words behind the command: the container's id, then what follows it.
    pub fn words(&self) -> impl Iterator<Item = &'static CStr> + Clone {
        self.items().filter_map(|item| match item {
            Item::Word(word) => Some(word),
            _ => None,
        })
    }

    /// The container's id: the first word. Empty for commands that have none.
    pub fn id(&self) -> &'static CStr {
        self.words().next().unwrap_or(c"")
    }

    /// The command, where one is named; also on a line that is otherwise wrong.
    pub fn command(&self) -> Option<&'static Command> {
        self.items().find_map(|item| match item {
            Item::Command(command) => Some(command),
            _ => None,
        })
    }

    /// Checks the whole line and tells what it asks for. A request for help or
    /// for the version stands above all mistakes behind it.
    ///
    /// # Errors
    /// The first mistake, by the flag's name, and where to read more.
    pub fn request(&self) -> Result<Request> {
        let mut command: Option<&'static Command> = None;
        for item in self.items() {
            match item {
                Item::Switch(Flag::Help, true) => return Ok(Request::Help(command)),
                Item::Switch(Flag::Version, true) => return Ok(Request::Version),
                Item::Switch(flag, set) => check_switch(flag, set)?,
                Item::Value(flag, value) => check_value(flag, value)?,
                Item::Command(named) => command = Some(named),
                Item::Word(_) => {}
                Item::Wrong(mistake, argument) => return Err(explain(mistake, argument, command)),
            }
        }
        let Some(command) = command else { return Ok(Request::Help(None)) };
        self.check_words(command)?;
        if command.task != Task::Help {
            return Ok(Request::Carry(command));
        }
        let Some(topic) = self.words().next() else { return Ok(Request::Help(None)) };
        match commands::find(topic.to_bytes()) {
            Some(topic) => Ok(Request::Help(Some(topic))),
            None => Err(explain(no_command(topic), topic, None)),
        }
    }

    /// The number of words, and those that every command reads alike.
    fn check_words(&self, command: &Command) -> Result<()> {
        let (count, name) = (self.words().count(), command.name);
        let (least, most) = command.count;
        let few = count < least.into();
        if few || (most != MANY && count > most.into()) {
            let few = if few { "few" } else { "many" };
            let space = if command.words.is_empty() { "" } else { " " };
            return Err(fail!("too {few} arguments: the usage is `ocinit {name} [flags]{space}{}`", command.words));
        }
        if least > 0 {
            words::check_id(self.id().to_bytes())?;
        }
        match (command.task, self.words().nth(1)) {
            (Task::Kill, Some(signal)) => match words::signal_number(signal.to_bytes()) {
                Some(_) => Ok(()),
                None => {
                    Err(fail!("unknown signal {}: give a number, or a name such as TERM", Lossy(signal.to_bytes())))
                }
            },
            (Task::Exec, None) if self.value(Flag::Process).is_none() => {
                Err(fail!("no command to execute: give one after the ID, or a file with --process"))
            }
            (Task::Exec, Some(_)) if self.value(Flag::Process).is_some() => {
                Err(fail!("both a command and --process are given: only one of them can be executed"))
            }
            _ => Ok(()),
        }
    }
}

/// The walk along a command line.
#[derive(Clone)]
struct Items<I> {
    rest: I,
    command: Option<&'static Command>,
    /// No flag follows: `--` has been met, or a word behind which there are none.
    only_words: bool,
    over: bool,
}

impl<I: Iterator<Item = &'static CStr>> Iterator for Items<I> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.over {
            return None;
        }
        let mut argument = self.rest.next()?;
        if argument == c"--" && !self.only_words {
            self.only_words = true;
            argument = self.rest.next()?;
        }
        let bytes = argument.to_bytes();
        let item = if self.only_words || bytes == b"-" || bytes.first() != Some(&b'-') {
            self.word(argument)
        } else {
            self.flag(argument)
        };
        // What follows a mistake cannot be told apart any more.
        self.over = matches!(item, Item::Wrong(..));
        Some(item)
    }
}

impl<I: Iterator<Item = &'static CStr>> Items<I> {
    fn word(&mut self, argument: &'static CStr) -> Item {
        match self.command {
            Some(command) => {
                self.only_words |= !command.flags_anywhere;
                Item::Word(argument)
            }
            None => {
                self.command = commands::find(argument.to_bytes());
                // `ocinit -- run -d ID`: the `--` ended the global flags only.
                self.only_words = false;
                self.command.map_or(Item::Wrong(no_command(argument), argument), Item::Command)
            }
        }
    }

    fn flag(&mut self, argument: &'static CStr) -> Item {
        let text = argument.to_bytes();
        let name = bytes::after(text, "--").or(bytes::after(text, "-")).unwrap_or(text);
        if matches!(name.first(), None | Some(b'-' | b'=')) {
            return Item::Wrong(Mistake::Syntax, argument);
        }
        let (name, value) = bytes::cut(name, b'=');
        // The rest of an argument is a C string too: it ends where that does.
        let attached = value
            .and_then(|value| argument.to_bytes_with_nul().get(text.len().saturating_sub(value.len())..))
            .and_then(|value| CStr::from_bytes_until_nul(value).ok());
        let flags = self.command.map_or(GLOBAL, |command| command.flags);
        let Some(flag) = flags.iter().chain(&[Flag::Help]).copied().find(|flag| is_named(*flag, name)) else {
            return Item::Wrong(Mistake::Unknown, argument);
        };
        match (flag.row().takes(), attached) {
            (Takes::Nothing, None) => Item::Switch(flag, true),
            (Takes::Nothing, Some(value)) => match words::boolean(value.to_bytes()) {
                Some(set) => Item::Switch(flag, set),
                None => Item::Wrong(Mistake::NotBoolean, argument),
            },
            (_, Some(value)) => Item::Value(flag, value),
            (_, None) => match self.rest.next() {
                Some(value) => Item::Value(flag, value),
                None => Item::Wrong(Mistake::NeedsValue, argument),
            },
        }
    }
}

/// Why a name is none of a command's.
fn no_command(name: &CStr) -> Mistake {
    let later = LATER.find(name.to_bytes()).is_some();
    if later { Mistake::Later } else { Mistake::NoSuchCommand }
}

fn is_named(flag: Flag, name: &[u8]) -> bool {
    let row = flag.row();
    row.long.as_bytes() == name || (row.short.as_bytes() == name && !name.is_empty())
}

/// Switches that ask for what this version does not have.
fn check_switch(flag: Flag, set: bool) -> Result<()> {
    match flag {
        Flag::SystemdCgroup if set => Err(fail!("--{} is not supported by this version", flag.row().long)),
        _ => Ok(()),
    }
}

/// A value's form, by what the table says that the flag takes.
fn check_value(flag: Flag, value: &CStr) -> Result<()> {
    let value = value.to_bytes();
    let row = flag.row();
    let right = match row.takes() {
        Takes::Nothing | Takes::Text => true,
        Takes::Number => words::number(value).is_some(),
        Takes::Integer => value.is_empty() || words::integer(value).is_some(),
        Takes::Size => value.is_empty() || words::size(value).is_some(),
        Takes::Duration => words::duration(value).is_some(),
        Takes::OneOf => bytes::split(row.value.as_bytes(), b'|').any(|choice| choice == value),
        Takes::Assignment => matches!(bytes::cut(value, b'='), ([_, ..], Some(_))),
        Takes::User => words::user(value).is_some(),
        Takes::Group => words::user_id(value).is_some(),
    };
    if !right {
        let expected = match row.takes() {
            Takes::OneOf => "it is one of ",
            Takes::Number => "a number of 0 to 2147483647",
            Takes::Integer => "a whole number",
            Takes::Size => "a number of bytes, such as 64M, or -1",
            Takes::Duration => "a time above zero, such as 5s",
            Takes::Assignment => "it has the form NAME=VALUE",
            Takes::User => "it has the form UID or UID:GID, in numbers of 0 to 4294967294",
            _ => "a number of 0 to 4294967294",
        };
        let choices = if row.takes() == Takes::OneOf { row.value } else { "" };
        return Err(fail!("invalid value \"{}\" for --{}: {expected}{}", Lossy(value), row.long, Choices(choices)));
    }
    match flag {
        Flag::CgroupManager if value == b"systemd" => {
            Err(fail!("--cgroup-manager systemd is not supported by this version: use cgroupfs"))
        }
        _ => Ok(()),
    }
}

fn explain(mistake: Mistake, argument: &CStr, command: Option<&Command>) -> crate::error::Error {
    let whole = Lossy(argument.to_bytes());
    // As Go's flag package names it: with one dash.
    let text = argument.to_bytes();
    let name = bytes::after(text, "-").filter(|rest| rest.first() == Some(&b'-')).unwrap_or(text);
    let name = Lossy(bytes::cut(name, b'=').0);
    let (space, topic) = command.map_or(("", ""), |command| (" ", command.name));
    match mistake {
        Mistake::Unknown => {
            fail!("flag provided but not defined: {name}: see `ocinit help{space}{topic}` for those there are")
        }
        Mistake::Syntax => fail!("bad flag syntax: {whole}"),
        Mistake::NeedsValue => fail!("flag needs an argument: {name}"),
        Mistake::NotBoolean => fail!("invalid boolean value in {whole}: true or false"),
        Mistake::Later => fail!("{whole} is not supported by this version"),
        Mistake::NoSuchCommand => fail!("unknown command {whole}: the commands are {}", Names),
    }
}

/// Choices as a sentence has them.
struct Choices(&'static str);

impl core::fmt::Display for Choices {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, choice) in bytes::split(self.0.as_bytes(), b'|').enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            Lossy(choice).fmt(f)?;
        }
        Ok(())
    }
}

/// The names of all commands that this version has.
struct Names;

impl core::fmt::Display for Names {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, command) in COMMANDS.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " " })?;
            f.write_str(command.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
