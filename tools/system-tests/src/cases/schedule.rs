//! When, where and as what the process runs: scheduler, I/O priority, CPUs, memory
//! policy, execution domain, keyring. All is read back from the kernel.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("schedule":
    scheduler_policies proves ["process.scheduler.nice", "process.scheduler.policy", "process.scheduler.priority"],
    scheduler_flags proves ["process.scheduler.flags[]"],
    scheduler_deadline proves [
        "process.scheduler.deadline", "process.scheduler.period", "process.scheduler.runtime",
    ],
    scheduler_deadline_as_chrt_sees_it [Need::Program("chrt")] proves [
        "process.scheduler.deadline", "process.scheduler.period", "process.scheduler.runtime",
    ],
    scheduler_of_a_user_who_is_not_root,
    scheduler_of_exec,
    io_priority proves ["process.ioPriority.class", "process.ioPriority.priority"],
    cpu_affinity_is_for_exec proves ["process.execCPUAffinity.initial", "process.execCPUAffinity.final"],
    memory_policy [Need::Path("/proc/self/numa_maps")] proves [
        "linux.memoryPolicy.flags[]", "linux.memoryPolicy.mode", "linux.memoryPolicy.nodes",
    ],
    personality proves ["linux.personality.domain", "linux.personality.flags[]"],
    a_session_keyring [Need::Path("/proc/keys")],
);

/// A script's output under `config`.
fn said(c: &Context, config: &Config, script: &str) -> Result<String> {
    Ok(c.run(&config.clone().script(script))?.ok()?.stdout.trim_end().to_string())
}

/// Nice value, real-time priority and policy: fields 19, 40 and 41 of
/// /proc/PID/stat (proc_pid_stat(5)).
const PRIORITIES: &str = "cut -d' ' -f19,40,41 /proc/$$/stat";

fn scheduler_policies(c: &Context) -> Result<()> {
    for (scheduler, shown) in [
        (json!({"policy": "SCHED_OTHER"}), "0 0 0"),
        (json!({"policy": "SCHED_OTHER", "nice": -11}), "-11 0 0"),
        (json!({"policy": "SCHED_OTHER", "nice": 19}), "19 0 0"),
        (json!({"policy": "SCHED_BATCH", "nice": 5}), "5 0 3"),
        (json!({"policy": "SCHED_IDLE"}), "0 0 5"),
        (json!({"policy": "SCHED_FIFO", "priority": 3}), "0 3 1"),
        (json!({"policy": "SCHED_RR", "priority": 99}), "0 99 2"),
    ] {
        let config = Config::plain().set("/process/scheduler", scheduler.clone());
        same!(said(c, &config, PRIORITIES)?, shown, "{scheduler}");
    }
    // The kernel has a number for this one, and nothing behind it.
    c.run(&Config::plain().set("/process/scheduler", json!({"policy": "SCHED_ISO"})))?
        .error(1, &["process.scheduler: cannot set the scheduler: invalid argument"])?;
    Ok(())
}

fn scheduler_flags(c: &Context) -> Result<()> {
    let scheduler = json!({"policy": "SCHED_FIFO", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let config = Config::plain().set("/process/scheduler", scheduler);
    // The shell has it, its child does not.
    let script = format!("{PRIORITIES}; cut -d' ' -f19,40,41 /proc/self/stat; true");
    same!(said(c, &config, &script)?, "0 3 1\n0 0 0", "with SCHED_FLAG_RESET_ON_FORK");
    let config = config.set("/process/scheduler/flags", json!([]));
    same!(said(c, &config, &script)?, "0 3 1\n0 3 1", "without");
    let scheduler = json!({"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_FLAG_KEEP_POLICY"]});
    same!(
        said(c, &Config::plain().set("/process/scheduler", scheduler), PRIORITIES)?,
        "7 0 0",
        "SCHED_FLAG_KEEP_POLICY"
    );
    let scheduler = json!({"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_FLAG_KEEP_PARAMS"]});
    same!(
        said(c, &Config::plain().set("/process/scheduler", scheduler), PRIORITIES)?,
        "0 0 0",
        "SCHED_FLAG_KEEP_PARAMS"
    );
    Ok(())
}

