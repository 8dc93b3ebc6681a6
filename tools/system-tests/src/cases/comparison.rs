//! The same bundles under ocinit, runc and crun: a probe inside must see the
//! same, but for the differences that are listed here with their reasons.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::Need;
use crate::command::Output;
use crate::context::Context;
use crate::kernel;

cases!("comparison":
    runc_spec_as_it_is [Need::Program("runc")],
    crun_spec_as_it_is [Need::Program("crun")],
    runc_spec_with_runc [Need::Program("runc")],
    runc_spec_with_crun [Need::Program("runc"), Need::Program("crun")],
    crun_spec_with_crun [Need::Program("crun")],
    engines_with_runc [Need::Program("runc")],
    engines_with_crun [Need::Program("crun")],
);

/// Configurations that engines wrote.
pub const ENGINES: [(&str, &str); 4] = [
    ("containerd-default", include_str!("../../../testdata/engines/containerd-default.json")),
    ("docker-default", include_str!("../../../testdata/engines/docker-default.json")),
    ("podman-default", include_str!("../../../testdata/engines/podman-default.json")),
    ("podman-limited", include_str!("../../../testdata/engines/podman-limited.json")),
];

/// Gives bind mounts whose source is not here a file or a folder of ours.
pub fn real_sources(c: &Context, config: &mut Config) -> Result<()> {
    let folder = c.folder("sources")?;
    for mount in config.0["mounts"].as_array_mut().into_iter().flatten() {
        if mount["type"] != "bind" {
            continue;
        }
        let destination = mount["destination"].as_str().unwrap_or_default().to_string();
        let path = folder.join(destination.trim_matches('/').replace('/', "_"));
        match destination.as_str() {
            "/dev/shm" | "/mnt" => fs::create_dir_all(&path)?,
            "/etc/passwd" => fs::write(&path, "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n")?,
            _ => fs::write(&path, "content\n")?,
        }
        mount["source"] = json!(path);
    }
    Ok(())
}

/// A difference that is known and right: the other runtime (empty for both),
/// which values (a `*` stands for anything), and the reason.
#[allow(dead_code, reason = "the reason is for the reader")]
struct Known(&'static str, &'static str, &'static str);

/// Every difference that may be.
const KNOWN: &[Known] = &[
    Known(
        "runc",
        "descriptors",
        "in the foreground runc copies between the caller's streams and pipes of its own; here the process has the \
         streams themselves, as under crun",
    ),
    Known(
        "",
        "devices./dev/core",
        "a link to what is masked: crun makes it always, runc where it can read /proc/kcore",
    ),
    Known("runc", "limits.Max open files", "Go raises its own soft limit to the hard one, and runc passes that on"),
    Known("crun", "devices./dev/null", "crun gives the host's null device, as standard input, to the user"),
    Known("", "mounts./run.super", "tmpcopyup: the mode of the folder copied is given at the mount, not set later"),
    Known("", "mounts./srv/data.super", "as above"),
    Known("", "mounts./var/tmp.super", "as above"),
    Known(
        "",
        "status.SigIgn",
        "signals 32 and 33 are ignored by this harness's caller, which only ocinit resets; PIPE is the probe's own",
    ),
    Known("crun", "status.Seccomp", "the filter under which crun is run here, for want of CAP_SYS_RESOURCE"),
    Known("crun", "status.NoNewPrivs", "as above: the filter needs it"),
    Known("crun", "mounts./.propagation", "crun makes the root private by default, runc a slave as here"),
    Known(
        "",
        "mounts./proc/*.super",
        "a mask is an empty tmpfs, here read-only and without a size; or the null device, here the container's own",
    ),
    Known("crun", "mounts./sys/firmware.super", "as above"),
    Known("crun", "mounts./sys/dev/block.super", "as above"),
    Known("crun", "mounts./sys/fs/selinux.super", "as above"),
    Known(
        "crun",
        "mounts./proc/*.options",
        "crun masks with the host's null device, on its devtmpfs, here it is the container's own, verified, on its /dev; and its read-only paths lose \
         /proc's other flags",
    ),
    Known("crun", "mounts./proc/*.source", "as above"),
    Known("crun", "mounts./proc/*.type", "as above"),
    Known("crun", "mounts./proc/*.root", "as above"),
    Known("crun", "mounts./sys.super", "crun asks for a read-only mount, we as runc for the file system too"),
    Known("crun", "mounts./sys/fs/cgroup.source", "crun names the source itself, not as configured"),
];

impl Known {
    fn covers(&self, other: &str, name: &str) -> bool {
        let Known(runtime, pattern, _) = self;
        let matches = match pattern.split_once('*') {
            Some((start, end)) => name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
            None => name == *pattern,
        };
        matches && (runtime.is_empty() || *runtime == other)
    }
}

/// A probe's output in a form that does not change from run to run.
fn normal(seen: &Value, id: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let Some(sections) = seen.as_object() else { return all };
    for (name, section) in sections {
        match name.as_str() {
            "mounts" => mounts(section, &mut all),
            "namespaces" => {
                for (kind, link) in section.as_object().into_iter().flatten() {
                    let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
                    let new = link.as_str().is_none_or(|link| Path::new(link) != host);
                    all.insert(format!("namespaces.{kind}"), if new { "new" } else { "the host's" }.into());
                }
            }
            _ => flat(name, section, &mut all),
        }
    }
    for value in all.values_mut() {
        *value = value.replace(id, "ID");
    }
    // The files of this harness's that take the output are numbered.
    if let Some(list) = all.get_mut("descriptors") {
        *list =
            list.split("out.").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')).collect();
        *list =
            list.split("err.").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')).collect();
    }
    all
}

/// Mounts by their place; the parent by its place too.
fn mounts(list: &Value, all: &mut BTreeMap<String, String>) {
    let list: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    let text = |mount: &Value, field: &str| mount[field].as_str().unwrap_or_default().to_string();
    for mount in &list {
        let parent = list.iter().find(|other| other["id"] == mount["parent"] && other["id"] != mount["id"]);
        let parent = parent.map_or_else(|| "outside".into(), |parent| text(parent, "point"));
        let mut key = format!("mounts.{}", text(mount, "point"));
        while all.contains_key(&format!("{key}.type")) {
            key.push('+');
        }
        for field in ["root", "options", "type", "source", "super"] {
            all.insert(format!("{key}.{field}"), text(mount, field));
        }
        all.insert(format!("{key}.parent"), parent);
        all.insert(format!("{key}.propagation"), mount["propagation"].to_string());
    }
}

fn flat(path: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flat(&format!("{path}.{key}"), value, all)),
        Value::Array(items) if path == "environment" => {
            // The order of variables has no meaning.
            let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
            items.sort();
            all.insert(path.into(), items.join(" "));
        }
        Value::String(text) => {
            all.insert(path.into(), text.clone());
        }
        other => {
            all.insert(path.into(), other.to_string());
        }
    }
}

