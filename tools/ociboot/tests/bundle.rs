//! `pack` of bundles: what their mounts have of the bundle itself.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ociboot::pack::{Summary, pack};
use serde_json::json;
use support::{by_name, options};

/// Packs a bundle with one mount, of this source.
fn packed(folder: &Path, root: &str, source: &str) -> anyhow::Result<Summary> {
    let mounts = json!([{ "destination": "/m", "source": source, "options": ["rbind"] }]);
    let config =
        json!({ "ociVersion": "1.2.0", "process": { "args": ["x"] }, "root": { "path": root }, "mounts": mounts });
    fs::write(folder.join("bundle/config.json"), config.to_string()).unwrap();
    pack(&folder.join("bundle"), &options(folder), &folder.join("out"))
}

#[test]
fn relative_sources_are_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, bundle) = (folder.path(), folder.path().join("bundle"));
    for name in ["rootfs/bin", "other/bin", "data/deep/er"] {
        fs::create_dir_all(bundle.join(name)).unwrap();
    }
    fs::write(bundle.join("data/deep/file"), "contents").unwrap();
    fs::write(bundle.join("rootfs/bin/file"), "in the root").unwrap();
    symlink("../data/deep", bundle.join("other/link")).unwrap();
    for (root, source, place, text) in [
        ("rootfs", "data", "data/deep/file", "contents"),
        ("rootfs", "./data/deep/file", "data/deep/file", "contents"),
        ("rootfs", "other/link", "other/link/file", "contents"),
        ("rootfs", "rootfs/bin", "rootfs/bin/file", "in the root"),
        ("other", "data/deep", "data/deep/file", "contents"),
    ] {
        let summary = packed(folder, root, source).unwrap();
        assert_eq!(summary.warnings, [""; 0], "{source}");
        assert_eq!(by_name(&folder.join("out"))[&format!("bundle/{place}")].text(), text, "{source}");
    }
    for (root, source, said) in [
        ("rootfs", "../outside", "the source `../outside` of a mount: a relative one must be"),
        ("rootfs", "data/../../outside", "a relative one must be"),
        ("rootfs", ".", "a relative one must be"),
        ("rootfs", "none", "bundle/none: No such file or directory"),
        ("other", "other/bin", "nothing else can be there"),
        ("other", "rootfs/bin", "nothing else can be there"),
    ] {
        let error = format!("{:#}", packed(folder, root, source).expect_err(said));
        assert!(error.contains(said), "{error}");
    }
    let warnings = packed(folder, "rootfs", "/var/lib/x").unwrap().warnings;
    assert!(warnings[0].contains("this machine's /var/lib/x, which is not packed"), "{warnings:?}");
}