fn scheduler_deadline(c: &Context) -> Result<()> {
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 20_000_000, "period": 30_000_000,
        "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
    });
    let config = Config::plain().set("/process/scheduler", scheduler).args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let pid = c.pid(&id)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let policy = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(38));
    same!(policy, Some("6"), "the policy");
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/sched")) {
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(':').next()).map(|value| value.trim().to_string())
        };
        if let Some(found) = field("dl.runtime") {
            ensure!(found.parse::<i64>()? <= 2_000_000, "the runtime that is left: {found}");
        }
    }
    c.delete(&id)?;
    // More runtime than there is time, and more time than a period has: sched(7).
    for (runtime, deadline, period) in [(20_000_000, 2_000_000, 30_000_000), (2_000_000, 40_000_000, 30_000_000)] {
        let scheduler = json!({"policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": deadline, "period": period});
        c.run(&Config::plain().set("/process/scheduler", scheduler))?
            .error(1, &["process.scheduler: cannot set the scheduler: invalid argument"])?;
    }
    Ok(())
}

/// As util-linux reads them by sched_getattr(2).
fn scheduler_deadline_as_chrt_sees_it(c: &Context) -> Result<()> {
    let scheduler =
        json!({"policy": "SCHED_DEADLINE", "runtime": 2_000_000, "deadline": 20_000_000, "period": 30_000_000});
    let id = c.detached(&Config::plain().set("/process/scheduler", scheduler).args(&["sleep", "1000"]))?;
    let found = crate::command::host(&c.dir, "chrt", &["-p", &c.pid(&id)?.to_string()])?;
    holds!(found, "SCHED_DEADLINE", "the policy");
    holds!(found, "2000000/20000000/30000000", "runtime, deadline and period");
    c.delete(&id)
}

fn scheduler_of_a_user_who_is_not_root(c: &Context) -> Result<()> {
    let user = json!({"uid": 1000, "gid": 1000});
    let config = Config::plain()
        .set("/process/user", user)
        .set("/process/scheduler", json!({"policy": "SCHED_RR", "priority": 5}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 1}));
    let script = format!("{PRIORITIES}; busybox ionice -p $$");
    same!(said(c, &config, &script)?, "0 5 2\nrealtime: prio 1", "of a user without capabilities");
    let config = config.remove("/process/user").user_namespace(100_000, 65_536);
    same!(said(c, &config, &script)?, "0 5 2\nrealtime: prio 1", "in a user namespace");
    Ok(())
}

fn scheduler_of_exec(c: &Context) -> Result<()> {
    let config = Config::plain().set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 4}));
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    same!(c.exec(&id, &["sh", "-c", PRIORITIES])?.ok()?.stdout, "4 0 3\n", "as the configuration has it");
    let process = json!({"cwd": "/", "args": ["/bin/sh", "-c", format!("{PRIORITIES}; /bin/busybox ionice -p $$")],
        "scheduler": {"policy": "SCHED_RR", "priority": 8},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6}, "env": ["PATH=/bin"]});
    let file = c.dir.join("process.json");
    fs::write(&file, process.to_string())?;
    let output = c.call(&["exec", "--process", &file.to_string_lossy(), &id])?.ok()?;
    same!(output.stdout, "0 8 2\nbest-effort: prio 6\n", "as the process file has it");
    c.delete(&id)
}

