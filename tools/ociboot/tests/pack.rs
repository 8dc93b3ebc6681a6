//! `pack` as a whole: from sources made here to the bytes that come out.

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use ociboot::pack::{Compression, Format, Kind, Layout, Options, Summary, pack};
use serde_json::{Value, json};
use support::*;

fn layers() -> Vec<Vec<u8>> {
    vec![
        tar(&[
            ("etc/", ""),
            ("etc/passwd", "root:x:0:0::/:\nweb:x:33:34::/:\n"),
            ("etc/group", "log:x:4:web\n"),
            ("usr/bin/tool", "old"),
            ("usr/bin/same=>usr/bin/tool", ""),
            ("bin->usr/bin", ""),
            ("gone", "x"),
        ]),
        tar(&[("bin/tool", "new"), (".wh.gone", "")]),
        tar(&[("usr/share/long".repeat(20).as_str(), "deep")]),
    ]
}

fn config() -> Value {
    json!({ "User": "web", "Entrypoint": ["/bin/tool"], "Cmd": ["--go"], "Env": ["PATH=/usr/bin", "A=b"],
            "WorkingDir": "/srv/www", "StopSignal": "SIGQUIT", "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Labels": { "z": "1", "org.opencontainers.image.os": "other" }, "Volumes": { "/data": {} } })
}

/// Packs an image in one of its forms, by the name of the form.
fn pack_image(form: &str, folder: &Path) -> Summary {
    let configuration = configuration(&layers(), config());
    let source = folder.join(form);
    match form {
        "layout" => write_folder(&layout(&layers(), &configuration), &source),
        "layout.tar" => write_archive(&layout(&layers(), &configuration), &source),
        "docker.tar" => write_archive(&docker(&layers(), &configuration), &source),
        _ => {
            write_archive(&docker(&layers(), &configuration), &folder.join("plain.tar"));
            fs::write(&source, gzip(&fs::read(folder.join("plain.tar")).unwrap())).unwrap();
        }
    }
    pack(&source, &options(folder), &folder.join("out")).unwrap()
}

#[test]
fn images_in_all_forms_come_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut packed = Vec::new();
    for (form, kind) in [
        ("layout", Kind::OciLayout),
        ("layout.tar", Kind::OciLayout),
        ("docker.tar", Kind::DockerArchive),
        ("docker.tar.gz", Kind::DockerArchive),
    ] {
        let summary = pack_image(form, folder.path());
        assert_eq!((summary.kind, &summary.warnings[..]), (kind, &[][..]), "{form}");
        packed.push(fs::read(folder.path().join("out")).unwrap());
        assert_eq!(packed[0], packed[packed.len() - 1], "{form}");
        // Of the layers' 280 bytes of names nothing is left.
        assert!(summary.without_root + 200 < summary.initramfs.size, "{summary:?}");
    }
    let files = by_name(&folder.path().join("out"));
    let root = |name: &str| &files[&format!("bundle/rootfs/{name}")];
    assert_eq!((root("usr/bin/tool").text(), root("usr/bin/same").text()), ("new", "old"));
    assert_eq!((root("bin").text(), root("bin").mode), ("usr/bin", 0o120_000 | 0o4711));
    assert_eq!(root("usr/bin/tool").mode, 0o104_711);
    assert_eq!((root("usr/bin/tool").owner, root("usr/bin/tool").mtime), ((12, 3 << 20), 1000));
    assert!(!files.contains_key("bundle/rootfs/gone"));
    assert_eq!((files["dev/console"].mode, files["dev/console"].device), (0o020_600, (5, 1)));
    assert_eq!((files["init"].mode, files["init"].mtime), (0o100_755, 0));
    assert!(root("srv/www").mode == 0o040_755 && root("data").mode == 0o040_755 && root("proc").mode == 0o040_755);
}

