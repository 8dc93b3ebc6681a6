//! `update`: what changes of a container that runs, read from its cgroup's own
//! files and seen by its process.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use ocinit::sys;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use super::resources::{ALL, file, folder, sleeper};
use crate::bundle::Config;
use crate::case::Need;
use crate::command::{Output, input};
use crate::context::Context;
use crate::kernel;

cases!("updating":
    changes_what_it_names [ALL],
    from_a_file_and_from_input [ALL],
    takes_back [ALL],
    takes_back_long_files,
    changes_nothing_that_it_cannot_read,
    says_what_it_cannot_take_back [ALL, Need::Kernel(5, 19)],
    checks_the_memory_in_use [ALL] proves ["linux.resources.memory.checkBeforeUpdate"],
    memory_in_use_that_is_not_known [ALL],
    refuses_bad_values,
    replaces_the_device_rules,
    leaves_a_program_in_the_place_of_ours,
    of_a_cgroup_that_was_there,
    leaves_the_rules_of_others,
    of_what_does_not_run,
);

fn changes_what_it_names(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({
        "memory": {"limit": 67_108_864, "swap": 100_663_296},
        "cpu": {"quota": 20_000, "period": 50_000},
        "pids": {"limit": 100},
    })))?;
    let folder = folder(c, &id)?;
    for (flags, files) in [
        (&["--cpu-period", "100000"][..], &[("cpu.max", "20000 100000")][..]),
        (&["--cpu-quota", "30000"], &[("cpu.max", "30000 100000")]),
        (&["--cpu-burst", "1000"], &[("cpu.max.burst", "1000"), ("cpu.max", "30000 100000")]),
        (&["--cpu-quota", "2000", "--cpu-burst", "500"], &[("cpu.max", "2000 100000"), ("cpu.max.burst", "500")]),
        (&["--cpu-burst", "0", "--cpu-quota=-1"], &[("cpu.max", "max 100000"), ("cpu.max.burst", "0")]),
        (&["--memory", "128m"], &[("memory.max", "134217728"), ("memory.swap.max", "33554432")]),
        (
            &["--memory", "64M", "--memory-swap", "0.25g"],
            &[("memory.max", "67108864"), ("memory.swap.max", "201326592")],
        ),
        (&["--memory-reservation", "1MiB"], &[("memory.low", "1048576"), ("memory.max", "67108864")]),
        (&["--memory", "-1"], &[("memory.max", "max"), ("memory.swap.max", "max")]),
        (&["--pids-limit", "7"], &[("pids.max", "7")]),
        (&["--pids-limit", "-1"], &[("pids.max", "max")]),
        (
            &["--cpu-share", "2000", "--cpuset-cpus", "0", "--cpuset-mems", "0"],
            &[("cpu.weight", "170"), ("cpuset.cpus", "0")],
        ),
        (&["--cpu-idle", "1"], &[("cpu.idle", "1"), ("cpuset.mems", "0")]),
        (&["--cpu-idle", "0", "--cpu-share", "1024"], &[("cpu.idle", "0"), ("cpu.weight", "100")]),
        (&["--kernel-memory", "5m", "--kernel-memory-tcp", "x"], &[("memory.max", "max")]),
        (&[], &[("memory.max", "max"), ("pids.max", "max"), ("cpuset.cpus", "0")]),
    ] {
        let output = c.call(&[&["update"], flags, &[&id]].concat())?.ok()?;
        same!(output.stderr, "", "what `update {flags:?}` says");
        for (name, text) in files {
            same!(file(&folder, name)?, *text, "{name} after `update {flags:?}`");
        }
    }
    c.delete(&id)?;
    // A container that had no limits.
    let path = json!(format!("/{}-deep/x", c.tag));
    let id = c.detached(&Config::plain().set("/linux/cgroupsPath", path).args(&["sleep", "1000"]))?;
    let folder = super::resources::folder(c, &id)?;
    same!(file(&folder, "pids.max")?, "max", "pids.max");
    c.call(&["update", "--pids-limit", "50", &id])?.ok()?;
    same!(file(&folder, "pids.max")?, "50", "pids.max");
    c.delete(&id)
}

