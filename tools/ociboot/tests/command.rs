//! The command itself: how it is told what it needs, and what it leaves when it is stopped.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{by_name, names, options};

/// The command, with the ocinit of a variable, on a root of one file that takes long to pack where it is large.
fn ociboot(folder: &Path, arguments: &[&str], size: u64) -> Command {
    let root = folder.join("root/bin");
    fs::create_dir_all(&root).unwrap();
    fs::File::create(root.join("file")).unwrap().set_len(size).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ociboot"));
    command.args(arguments).arg("root").current_dir(folder).env("OCINIT", options(folder).ocinit);
    command.env("TMPDIR", folder).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_variable_names_the_init() {
    let folder = tempfile::tempdir().unwrap();
    let output = ociboot(folder.path(), &["pack", "-o", "out"], 0).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(by_name(&folder.path().join("out"))["init"].text(), "\u{7f}ELF and so on");
    let mut command = ociboot(folder.path(), &["pack", "-o", "out"], 0);
    let output = command.env("OCINIT", "/no/such/file").output().unwrap();
    assert!(said(&output).contains("/no/such/file"), "{}", said(&output));
}

#[test]
fn nothing_is_left_where_a_signal_ends_it() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("outputs")).unwrap();
        let mut child = ociboot(folder.path(), &["pack", "-o", "outputs/out"], 3 << 30).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while names(&folder.path().join("outputs")).is_empty() {
            assert!(Instant::now() < end && child.try_wait().unwrap().is_none(), "it has not begun to write");
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal.as_raw()));
        assert_eq!(names(&folder.path().join("outputs")), [""; 0]);
        assert_eq!(names(folder.path()), ["ocinit-to-be", "outputs", "root"]);
    }
}

#[test]
fn nobody_reads_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = ociboot(folder.path(), &["pack", "-o", "out"], 0).stdout(writer).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{} {}", output.status, said(&output));
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, status) in [
        (&["pack", "-o", "none/out"][..], 1),
        (&["run", "--junit", "none/out"], 125),
        (&["run", "--json", "none/out"], 125),
        (&["run", "--console", "none/out"], 125),
    ] {
        let output = ociboot(folder.path(), arguments, 0).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert_eq!(said(&output), "ociboot: cannot write none/out: No such file or directory (os error 2)\n");
    }
}

#[test]
fn reports_of_an_early_failure() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["r.json", "r.xml"] {
        fs::write(folder.path().join(name), "an earlier run's").unwrap();
    }
    let arguments = ["run", "--json", "r.json", "--junit", "r.xml", "--kernel", "none"];
    let output = ociboot(folder.path(), &arguments, 0).output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    let text = fs::read(folder.path().join("r.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&report["outcome"]["result"], &report["status"]), (&"failed".into(), &125.into()), "{report}");
    let message = report["outcome"]["message"].as_str().unwrap();
    assert_eq!(said(&output), format!("ociboot: {message}\n"));
    let xml = fs::read_to_string(folder.path().join("r.xml")).unwrap();
    assert!(xml.contains(r#"tests="1" failures="1""#) && xml.contains("<failure"), "{xml}");
}
