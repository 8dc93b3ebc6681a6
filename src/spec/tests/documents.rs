//! The documents that we write, read again: by our own tables, by serde_json and
//! by the types of another implementation.

use serde_json::json;
use std::string::ToString;
use std::{format, vec};

use crate::json::Document;
use crate::limits;
use crate::spec::config::Config;
use crate::spec::features::{Features, Supported};
use crate::spec::record::{Shape, Strictness, WordSet, check};
use crate::spec::seccomp::{Actions, Flags, Operators};
use crate::spec::state::{RecordView, State, StateDocument, StateRecord};
use crate::spec::write::Json;
use crate::word_list;

const WEIRD: [&str; 6] =
    ["/plain", "/with \"quotes\" and \\", "/line\nfeed\ttab\u{1}\u{1f}\u{7f}", "/é€😀\u{2028}", "", "/a/../b//c"];

fn record(text: &str) -> StateRecord<'_> {
    StateRecord {
        oci_version: "1.3.0",
        id: "c1",
        bundle: text,
        rootfs: text,
        created: "2025-01-02T03:04:05.000000006Z",
        owner: text,
        pid: i32::MAX,
        start_time: u64::MAX,
        boot_id: "0b5e4d5c-0000-4000-8000-000000000000",
        pidfd_inode: 1 << 53,
        creator_pid: 0,
        creator_start_time: 0,
        status: "created",
        cgroup: text,
        cgroup_inode: 77,
        device_program: 78,
        device_program_next: 79,
        cgroup_made: true,
        cgroup_existing: 2,
        own_pid_namespace: true,
        started: true,
        terminal: false,
        hooks: true,
        executable: (25, u64::MAX),
        no_new_keyring: true,
    }
}

#[test]
fn records_come_back_as_they_were() {
    let mut buffer = vec![0; limits::RECORD];
    for text in WEIRD {
        let length = record(text).write(&mut buffer).unwrap();
        let document = Document::of("state.json", &buffer[..length]).unwrap();
        let view = RecordView::read(&document).unwrap();
        for read in [view.bundle(), view.rootfs(), view.owner(), view.cgroup()] {
            assert!(read.unwrap().is(text), "{text}");
        }
        assert!(view.id().unwrap().is("c1") && view.status().unwrap().is("created"));
        assert_eq!(
            (view.pid(), view.start_time(), view.pidfd_inode()),
            (Some(i32::MAX), Some(u64::MAX), Some(1 << 53))
        );
        assert_eq!((view.creator_pid(), view.creator_start_time()), (Some(0), Some(0)));
        assert_eq!((view.cgroup_inode(), view.device_program()), (Some(77), Some(78)));
        assert_eq!(view.device_program_next(), Some(79));
        assert_eq!((view.started(), view.terminal()), (Some(true), Some(false)));
        assert_eq!((view.hooks(), view.no_new_keyring()), (Some(true), Some(true)));
        let theirs: serde_json::Value = serde_json::from_slice(&buffer[..length]).unwrap();
        assert_eq!(theirs["bundle"], text);
    }
}

#[test]
fn the_largest_record_fits_and_a_larger_one_says_so() {
    let worst = "\u{1}".repeat(limits::PATH - 1);
    let mut record = record(&worst);
    record.owner = "root";
    let mut buffer = vec![0; limits::RECORD];
    assert!(record.write(&mut buffer).is_ok());
    let said = record.write(&mut buffer[..100]).err().unwrap().to_string();
    assert_eq!(said, "the state record is larger than the limit of 100 bytes");
}

#[test]
fn a_broken_record_is_an_error() {
    let mut buffer = vec![0; limits::RECORD];
    let length = record("/b").write(&mut buffer).unwrap();
    let whole = std::str::from_utf8(&buffer[..length]).unwrap();
    for cut in 0..length {
        let document = Document::of("state.json", &whole.as_bytes()[..cut]);
        assert!(document.is_err(), "{cut}");
    }
    // A negative pid would have kill(2) signal a group.
    for (from, to) in
        [("2147483647", "-1"), ("2147483647", "2147483648"), ("\"created\"", "\"running\""), ("\"pid\":", "\"p\":")]
    {
        let text = whole.replacen(from, to, 1);
        assert_ne!(text, whole);
        assert!(RecordView::read(&Document::of("state.json", text.as_bytes()).unwrap()).is_err(), "{to}");
    }
}