fn update_with_input(c: &Context, id: &str, resources: &Value) -> Result<Output> {
    let mut command = c.command(&["update", "--resources", "-", id]);
    command.stdin(input(&c.dir, resources.to_string().as_bytes())?);
    c.finish(command)
}

fn from_a_file_and_from_input(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"pids": {"limit": 100}})))?;
    let folder = folder(c, &id)?;
    let path = c.dir.join("resources.json");
    fs::write(&path, json!({"pids": {"limit": 90}, "unified": {"memory.high": "1073741824"}}).to_string())?;
    c.call(&["update", "-r", &path.to_string_lossy(), "--pids-limit", "1", &id])?.ok()?;
    same!(file(&folder, "pids.max")?, "90", "pids.max");
    same!(file(&folder, "memory.high")?, "1073741824", "memory.high");
    update_with_input(c, &id, &json!({"pids": {"limit": 80}}))?.ok()?;
    same!(file(&folder, "pids.max")?, "80", "pids.max");
    c.call(&["update", "-r", "/nowhere", &id])?.error(1, &["/nowhere", "no such file or directory"])?;
    c.delete(&id)
}

fn takes_back(c: &Context) -> Result<()> {
    let resources = json!({"pids": {"limit": 100}, "memory": {"limit": 67_108_864}, "cpu": {"cpus": "0-1"}});
    let id = c.detached(&sleeper(resources))?;
    let folder = folder(c, &id)?;
    let look = || -> Result<Vec<String>> {
        let names = ["pids.max", "memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "cpuset.cpus", "io.max"];
        names.iter().map(|name| file(&folder, name)).collect()
    };
    let before = look()?;
    let mut resources = json!({
        "pids": {"limit": 20},
        "memory": {"limit": 33_554_432, "swap": 50_331_648},
        "cpu": {"quota": 50_000, "shares": 2, "cpus": "0", "mems": "9999"},
    });
    if let Ok(numbers) = fs::read_to_string("/sys/block/loop0/dev") {
        let (major, minor) = numbers.trim().split_once(':').context("the numbers of loop0")?;
        let (major, minor): (u32, u32) = (major.parse()?, minor.parse()?);
        resources["blockIO"] = json!({"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 5000}]});
    }
    // The last line is one that the kernel refuses: there is no such node.
    let parts =
        ["resources:", "cpu.mems: cannot write \"9999\" to cpuset.mems", "what was written before is taken back"];
    update_with_input(c, &id, &resources)?.error(1, &parts)?;
    same!(look()?, before, "the limits afterwards");
    c.delete(&id)
}

/// `update` with `resources`, where `file` stands in for a file of the container's cgroup.
fn update_with(c: &Context, id: &str, (name, file): (&str, &str), resources: &Value) -> Result<Output> {
    let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", file])
        .arg(folder(c, id)?.join(name));
    command.arg(&c.program).arg("--root").arg(c.state_dir()).args(["update", "--resources", "-", id]);
    c.surroundings(&mut command);
    command.stdin(input(&c.dir, resources.to_string().as_bytes())?);
    c.finish(command)
}

fn takes_back_long_files(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let long = c.dir.join("long");
    let stand_in = ("cgroup.max.descendants", &*long.to_string_lossy());
    let resources = json!({"unified": {"cgroup.max.descendants": "9:9 wbps=1", "cgroup.max.depth": "x"}});
    let lines: String = (0..400).map(|minor| format!("8:{minor} rbps=1000 wbps=max\n")).collect();
    fs::write(&long, format!("{lines}9:9 wbps=77"))?;
    update_with(c, &id, stand_in, &resources)?.error(1, &["cannot write \"x\"", "is taken back)"])?;
    // One write overwrites the beginning of a plain file.
    ensure!(fs::read_to_string(&long)?.starts_with("9:9 wbps=77"), "another line was written back");
    // A list that is longer than a page.
    let list: String = (0..2000).map(|number| format!("{},", 2 * number)).collect();
    let resources = json!({"unified": {"cgroup.max.descendants": "0", "cgroup.max.depth": "x"}});
    fs::write(&long, &list)?;
    update_with(c, &id, stand_in, &resources)?.error(1, &["is taken back)"])?;
    same!(fs::read_to_string(&long)?, list, "the list");
    // One for which there is no room is not changed.
    let list = "1,".repeat(40_000);
    fs::write(&long, &list)?;
    update_with(c, &id, stand_in, &resources)?.error(1, &["takes more than the limit of 65536 bytes"])?;
    same!(fs::read_to_string(&long)?, list, "the list that is too long");
    c.delete(&id)
}

fn changes_nothing_that_it_cannot_read(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let resources = json!({"unified": {"cgroup.max.depth": "5", "cgroup.max.descendants": "6"}});
    // At its beginning there is nothing.
    update_with(c, &id, ("cgroup.max.descendants", "/proc/self/mem"), &resources)?
        .error(1, &["cannot read cgroup.max.descendants, which is to be changed: ", "is taken back)"])?;
    let folder = folder(c, &id)?;
    same!(file(&folder, "cgroup.max.depth")?, "max", "cgroup.max.depth");
    same!(file(&folder, "cgroup.max.descendants")?, "max", "cgroup.max.descendants");
    c.delete(&id)
}

fn says_what_it_cannot_take_back(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"pids": {"limit": 100}})))?;
    let unified = json!({"memory.reclaim": "0", "cgroup.max.depth": "x"});
    update_with_input(c, &id, &json!({"pids": {"limit": 20}, "unified": unified}))?
        .error(1, &["what was written before is taken back, but not of memory.reclaim"])?;
    same!(file(&folder(c, &id)?, "pids.max")?, "100", "pids.max");
    c.delete(&id)
}

