//! What can be wrong with a process's identity before anything is done.

use crate::error::Result;
use crate::json::Text;
use crate::limits;
use crate::spec::config::{Process, Rlimit, User};
use crate::spec::record::List;

/// Checks `process`, as far as this folder carries it out.
///
/// # Errors
/// The first mistake, with its place.
pub fn check_process(process: &Process<'_>) -> Result<()> {
    if let Some(user) = process.user() {
        check_user(&user)?;
    }
    check_rlimits(process.rlimits())?;
    if let Some(score) = process.oom_score_adj().filter(|score| !(-1000..=1000).contains(score)) {
        return Err(process.value().error(format_args!("oomScoreAdj {score} is not between -1000 and 1000")));
    }
    Ok(())
}

/// Checks `hostname` or `domainname`.
///
/// # Errors
/// Longer than the kernel takes, with its place.
pub fn check_names(names: &[Option<Text<'_>>]) -> Result<()> {
    for name in names.iter().flatten() {
        let length: usize = name.chars().map(char::len_utf8).sum();
        if length > limits::HOSTNAME {
            return Err(name.error(format_args!("{length} bytes are more than the limit of {}", limits::HOSTNAME)));
        }
    }
    Ok(())
}

fn check_user(user: &User<'_>) -> Result<()> {
    // To the kernel the largest number is "no id", and "leave it as it is".
    let none = [user.uid(), user.gid()].contains(&Some(u32::MAX));
    if none || user.additional_gids().iter().any(|gid| gid == u32::MAX) {
        return Err(user.value().error(format_args!("4294967295 is not a user or group id")));
    }
    if let Some(umask) = user.umask().filter(|umask| *umask > 0o777) {
        return Err(user.value().error(format_args!("umask {umask} (octal {umask:o}) is more than octal 777")));
    }
    Ok(())
}

fn check_rlimits(rlimits: List<'_, Rlimit<'static>>) -> Result<()> {
    for limit in rlimits.iter() {
        let Some(kind) = limit.kind() else { continue };
        let before = |other: &Rlimit<'_>| other.value().offset() < limit.value().offset();
        if rlimits.iter().take_while(before).any(|other| other.kind().is_some_and(|word| word.same_as(kind))) {
            return Err(kind.error(format_args!("{kind} stands here a second time")));
        }
        if let (Some(soft), Some(hard)) = (limit.soft(), limit.hard())
            && soft > hard
        {
            return Err(limit.value().error(format_args!("the soft limit {soft} is above the hard limit {hard}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use std::string::ToString;

    fn check(process: &str) -> Option<std::string::String> {
        let document = Document::parse("c", process.as_bytes()).unwrap();
        check_process(&Process::view(document.root())).err().map(|error| error.to_string())
    }

    #[test]
    fn mistakes_say_where() {
        for (process, expected) in [
            (r#"{"user": {"uid": 4294967295}}"#, "c:1:10: user: 4294967295 is not a user or group id"),
            (r#"{"user": {"gid": 4294967295}}"#, "c:1:10: user: 4294967295 is not a user or group id"),
            (r#"{"user": {"additionalGids": [1, 4294967295]}}"#, "c:1:10: user: 4294967295 is not a user or group id"),
            (r#"{"user": {"umask": 512}}"#, "c:1:10: user: umask 512 (octal 1000) is more than octal 777"),
            (r#"{"oomScoreAdj": 1001}"#, "c:1:1: oomScoreAdj 1001 is not between -1000 and 1000"),
            (
                r#"{"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}"#,
                "c:1:14: rlimits[0]: the soft limit 2 is above the hard limit 1",
            ),
            (
                r#"{"rlimits": [{"type": "RLIMIT_CPU"}, {"type": "RLIMIT_CPU"}]}"#,
                "c:1:47: rlimits[1].type: RLIMIT_CPU stands here a second time",
            ),
        ] {
            assert_eq!(check(process).as_deref(), Some(expected));
        }
        assert_eq!(check(r#"{"user": {"uid": 4294967294, "umask": 511}, "oomScoreAdj": -1000}"#), None);
        assert_eq!(check("{}"), None);
    }

    #[test]
    fn names_have_64_bytes() {
        let json = std::format!("[\"{}\", \"{}\"]", "x".repeat(64), "é".repeat(33));
        let document = Document::parse("c", json.as_bytes()).unwrap();
        let names: std::vec::Vec<_> = document.root().items().map(|item| item.as_text()).collect();
        assert!(check_names(&names[..1]).is_ok() && check_names(&[None]).is_ok());
        assert!(check_names(&names).unwrap_err().to_string().ends_with("66 bytes are more than the limit of 64"));
    }
}
