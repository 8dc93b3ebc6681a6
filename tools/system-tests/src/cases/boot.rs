//! ocinit as the first process of a system: each case boots an emulated machine with
//! Debian's 6.1 kernel and an initramfs that holds nothing but `/init` and what the
//! case puts there.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::boot_image::Image;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("boot":
    the_status_of_the_command [Need::Host],
    arguments_and_variables_of_files [Need::Host],
    every_end_is_told_apart [Need::Host],
    services_are_supervised_and_stopped [Need::Host],
    a_mistake_on_the_line_starts_nothing [Need::Host],
    a_timeout_is_an_outcome [Need::Host],
    what_lies_beneath_stays_hidden [Need::Host],
    units_are_seen_from_inside [Need::Host],
    a_linuxkit_unit_with_an_overlay [Need::Host],
);

fn the_status_of_the_command(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("bundle", &Config::plain().script("echo hello; echo $A; id -u; pwd; exit 42"))?;
    let said = image.boot("ocinit.env=\"A=b c\" ocinit.user=5:6 ocinit.cwd=/tmp ocinit.trace")?;
    // The steps, by both processes, in the order of time.
    said.in_order(&[
        "first instruction",
        "units read",
        "all decided",
        "cgroup made",
        "in its namespaces",
        "root file system built",
        "root entered",
        "paths masked",
        "identity taken",
        "let go, about to be executed",
        "program executed",
    ])?;
    // The runtime's last step does not wait for the process, nor that for it.
    said.in_order(&["process cloned", "container made", "program executed", "hello\nb c\n5\n/tmp\n"])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 42}), "the outcome");
    Ok(())
}

fn arguments_and_variables_of_files(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("bundle", &Config::plain().env("A=bundle").args(&["false"]))?;
    let long = "\"'\\\n x".repeat(11_000);
    let script = "echo $#; printf %s \"$1\" | wc -c; printf %s \"$1\" | head -c 12; echo; echo $A $B; exit 7";
    image.file("ocinit/args", format!("sh\0-c\0{script}\0name\0{long}\0\0"))?;
    image.file("ocinit/env", "A=first\0B=2\0A=file\0")?;
    image.file("ocinit/cmdline", "ocinit.timeout=1ms\nocinit.hostname=x ")?;
    let said = image.boot("ocinit.timeout=60")?;
    said.in_order(&[&format!("2\n{}\n\"'\\\n x\"'\\\n x\nfile 2\n", long.len())])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 7}), "the outcome");
    Ok(())
}

fn every_end_is_told_apart(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let unit = |name: &str, config: &Config| image.bundle(&format!("containers/onboot/{name}"), config);
    unit("010-fails", &Config::plain().script("exit 3"))?;
    // Without a pid namespace of its own a shell can kill itself.
    unit("020-killed", &Config::plain().without_namespace("pid").script("kill -9 $$"))?;
    unit("030-missing", &Config::plain().args(&["/no/such"]))?;
    unit("040-forbidden", &Config::plain().args(&["/etc/passwd"]))?;
    unit("050-starved", &Config::plain().script("x=x; while true; do x=$x$x$x$x; done"))?;
    let stops = json!({"org.ocinit.on-failure": "stop"});
    unit("060-stops", &Config::plain().script("exit 1").set("/annotations", stops))?;
    unit("070-never", &Config::plain().script("echo NEVER"))?;
    let said = image.boot("")?;
    said.in_order(&[
        "ocinit: 010-fails ended with status 3",
        "ocinit: 020-killed was ended by signal 9",
        "ocinit: 030-missing: exec: \"/no/such\"",
        "no such file or directory",
        "ocinit: 040-forbidden: exec: \"/etc/passwd\"",
        "permission denied",
        "ocinit: 050-starved was killed by the kernel: out of memory",
        "ocinit: 060-stops has failed, which ends the boot",
    ])?;
    ensure!(!said.console.contains("NEVER"), "a step ran after the one that ends the boot");
    // The first failure is the boot's.
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 3}), "the outcome");
    Ok(())
}