fn memory_in_use_that_is_not_known(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"memory": {"limit": 67_108_864}})))?;
    let other = c.dir.join("other");
    fs::write(&other, "much\n")?;
    let resources = json!({"memory": {"limit": 33_554_432, "checkBeforeUpdate": true}});
    update_with(c, &id, ("memory.current", &other.to_string_lossy()), &resources)?
        .error(1, &["cannot tell what memory is used: memory.current is not a number"])?;
    same!(file(&folder(c, &id)?, "memory.max")?, "67108864", "memory.max");
    c.delete(&id)
}

fn checks_the_memory_in_use(c: &Context) -> Result<()> {
    let id = c.detached(&sleeper(json!({"memory": {"limit": 67_108_864}})))?;
    let small = json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}, "pids": {"limit": 5}});
    update_with_input(c, &id, &small)?.error(1, &["memory: ", "bytes are used, 4096 are to be the limit"])?;
    let folder = folder(c, &id)?;
    same!(file(&folder, "memory.max")?, "67108864", "memory.max");
    same!(file(&folder, "pids.max")?, "max", "pids.max");
    same!(c.state(&id)?["status"], "running", "status");
    c.delete(&id)
}

fn refuses_bad_values(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    for (flags, part) in [
        (&["--memory", "abc"][..], "invalid value \"abc\" for --memory"),
        (&["--cpu-quota", "abc"], "invalid value \"abc\" for --cpu-quota"),
        (&["--pids-limit", "1.5"], "invalid value \"1.5\" for --pids-limit"),
        (&["--cpuset-cpus", "9-3"], "cpu.cpus: expected a list"),
        (&["--cpuset-cpus", "0\",\"x\":\"1"], "--cpuset-cpus: not a list"),
        (&["--memory-swap", "100M"], "memory.swap: includes the memory"),
        (&["--blkio-weight", "5"], "blockIO.weight: expected an integer from 10 to 1000"),
        (&["--l3-cache-schema", "L3:0=f"], &format!("container {id} has no class of service")),
    ] {
        c.call(&[&["update"], flags, &[&id]].concat())?.error(1, &[part])?;
    }
    for bad in [json!({"pids": {"limit": "5"}}), json!([]), json!({"devices": [{"allow": 1}]})] {
        update_with_input(c, &id, &bad)?.error(1, &["resources:1:"])?;
    }
    c.delete(&id)
}