fn io_priority(c: &Context) -> Result<()> {
    for (priority, shown) in [
        (json!({"class": "IOPRIO_CLASS_RT", "priority": 0}), "realtime: prio 0"),
        (json!({"class": "IOPRIO_CLASS_BE", "priority": 7}), "best-effort: prio 7"),
        (json!({"class": "IOPRIO_CLASS_BE"}), "best-effort: prio 0"),
        (json!({"class": "IOPRIO_CLASS_IDLE"}), "idle"),
    ] {
        let config = Config::plain().set("/process/ioPriority", priority.clone());
        let found = said(c, &config, "busybox ionice -p $$")?;
        ensure!(found.starts_with(shown), "{priority}: {found}");
    }
    Ok(())
}

fn cpus(c: &Context, id: &str, command: &[&str]) -> Result<String> {
    let mut arguments = command.to_vec();
    arguments.push(id);
    arguments.extend(["grep", "Cpus_allowed_list", "/proc/self/status"]);
    let output = c.call(&arguments)?.ok()?.stdout;
    Ok(output.rsplit('\t').next().unwrap_or_default().trim().to_string())
}

fn cpu_affinity_is_for_exec(c: &Context) -> Result<()> {
    let all = crate::kernel::status_field("self", "Cpus_allowed_list").context("no Cpus_allowed_list")?;
    let first = all.split(['-', ',']).next().unwrap_or_default().to_string();
    let last = all.rsplit(['-', ',']).next().unwrap_or_default().to_string();
    let affinity = |initial: &str, last: &str| json!({"initial": initial, "final": last});
    // The container's own process is not concerned.
    let config = Config::plain().set("/process/execCPUAffinity", affinity(&first, &first));
    let config = config.args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let pid = c.pid(&id)?.to_string();
    same!(crate::kernel::status_field(&pid, "Cpus_allowed_list"), Some(all.clone()), "of the first process");
    same!(cpus(c, &id, &["exec"])?, first, "of exec");
    let file = c.dir.join("process.json");
    let of_both = |initial: &str, last: &str| -> Result<(Option<String>, Option<String>)> {
        let process = json!({"cwd": "/", "args": ["/bin/sleep", "1000"], "execCPUAffinity": affinity(initial, last)});
        fs::write(&file, process.to_string())?;
        let pid_file = c.dir.join("pid");
        let _ = fs::remove_file(&pid_file);
        let arguments = ["exec", "--process", &file.to_string_lossy(), "--pid-file", &pid_file.to_string_lossy(), &id];
        let exec = c.spawn(&arguments)?;
        c.until("the process", || {
            let pid = fs::read_to_string(&pid_file).unwrap_or_default();
            Ok(!pid.is_empty() && fs::read_link(format!("/proc/{pid}/exe"))?.ends_with("busybox"))
        })?;
        let process = fs::read_to_string(&pid_file)?;
        let [runtime, process] =
            [&*exec.pid().to_string(), &process].map(|pid| crate::kernel::status_field(pid, "Cpus_allowed_list"));
        Ok((runtime, process))
    };
    let all = Some(all);
    // What becomes of the first in the container's cgroup is for the kernel to say.
    same!(of_both(&first, "")?.0, Some(first.clone()), "of the runtime, before the transition");
    same!(of_both("", &last)?, (all.clone(), Some(last.clone())), "after it");
    same!(of_both(&first, &last)?, (Some(first.clone()), Some(last.clone())), "before and after");
    same!(of_both("", "")?, (all.clone(), all), "of neither");
    let process = json!({"cwd": "/", "args": ["/bin/true"], "execCPUAffinity": {"final": "8191"}});
    fs::write(&file, process.to_string())?;
    c.call(&["exec", "--process", &file.to_string_lossy(), &id])?
        .error(255, &["process.json", "execCPUAffinity.final: cannot run on the CPUs 8191"])?;
    c.delete(&id)
}

