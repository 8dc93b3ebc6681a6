//! Whom an image's `User` means: numbers, or names that the image's own
//! /etc/passwd and /etc/group know.

use anyhow::{Context, Result, bail};

use super::limits;
use super::tree::{Id, Kind, Tree};

#[derive(Debug, Default, PartialEq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// Additional groups: of the user's in /etc/group, unless a group was named.
    pub groups: Vec<u32>,
}

/// `USER`, `UID`, `USER:GROUP`, `UID:GID`, `UID:GROUP`, `USER:GID`, or nothing for root.
pub fn resolve(text: &str, tree: &mut Tree, root: Id) -> Result<User> {
    let passwd = file(tree, root, "etc/passwd")?;
    let group = file(tree, root, "etc/group")?;
    find(text, &passwd, &group).with_context(|| format!("the image's User, `{text}`"))
}

fn file(tree: &mut Tree, root: Id, path: &str) -> Result<String> {
    let Some(id) = tree.find(root, path.as_bytes()).with_context(|| format!("the image's /{path}"))? else {
        return Ok(String::new());
    };
    match &tree.node(id).kind {
        Kind::File(content) => {
            let bytes = content.bytes(limits::PASSWD).with_context(|| format!("the image's /{path}"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => Ok(String::new()),
    }
}

fn find(text: &str, passwd: &str, group: &str) -> Result<User> {
    let (user, named_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let lines = || passwd.lines().map(fields);
    // A name counts before a number, as some have names of digits.
    let line = lines()
        .find(|line| line.first() == Some(&user))
        .or_else(|| lines().find(|line| line.get(2) == Some(&user) && number(user).is_some()));
    let uid = match (&line, number(user)) {
        (Some(line), _) => line.get(2).copied().and_then(number).context("its line in /etc/passwd has no number")?,
        (None, Some(uid)) => uid,
        (None, None) => bail!("there is no `{user}` in the image's /etc/passwd"),
    };
    if let Some(name) = named_group {
        let line = group.lines().map(fields).find(|line| line.first() == Some(&name));
        let gid = match line {
            Some(line) => line.get(2).copied().and_then(number).context("its line in /etc/group has no number")?,
            None => match number(name) {
                Some(gid) => gid,
                None => bail!("there is no `{name}` in the image's /etc/group"),
            },
        };
        return Ok(User { uid, gid, groups: Vec::new() });
    }
    let Some(line) = line else { return Ok(User { uid, ..User::default() }) };
    let gid = line.get(3).copied().and_then(number).unwrap_or(0);
    let name = line.first().copied().unwrap_or_default();
    let member = |line: &Vec<&str>| line.get(3).is_some_and(|list| list.split(',').any(|member| member == name));
    let mut groups: Vec<u32> =
        group.lines().map(fields).filter(member).filter_map(|line| line.get(2).copied().and_then(number)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|other| *other != gid);
    Ok(User { uid, gid, groups })
}

fn fields(line: &str) -> Vec<&str> {
    line.trim().split(':').collect()
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n1000:x:7:8::/:\n";
        let group = "root:x:0:\nwww:x:34:web\nlog:x:4:adm,web\ndocs:x:100:\n";
        let user = |uid, gid, groups: &[u32]| Some(User { uid, gid, groups: groups.into() });
        for (text, expected) in [
            ("", user(0, 0, &[])),
            ("web", user(33, 34, &[4])),
            ("33", user(33, 34, &[4])),
            ("web:docs", user(33, 100, &[])),
            ("web:4", user(33, 4, &[])),
            ("web:", user(33, 34, &[4])),
            ("5", user(5, 0, &[])),
            ("5:6", user(5, 6, &[])),
            ("5:www", user(5, 34, &[])),
            ("1000", user(7, 8, &[])),
            ("nobody", None),
            ("web:nogroup", None),
            ("-1", None),
            ("4294967296", None),
        ] {
            assert_eq!(find(text, passwd, group).ok(), expected, "{text}");
        }
    }
}
