//! What of a folder is on a disk, read back through the kernel.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ociboot::pack::{Format, Layout, pack};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use support::options;

/// A disk, mounted; not any more once dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(disk: &Path, place: &Path) -> Option<Mounted> {
        fs::create_dir(place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "erofs", "-o", "loop,ro"]).arg(disk).arg(place).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Mounted(place.into()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

type Attributes = BTreeMap<String, Vec<u8>>;

fn attributes(path: &Path) -> Attributes {
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let names = names.split('\0').filter(|name| !name.is_empty() && *name != "security.selinux");
    let value = |name: &str| {
        let mut value = vec![0; 1 << 16];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        value[..length].to_vec()
    };
    names.map(|name| (name.to_owned(), value(name))).collect()
}

#[test]
fn attributes_on_erofs() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root mounts a disk");
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("bin/file"), "x".repeat(5000)).unwrap();
    fs::write(root.join("bin/empty"), "").unwrap();
    symlink("file", root.join("bin/link")).unwrap();
    // cap_net_raw+ep: VFS_CAP_REVISION_2, as capabilities(7) has it.
    let mut capability = vec![1, 0, 0, 2, 0, 0x20];
    capability.resize(20, 0);
    // An ACL of version 2 with a named user: tag, permissions, id.
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    let long = vec![b'l'; 2500];
    let set: &[(&str, &str, &[u8])] = &[
        ("bin/file", "security.capability", &capability),
        ("bin/file", "user.short", b"1"),
        ("bin/file", "user.with.dots and blanks", b"\0\xff\n"),
        ("bin/file", "user.empty", b""),
        ("bin/empty", "user.long", &long),
        ("bin/empty", "system.posix_acl_access", &acl),
        ("bin/link", "trusted.of-the-link", b"value"),
        ("bin", "system.posix_acl_default", &acl),
        ("bin", "trusted.of-the-folder", b"value"),
    ];
    for (place, name, value) in set {
        if let Err(error) = lsetxattr(root.join(place), *name, value, XattrFlags::empty()) {
            return eprintln!("skipped: the attribute {name} cannot be set here: {error}");
        }
    }
    let mut options = options(folder.path());
    let disk = folder.path().join("disk");
    options.layout = Layout::Disk { file: disk.clone(), format: Format::Erofs };
    let summary = pack(&root, &options, &folder.path().join("out")).unwrap();
    assert_eq!(summary.warnings, [""; 0]);
    let Some(mounted) = Mounted::new(&disk, &folder.path().join("mounted")) else {
        return eprintln!("skipped: this kernel does not mount EROFS from a loop device here");
    };
    for place in ["bin", "bin/file", "bin/empty", "bin/link"] {
        let (before, after) = (attributes(&root.join(place)), attributes(&mounted.0.join("rootfs").join(place)));
        assert_eq!(before, after, "{place}");
        assert_eq!(set.iter().filter(|(named, ..)| *named == place).count(), after.len(), "{place}");
    }
    assert_eq!(fs::read(mounted.0.join("rootfs/bin/file")).unwrap(), "x".repeat(5000).as_bytes());
}
