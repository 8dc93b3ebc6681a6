use super::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn words(line: &str) -> Vec<String> {
    Words::of(line.as_bytes())
        .map(|word| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            match word.value {
                Some(value) => std::format!("{}|{}@{}", text(word.name), text(value), word.at),
                None => std::format!("{}@{}", text(word.name), word.at),
            }
        })
        .collect()
}

#[test]
fn words_are_cut_as_the_kernel_cuts_them() {
    for (line, expected) in [
        ("", &[][..]),
        ("  \n", &[]),
        ("quiet  a=b\n", &["quiet@0", "a|b@9"]),
        ("a=\"b c\" d", &["a|b c@3", "d@8"]),
        ("\"a=b c\" d", &["a|b c@3", "d@8"]),
        ("\"a b\"", &["a b@1"]),
        // Quotes elsewhere keep blanks together, and stay.
        ("a=b\"c d\"e", &["a|b\"c d\"e@2"]),
        ("a=\"b\"c", &["a|b\"c@3"]),
        // One that is never closed takes the rest.
        ("a=\"b c", &["a|b c@3"]),
        ("a=", &["a|@2"]),
        ("a=\"\"", &["a|@3"]),
        ("\"\"", &["@1"]),
        ("\"", &["@1"]),
        ("=x", &["=x@0"]),
        ("a=b=c", &["a|b=c@2"]),
        ("a=\"", &["a|@3"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn no_line_makes_it_panic() {
    // Every line of up to six of these characters.
    const ALPHABET: &[u8] = b"a=\" -";
    for length in 0..=6u32 {
        for mut number in 0..5usize.pow(length) {
            let mut line = Vec::new();
            for _ in 0..length {
                line.push(ALPHABET[number % 5]);
                number /= 5;
            }
            let text: usize = Words::of(&line).map(|word| word.name.len() + word.value.map_or(0, <[u8]>::len)).sum();
            assert!(text <= line.len());
        }
    }
}

fn read(file: &'static str, kernel: &'static str) -> (Options, Vec<String>) {
    let mut line = CommandLine::new(file.as_bytes(), kernel.as_bytes());
    let mut mistakes = Vec::new();
    let room = Vec::leak(std::vec![0; 4096]);
    let options = line.read(&mut Arena::new(room), &mut |error| mistakes.push(error.to_string()));
    (options, mistakes)
}

#[test]
fn options() {
    let (options, mistakes) = read(
        "ocinit.timeout=5 ocinit.bundle=/a",
        "console=ttyS0 ocinit.timeout=2m ocinit.user=7:8 ocinit.on-exit=reboot ocinit.stdout=virtio:ocinit.stdout \
         ocinit.terminal ocinit.trace=0 ocinit.log=kmsg ocinit.console-size=24x80 ocinit.artifacts=virtio:x \
         ocinit.mount-timeout=0 -- ocinit.timeout=x",
    );
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!(options.timeout, Some(120_000));
    assert_eq!(options.bundle, Some(c"/a"));
    assert_eq!(options.user, Some((7, Some(8))));
    assert!(options.on_exit == OnExit::Reboot && options.stdin == Target::Console && options.log == Target::Kmsg);
    assert!(options.stdout == Target::Virtio(b"ocinit.stdout") && options.terminal && !options.trace);
    assert_eq!((options.console_size, options.artifacts), (Some((24, 80)), Some(&b"x"[..])));
    assert_eq!(options.mount_timeout, Some(0));
}

#[test]
fn mistakes_have_their_place() {
    for (line, expected) in [
        (
            "ocinit.timeout=5x",
            "kernel command line:16: ocinit.timeout: \"5x\" is not a duration, such as 30s, 500ms or 2m",
        ),
        ("quiet ocinit.timeuot=5", "kernel command line:22: ocinit.timeuot: there is no such option"),
        ("ocinit.bundle=a", "kernel command line:15: ocinit.bundle: \"a\" is not an absolute path"),
        ("ocinit.bundle", "kernel command line:1: ocinit.bundle: needs a value"),
        ("ocinit.user=root", "kernel command line:13: ocinit.user: \"root\" is not UID or UID:GID, in numbers"),
        (
            "ocinit.on-exit=explode",
            "kernel command line:16: ocinit.on-exit: \"explode\" is not one of poweroff, reboot, halt",
        ),
        (
            "ocinit.stdin=virtio:",
            "kernel command line:14: ocinit.stdin: \"virtio:\" is not one of console, null, virtio:NAME",
        ),
        ("ocinit.log=null", "kernel command line:12: ocinit.log: \"null\" is not one of console, kmsg, virtio:NAME"),
        ("ocinit.trace=maybe", "kernel command line:14: ocinit.trace: \"maybe\" is not 1 or 0"),
        ("ocinit.console-size=0x80", "kernel command line:21: ocinit.console-size: \"0x80\" is not ROWSxCOLUMNS"),
        ("ocinit.artifacts=console", "kernel command line:18: ocinit.artifacts: \"console\" is not virtio:NAME"),
        ("ocinit.env==b", "kernel command line:12: ocinit.env: \"=b\" is not NAME=VALUE"),
        ("ocinit.env=b", "kernel command line:12: ocinit.env: \"b\" is not NAME=VALUE"),
        ("ocinit.=b", "kernel command line:9: ocinit.: there is no such option"),
    ] {
        assert_eq!(read("", line).1, [expected]);
    }
    let (options, mistakes) = read("ocinit.x=1", "ocinit.y ocinit.on-exit=halt");
    assert_eq!(mistakes.len(), 2);
    assert!(mistakes[0].starts_with("/ocinit/cmdline:10: ocinit.x: "), "{mistakes:?}");
    assert!(options.on_exit == OnExit::Halt);
}

#[test]
fn what_may_be_given_again_comes_in_order() {
    let line = CommandLine::new(b"ocinit.env=A=1", b"x ocinit.env=\"B=2 3\" ocinit.mount=m -- ocinit.env=C=4");
    let values: Vec<_> = line.values(Name::Env).collect();
    assert_eq!(values, [&b"A=1"[..], b"B=2 3"]);
    assert_eq!(line.values(Name::Mount).count(), 1);
    assert_eq!(line.values(Name::Dns).count(), 0);
    assert_eq!(line.arguments().unwrap().count(), 1);
    assert!(CommandLine::new(b"", b"a -- ").arguments().unwrap().next().is_none());
    assert!(CommandLine::new(b"", b"a --b").arguments().is_none());
}

#[test]
fn every_name_has_its_option() {
    assert_eq!(NAMES.iter().count(), ALL.len());
    assert!(ALL.iter().enumerate().all(|(index, name)| *name as usize == index));
}

#[test]
fn channels() {
    for (text, expected) in [
        ("virtio:ocinit.status", Some(Channel::Virtio(b"ocinit.status"))),
        ("vsock:2:1024", Some(Channel::Vsock { cid: 2, port: 1024 })),
        ("vsock:4294967295:0", Some(Channel::Vsock { cid: u32::MAX, port: 0 })),
        ("isa-debug-exit", Some(Channel::DebugExit(0xf4))),
        ("isa-debug-exit:0x501", None),
        ("isa-debug-exit:0x2f4", Some(Channel::DebugExit(0x2f4))),
        ("isa-debug-exit:244", Some(Channel::DebugExit(244))),
        ("isa-debug-exit:", None),
        ("isa-debug-exit:x", None),
        ("vsock:2", None),
        ("vsock:2:4294967296", None),
        ("vsock:2:3:4", None),
        ("console", None),
        ("", None),
    ] {
        assert!(channel(text.as_bytes()) == expected, "{text}");
    }
}
