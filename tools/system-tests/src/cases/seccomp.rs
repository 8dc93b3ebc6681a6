//! Seccomp filters: loaded through bundles, and asked by making the calls.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tracer::End;

use super::comparison::{ENGINES, engine, peer};
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::kernel;
use crate::traced::{SECCOMP, calls};

cases!("seccomp":
    actions proves [
        "linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet", "linux.seccomp.syscalls[].action",
        "linux.seccomp.syscalls[].errnoRet", "linux.seccomp.syscalls[].names[]",
    ],
    all_conditions_of_a_rule_must_hold proves [
        "linux.seccomp.syscalls[].args[].index", "linux.seccomp.syscalls[].args[].op",
        "linux.seccomp.syscalls[].args[].value", "linux.seccomp.syscalls[].args[].valueTwo",
    ],
    architectures_that_are_not_listed_are_closed proves ["linux.seccomp.architectures[]"],
    calls_newer_than_the_profile,
    nothing_of_the_runtime_needs_to_be_allowed,
    without_no_new_privileges,
    exec_has_the_filter_too,
    flags proves ["linux.seccomp.flags[]"],
    filters_that_cannot_be_loaded_are_errors,
    answers_are_runcs [Need::Program("runc"), Need::Host],
);

const SIGSYS: i32 = 128 + 31;
const ALL_THREE: [&str; 3] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
/// getppid of x86_64: nothing in a program depends on it.
pub const GETPPID: &str = "64:110";

pub fn rule(names: &[&str], action: &str, more: Value) -> Value {
    let mut rule = json!({"names": names, "action": format!("SCMP_ACT_{action}")});
    for (name, value) in more.as_object().into_iter().flatten() {
        rule[name] = value.clone();
    }
    rule
}

/// A profile that lets all through but for the rules.
pub fn but_for(rules: &[Value]) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules})
}

pub fn calling(profile: &Value, calls: &[&str]) -> Config {
    let mut args = vec!["/caller"];
    args.extend(calls);
    Config::plain().args(&args).set("/linux/seccomp", profile.clone())
}

/// What the calls return, under the profile.
fn returns(c: &Context, profile: &Value, calls: &[&str]) -> Result<Vec<i64>> {
    let output = c.run(&calling(profile, calls))?.ok()?;
    let numbers = output.lines().into_iter().map(|line| line.rsplit(' ').next().unwrap_or("").parse());
    let numbers: Vec<i64> = numbers.collect::<Result<_, _>>().with_context(|| format!("{output:?}"))?;
    ensure!(numbers.len() == calls.len(), "{output:?}");
    Ok(numbers)
}

fn actions(c: &Context) -> Result<()> {
    let with = |action: &str, more: Value| but_for(&[rule(&["getppid"], action, more)]);
    // The parent is outside of the pid namespace.
    same!(returns(c, &with("ALLOW", json!({})), &[GETPPID])?, [0], "allowed");
    same!(returns(c, &with("LOG", json!({})), &[GETPPID])?, [0], "logged");
    same!(returns(c, &with("ERRNO", json!({})), &[GETPPID])?, [-1], "EPERM");
    same!(returns(c, &with("ERRNO", json!({"errnoRet": 95})), &[GETPPID])?, [-95], "an errno of its own");
    same!(returns(c, &with("ERRNO", json!({"errnoRet": 0})), &[GETPPID])?, [0], "no error");
    same!(returns(c, &with("TRACE", json!({})), &[GETPPID])?, [-38], "without a tracer");
    for action in ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"] {
        let config = calling(&with(action, json!({})), &[GETPPID]);
        let output = c.run(&config)?.status(SIGSYS)?;
        same!(output.stdout, "", "{action}");
    }
    let output = c.run(&calling(&with("TRAP", json!({})), &["catch", GETPPID]))?.status(7)?;
    same!(output.stdout, "caught\n", "trapped");
    // Not what kills.
    c.run(&calling(&with("KILL_PROCESS", json!({})), &["catch", GETPPID]))?.status(SIGSYS)?;
    // The default, with an errno of its own; what the caller needs is allowed.
    let needed = json!([
        "execve",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "arch_prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "readlinkat",
        "getrandom",
        "write",
        "exit_group",
        "rt_sigaction",
        "rt_sigprocmask",
        "sigaltstack",
        "poll",
        "ppoll",
        "fstat",
        "newfstatat",
        "uname",
        "futex",
        "read",
        "close",
        "open",
        "openat",
        "sched_getaffinity",
        "madvise",
        "gettid",
        "ioctl",
        "fcntl"
    ]);
    let allowed = json!({"names": needed, "action": "SCMP_ACT_ALLOW"});
    let profile = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 77, "syscalls": [allowed]});
    same!(returns(c, &profile, &[GETPPID, "64:1:99:0:0"])?, [-77, -9], "the default");
    Ok(())
}