fn services_are_supervised_and_stopped(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let unit = |name: &str, annotations: Value, config: Config| {
        image.bundle(&format!("containers/{name}"), &config.set("/annotations", annotations))
    };
    let none = || json!({});
    unit("onboot/020-second", none(), Config::plain().script("echo SECOND"))?;
    unit("onboot/010-first", none(), Config::plain().script("sleep 0.3; echo FIRST"))?;
    let budget = json!({"org.ocinit.restart": "on-failure", "org.ocinit.restart-budget": "2"});
    unit("services/crashes", budget, Config::plain().script("echo CRASH; exit 5"))?;
    let after = json!({"org.ocinit.after": "stubborn", "org.ocinit.stop-signal": "USR1"});
    let script = "trap 'echo STOPPED; exit 0' USR1; echo AFTER; while true; do sleep 0.1; done";
    unit("services/after", after, Config::plain().script(script))?;
    let soon = json!({"org.ocinit.stop-timeout": "300ms"});
    let script = "trap '' TERM; echo STUBBORN; while true; do sleep 1; done";
    unit("services/stubborn", soon, Config::plain().script(script))?;
    // It tells process 1, whose pid namespace it shares, to stop.
    let asks = Config::plain().without_namespace("pid").script("sleep 6; echo ASKS; kill -TERM 1; sleep 100");
    unit("services/z-asks", none(), asks)?;
    unit("onshutdown/010-bye", none(), Config::plain().script("echo BYE"))?;
    let said = image.boot("")?;
    said.in_order(&["FIRST\n", "SECOND\n", "STUBBORN\n", "AFTER\n", "ASKS\n"])?;
    let crashes = said.console.matches("CRASH\n").count();
    same!(crashes, 3, "a start, and two restarts; the console: {}", said.console);
    // The last that was started first; who does not stop is killed.
    said.in_order(&[
        "ASKS\n",
        "STOPPED\n",
        "after ended with status 0",
        "z-asks was ended by signal 15",
        "stubborn does not stop in time",
        "stubborn was ended by signal 9",
        "BYE\n",
    ])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 5}), "the outcome");
    Ok(())
}

fn a_mistake_on_the_line_starts_nothing(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("bundle", &Config::plain().script("echo STARTED"))?;
    let said = image.boot("ocinit.timeuot=5 ocinit.user=root")?;
    ensure!(!said.console.contains("STARTED"), "the bundle was started: {}", said.console);
    holds!(said.console, "ocinit.user: \"root\" is not UID or UID:GID, in numbers", "the second mistake");
    same!(said.outcome["result"], "error", "the result");
    same!(said.outcome["status"], 125, "the status");
    let message = said.outcome["message"].as_str().unwrap_or_default();
    let column = "console=ttyS0 quiet panic=-1 mitigations=off ocinit.timeuot=".len() + 1;
    let expected = format!("kernel command line:{column}: ocinit.timeuot: there is no such option");
    same!(message, expected, "the message");
    Ok(())
}

fn a_timeout_is_an_outcome(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("bundle", &Config::plain().script("echo STARTED; sleep 1000"))?;
    let said = image.boot("ocinit.timeout=1500ms")?;
    said.in_order(&["STARTED\n", "ocinit.timeout"])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "timeout"}), "the outcome");
    Ok(())
}

/// The ways out of a root under which the initial one lies: by chroot(2), and by
/// unmounting the root and entering one's own mount namespace again, there and in a
/// copy of it.
fn what_lies_beneath_stays_hidden(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let up = "../".repeat(30);
    let script = format!(
        "cp /bin/busybox /tmp/; cd /; \
         look() {{ /tmp/busybox test -e $2/CANARY && echo \"$1: SEEN\" || echo \"$1: hidden\"; }}; \
         look before; \
         mkdir -p /tmp/jail; cp /bin/busybox /tmp/jail/; \
         chroot /tmp/jail /busybox test -e {up}CANARY && echo 'chroot: SEEN' || echo 'chroot: hidden'; \
         umount -l / && echo 'unmounted'; look unmounted; \
         nsenter --mount=/proc/self/ns/mnt /bin/busybox test -e /CANARY && echo 'own: SEEN' || echo 'own: hidden'; \
         unshare -m sh -c 'umount -l / && echo unmounted; \
             nsenter --mount=/proc/self/ns/mnt /bin/busybox test -e /CANARY && echo copy: SEEN || echo copy: hidden'"
    );
    let capabilities = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"];
    image.bundle("bundle", &Config::plain().capabilities(&capabilities).script(&script))?;
    image.file("CANARY", "")?;
    let said = image.boot("")?;
    let hidden = ["before", "chroot", "unmounted", "own", "copy"].map(|way| format!("{way}: hidden"));
    said.in_order(&hidden.each_ref().map(String::as_str))?;
    ensure!(!said.console.contains("SEEN"), "the initial root is seen: {}", said.console);
    ensure!(!said.console.contains("unmounted\n"), "the root was unmounted: {}", said.console);
    Ok(())
}