#[test]
fn an_image_becomes_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    pack_image("docker.tar", folder.path());
    let files = by_name(&folder.path().join("out"));
    let config: Value = serde_json::from_slice(&files["bundle/config.json"].data).unwrap();
    let process = &config["process"];
    assert_eq!(process["args"], json!(["/bin/tool", "--go"]));
    assert_eq!(process["user"], json!({ "uid": 33, "gid": 34, "additionalGids": [4] }));
    assert_eq!(process["env"], json!(["PATH=/usr/bin", "A=b", "TERM=xterm"]));
    assert_eq!((&process["cwd"], &process["terminal"]), (&json!("/srv/www"), &json!(false)));
    assert_eq!((&process["noNewPrivileges"], &process["rlimits"]), (&json!(false), &Value::Null));
    for set in ["bounding", "effective", "permitted"] {
        let names = process["capabilities"][set].as_array().unwrap();
        assert!(names.len() == 14 && names.contains(&json!("CAP_SETUID")), "{set}: {names:?}");
    }
    let annotations = &config["annotations"];
    for (name, value) in [
        ("org.opencontainers.image.os", "other"),
        ("org.opencontainers.image.architecture", architecture()),
        ("org.opencontainers.image.stopSignal", "SIGQUIT"),
        ("org.opencontainers.image.exposedPorts", "53/udp,80/tcp"),
        ("z", "1"),
    ] {
        assert_eq!(annotations[name], value, "{name}");
    }
    // It is one that others can read as well.
    serde_json::from_value::<oci_spec::runtime::Spec>(config).unwrap();
}

#[test]
fn damaged_images_are_refused_and_nothing_is_left() {
    type Damage = fn(&mut std::collections::BTreeMap<String, Vec<u8>>);
    let cases: &[(Damage, &str)] = &[
        (|files| _ = files.remove("index.json"), "Looked for"),
        (|files| files.get_mut("oci-layout").unwrap()[24] = b'9', "imageLayoutVersion"),
        (|files| change(files, "diff_ids", |bytes| bytes[5] ^= 1), "digest"),
        (|files| change(files, "\"layers\":[", |bytes| bytes.push(b' ')), "bytes, and should have"),
        (|files| change(files, "\u{1f}", |bytes| *bytes.last_mut().unwrap() ^= 1), "layer 1 of 3"),
        (|files| change(files, "\u{1f}", |bytes| bytes.truncate(40)), "should have"),
        (|files| files.retain(|_, bytes| bytes.first() != Some(&0x1f)), "cannot open"),
        (|files| *files.get_mut("index.json").unwrap() = b"{".to_vec(), "index.json"),
        (|files| index(files, "manifest.v1+json", "other.v1+json"), "no image"),
        (|files| index(files, "sha256:", "md5:"), "index.json"),
        (|files| index(files, "sha256:", "sha256:../../"), "index.json"),
    ];
    for (number, (damage, said)) in cases.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("layout");
        let mut files = layout(&layers(), &configuration(&layers(), config()));
        damage(&mut files);
        write_folder(&files, &source);
        refused(&source, folder.path(), said, number);
    }
}

/// Changes the blob that has some text.
fn change(files: &mut std::collections::BTreeMap<String, Vec<u8>>, with: &str, how: fn(&mut Vec<u8>)) {
    let has = |bytes: &[u8]| bytes.windows(with.len()).any(|window| window == with.as_bytes());
    let mut found = files
        .iter_mut()
        .filter(|(name, bytes)| name.starts_with("blobs/") && has(bytes) && (with != "\u{1f}" || bytes[0] == 0x1f));
    how(found.next().unwrap().1);
}

fn index(files: &mut std::collections::BTreeMap<String, Vec<u8>>, from: &str, to: &str) {
    let text = String::from_utf8(files["index.json"].clone()).unwrap();
    assert!(text.contains(from));
    files.insert("index.json".into(), text.replace(from, to).into_bytes());
}

/// It is refused with these words, and no file is there that was not before.
fn refused(source: &Path, folder: &Path, said: &str, number: usize) {
    let (options, out) = (options(folder), folder.join("out"));
    let before = names(folder);
    let error = format!("{:#}", pack(source, &options, &out).expect_err(said));
    assert!(error.contains(said), "case {number}: {error}, and not: {said}");
    assert_eq!(names(folder), before, "case {number}");
}

