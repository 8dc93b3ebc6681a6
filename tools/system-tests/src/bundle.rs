//! Bundles: a busybox root made once and copied for each case, and
//! configurations put together from a plain one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The probe and the caller, as the build script compiled them.
const PROGRAMS: [(&str, &[u8]); 2] =
    [("probe", include_bytes!(env!("PROBE"))), ("caller", include_bytes!(env!("CALLER")))];

/// The applets that cases use.
const APPLETS: &[&str] = &[
    "cat", "chmod", "cp", "cut", "date", "dd", "echo", "env", "false", "find", "grep", "head", "hostname", "id",
    "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mv", "ps", "pwd", "readlink", "rm", "rmdir", "sed",
    "seq", "sh", "sleep", "sort", "stat", "stty", "sync", "tail", "test", "touch", "tr", "true", "tty", "umount",
    "uname", "usleep", "wc", "yes", "chroot", "setsid", "hexdump", "nsenter", "unshare", "printf", "[",
];

/// Makes a root file system in `root`: busybox, the probe, the caller, a passwd file.
pub fn make_root(root: &Path) -> Result<()> {
    for folder in ["bin", "dev", "etc", "home", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    let busybox = root.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).context("the tests need a static busybox at /bin/busybox (busybox-static)")?;
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    for (name, program) in PROGRAMS {
        fs::write(root.join(name), program)?;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\nalice:x:1000:\n")?;
    fs::create_dir_all(root.join("home/alice"))?;
    Ok(())
}

/// Copies a folder with its links and modes.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// A config.json in the making.
#[derive(Clone, Debug)]
pub struct Config(pub Value);

impl Config {
    /// A plain container without a terminal: the mounts and namespaces of a
    /// usual one, root's identity with few capabilities, `true` as process.
    pub fn plain() -> Config {
        let caps = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
        Config(json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": ["true"],
                "env": ["PATH=/usr/bin:/bin"],
                "cwd": "/",
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
                "noNewPrivileges": true,
            },
            "root": {"path": "rootfs"},
            "hostname": "box",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                    "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                    "options": ["nosuid", "noexec", "nodev", "ro"]},
            ],
            "linux": {
                "namespaces": [
                    {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                    {"type": "cgroup"},
                ],
            },
        }))
    }

    pub fn args(self, args: &[&str]) -> Config {
        self.set("/process/args", json!(args))
    }

    /// A shell script as the process.
    pub fn script(self, script: &str) -> Config {
        self.args(&["sh", "-c", script])
    }

    /// Sets the value at a JSON pointer, making the objects on the way.
    pub fn set(mut self, pointer: &str, value: Value) -> Config {
        let mut at = &mut self.0;
        for key in pointer.trim_start_matches('/').split('/') {
            at = match at {
                Value::Array(items) => {
                    let index = key.parse::<usize>().unwrap_or(items.len());
                    if index >= items.len() {
                        items.push(Value::Null);
                    }
                    let last = items.len() - 1;
                    &mut items[index.min(last)]
                }
                other => {
                    if !other.is_object() {
                        *other = json!({});
                    }
                    &mut other[key]
                }
            };
        }
        *at = value;
        self
    }

    /// Appends to the array at a JSON pointer.
    pub fn push(mut self, pointer: &str, value: Value) -> Config {
        if let Some(Value::Array(items)) = self.0.pointer_mut(pointer) {
            items.push(value);
            return self;
        }
        self.set(pointer, json!([value]))
    }

    pub fn remove(mut self, pointer: &str) -> Config {
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        match self.0.pointer_mut(parent) {
            Some(Value::Object(fields)) => {
                fields.shift_remove(key);
            }
            Some(Value::Array(items)) => {
                if let Ok(index) = key.parse::<usize>() {
                    items.remove(index);
                }
            }
            _ => {}
        }
        self
    }

    pub fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Config {
        self.push("/mounts", json!({"destination": destination, "type": kind, "source": source, "options": options}))
    }

    pub fn bind(self, source: &Path, destination: &str, options: &[&str]) -> Config {
        self.mount(destination, "bind", &source.to_string_lossy(), options)
    }

    pub fn env(self, variable: &str) -> Config {
        self.push("/process/env", json!(variable))
    }

    /// Without the namespace of this type.
    pub fn without_namespace(mut self, kind: &str) -> Config {
        if let Some(Value::Array(items)) = self.0.pointer_mut("/linux/namespaces") {
            items.retain(|item| item["type"] != kind);
        }
        self
    }

    /// With the namespace of this type, new or the one at `path`.
    pub fn namespace(self, kind: &str, path: Option<&str>) -> Config {
        let value = match path {
            Some(path) => json!({"type": kind, "path": path}),
            None => json!({"type": kind}),
        };
        self.without_namespace(kind).push("/linux/namespaces", value)
    }

    /// The same capabilities in the bounding, effective and permitted sets.
    pub fn capabilities(self, names: &[&str]) -> Config {
        self.set("/process/capabilities", json!({"bounding": names, "effective": names, "permitted": names}))
    }

    /// A user namespace with `size` ids from `host` on.
    pub fn user_namespace(self, host: u32, size: u32) -> Config {
        let map = json!([{"containerID": 0, "hostID": host, "size": size}]);
        self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_changed_by_pointers() {
        let config = Config(json!({"a": {"b": [1, 2]}}));
        let config = config.set("/a/c/d", json!(true)).push("/a/b", json!(3)).set("/a/b/0", json!(9)).remove("/a/b/1");
        assert_eq!(config.0, json!({"a": {"b": [9, 3], "c": {"d": true}}}));
        assert_eq!(Config(json!({})).push("/list", json!(1)).remove("/none/here").0, json!({"list": [1]}));
    }

    #[test]
    fn a_namespace_is_replaced_not_doubled() {
        let config = Config::plain().namespace("network", Some("/x")).namespace("network", None);
        let list = config.0["linux"]["namespaces"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = list.iter().filter(|item| item["type"] == "network").collect();
        assert_eq!(found, [&json!({"type": "network"})]);
    }
}