/// A container that tries to open one of the host's devices again and again, and
/// says so in a file whenever that changes.
fn opener(c: &Context, config: Config) -> Result<(Config, PathBuf)> {
    let node = c.rootfs().join("srv/kmsg");
    if !node.exists() {
        mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 11))?;
    }
    let script = "while :; do if true < /srv/kmsg; then echo yes; else echo no; fi > /srv/new 2>/dev/null; \
                  mv /srv/new /srv/seen; usleep 5000; done";
    let config = config.capabilities(&["CAP_SYSLOG", "CAP_DAC_OVERRIDE"]).script(script);
    Ok((config, c.rootfs().join("srv/seen")))
}

fn opens(c: &Context, seen: &Path, expected: &str) -> Result<()> {
    c.until(&format!("opening the device to be answered by {expected}"), || {
        Ok(fs::read_to_string(seen).unwrap_or_default().trim() == expected)
    })
}

fn rules(allow: bool) -> Value {
    let rule = json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rw"});
    json!({"devices": [{"allow": false, "access": "rwm"}, rule]})
}

fn replaces_the_device_rules(c: &Context) -> Result<()> {
    let (config, seen) = opener(c, Config::plain())?;
    let id = c.detached(&config)?;
    opens(c, &seen, "no")?;
    for (allow, expected) in [(true, "yes"), (false, "no"), (true, "yes")] {
        update_with_input(c, &id, &rules(allow))?.ok()?;
        opens(c, &seen, expected)?;
    }
    // Without rules those there are stay.
    update_with_input(c, &id, &json!({"devices": []}))?.ok()?;
    fs::remove_file(&seen)?;
    opens(c, &seen, "yes")?;
    c.delete(&id)
}

/// As helpers of engines do it: what they allow is in no document.
fn leaves_a_program_in_the_place_of_ours(c: &Context) -> Result<()> {
    let (config, seen) = opener(c, Config::plain())?;
    let id = c.detached(&config)?;
    opens(c, &seen, "no")?;
    let group = fs::File::open(folder(c, &id)?)?;
    let attached = || -> Result<Vec<u32>> {
        Ok(sys::bpf_cgroup_device_programs(group.as_fd(), &mut [0; sys::CGROUP_PROGRAMS])?.to_vec())
    };
    let [ours] = attached()?[..] else { bail!("not one program: {:?}", attached()?) };
    let ours = sys::bpf_program_by_id(ours)?;
    same!(&sys::bpf_program_info(ours.as_fd())?.name[..7], b"ocinit\0", "the name of the program");
    // r0 = 1; exit
    let other = sys::bpf_cgroup_device_load(&[0x1_0000_00b7, 0x95], b"somebody_elses\0\0")?;
    sys::bpf_cgroup_device_attach(group.as_fd(), other.as_fd(), Some(ours.as_fd()))?;
    opens(c, &seen, "yes")?;
    let before = attached()?;
    let output = update_with_input(c, &id, &rules(false))?.ok()?;
    holds!(output.stderr, "device rules stay as they are", "what `update` says");
    same!(attached()?, before, "the programs");
    // The rest of the same document counts.
    if kernel::controllers().iter().any(|name| name == "pids") {
        let mut resources = rules(false);
        resources["pids"] = json!({"limit": 77});
        update_with_input(c, &id, &resources)?.ok()?;
        same!(file(&folder(c, &id)?, "pids.max")?, "77", "pids.max");
    }
    // Once it is gone, ours comes back.
    sys::bpf_cgroup_device_detach(group.as_fd(), other.as_fd())?;
    same!(update_with_input(c, &id, &rules(false))?.ok()?.stderr, "", "what `update` says");
    opens(c, &seen, "no")?;
    // And is found beside another.
    sys::bpf_cgroup_device_attach(group.as_fd(), other.as_fd(), None)?;
    same!(update_with_input(c, &id, &rules(true))?.ok()?.stderr, "", "what `update` says");
    opens(c, &seen, "yes")?;
    same!(attached()?.len(), 2, "the number of programs");
    c.delete(&id)
}