fn units_are_seen_from_inside(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("containers/services/sleeper", &Config::plain().args(&["sleep", "1000"]))?;
    let script = "sleep 0.5; ocinit list -q; ocinit state sleeper | grep -o '\"status\":\"[a-z]*\"'; \
                  ocinit exec sleeper hostname; ocinit kill sleeper KILL; sleep 0.5; ocinit list -q; exit 9";
    let all = [
        "CAP_SYS_ADMIN",
        "CAP_KILL",
        "CAP_SYS_PTRACE",
        "CAP_SYS_CHROOT",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_RESOURCE",
        "CAP_AUDIT_WRITE",
        "CAP_NET_BIND_SERVICE",
    ];
    let mut config = Config::plain().capabilities(&all).set("/process/noNewPrivileges", json!(false)).script(script);
    for kind in ["pid", "uts", "cgroup", "ipc", "network"] {
        config = config.without_namespace(kind);
    }
    config =
        config.remove("/hostname").set("/mounts", json!([{"destination": "/proc", "type": "proc", "source": "proc"}]));
    for folder in ["/dev", "/sys", "/run", "/containers"] {
        config = config.bind(Path::new(folder), folder, &["rbind"]);
    }
    config = config.bind(Path::new("/init"), "/bin/ocinit", &["bind"]);
    image.bundle("bundle", &config)?;
    let said = image.boot("")?;
    said.in_order(&[
        "bundle\nsleeper\n",
        "\"status\":\"running\"\n",
        "box\n",
        "sleeper was ended by signal 9",
        "bundle\n",
    ])?;
    // The service was killed, which is a failure.
    same!(said.outcome(), json!({"event": "outcome", "result": "signal", "signal": 9}), "the outcome");
    Ok(())
}

fn a_linuxkit_unit_with_an_overlay(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let script = "echo data >/made && cat /made; grep ' / / ' /proc/self/mountinfo; cat /var/given/file; exit 0";
    let config = Config::plain().script(script).bind(Path::new("/var/given"), "/var/given", &["bind"]);
    let first = image.bundle("containers/onboot/000-writes", &config)?;
    fs::rename(first.join("rootfs"), first.join("lower"))?;
    fs::create_dir_all(first.join("rootfs"))?;
    fs::create_dir_all(first.join("tmp"))?;
    let runtime = json!({
        "mkdir": ["/var/given"],
        "mounts": [{"destination": "/var/tmpfs", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}],
        "cgroups": ["podruntime"],
        "bindNS": {"net": "/run/netns/first"},
    });
    image.file("containers/onboot/000-writes/runtime.json", runtime.to_string())?;
    image.file("var/given/file", "GIVEN\n")?;
    let second = Config::plain()
        .without_namespace("network")
        .namespace("network", Some("/run/netns/first"))
        .bind(Path::new("/sys/fs/cgroup"), "/mnt", &["rbind"])
        .script("readlink /proc/self/ns/net >/dev/null && test -d /mnt/podruntime && echo JOINED");
    image.bundle("containers/onboot/010-joins", &second)?;
    let module = image.kernel.modules.join("kernel/fs/overlayfs/overlay.ko");
    image.file("modules/overlay.ko", fs::read(module)?)?;
    image.file("ocinit/modules", "# one line for each\n-/modules/none.ko x=1\n/modules/overlay.ko\n")?;
    let said = image.boot("")?;
    said.in_order(&["data\n", "overlay", "GIVEN\n", "000-writes ended with status 0", "JOINED\n"])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 0}), "the outcome");
    let image = Image::new(c)?;
    let refused = json!({"interfaces": [{"name": "wg0", "add": "wireguard"}]});
    image.file("containers/onboot/000-writes/runtime.json", refused.to_string())?;
    let said = image.boot("")?;
    same!(said.outcome["result"], "error", "interfaces to be made");
    holds!(said.outcome["message"].as_str().unwrap_or_default(), "interfaces[0].add", "the message");
    Ok(())
}