fn memory_policy(c: &Context) -> Result<()> {
    let seen = |policy: Value| -> Result<String> {
        let config = Config::plain().set("/linux/memoryPolicy", policy);
        said(c, &config, "head -n 1 /proc/self/numa_maps | cut -d' ' -f2")
    };
    for (policy, shown) in [
        (json!({"mode": "MPOL_DEFAULT"}), "default"),
        (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0"),
        (json!({"mode": "MPOL_PREFERRED", "nodes": "0"}), "prefer:0"),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), "interleave:0"),
        (json!({"mode": "MPOL_LOCAL"}), "local"),
        (json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}), "prefer (many):0"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), "bind=static:0"),
        (
            json!({"mode": "MPOL_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_RELATIVE_NODES"]}),
            "interleave=relative:0",
        ),
    ] {
        let found = seen(policy.clone())?;
        same!(found, shown.split(' ').next().unwrap_or_default(), "{policy}");
    }
    let config = Config::plain().set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0"}));
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    let output = c.exec(&id, &["sh", "-c", "head -n 1 /proc/self/numa_maps | cut -d' ' -f2"])?.ok()?;
    same!(output.stdout.trim(), "bind:0", "of exec");
    c.delete(&id)?;
    for policy in [json!({"mode": "MPOL_BIND"}), json!({"mode": "MPOL_BIND", "nodes": "1023"})] {
        c.run(&Config::plain().set("/linux/memoryPolicy", policy))?
            .error(1, &["linux.memoryPolicy: cannot set the memory policy: "])?;
    }
    Ok(())
}

fn personality(c: &Context) -> Result<()> {
    for (personality, shown, machine) in [
        (json!({"domain": "LINUX"}), "00000000", "x86_64"),
        (json!({"domain": "LINUX32"}), "00000008", "i686"),
        (json!({"domain": "LINUX", "flags": []}), "00000000", "x86_64"),
    ] {
        let config = Config::plain().set("/linux/personality", personality.clone());
        let found = said(c, &config, "cat /proc/self/personality; uname -m")?;
        same!(found, format!("{shown}\n{machine}"), "{personality}");
    }
    let config = Config::plain().set("/linux/personality", json!({"domain": "LINUX32"}));
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    same!(c.exec(&id, &["uname", "-m"])?.ok()?.stdout, "i686\n", "of exec");
    c.delete(&id)?;
    let flags = json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]});
    c.run(&Config::plain().set("/linux/personality", flags))?.error(1, &["linux.personality.flags[0]: "])?;
    Ok(())
}

fn a_session_keyring(c: &Context) -> Result<()> {
    let script = "grep -o '_ses[^:]*' /proc/keys; true";
    let has = |output: &str, id: &str| output.lines().any(|line| line == format!("_ses.{id}"));
    c.write(&Config::plain().script(script))?;
    let id = c.id();
    let output = c.call(&["run", &id])?.ok()?.stdout;
    ensure!(has(&output, &id), "no keyring of {id} among {output:?}");
    let id = c.id();
    let output = c.call(&["run", "--no-new-keyring", &id])?.ok()?.stdout;
    ensure!(!has(&output, &id), "a keyring of {id} among {output:?}");
    // A process of exec as the container's own.
    c.write(&Config::plain().args(&["sleep", "1000"]))?;
    for (flags, expected) in [(&["--detach"][..], true), (&["--detach", "--no-new-keyring"], false)] {
        let id = c.id();
        c.call(&[&["run"], flags, &[&id]].concat())?.ok()?;
        let output = c.exec(&id, &["sh", "-c", script])?.ok()?.stdout;
        same!(has(&output, &id), expected, "a keyring of {id} with {flags:?} among {output:?}");
        // A record of before this was written down.
        let path = c.state_dir().join(&id).join("state.json");
        let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        record.as_object_mut().context("a record")?.remove("noNewKeyring").context("no word of the keyring")?;
        fs::write(&path, record.to_string())?;
        let output = c.exec(&id, &["sh", "-c", script])?.ok()?.stdout;
        ensure!(has(&output, &id), "no keyring of {id} among {output:?}");
        c.delete(&id)?;
    }
    Ok(())
}
