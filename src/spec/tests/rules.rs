//! The rules that go beyond the form of a document: what is refused is the corpus
//! of `tools/corpus`, what stays allowed stands here.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::json::Document;
use crate::limits;
use crate::spec::{load, load_process};
use corpus::Stage;

fn verdict(text: &[u8]) -> Option<String> {
    let said = Document::of("config.json", text).and_then(|document| load(&document).map(drop)).err();
    said.map(|error| error.to_string())
}

/// One line that begins with a place inside the text.
fn is_well_said(said: &str, text: &[u8]) -> bool {
    let mut parts = said.splitn(4, ':');
    let name = parts.next();
    let mut number = || parts.next().and_then(|number| number.parse::<usize>().ok());
    let (line, column) = (number().unwrap_or(0), number().unwrap_or(0));
    let lines = text.split(|byte| *byte == b'\n');
    let width = lines.clone().nth(line.saturating_sub(1)).map_or(0, |line| line.len() + 1);
    name == Some("config.json")
        && !said.contains('\n')
        && (1..=width).contains(&column)
        && parts.next().is_some_and(|rest| rest.starts_with(' '))
}

#[test]
fn the_good_configuration_is_good() {
    assert_eq!(verdict(corpus::GOOD.as_bytes()), None);
}

#[test]
fn every_broken_configuration_gets_its_line() {
    let mut wrong = Vec::new();
    for case in corpus::all() {
        match (verdict(&case.bytes), case.stage) {
            (None, Stage::Runtime) => {}
            (Some(said), Stage::Document) if is_well_said(&said, &case.bytes) && said.contains(&case.expected) => {}
            (said, _) => wrong.push(format!("{}: {said:?}, expected {:?}", case.name, case.expected)),
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_truncation_gets_its_line() {
    for case in corpus::truncations() {
        let said = verdict(&case.bytes).unwrap_or_else(|| panic!("{} was taken", case.name));
        assert!(is_well_said(&said, &case.bytes), "{}: {said}", case.name);
    }
}

#[test]
fn flipped_bits_never_panic() {
    for index in 0..corpus::GOOD.len() {
        let mut text = corpus::GOOD.as_bytes().to_vec();
        text[index] ^= 1 << (index * 5 % 8);
        if let Some(said) = verdict(&text) {
            assert!(is_well_said(&said, &text), "{said}");
        }
    }
}

/// The good configuration with one text in it replaced.
fn with(from: &str, to: &str) -> Option<String> {
    assert!(corpus::GOOD.contains(from), "{from}");
    verdict(corpus::GOOD.replacen(from, to, 1).as_bytes())
}

#[test]
fn what_practice_demands_is_taken() {
    for (from, to) in [
        // What means nothing here, and what engines write for "nothing".
        ("\"ociVersion\"", "\"unknown\": {\"ociVersion\": 3}, \"ociVersion\""),
        ("\"hostname\": \"corpus\"", "\"hostname\": null"),
        ("\"org.example.key\": \"value\"", "\"org.example.key\": null"),
        ("\"cwd\": \"/\"", "\"cwd\": \"/\", \"selinuxLabel\": \"\", \"apparmorProfile\": \"\""),
        ("\"cgroupsPath\"", "\"seccomp\": null, \"intelRdt\": {}, \"cgroupsPath\""),
        ("\"devices\": [\n        {", "\"memory\": {}, \"cpu\": {\"shares\": 0}, \"devices\": [\n        {"),
        // Mount destinations and covered paths that are relative; runc takes them from `/`.
        ("\"destination\": \"/tmp\"", "\"destination\": \"tmp\""),
        ("\"CAP_KILL\"", "\"CAP_FUTURE\", \"cap_kill\", \"CAP_KILL\""),
        // Duplicate variables: the last one wins. An empty value is one.
        ("\"TERM=xterm\"", "\"TERM=xterm\", \"TERM=\", \"TERM=a=b\""),
        // A whole st_mode; a FIFO with the zeros that Go writes out.
        ("\"fileMode\": 438", "\"fileMode\": 8630"),
        ("\"path\": \"/dev/pipe\"", "\"path\": \"/dev/pipe\", \"major\": 0, \"minor\": 0"),
        ("\"minor\": 229, \"access\": \"rw\"", "\"minor\": -1, \"access\": \"rr\""),
        ("\"type\": \"c\", \"major\": 10, \"minor\": 229, \"access\": \"rw\"", "\"type\": \"a\""),
        ("\"type\": \"c\", \"major\": 10, \"minor\": 229, \"access\": \"rw\"", "\"type\": \"\", \"access\": \"m\""),
        ("{ \"type\": \"pid\" }", "{ \"type\": \"pid\", \"path\": \"\" }"),
        // podman joins a user namespace with a mapping beside it.
        ("{ \"type\": \"user\" }", "{ \"type\": \"user\", \"path\": \"/proc/1/ns/user\" }"),
        // sysctl(8): either separator, and the other one for itself.
        ("\"kernel.shmmax\"", "\"kernel/shmmax\""),
        ("\"kernel.shmmax\"", "\"net.ipv4.conf.eth0/100.forwarding\""),
        ("\"kernel.shmmax\"", "\"net/ipv4/conf/eth0.100/forwarding\""),
        ("\"kernel.shmmax\"", "\"fs.mqueue.msg_max\""),
        ("\"rslave\"", "\"\""),
        ("\"hard\": 1024", "\"hard\": 18446744073709551615"),
        ("\"oomScoreAdj\": 100", "\"oomScoreAdj\": -1000"),
        ("\"uid\": 0, \"gid\": 0, \"umask\": 18", "\"uid\": 4294967294, \"umask\": 511"),
        ("\"cgroupsPath\": \"corpus/a\"", "\"cgroupsPath\": \"system.slice:ocinit:a..b\""),
    ] {
        assert_eq!(with(from, to), None, "{to}");
    }
    // Docker's way to a domain name.
    let docker =
        corpus::GOOD.replace("\"domainname\": \"example.org\",", "").replace("kernel.shmmax", "kernel.domainname");
    assert_eq!(verdict(docker.as_bytes()), None);
}

#[test]
fn the_path_of_a_sysctl() {
    for (name, expected) in [
        ("kernel.shmmax", "kernel/shmmax"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net", "net"),
    ] {
        let text = format!("\"{name}\"");
        let document = Document::of("t", text.as_bytes()).unwrap();
        let name = document.root().as_text().unwrap();
        assert_eq!(crate::spec::semantics::sysctl_path(name, &mut [b'.'; limits::SYSCTL]).unwrap(), expected);
    }
    let long = format!("net.{}", "x".repeat(limits::SYSCTL - 4));
    let said = with("kernel.shmmax", &long).unwrap();
    assert!(said.ends_with(": longer than the limit of 255 bytes"), "{said}");
}

#[test]
fn little_is_enough() {
    for text in [
        r#"{"ociVersion": "1.0.0", "root": {"path": "rootfs"}}"#,
        r#"{"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "process": {"cwd": "/", "args": ["sh"]}}"#,
    ] {
        assert_eq!(verdict(text.as_bytes()), None);
    }
}

#[test]
fn what_is_for_another_platform_is_named() {
    let said = with("\"hostname\"", "\"freebsd\": {\"x\": 1}, \"hostname\"").unwrap();
    assert!(said.contains("freebsd: for another platform than Linux"), "{said}");
}

#[test]
fn a_process_alone() {
    let verdict = |text: &str| {
        let document = Document::of("process.json", text.as_bytes()).unwrap();
        load_process(&document).err().map(|error| error.to_string())
    };
    assert_eq!(verdict(r#"{"cwd": "/", "args": ["sh"]}"#), None);
    for (text, expected) in [
        ("{\"cwd\": \"/\"}", "process.json:1:1: \"args\" must name a program to run"),
        ("{\"args\": [\"sh\"]}", "process.json:1:1: \"cwd\" is missing"),
        (
            "{\"cwd\": \"/\",\n\"args\": [\"sh\"], \"user\": {\"uid\": -1}}",
            "process.json:2:33: user.uid: expected an integer",
        ),
        ("[]", "process.json:1:1: expected an object, found an array"),
    ] {
        let said = verdict(text).unwrap();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn without_a_mount_namespace_nothing_is_mounted() {
    for (more, place) in [
        ("", None),
        (",\"mounts\":[]", None),
        (",\"mounts\":[{\"destination\":\"/a\",\"type\":\"tmpfs\"}]", Some("mounts[0]: ")),
        (",\"linux\":{\"readonlyPaths\":[\"/a\"]}", Some("linux.readonlyPaths[0]: ")),
        (",\"linux\":{\"maskedPaths\":[\"/a\"]}", Some("linux.maskedPaths[0]: ")),
        (",\"linux\":{\"rootfsPropagation\":\"shared\"}", Some("linux.rootfsPropagation: ")),
        (",\"linux\":{\"rootfsPropagation\":\"\"}", None),
    ] {
        let text = format!("{{\"ociVersion\":\"1.0.0\",\"root\":{{\"path\":\"r\"}}{more}}}");
        let said = verdict(text.as_bytes());
        match place {
            None => assert_eq!(said, None, "{more}"),
            Some(place) => assert!(said.clone().unwrap().contains(&format!("{place}needs a mount")), "{said:?}"),
        }
    }
    let said = verdict(b"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\",\"readonly\":true}}");
    assert!(said.unwrap().contains("root.readonly: needs a mount"));
}

#[test]
fn ten_thousand_mounts_are_taken() {
    let mounts =
        (0..10_000).map(|index| format!("{{\"destination\":\"/d{index}\",\"type\":\"tmpfs\",\"options\":[\"ro\"]}}"));
    let mounts = mounts.collect::<Vec<_>>().join(",");
    let text = format!(
        "{{\"ociVersion\":\"1.0.0\",\"root\":{{\"path\":\"r\"}},\"mounts\":[{mounts}],\
         \"linux\":{{\"namespaces\":[{{\"type\":\"mount\"}}]}}}}"
    );
    assert!(text.len() < limits::DOCUMENT);
    assert_eq!(verdict(text.as_bytes()), None);
}