#[test]
fn the_state_document_is_valid() {
    let config =
        r#"{"ociVersion": "1.0.2", "annotations": {"a\u00e9\"": "x\ud83d\ude00\/\n", "nothing": null, "": "e"}}"#;
    let config = Document::of("config.json", config.as_bytes()).unwrap();
    let annotations = Config::view(config.root()).annotations();
    let mut buffer = vec![0; limits::STATE];
    for text in WEIRD {
        let state = StateDocument {
            oci_version: "1.0.2",
            id: "c1",
            pid: 0,
            status: "stopped",
            bundle: text,
            rootfs: text,
            created: "2025-01-02T03:04:05.000000006Z",
            annotations,
            owner: "",
        };
        let length = state.write(&mut buffer).unwrap();
        let document = Document::of("state", &buffer[..length]).unwrap();
        check(document.root(), &<State<'static> as Shape>::FORM, Strictness::Valid).unwrap();
        let theirs: serde_json::Value = serde_json::from_slice(&buffer[..length]).unwrap();
        let expected = json!({
            "ociVersion": "1.0.2", "id": "c1", "pid": 0, "status": "stopped", "bundle": text, "rootfs": text,
            "created": "2025-01-02T03:04:05.000000006Z", "annotations": {"aé\"": "x😀/\n", "": "e"}, "owner": "",
        });
        assert_eq!(theirs, expected);
        let other: oci_spec::runtime::State = serde_json::from_slice(&buffer[..length]).unwrap();
        assert_eq!(other.bundle().to_str(), Some(text));
    }
}

#[test]
fn no_annotations_no_member() {
    let config = Document::of("config.json", b"{}").unwrap();
    let state = StateDocument {
        oci_version: "1.0.2",
        id: "c1",
        pid: 5,
        status: "running",
        bundle: "/b",
        rootfs: "/b/rootfs",
        created: "",
        annotations: Config::view(config.root()).annotations(),
        owner: "root",
    };
    let mut buffer = vec![0; 1000];
    let length = state.write(&mut buffer).unwrap();
    let expected = r#"{"ociVersion":"1.0.2","id":"c1","pid":5,"status":"running","bundle":"/b","rootfs":"/b/rootfs","created":"","owner":"root"}"#;
    assert_eq!(std::str::from_utf8(&buffer[..length]), Ok(expected));
}

#[test]
fn features_are_valid_and_others_read_them() {
    let supported = Supported {
        mount_options: word_list!("ro rbind"),
        namespaces: word_list!("mount network user"),
        capabilities: word_list!("CAP_CHOWN CAP_SYS_ADMIN"),
        architectures: word_list!("SCMP_ARCH_X86_64 SCMP_ARCH_X86"),
        seccomp_flags: word_list!("SECCOMP_FILTER_FLAG_LOG"),
        annotations: &[("org.example.version", Json::Text("1 \"x\""))],
    };
    let mut buffer = vec![0; 4096];
    let length = supported.write(&mut buffer).unwrap();
    let document = Document::of("features", &buffer[..length]).unwrap();
    check(document.root(), &<Features<'static> as Shape>::FORM, Strictness::Valid).unwrap();
    let other: oci_spec::runtime::Features = serde_json::from_slice(&buffer[..length]).unwrap();
    assert_eq!((other.oci_version_min().as_str(), other.oci_version_max().as_str()), ("1.0.0", "1.3.0"));
    assert_eq!(other.mount_options().as_ref().unwrap().len(), 2);
    let theirs: serde_json::Value = serde_json::from_slice(&buffer[..length]).unwrap();
    let yes = json!({"enabled": true});
    let hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let expected = json!({
        "ociVersionMin": "1.0.0", "ociVersionMax": "1.3.0", "hooks": hooks, "mountOptions": ["ro", "rbind"],
        "linux": {
            "namespaces": ["mount", "network", "user"],
            "capabilities": ["CAP_CHOWN", "CAP_SYS_ADMIN"],
            "cgroup": {"v1": false, "v2": true, "systemd": false, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": Actions::WORDS.iter().collect::<Vec<_>>(),
                "operators": Operators::WORDS.iter().collect::<Vec<_>>(),
                "archs": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                "knownFlags": Flags::WORDS.iter().collect::<Vec<_>>(),
                "supportedFlags": ["SECCOMP_FILTER_FLAG_LOG"],
            },
            "apparmor": yes, "selinux": yes,
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "mountExtensions": {"idmap": yes}, "netDevices": yes,
        },
        "annotations": {"org.example.version": "1 \"x\""},
        "potentiallyUnsafeConfigAnnotations": [],
    });
    assert_eq!(theirs, expected);
    assert!(Flags::OLD.iter().eq(Flags::WORDS.iter().take(Flags::OLD.iter().count())));
    assert!(format!("{}", supported.write(&mut buffer[..50]).err().unwrap()).contains("limit of 50 bytes"));
}