/// Does something with a cgroup that is there before; `config` is of a container in it.
fn with_a_cgroup(c: &Context, work: impl FnOnce(&Path, Config, &Path) -> Result<()>) -> Result<()> {
    let folder = kernel::cgroup_root().join(format!("{}-there", c.tag));
    fs::create_dir(&folder)?;
    let config = Config::plain().set("/linux/cgroupsPath", json!(format!("/{}-there", c.tag)));
    let tried = opener(c, config).and_then(|(config, seen)| work(&folder, config, &seen));
    if tried.is_err() {
        c.give_up();
    }
    c.until("the cgroup to be empty", || Ok(fs::remove_dir(&folder).is_ok()))?;
    tried
}

/// Whether a process of the host's in the cgroup may open the device.
fn may_open(folder: &Path) -> Result<bool> {
    let script = format!("echo $$ > {}/cgroup.procs && true < /dev/kmsg", folder.display());
    Ok(Command::new("sh").args(["-c", &script]).output()?.status.success())
}

fn of_a_cgroup_that_was_there(c: &Context) -> Result<()> {
    with_a_cgroup(c, |folder, config, seen| {
        for flags in [&["--detach"][..], &[]] {
            let id = c.id();
            c.write(&config)?;
            let running = c.spawn(&[&["run"], flags, &[&id]].concat())?;
            opens(c, seen, "no")?;
            for (allow, expected) in [(true, "yes"), (false, "no")] {
                update_with_input(c, &id, &rules(allow))?.ok()?;
                opens(c, seen, expected)?;
            }
            c.call(&["kill", &id, "KILL"])?.ok()?;
            running.finish()?;
            if !flags.is_empty() {
                c.delete(&id)?;
            }
            ensure!(may_open(folder)?, "a program is left on the cgroup after `run {flags:?}`");
            fs::remove_file(seen)?;
        }
        Ok(())
    })
}

fn leaves_the_rules_of_others(c: &Context) -> Result<()> {
    with_a_cgroup(c, |folder, config, seen| {
        let id = c.detached(&config)?;
        opens(c, seen, "no")?;
        update_with_input(c, &id, &rules(false))?.ok()?; // which writes the whole record
        // As if another had attached the program, and who made the container could not.
        let path = c.state_dir().join(&id).join("state.json");
        let mut record: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let program = record["deviceProgram"].as_u64().filter(|program| *program != 0);
        ensure!(program.is_some(), "no device program in {record}");
        record["deviceProgram"] = json!(0);
        fs::write(&path, record.to_string())?;
        update_with_input(c, &id, &rules(true))?.ok()?;
        fs::remove_file(seen)?;
        opens(c, seen, "no")?;
        c.delete(&id)?;
        ensure!(!may_open(folder)?, "the other program is gone");
        Ok(())
    })
}

fn of_what_does_not_run(c: &Context) -> Result<()> {
    c.call(&["update", "--pids-limit", "5", "nobody"])?.error(1, &["container does not exist"])?;
    let id = c.detached(&Config::plain().args(&["true"]))?;
    c.await_status(&id, "stopped")?;
    c.call(&["update", "--pids-limit", "5", &id])?.error(1, &["container not running"])?;
    c.delete(&id)?;
    c.write(&Config::plain())?;
    let id = c.id();
    c.call(&["--cgroup-manager", "disabled", "create", &id])?.ok()?;
    c.call(&["update", "--pids-limit", "5", &id])?.error(1, &[&format!("container {id} has no cgroup")])?;
    if c.state(&id)?["status"] != "created" {
        bail!("a container without a cgroup is not created");
    }
    c.delete(&id)
}