/// What the probe sees under a runtime.
fn under(c: &Context, runtime: &str, config: &Config) -> Result<BTreeMap<String, String>> {
    // A first run's traces in the root file system would show in the second.
    let seen = peer(c, runtime, config)?.ok().with_context(|| runtime.to_string())?.json()?;
    Ok(normal(&seen, &same_id(c)))
}

/// The same id for all: it shows in paths.
fn same_id(c: &Context) -> String {
    format!("{}-same", c.tag)
}

/// `run` of a runtime.
pub fn peer(c: &Context, runtime: &str, config: &Config) -> Result<Output> {
    c.write(config)?;
    let mut command = crate::context::runtime(c, runtime)?;
    command.arg("--root").arg(c.dir.join(format!("state-{runtime}"))).args(["run", &same_id(c)]);
    c.surroundings(&mut command);
    c.finish(command)
}

/// Runs under both and lists the differences that nobody has justified.
fn compare(c: &Context, other: &str, config: &Config) -> Result<Vec<String>> {
    // Both twice: whatever the first run makes in the root file system (the
    // targets of mounts) is then there for each.
    under(c, other, config)?;
    let (ours, theirs) = (under(c, "ocinit", config)?, under(c, other, config)?);
    let mut found = Vec::new();
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        let (one, two) = (ours.get(name), theirs.get(name));
        let known = KNOWN.iter().any(|known| known.covers(other, name));
        if one != two && !known {
            let show = |value: Option<&String>| value.map_or_else(|| "nothing".into(), |text| format!("{text:?}"));
            found.push(format!("{name}: ocinit {}, {other} {}", show(one), show(two)));
        }
    }
    Ok(found)
}

fn none(found: Vec<String>) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    bail!("{} differences:\n  {}", found.len(), found.join("\n  "))
}

