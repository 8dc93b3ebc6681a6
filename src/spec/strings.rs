//! The forms of strings that the specification gives in words, and the kernel by
//! its limits.

use super::record::Pattern;
use crate::json::Text;
use crate::limits;
use crate::word_list;

/// A path from the root.
pub struct AbsolutePath;

impl Pattern for AbsolutePath {
    const SAYS: &'static str = "an absolute path";
    const MOST: usize = limits::PATH - 1;
    fn holds(text: Text<'_>) -> bool {
        text.starts_with("/")
    }
}

/// The same, or nothing: engines written in Go send an empty one for none.
pub struct PathOrNone;

impl Pattern for PathOrNone {
    const SAYS: &'static str = AbsolutePath::SAYS;
    const MOST: usize = AbsolutePath::MOST;
    fn holds(text: Text<'_>) -> bool {
        text.is_empty() || text.starts_with("/")
    }
}

/// A path, absolute or not.
pub struct AnyPath;

impl Pattern for AnyPath {
    const SAYS: &'static str = "a path";
    const MOST: usize = AbsolutePath::MOST;
    fn holds(text: Text<'_>) -> bool {
        !text.is_empty()
    }
}

/// A string for mount(2), which takes no more than a path's length of any.
pub struct MountText;

impl Pattern for MountText {
    const SAYS: &'static str = "";
    const MOST: usize = AbsolutePath::MOST;
    fn holds(_: Text<'_>) -> bool {
        true
    }
}

/// A host or domain name (uname(2)).
pub struct UtsName;

impl Pattern for UtsName {
    const SAYS: &'static str = "";
    const MOST: usize = limits::HOSTNAME;
    fn holds(_: Text<'_>) -> bool {
        true
    }
}

/// An environment variable (environ(7)).
pub struct Variable;

impl Pattern for Variable {
    const SAYS: &'static str = "NAME=VALUE";
    const SHOWN: bool = false;
    fn holds(text: Text<'_>) -> bool {
        text.bytes().position(|byte| byte == b'=').is_some_and(|place| place > 0)
    }
}

/// The kind of device that a rule speaks of; an empty one is any, as `a` is.
pub struct RuleKind;

impl Pattern for RuleKind {
    const SAYS: &'static str = "one of a, b, c";
    fn holds(text: Text<'_>) -> bool {
        text.place_in(word_list!(" a b c")).is_some()
    }
}

/// What a device rule speaks of: reading, writing, making a node.
pub struct RuleAccess;

impl Pattern for RuleAccess {
    const SAYS: &'static str = "letters of rwm";
    fn holds(text: Text<'_>) -> bool {
        !text.is_empty() && text.bytes().all(|letter| matches!(letter, b'r' | b'w' | b'm'))
    }
}