/// CVE-2017-18367: conditions were taken one by one.
fn all_conditions_of_a_rule_must_hold(c: &Context) -> Result<()> {
    let condition = |index: u32, op: &str, value: u64| json!({"index": index, "op": op, "value": value});
    let both = json!({"args": [condition(0, "SCMP_CMP_EQ", 5), condition(1, "SCMP_CMP_GE", 1 << 33)]});
    let profile = but_for(&[rule(&["getppid"], "ERRNO", both)]);
    let large = "8589934592"; // 2³³
    let calls = [format!("64:110:5:{large}"), "64:110:5:2".into(), format!("64:110:6:{large}"), "64:110".into()];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    same!(returns(c, &profile, &calls)?, [-1, 0, 0, 0], "both, the first, the second, none");
    // Two values: the bits that count, and what they must be.
    let masked = json!({"args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0xf0, "valueTwo": 0x30}]});
    let of_bits = but_for(&[rule(&["getppid"], "ERRNO", masked)]);
    same!(returns(c, &of_bits, &["64:110:48", "64:110:57", "64:110:16"])?, [-1, -1, 0], "0x30, 0x39, 0x10");
    // A value of 64 bits is compared as one: this one's lower half is 5.
    same!(returns(c, &profile, &[&format!("64:110:4294967301:{large}")])?, [0], "another value");
    Ok(())
}

fn architectures_that_are_not_listed_are_closed(c: &Context) -> Result<()> {
    let mut profile = but_for(&[rule(&["getppid"], "ERRNO", json!({"errnoRet": 95}))]);
    // By int 0x80 (getppid is 64 there) and with the bit of x32.
    for call in ["32:64", "x32:110", "32:20", "x32:39"] {
        c.run(&calling(&profile, &[call]))?.status(SIGSYS)?;
    }
    profile["architectures"] = json!(ALL_THREE);
    same!(returns(c, &profile, &[GETPPID, "32:64", "x32:110"])?, [-95; 3], "the same rule on all");
    // Getpid, which no rule is about; x32 may not be part of the kernel.
    let found = returns(c, &profile, &["32:20", "x32:39"])?;
    ensure!(found[0] == 1 && [1, -38].contains(&found[1]), "{found:?}");
    // An architecture that can never be here opens nothing and closes nothing.
    profile["architectures"] = json!(["SCMP_ARCH_ARM", "SCMP_ARCH_S390X"]);
    same!(returns(c, &profile, &[GETPPID])?, [-95], "with foreign architectures");
    c.run(&calling(&profile, &["32:64"]))?.status(SIGSYS)?;
    Ok(())
}

/// Calls that whoever wrote the profile could not know are as on an older kernel.
fn calls_newer_than_the_profile(c: &Context) -> Result<()> {
    let profile = |default: &str, denied: &[&str]| {
        // Up to statx (332), but for some.
        let table = include_str!("../../../../src/seccomp/syscalls/x86_64.txt");
        let lines = table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect::<Vec<_>>());
        let known = lines.filter(|fields| fields[1].parse().is_ok_and(|number: u32| number <= 332));
        let names: Vec<&str> = known.map(|fields| fields[0]).filter(|name| !denied.contains(name)).collect();
        json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"],
               "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]})
    };
    // pidfd_open (434), and one that no kernel has.
    let calls = [GETPPID, "64:434:1", "64:5000"];
    same!(returns(c, &profile("SCMP_ACT_ERRNO", &["getppid"]), &calls)?, [-1, -38, -38], "EPERM for what is known");
    same!(returns(c, &profile("SCMP_ACT_KILL", &[]), &calls[1..])?, [-38, -38], "not killed");
    c.run(&calling(&profile("SCMP_ACT_KILL", &["getppid"]), &[GETPPID]))?.status(SIGSYS)?;
    Ok(())
}

/// The filter is loaded last of all: calls that the runtime makes on the way may
/// be forbidden, on pain of death.
fn nothing_of_the_runtime_needs_to_be_allowed(c: &Context) -> Result<()> {
    let ours = [
        "accept4",
        "bpf",
        "capset",
        "chdir",
        "clone3",
        "close_range",
        "connect",
        "keyctl",
        "listen",
        "mount",
        "move_mount",
        "openat2",
        "pivot_root",
        "prctl",
        "recvmsg",
        "seccomp",
        "sendmsg",
        "setgroups",
        "setns",
        "setresgid",
        "setresuid",
        "setsid",
        "signalfd4",
        "socket",
        "socketpair",
        "umask",
        "umount2",
        "unshare",
        "waitid",
    ];
    let profile = but_for(&[rule(&ours, "KILL_PROCESS", json!({}))]);
    for no_new_privileges in [true, false] {
        for user in [0, 1000] {
            let config = calling(&profile, &[GETPPID])
                .set("/process/noNewPrivileges", json!(no_new_privileges))
                .set("/process/user", json!({"uid": user, "gid": user}));
            c.run(&config)?.ok()?;
            let id = c.create(&config)?;
            c.call(&["start", &id])?.ok()?;
            c.await_status(&id, "stopped")?;
            c.delete(&id)?;
        }
    }
    Ok(())
}

/// Then it takes CAP_SYS_ADMIN to load a filter, which the process must not keep.
fn without_no_new_privileges(c: &Context) -> Result<()> {
    let profile = but_for(&[rule(&["getppid"], "ERRNO", json!({}))]);
    let some = json!(["CAP_KILL", "CAP_CHOWN"]);
    for (user, capabilities, ambient) in [
        (0, json!({"bounding": some, "effective": some, "permitted": some}), "0"),
        (1000, json!({"bounding": some, "effective": some, "permitted": some}), "0"),
        (
            1000,
            json!({"bounding": some, "effective": some, "permitted": some, "inheritable": some, "ambient": some}),
            "21",
        ),
        (1000, json!({}), "0"),
        // One that is not permitted cannot be ambient, whatever was needed on the way.
        (
            1000,
            json!({"inheritable": ["CAP_SYS_ADMIN"], "ambient": ["CAP_SYS_ADMIN"], "bounding": ["CAP_SYS_ADMIN"]}),
            "0",
        ),
    ] {
        for filtered in [true, false] {
            let mut config = Config::plain()
                .set("/process/noNewPrivileges", json!(false))
                .set("/process/user", json!({"uid": user, "gid": user}))
                .set("/process/capabilities", capabilities.clone());
            if filtered {
                config = config.set("/linux/seccomp", profile.clone());
            }
            let seen = c.probe(&config, &["status"])?["status"].clone();
            let set = |name: &str| seen[name].as_str().map(|set| set.trim_start_matches('0').to_owned());
            let number = |set: Option<String>| set.map(|set| if set.is_empty() { "0".into() } else { set });
            let whole = if user == 0 { "21" } else { ambient };
            for (name, expected) in [("CapPrm", whole), ("CapEff", whole), ("CapAmb", ambient)] {
                same!(
                    number(set(name)),
                    Some(expected.to_owned()),
                    "{name} of user {user}, filtered {filtered}: {seen}"
                );
            }
            same!(seen["NoNewPrivs"], "0", "{seen}");
            same!(seen["Seccomp"], if filtered { "2" } else { "0" }, "{seen}");
        }
    }
    Ok(())
}

fn exec_has_the_filter_too(c: &Context) -> Result<()> {
    let profile = but_for(&[rule(&["getppid"], "ERRNO", json!({"errnoRet": 95}))]);
    let id = c.detached(&Config::plain().args(&["sleep", "1000"]).set("/linux/seccomp", profile))?;
    let output = c.exec(&id, &["/caller", GETPPID])?.ok()?;
    same!(output.stdout, format!("{GETPPID} -95\n"), "exec");
    let process = json!({"cwd": "/", "args": ["/caller", GETPPID], "user": {"uid": 1000, "gid": 1000}});
    let file = c.dir.join("process.json");
    std::fs::write(&file, process.to_string())?;
    let output = c.call(&["exec", "--process", &file.to_string_lossy(), &id])?.ok()?;
    same!(output.stdout, format!("{GETPPID} -95\n"), "exec --process");
    c.exec(&id, &["/caller", "32:64"])?.status(SIGSYS)?;
    c.delete(&id)
}

fn flags(c: &Context) -> Result<()> {
    for flags in [
        json!([]),
        json!([
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
        ]),
    ] {
        let mut profile = but_for(&[rule(&["getppid"], "ERRNO", json!({}))]);
        profile["flags"] = flags;
        same!(returns(c, &profile, &[GETPPID])?, [-1], "{}", profile["flags"]);
    }
    // Their effects are elsewhere (a log, other threads, the processor): what is
    // asked of the kernel, and that it takes it, is seen at the system call.
    for (flags, bits) in [
        (json!(null), 4), // SPEC_ALLOW, as under runc
        (json!([]), 0),
        (json!(["SECCOMP_FILTER_FLAG_TSYNC"]), 1),
        (json!(["SECCOMP_FILTER_FLAG_LOG"]), 2),
        (json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]), 4),
        (json!(["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]), 6),
    ] {
        let mut profile = but_for(&[]);
        profile["flags"] = flags;
        c.write(&calling(&profile, &[GETPPID]))?;
        let (calls, end) = calls(c.command(&["run", &c.id()]), SECCOMP, |_, [operation, ..]| *operation == 1)?;
        let asked: Vec<_> = calls.iter().map(|call| (call.arguments[1], call.answer)).collect();
        same!(asked, [(bits, 0)], "what is asked with {} and its answer", profile["flags"]);
        same!(end, End::Status(0), "how run ended");
    }
    Ok(())
}

fn filters_that_cannot_be_loaded_are_errors(c: &Context) -> Result<()> {
    let many: Vec<Value> = (0..2000)
        .map(|value| json!({"index": 0, "op": "SCMP_CMP_GE", "value": value}))
        .map(|condition| rule(&["getppid"], "ERRNO", json!({"args": [condition]})))
        .collect();
    for (profile, parts) in [
        (but_for(&many), "linux.seccomp: the filter takes more than the kernel's limit of 4096 instructions"),
        (
            but_for(&[rule(&["getppid"], "ERRNO", json!({"errnoRet": 4096}))]),
            "linux.seccomp.syscalls[0]: no such errno",
        ),
        (but_for(&[rule(&["getppid"], "ALLOW", json!({"errnoRet": 1}))]), "linux.seccomp.syscalls[0]: an errno is for"),
    ] {
        c.run(&calling(&profile, &[GETPPID]))?.error(1, &["config.json:", parts])?;
    }
    let leftovers = kernel::cgroups_with(&c.tag);
    ensure!(leftovers.is_empty(), "found before anything was made: {leftovers:?}");
    Ok(())
}

/// The engines' profiles, and calls that they are about.
fn answers_are_runcs(c: &Context) -> Result<()> {
    let numbers = [
        // keyctl, add_key, bpf, perf_event_open, unshare, setns, mount, umount2, ptrace,
        // kexec_load, init_module, userfaultfd, quotactl, swapon, reboot, acct, iopl.
        250, 248, 321, 298, 272, 308, 165, 166, 101, 246, 175, 323, 179, 167, 169, 163, 172, // getpid, getppid,
        // personality, socket, clone3, io_uring_setup, openat2, landlock_create_ruleset,
        39, 110, 135, 41, 435, 425, 437, 444, // and newer ones, and none.
        451, 453, 457, 461, 467, 470, 500, 5000,
    ];
    let mut calls: Vec<String> = numbers.iter().map(|number| format!("64:{number}")).collect();
    calls.extend(["64:135:8", "64:135:1", "64:135:4294967295", "64:41:16:3:9", "64:41:40:1:0"].map(String::from));
    // unshare and setns, mount, personality, socketcall(socket), and one that is none.
    calls.extend(["32:310", "32:346", "32:21", "32:136:1", "32:102:1", "32:500", "x32:500"].map(String::from));
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    for (name, text) in ENGINES {
        let mut arguments = vec!["/caller"];
        arguments.extend(&calls);
        let config = engine(c, name, text)?.args(&arguments);
        let ours = c.run(&config)?.ok()?;
        let theirs = peer(c, "runc", &config)?.ok()?;
        ensure!(ours.lines().len() == calls.len(), "{name}: {ours:?}");
        for (ours, theirs) in ours.lines().iter().zip(theirs.lines()) {
            ensure!(*ours == theirs, "{name}: {ours}, with runc {theirs}");
        }
    }
    Ok(())
}