/// What `RUNTIME spec` writes.
fn specified(c: &Context, runtime: &str) -> Result<Config> {
    let folder = c.folder(&format!("spec-{runtime}"))?;
    let mut command = Command::new(kernel::find_program(runtime).with_context(|| format!("no {runtime} here"))?);
    command.arg("spec");
    c.surroundings(&mut command);
    command.current_dir(&folder);
    c.finish(command)?.ok()?;
    Ok(Config(serde_json::from_slice(&fs::read(folder.join("config.json"))?)?))
}

/// The same, with the probe as its process.
fn probed(config: Config) -> Config {
    config.set("/process/terminal", json!(false)).args(&["/probe"])
}

fn as_it_is(c: &Context, runtime: &str) -> Result<()> {
    // Not a byte changed: a terminal, and a shell in it.
    use crate::terminal::{Terminal, in_terminal};
    let config = specified(c, runtime)?;
    c.write(&config)?;
    fs::copy(c.dir.join(format!("spec-{runtime}/config.json")), c.bundle().join("config.json"))?;
    let mut terminal = Terminal::open()?;
    let running = c.start_command(in_terminal(&c.command(&["run", &c.id()]), &terminal)?)?;
    terminal.send("echo host is $(hostname); exit 5\r")?;
    terminal.expect(&format!("host is {runtime}"))?;
    running.finish()?.status(5)?;
    Ok(())
}

fn runc_spec_as_it_is(c: &Context) -> Result<()> {
    as_it_is(c, "runc")
}

fn crun_spec_as_it_is(c: &Context) -> Result<()> {
    as_it_is(c, "crun")
}

fn runc_spec_with_runc(c: &Context) -> Result<()> {
    none(compare(c, "runc", &probed(specified(c, "runc")?))?)
}

fn runc_spec_with_crun(c: &Context) -> Result<()> {
    none(compare(c, "crun", &probed(specified(c, "runc")?))?)
}

fn crun_spec_with_crun(c: &Context) -> Result<()> {
    none(compare(c, "crun", &probed(specified(c, "crun")?))?)
}

/// An engine's configuration without the limits that this machine has no controllers for; the probe as its process.
pub fn engine(c: &Context, name: &str, text: &str) -> Result<Config> {
    let mut config = Config(serde_json::from_str(text)?);
    if Need::Controller("memory").missing().is_some() {
        let devices = config.0["linux"]["resources"]["devices"].clone();
        config = config.set("/linux/resources", json!({"devices": devices}));
    }
    config = config.set("/linux/cgroupsPath", json!(format!("/{}-{name}", c.tag)));
    if config.0["hostname"].is_null() {
        config = config.remove("/hostname");
    }
    if Need::Capability(crate::case::CAP_SYS_RESOURCE).missing().is_some() {
        config = config.remove("/process/rlimits");
    }
    real_sources(c, &mut config)?;
    Ok(probed(config))
}

fn engines(c: &Context, other: &str) -> Result<()> {
    let mut found = Vec::new();
    for (name, text) in ENGINES {
        let config = engine(c, name, text)?;
        found.extend(compare(c, other, &config).context(name)?.into_iter().map(|line| format!("{name}: {line}")));
    }
    none(found)
}

fn engines_with_runc(c: &Context) -> Result<()> {
    engines(c, "runc")
}

fn engines_with_crun(c: &Context) -> Result<()> {
    engines(c, "crun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_difference_covers_what_its_pattern_says() {
        let known = Known("crun", "mounts./proc/*.super", "");
        assert!(known.covers("crun", "mounts./proc/keys.super"));
        assert!(!known.covers("runc", "mounts./proc/keys.super"));
        assert!(!known.covers("crun", "mounts./proc/keys.type"));
        assert!(Known("", "status.Umask", "").covers("runc", "status.Umask"));
        assert!(!Known("", "status.Umask", "").covers("runc", "status.Umask2"));
    }

    #[test]
    fn mounts_are_compared_by_their_place() {
        let list = json!({"mounts": [
            {"id": 0, "parent": -1, "point": "/", "root": "/r", "type": "ext4", "propagation": []},
            {"id": 1, "parent": 0, "point": "/x", "type": "tmpfs", "source": "ID-7", "propagation": []},
            {"id": 2, "parent": 1, "point": "/x", "type": "proc", "propagation": []},
        ]});
        let all = normal(&list, "ID-7");
        assert_eq!(all["mounts./x.type"], "tmpfs");
        assert_eq!(all["mounts./x.source"], "ID");
        assert_eq!(all["mounts./x+.type"], "proc");
        assert_eq!(all["mounts./x+.parent"], "/x");
    }
}
