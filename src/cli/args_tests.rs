//! What a command line means, line by line.

use super::*;
use std::boxed::Box;
use std::ffi::CString;
use std::string::{String, ToString};
use std::vec::Vec;

/// A command line of blank-separated arguments; `''` stands for an empty one.
fn line(text: &str) -> Invocation<std::vec::IntoIter<&'static CStr>> {
    let arguments: Vec<&'static CStr> = text
        .split_whitespace()
        .map(|argument| if argument == "''" { "" } else { argument })
        .map(|argument| &*Box::leak(CString::new(argument).unwrap().into_boxed_c_str()))
        .collect();
    Invocation::new(arguments.into_iter())
}

fn text(value: Option<&CStr>) -> Option<String> {
    value.map(|value| value.to_str().unwrap().to_string())
}

fn words(text: &str) -> Vec<String> {
    line(text).words().map(|word| word.to_str().unwrap().to_string()).collect()
}

/// "help", "help run", "version", "run …", or the error.
fn asked(text: &str) -> String {
    match line(text).request() {
        Ok(Request::Help(None)) => "help".into(),
        Ok(Request::Help(Some(command))) => std::format!("help {}", command.name),
        Ok(Request::Version) => "version".into(),
        Ok(Request::Carry(command)) => command.name.into(),
        Err(error) => std::format!("error: {error}"),
    }
}

#[test]
fn what_is_asked_for() {
    for (text, expected) in [
        ("", "help"),
        ("help", "help"),
        ("--help", "help"),
        ("-h", "help"),
        ("--root /x", "help"),
        ("help run", "help run"),
        ("run --help", "help run"),
        ("run -h --nonsense", "help run"),
        ("run x -h", "help run"),
        ("exec x -h", "exec"),
        ("--version", "version"),
        ("-v", "version"),
        ("--version nonsense", "version"),
        ("run x", "run"),
        ("-- run x", "run"),
        ("run -- x", "run"),
        ("--systemd-cgroup=false run x", "run"),
        ("--cgroup-manager cgroupfs run x", "run"),
        ("--rootless auto state x", "state"),
        ("--log=/l --log-format=json --root=/r create -b /b --pid-file /p x", "create"),
        ("kill x", "kill"),
        ("kill --all x sigkill", "kill"),
        ("exec -p f x", "exec"),
        ("exec --process-label '' --apparmor= x true", "exec"),
        ("ps x -ef", "ps"),
        ("list -q", "list"),
        ("features", "features"),
        ("spec", "spec"),
    ] {
        assert_eq!(asked(text), expected, "ocinit {text}");
    }
}

#[test]
fn mistakes() {
    for (text, expected) in [
        ("nonsense", "unknown command nonsense: the commands are spec run create start"),
        ("help nonsense", "unknown command nonsense"),
        ("--x run y", "flag provided but not defined: -x: see `ocinit help` for"),
        ("run --x=1 y", "flag provided but not defined: -x: see `ocinit help run` for"),
        ("run -db y", "flag provided but not defined: -db"),
        ("run x --zzz", "flag provided but not defined: -zzz"),
        ("kill x -9", "flag provided but not defined: -9"),
        ("run --root /r x", "flag provided but not defined: -root"),
        ("run ---x y", "bad flag syntax: ---x"),
        ("run -= y", "bad flag syntax: -="),
        ("run x -b", "flag needs an argument: -b"),
        ("run x --bundle", "flag needs an argument: -bundle"),
        ("--root", "flag needs an argument: -root"),
        ("run --detach=maybe x", "invalid boolean value in --detach=maybe"),
        ("list --format xml", "invalid value \"xml\" for --format: it is one of table, json"),
        ("--log-format=xml list", "invalid value \"xml\" for --log-format: it is one of text, json"),
        ("--rootless=maybe list", "invalid value \"maybe\" for --rootless"),
        ("run --preserve-fds -1 x", "invalid value \"-1\" for --preserve-fds"),
        ("exec -e A x y", "invalid value \"A\" for --env: it has the form NAME=VALUE"),
        ("exec -e =A x y", "invalid value \"=A\" for --env"),
        ("exec -u root x y", "invalid value \"root\" for --user: it has the form UID or UID:GID"),
        ("exec -g 4294967295 x y", "invalid value \"4294967295\" for --additional-gids"),
        ("--systemd-cgroup run x", "--systemd-cgroup is not supported by this version"),
        ("--cgroup-manager systemd run x", "--cgroup-manager systemd is not supported by this version"),
        ("checkpoint --help", "checkpoint is not supported by this version"),
        ("restore --lsm-mount-context", "restore is not supported by this version"),
        ("help checkpoint", "checkpoint is not supported by this version"),
        ("run", "too few arguments: the usage is `ocinit run [flags] ID`"),
        ("run a b", "too many arguments"),
        ("list x", "too many arguments: the usage is `ocinit list [flags]`"),
        ("kill x TERM y", "too many arguments"),
        ("state ../x", "invalid container ID format: \"../x\""),
        ("state ''", "invalid container ID format: it is empty"),
        ("kill x FOO", "unknown signal FOO"),
        ("exec x", "no command to execute"),
        ("exec -p f x y", "both a command and --process are given"),
    ] {
        let said = asked(text);
        assert!(said.starts_with(&std::format!("error: {expected}")), "ocinit {text}: {said}");
    }
}