#[test]
fn archives_that_are_no_images() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(&layers(), config());
    let whole = folder.path().join("whole");
    write_archive(&docker(&layers(), &configuration), &whole);
    let whole = fs::read(whole).unwrap();
    let mut packed = gzip(&whole);
    packed.truncate(packed.len() / 2);
    for (number, (bytes, said)) in [
        (b"hello".to_vec(), "truncated"),
        (vec![b'x'; 1024], "no tar archive"),
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (packed, "cannot unpack it"),
        (tar(&[("some/file", "x")]), "neither oci-layout"),
        (tar(&[("manifest.json", "[]")]), "0 images fit"),
        (tar(&[("manifest.json", r#"[{"Config":"../c","Layers":[]}]"#)]), "leads out"),
        (tar(&[("manifest.json", r#"[{"Config":"l","Layers":[]}]"#), ("l->l", "")]), "lead to each other"),
        (b"BZh91AY".to_vec(), "bzip2"),
    ]
    .into_iter()
    .enumerate()
    {
        let source = folder.path().join("archive");
        fs::write(&source, bytes).unwrap();
        refused(&source, folder.path(), said, number);
    }
}

#[test]
fn several_images() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("layout");
    let mut files = layout(&layers(), &configuration(&layers(), config()));
    let mut document: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let other = configuration(&layers()[..1], json!({ "Cmd": ["/other"] }));
    let more = layout(&layers()[..1], &other);
    let mut second = serde_json::from_slice::<Value>(&more["index.json"]).unwrap()["manifests"][0].clone();
    second["annotations"] = json!({ "org.opencontainers.image.ref.name": "second" });
    // As `docker save` has it since 25.
    document["manifests"][0]["annotations"] = json!({ "org.opencontainers.image.ref.name": "1.0",
        "io.containerd.image.name": "docker.io/library/first:1.0" });
    let mut foreign = document["manifests"][0].clone();
    foreign["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    document["manifests"].as_array_mut().unwrap().extend([second, foreign]);
    files.extend(more);
    files.insert("index.json".into(), document.to_string().into_bytes());
    write_folder(&files, &source);
    let said = "2 images are in it; --image chooses one: docker.io/library/first:1.0, second";
    refused(&source, folder.path(), said, 0);
    let mut options = options(folder.path());
    for (name, command) in [
        ("second", "/other"),
        ("docker.io/library/first:1.0", "/bin/tool"),
        ("first:1.0", "/bin/tool"),
        ("1.0", "/bin/tool"),
    ] {
        options.image = Some(name.into());
        pack(&source, &options, &folder.path().join("out")).unwrap();
        assert!(by_name(&folder.path().join("out"))["bundle/config.json"].text().contains(command), "{name}");
    }
    for name in ["irst:1.0", "first", "/first:1.0"] {
        options.image = Some(name.into());
        refused_with(&source, &options, &folder.path().join("out"), "no image");
    }
}

/// A root file system, its files made in one order or the other.
fn make_root(folder: &Path, backwards: bool) {
    let mut files = vec!["bin/sh", "bin/a", "etc/z", "etc/b", "usr/lib/x/y"];
    if backwards {
        files.reverse();
    }
    for name in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::hard_link(folder.join("bin/a"), folder.join("etc/a")).unwrap();
    symlink("sh", folder.join("bin/ash")).unwrap();
    for entry in ["", "bin", "etc", "usr", "usr/lib", "usr/lib/x", "bin/sh", "bin/a", "etc/z", "etc/b", "usr/lib/x/y"] {
        let file = fs::File::open(folder.join(entry)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(77)).unwrap();
    }
    let epoch = ["-h", "-d", "@77"];
    assert!(Command::new("touch").args(epoch).arg(folder.join("bin/ash")).status().unwrap().success());
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, backwards) in [("one", false), ("two", true)] {
        make_root(&folder.path().join(name), backwards);
    }
    for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
        for format in [None, Some(Format::Erofs), Some(Format::Squashfs)] {
            if format == Some(Format::Squashfs) && !has_program("mksquashfs") {
                continue;
            }
            let made = ["one", "two"].map(|name| {
                // mksquashfs likes to write the present time, in seconds.
                if format == Some(Format::Squashfs) {
                    std::thread::sleep(std::time::Duration::from_millis(1010));
                }
                let (out, file) = (folder.path().join("out"), folder.path().join("disk"));
                let mut options = options(folder.path());
                options.compression = compression;
                if let Some(format) = format {
                    options.layout = Layout::Disk { file: file.clone(), format };
                }
                pack(&folder.path().join(name), &options, &out).unwrap();
                (fs::read(out).unwrap(), format.map(|_| fs::read(file).unwrap()))
            });
            assert!(made[0] == made[1], "{compression:?} {format:?}");
        }
    }
}

#[test]
fn hard_links_and_order() {
    let folder = tempfile::tempdir().unwrap();
    make_root(&folder.path().join("root"), false);
    let out = folder.path().join("out");
    pack(&folder.path().join("root"), &options(folder.path()), &out).unwrap();
    let entries = read_cpio(&out);
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    for (place, name) in names.iter().enumerate() {
        if let Some((folder, _)) = name.rsplit_once('/') {
            assert!(names[..place].contains(&folder), "{name} comes before {folder}");
        }
    }
    // Of an archive that the guest has no room for the end is missing.
    assert_eq!(names.last(), Some(&"init"));
    let files = by_name(&out);
    let (first, last) = (&files["bundle/rootfs/bin/a"], &files["bundle/rootfs/etc/a"]);
    assert_eq!((first.number, first.links, last.links), (last.number, 2, 2));
    assert_eq!((first.text(), last.text()), ("", "bin/a"));
    let mut numbers: Vec<u32> = files.values().map(|entry| entry.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), files.len() - 1);
}

#[test]
fn others_can_read_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    make_root(&folder.path().join("root"), false);
    let (out, mut options) = (folder.path().join("out"), options(folder.path()));
    options.compression = Compression::None;
    pack(&folder.path().join("root"), &options, &out).unwrap();
    for reader in [&["cpio", "-t", "--quiet"][..], &["busybox", "cpio", "-t"]] {
        if !has_program(reader[0]) {
            println!("skipped: there is no {}", reader[0]);
            continue;
        }
        let input = Stdio::from(fs::File::open(&out).unwrap());
        let output = Command::new(reader[0]).args(&reader[1..]).stdin(input).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // busybox does not list a hard link's names before the last.
        let listed = |(name, entry): (String, Entry)| {
            (entry.links == 1 || !entry.data.is_empty() || entry.mode >> 12 == 4).then_some(name)
        };
        let ours: Vec<String> = read_cpio(&out).into_iter().filter_map(listed).collect();
        let theirs = String::from_utf8(output.stdout).unwrap();
        let theirs: Vec<&str> = theirs.lines().filter(|name| *name != "bundle/rootfs/bin/a").collect();
        assert_eq!(theirs, ours);
    }
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

#[test]
fn what_is_said_to_ocinit() {
    let folder = tempfile::tempdir().unwrap();
    make_root(&folder.path().join("root"), false);
    let modules = folder.path().join("modules");
    fs::create_dir(&modules).unwrap();
    fs::write(modules.join("modules.dep"), "a.ko.gz: b.ko\nb.ko:\nc.ko:\nd.ko:\n").unwrap();
    fs::write(modules.join("a.ko.gz"), gzip(b"\x7fELF a")).unwrap();
    fs::write(modules.join("b.ko"), b"\x7fELF b").unwrap();
    fs::write(modules.join("c.ko"), b"\x7fELF c").unwrap();
    fs::write(modules.join("modules.softdep"), "softdep a pre: c d\n").unwrap();
    let out = folder.path().join("out");
    let mut options = options(folder.path());
    let long = "quote\" and\nnewline".repeat(3000);
    options.command = Some(vec!["sh".into(), "-c".into(), long.clone().into()]);
    options.environment = vec!["A=b c".into(), "A=".into()];
    options.artifacts = vec!["/tmp/x".into()];
    options.boot_words = vec!["ocinit.timeout=5".into(), "ocinit.hostname=\"a b\"".into()];
    options.modules = Some(ociboot::modules::Request { folder: modules, names: vec!["a x=1".into()] });
    let summary = pack(&folder.path().join("root"), &options, &out).unwrap();
    assert!(matches!(&summary.warnings[..], [only] if only.contains("d.ko")), "{:?}", summary.warnings);
    let files = by_name(&out);
    for (name, expected) in [
        ("ocinit/args", format!("sh\0-c\0{long}\0")),
        ("ocinit/env", "A=b c\0A=\0".into()),
        ("ocinit/artifacts", "/tmp/x\0".into()),
        ("ocinit/cmdline", "ocinit.timeout=5 ocinit.hostname=\"a b\"\n".into()),
        ("ocinit/modules", "-/ocinit/modules.d/c.ko\n/ocinit/modules.d/b.ko\n/ocinit/modules.d/a.ko x=1\n".into()),
        ("ocinit/modules.d/a.ko", "\u{7f}ELF a".into()),
    ] {
        assert_eq!(files[name].text(), expected, "{name}");
    }
    type Wrong = fn(&mut Options);
    let wrong: [(Wrong, &str); 5] = [
        (|options| options.command = Some(vec!["x".repeat(1 << 17).into()]), "/ocinit/args"),
        (|options| options.environment = vec!["A".into()], "NAME=VALUE"),
        (|options| options.environment = vec!["A=\0".into()], "NUL"),
        (|options| options.boot_words = vec!["a\nb".into()], "newline"),
        (|options| options.modules.as_mut().unwrap().names = vec!["none".into()], "no kernel module `none`"),
    ];
    for (make, said) in wrong {
        let mut options = options.clone();
        make(&mut options);
        let error = format!("{:#}", pack(&folder.path().join("root"), &options, &out).expect_err(said));
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn name_servers() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("root"), folder.path().join("out"));
    make_root(&root, false);
    symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf")).unwrap();
    let mut options = options(folder.path());
    pack(&root, &options, &out).unwrap();
    assert!(!by_name(&out).contains_key("etc/resolv.conf"));
    options.boot_words = vec!["ocinit.dhcp=any".into()];
    pack(&root, &options, &out).unwrap();
    let files = by_name(&out);
    for name in ["etc/resolv.conf", "bundle/rootfs/etc/resolv.conf"] {
        assert_eq!((files[name].mode, files[name].text()), (0o100_644, ""), "{name}");
    }
    let config: Value = serde_json::from_slice(&files["bundle/config.json"].data).unwrap();
    let mount = config["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == "/etc/resolv.conf");
    assert_eq!(mount.unwrap()["source"], "/etc/resolv.conf");
    fs::remove_file(root.join("etc/resolv.conf")).unwrap();
    fs::write(root.join("etc/resolv.conf"), "own").unwrap();
    pack(&root, &options, &out).unwrap();
    assert_eq!(by_name(&out)["bundle/rootfs/etc/resolv.conf"].text(), "own");
}

#[test]
fn bundles_and_units() {
    let folder = tempfile::tempdir().unwrap();
    let (bundle, out) = (folder.path().join("bundle"), folder.path().join("out"));
    make_root(&bundle.join("rootfs"), false);
    let text = r#"{ "ociVersion": "1.0.0", "process": {"args":["x"]}, "root": {"path": "rootfs"} }"#;
    fs::write(bundle.join("config.json"), text).unwrap();
    let mut options = options(folder.path());
    assert_eq!(pack(&bundle, &options, &out).unwrap().kind, Kind::Bundle);
    assert_eq!(by_name(&out)["bundle/config.json"].text(), text);
    options.terminal = true;
    options.mounts = vec![oci_spec::runtime::MountBuilder::default().destination("/m").build().unwrap()];
    pack(&bundle, &options, &out).unwrap();
    let config: Value = serde_json::from_str(by_name(&out)["bundle/config.json"].text()).unwrap();
    assert_eq!((&config["process"]["terminal"], &config["mounts"][0]["destination"]), (&json!(true), &json!("/m")));

    let units = folder.path().join("units");
    let service = units.join("containers/services/web");
    fs::create_dir_all(service.join("rootfs/bin")).unwrap();
    fs::create_dir_all(units.join("etc")).unwrap();
    fs::write(units.join("init"), "theirs").unwrap();
    fs::write(service.join("config.json"), text).unwrap();
    fs::write(service.join("runtime.json"), "{}").unwrap();
    refused_with(&units, &options, &out, "mounts can be given to a single container only");
    options.terminal = false;
    options.mounts = Vec::new();
    assert_eq!(pack(&units, &options, &out).unwrap().kind, Kind::Units);
    let files = by_name(&out);
    assert_eq!(files["containers/services/web/config.json"].text(), text);
    assert!(files.contains_key("containers/services/web/runtime.json") && files.contains_key("etc"));
    assert!(files["init"].data.starts_with(b"\x7fELF"));
    assert_eq!(read_cpio(&out).last().unwrap().0, "init");
    options.command = Some(vec!["x".into()]);
    refused_with(&units, &options, &out, "a command");
}

fn refused_with(source: &Path, options: &Options, out: &Path, said: &str) {
    let error = format!("{:#}", pack(source, options, out).expect_err(said));
    assert!(error.contains(said), "{error}");
}

#[test]
fn outputs_that_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    make_root(&root, false);
    let options = options(folder.path());
    for (out, said) in
        [(root.join("out"), "within the source"), (root.clone(), "not replaced"), ("/dev/null".into(), "not replaced")]
    {
        let error = format!("{:#}", pack(&root, &options, &out).expect_err(said));
        assert!(error.contains(said), "{error}");
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    refused(&folder.path().join("empty"), folder.path(), "Looked for", 0);
    refused(&folder.path().join("none"), folder.path(), "cannot look at it", 1);
}
