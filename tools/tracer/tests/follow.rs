//! The tracer over commands of every system.

use std::process::Command;

use tracer::{Action, Event, FileId, Report, Tracer, Until};

fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn children_and_their_programs_are_seen() {
    let report = Report::of(sh("/bin/true; /bin/false | /bin/true; exit 3"), None, Until::AllGone).unwrap();
    assert_eq!(report.end, Some(tracer::End::Status(3)));
    assert_eq!(report.executed.len(), 4, "{:?}", report.executed);
    assert!(report.calls["execve"] >= 3 && report.total() > 20);
    assert!(report.images.iter().all(|image| image.high_water_mark > 0));
}

#[test]
fn the_payload_is_not_counted() {
    let payload = FileId::of("/bin/true".as_ref()).unwrap();
    let all = Report::of(sh("exec /bin/true"), None, Until::AllGone).unwrap();
    let ours = Report::of(sh("exec /bin/true"), Some(payload), Until::AllGone).unwrap();
    assert!(ours.total() < all.total());
    assert_eq!(ours.executed.len(), 2);
}

#[test]
fn a_killed_call_does_not_happen() {
    let folder = std::env::temp_dir().join(format!("tracer-{}", std::process::id()));
    let mut command = Command::new("mkdir");
    command.arg(&folder);
    let mut tracer = Tracer::spawn(command, Until::AllGone).unwrap();
    let end = tracer
        .follow(|event| match event {
            Event::Enter { number, .. } if tracer::name(*number).starts_with("mkdir") => Action::Kill,
            _ => Action::Continue,
        })
        .unwrap();
    assert_eq!(end, tracer::End::Signal(9));
    assert!(!folder.exists());
}

#[test]
fn who_outlives_the_command_is_let_go() {
    let file = std::env::temp_dir().join(format!("tracer-late-{}", std::process::id()));
    let script = format!("(sleep 0.3; echo done > {}) & exit 0", file.display());
    let mut tracer = Tracer::spawn(sh(&script), Until::CommandGone).unwrap();
    assert!(tracer.follow(|_| Action::Continue).unwrap().success());
    assert!(!file.exists());
    std::thread::sleep(std::time::Duration::from_millis(800));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "done\n");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn job_control_works_under_the_tracer() {
    let report = Report::of(sh("sleep 5 & kill -STOP $!; kill -CONT $!; kill $!; wait; exit 0"), None, Until::AllGone);
    assert!(report.unwrap().end.unwrap().success());
}

#[test]
fn a_hanging_command_ends() {
    let mut tracer = Tracer::spawn(sh("sleep 60 & sleep 60"), Until::AllGone).unwrap();
    tracer.limit(std::time::Duration::from_millis(200));
    tracer.follow(|_| Action::Continue).unwrap();
    assert!(tracer.expired());
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    assert!(Tracer::spawn(Command::new("/no/such/program"), Until::AllGone).is_err());
}
