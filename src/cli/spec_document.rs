//! The configuration to start from that `ocinit spec` writes.

use crate::bytes::Printed;

/// What `runc spec` writes, with a cgroup namespace as it does where cgroups
/// are of version 2: a shell on a terminal, few capabilities, a root that is
/// read-only.
const DOCUMENT: &str = include_str!("default_config.json");

/// What is different for an ordinary user, in the order of the document: what stands
/// in it, and what stands there instead. As with `runc spec --rootless`: no group but
/// the user's own, the host's network and so its /sys, no device rules, a user
/// namespace with the user as its root. [`MAPS`] stands for the id maps.
const CHANGES: [(&str, &str); 6] = [
    (r#", "gid=5""#, ""),
    (r#""sysfs", "source": "sysfs""#, r#""none", "source": "/sys""#),
    (r#""nosuid", "noexec", "nodev", "ro"]"#, r#""rbind", "nosuid", "noexec", "nodev", "ro"]"#),
    (r#""resources": { "devices": [{ "allow": false, "access": "rwm" }] }"#, MAPS),
    (r#"{ "type": "network" }, "#, ""),
    (r#"{ "type": "cgroup" }"#, r#"{ "type": "cgroup" }, { "type": "user" }"#),
];

const MAPS: &str = "MAPS";

/// The changes as places in the document: where each begins and ends.
const PLACES: [(usize, usize); CHANGES.len()] = {
    let mut places = [(0, 0); CHANGES.len()];
    let (mut index, mut from) = (0, 0);
    while index < CHANGES.len() {
        let part = CHANGES[index].0.as_bytes();
        while !stands_at(part, from) {
            from += 1;
        }
        places[index] = (from, from + part.len());
        from += part.len();
        index += 1;
    }
    places
};

/// At compile time only: fails to compile where the end is passed.
const fn stands_at(part: &[u8], from: usize) -> bool {
    let (document, mut index) = (DOCUMENT.as_bytes(), 0);
    while index < part.len() && document[from + index] == part[index] {
        index += 1;
    }
    index == part.len()
}

/// Gives the document to `each`, in pieces; `ids`: for an ordinary user with this
/// user and this group id.
pub fn write<E>(ids: Option<(u32, u32)>, each: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let mut from = 0;
    if let Some((uid, gid)) = ids {
        for ((_, change), (start, end)) in CHANGES.iter().zip(PLACES) {
            each(DOCUMENT.get(from..start).unwrap_or_default())?;
            let mut maps = Printed::<256>::new();
            if *change == MAPS {
                maps.add(format_args!(
                    "\"uidMappings\": [{{ \"containerID\": 0, \"hostID\": {uid}, \"size\": 1 }}],\n    \
                     \"gidMappings\": [{{ \"containerID\": 0, \"hostID\": {gid}, \"size\": 1 }}]"
                )); // it fits
            }
            each(if *change == MAPS { maps.as_str() } else { change })?;
            from = end;
        }
    }
    each(DOCUMENT.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Document;
    use crate::spec::config::Config;
    use crate::spec::record::{Strictness, check};
    use serde_json::{Value, json};
    use std::string::String;

    fn text(ids: Option<(u32, u32)>) -> String {
        let mut text = String::new();
        write::<()>(ids, &mut |piece| {
            text.push_str(piece);
            Ok(())
        })
        .unwrap();
        text
    }

    #[test]
    fn it_is_what_this_version_takes() {
        for ids in [None, Some((1000, 1001))] {
            let text = text(ids);
            let document = Document::of("config.json", text.as_bytes()).unwrap();
            check(document.root(), &Config::FORM, Strictness::Supported).unwrap();
            assert!(text.ends_with("}\n"));
        }
    }

    #[test]
    fn an_ordinary_users_differs_where_runcs_does() {
        let mut expected: Value = serde_json::from_str(&text(None)).unwrap();
        expected["mounts"][2]["options"].as_array_mut().unwrap().pop();
        expected["mounts"][5]["type"] = json!("none");
        expected["mounts"][5]["source"] = json!("/sys");
        expected["mounts"][5]["options"] = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
        let linux = expected["linux"].as_object_mut().unwrap();
        linux.remove("resources");
        for (name, id) in [("uidMappings", 1000), ("gidMappings", 1001)] {
            linux.insert(name.into(), json!([{"containerID": 0, "hostID": id, "size": 1}]));
        }
        let kinds = ["pid", "ipc", "uts", "mount", "cgroup", "user"].map(|kind| json!({"type": kind}));
        linux.insert("namespaces".into(), json!(kinds));
        assert_eq!(serde_json::from_str::<Value>(&text(Some((1000, 1001)))).unwrap(), expected);
    }
}