#[test]
fn values() {
    let run = line(
        "--root=/r --log /l run --bundle /a -b=/b -d --keep=false -no-subreaper=1 --preserve-fds=7 x --pid-file p",
    );
    assert!(matches!(run.request(), Ok(Request::Carry(command)) if command.task == Task::Run));
    assert_eq!(text(run.value(Flag::Root)).as_deref(), Some("/r"));
    assert_eq!(text(run.value(Flag::Log)).as_deref(), Some("/l"));
    assert_eq!(text(run.value(Flag::Bundle)).as_deref(), Some("/b"), "the last one counts");
    assert_eq!(text(run.value(Flag::PidFile)).as_deref(), Some("p"), "flags may follow the id");
    assert_eq!(text(run.value(Flag::Config)), None);
    assert_eq!(run.number(Flag::PreserveFds), Some(7));
    assert!(run.has(Flag::Detach) && run.has(Flag::NoSubreaper));
    assert!(!run.has(Flag::Keep) && !run.has(Flag::NoPivot));
    assert_eq!(run.id(), c"x");
    assert_eq!(text(line("run --bundle= x").value(Flag::Bundle)).as_deref(), Some(""));
    assert_eq!(text(line("run -b --x x").value(Flag::Bundle)).as_deref(), Some("--x"));
    assert!(line("list --format=json").is(Flag::Format, "json"));
    assert!(!line("list").is(Flag::Format, "json"));
    assert_eq!(text(line("exec -e A=B=C x y").value(Flag::Env)).as_deref(), Some("A=B=C"));
}

#[test]
fn repeated_flags_and_the_words_of_another_program() {
    let exec = line("exec -e A=1 --env B=2 --env=C= x env -e Z=1 --tty -- y");
    let environment: Vec<_> = exec.values(Flag::Env).map(|value| value.to_str().unwrap()).collect();
    assert_eq!(environment, ["A=1", "B=2", "C="]);
    assert!(!exec.has(Flag::Tty));
    assert_eq!(words("exec -t x sh -c -t"), ["x", "sh", "-c", "-t"]);
    assert_eq!(words("exec -t x -- sh"), ["x", "--", "sh"]);
    assert_eq!(words("exec -- x -t"), ["x", "-t"]);
    assert_eq!(words("kill -- x 9"), ["x", "9"]);
    assert_eq!(words("run x -"), ["x", "-"]);
}

#[test]
fn a_wrong_line_still_tells_where_to_log() {
    let wrong = line("--log /l --log-format json run --nonsense x");
    assert!(wrong.request().is_err());
    assert_eq!(text(wrong.value(Flag::Log)).as_deref(), Some("/l"));
    assert!(wrong.is(Flag::LogFormat, "json"));
    assert!(wrong.command().is_some_and(|command| command.task == Task::Run));
}
