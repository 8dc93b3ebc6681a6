//! The container's config.json: from an image's configuration by the conversion
//! rules of the image specification, or from ocinit's default; and what the
//! caller adds to it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use oci_spec::image::ImageConfiguration;
use serde_json::{Value, json};

use super::spool::Content;
use super::tree::{Id, Kind, Tree};
use super::{Options, limits, users};

/// What `ocinit spec` writes.
const DEFAULT: &str = include_str!("../../../../src/cli/default_config.json");

/// What Docker gives its containers: images are made for these.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// ocinit's default, for a machine that is there for this container alone: it
/// has the machine's network, and may write to its root unless that is a disk.
/// Its processes may do what they may under Docker: install packages, become
/// another user, open many files.
pub fn default(options: &Options) -> Result<Value> {
    let mut config: Value = serde_json::from_str(DEFAULT).context("the default configuration")?;
    config["process"]["terminal"] = json!(options.terminal);
    let process = &mut config["process"];
    process["noNewPrivileges"] = json!(false);
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = json!(CAPABILITIES);
    }
    if let Some(process) = process.as_object_mut() {
        process.remove("rlimits");
    }
    config["root"]["readonly"] = json!(!matches!(options.layout, super::Layout::Initramfs));
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    Ok(config)
}

/// Where the machine's name servers stand, and where a container looks for them.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Shows the container the machine's name servers, where there are any: ocinit writes
/// them into the file of its own root, which has to be there to be mounted, as has the
/// file in the container's. What the image has at that place is of another machine; a
/// link would lead to a file that nobody makes here.
pub fn share_name_servers(config: &mut Value, options: &Options, tree: &mut Tree, root: Id) -> Result<()> {
    if !options.has_name_servers() {
        return Ok(());
    }
    tree.put_made(Tree::ROOT, RESOLV_CONF, 0o644, Content::default())?;
    let (folder, name) = tree.parent(root, RESOLV_CONF.as_bytes()).context(RESOLV_CONF)?;
    let is_file = |id: Id| matches!(tree.node(id).kind, Kind::File(_));
    if !tree.child(folder, &name).is_some_and(is_file) {
        tree.put(folder, &name, tree.made_meta(0o644), Kind::File(Content::default()))?;
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        let options = ["bind", "ro", "nosuid", "nodev", "noexec"];
        mounts.push(json!({ "destination": RESOLV_CONF, "type": "bind", "source": RESOLV_CONF, "options": options }));
    }
    Ok(())
}

/// From an image. Folders that the configuration takes for granted are made.
pub fn of_image(image: &ImageConfiguration, options: &Options, tree: &mut Tree, root: Id) -> Result<Value> {
    let mut config = default(options)?;
    annotate(image, &mut config);
    let empty = Default::default();
    let from = image.config().as_ref().unwrap_or(&empty);
    let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let arguments = [words(from.entrypoint()), words(from.cmd())].concat();
    if !arguments.is_empty() {
        config["process"]["args"] = json!(arguments);
    } else if options.command.is_none() {
        bail!("the image says nothing about what to run (it has neither Entrypoint nor Cmd): say it after `--`");
    }
    config["process"]["env"] = json!(environment(&config["process"]["env"], &words(from.env())));
    let folder = from.working_dir().clone().filter(|folder| !folder.is_empty()).unwrap_or_else(|| "/".into());
    if !folder.starts_with('/') {
        bail!("the image's WorkingDir, `{folder}`, is not absolute");
    }
    tree.make_folders(root, folder.as_bytes()).with_context(|| format!("the image's WorkingDir, `{folder}`"))?;
    config["process"]["cwd"] = json!(folder);
    let user = users::resolve(from.user().as_deref().unwrap_or(""), tree, root)?;
    config["process"]["user"] = json!({ "uid": user.uid, "gid": user.gid });
    if !user.groups.is_empty() {
        config["process"]["user"]["additionalGids"] = json!(user.groups);
    }
    let mut volumes = words(from.volumes());
    volumes.sort();
    for volume in volumes {
        tree.make_folders(root, volume.as_bytes()).with_context(|| format!("the image's volume `{volume}`"))?;
        if let (super::Layout::Disk { .. }, Some(mounts)) = (&options.layout, config["mounts"].as_array_mut()) {
            mounts.push(json!({ "destination": volume, "type": "tmpfs", "source": "tmpfs" }));
        }
    }
    Ok(config)
}

/// The specification's annotations; a label of the same name counts more.
fn annotate(image: &ImageConfiguration, config: &mut Value) {
    let mut annotations = BTreeMap::new();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            annotations.insert(format!("org.opencontainers.image.{name}"), value);
        }
    };
    say("os", Some(image.os().to_string()));
    say("architecture", Some(image.architecture().to_string()));
    say("variant", image.variant().clone());
    say("os.version", image.os_version().clone());
    say("os.features", image.os_features().as_ref().map(|features| features.join(",")));
    say("author", image.author().clone());
    say("created", image.created().clone());
    if let Some(from) = image.config() {
        say("stopSignal", from.stop_signal().clone());
        let ports: Option<BTreeSet<_>> = from.exposed_ports().as_ref().map(|ports| ports.iter().cloned().collect());
        say("exposedPorts", ports.map(|ports| ports.into_iter().collect::<Vec<_>>().join(",")));
        annotations.extend(from.labels().clone().unwrap_or_default());
    }
    config["annotations"] = json!(annotations);
}

/// The image's variables, and those of the default that it does not have.
fn environment(default: &Value, image: &[String]) -> Vec<String> {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let has = |variable: &str| image.iter().any(|other| name(other) == name(variable));
    let default = default.as_array().into_iter().flatten().filter_map(Value::as_str);
    image.iter().cloned().chain(default.filter(|variable| !has(variable)).map(str::to_owned)).collect()
}

/// What the caller wants of any single container. True if something changed.
pub fn adapt(config: &mut Value, options: &Options) -> Result<bool> {
    if !config["process"].is_object() {
        bail!("config.json: has no object `process`: there is nothing to run");
    }
    if options.terminal {
        config["process"]["terminal"] = json!(true);
    }
    if !options.mounts.is_empty() {
        let mut mounts = config["mounts"].as_array().cloned().unwrap_or_default();
        for mount in &options.mounts {
            mounts.push(serde_json::to_value(mount)?);
        }
        config["mounts"] = json!(mounts);
    }
    Ok(options.terminal || !options.mounts.is_empty())
}

/// Makes the folders on which file systems are mounted: the runtime cannot, where
/// the root is read-only. Those within another mount are not ours.
pub fn make_mount_points(config: &Value, tree: &mut Tree, root: Id) -> Result<()> {
    let mut above: Vec<&str> = Vec::new();
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let Some(place) = mount["destination"].as_str() else { continue };
        let within = |folder: &&str| place.strip_prefix(*folder).is_some_and(|rest| rest.starts_with('/'));
        if mount["type"] == "bind" || above.iter().any(within) {
            continue;
        }
        above.push(place);
        let found = tree.find(root, place.as_bytes())?;
        if found.is_none_or(|id| !matches!(tree.node(id).kind, Kind::File(_))) {
            tree.make_folders(root, place.as_bytes()).with_context(|| format!("the mount point `{place}`"))?;
        }
    }
    Ok(())
}

/// As text; ocinit reads so much of it and no more.
pub fn text(config: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(config)?;
    text.push(b'\n');
    if text.len() as u64 > limits::CONFIG_JSON {
        bail!("config.json would have {} bytes; ocinit reads {}", text.len(), limits::CONFIG_JSON);
    }
    Ok(text)
}
