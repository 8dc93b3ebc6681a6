//! What is told: pid files, lists, logs, features, version, help, and the bundle
//! that `spec` writes.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::lifecycle::sleeping;
use crate::bundle::Config;
use crate::context::Context;
use crate::kernel;

cases!("telling":
    pid_file_holds_digits_only,
    pid_file_is_replaced_not_rewritten,
    pid_file_is_never_written_through_a_link,
    list_shows_an_id_that_begins_with_a_dot,
    list_shows_every_container,
    list_of_nothing,
    list_skips_foreign_files,
    what_cannot_be_written_is_an_error,
    ps_shows_host_pids,
    ps_of_a_stopped_container,
    log_text,
    log_json_has_one_line_on_failure,
    log_is_empty_on_success,
    features_is_json_alone,
    version_is_three_lines,
    help_of_every_command,
    unknown_commands_and_flags,
    spec_writes_a_bundle_that_runs,
    spec_for_an_ordinary_user,
    spec_does_not_overwrite,
);

fn pid_file_holds_digits_only(c: &Context) -> Result<()> {
    let file = c.dir.join("pid");
    let path = file.to_string_lossy().into_owned();
    c.write(&sleeping())?;
    let id = c.id();
    c.call(&["create", "--pid-file", &path, &id])?.ok()?;
    let text = fs::read_to_string(&file)?;
    ensure!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()), "the pid file holds {text:?}");
    same!(text.parse::<u32>()?, c.pid(&id)?, "the pid in the file");
    c.delete(&id)?;
    fs::remove_file(&file)?;
    let id = c.id();
    c.call(&["run", "-d", "--pid-file", &path, &id])?.ok()?;
    same!(fs::read_to_string(&file)?.parse::<u32>()?, c.pid(&id)?, "the pid in the file of `run -d`");
    c.delete(&id)?;
    // A relative path is the caller's.
    let id = c.id();
    c.call(&["create", "--pid-file", "relative.pid", &id])?.ok()?;
    same!(fs::read_to_string(c.bundle().join("relative.pid"))?.parse::<u32>()?, c.pid(&id)?, "a relative path");
    c.delete(&id)?;
    // Where the file cannot be written, nothing is left.
    let id = c.id();
    c.call(&["create", "--pid-file", "/nowhere/pid", &id])?.error(1, &["/nowhere/pid"])?;
    c.call(&["state", &id])?.error(1, &["does not exist"])?;
    Ok(())
}

fn pid_file_is_replaced_not_rewritten(c: &Context) -> Result<()> {
    // A reader that holds the old file open never sees half a number: the new
    // one is renamed into place. A hard link to the old one stays as it was.
    let (file, old) = (c.dir.join("pid"), c.dir.join("old"));
    fs::write(&file, "old content")?;
    fs::hard_link(&file, &old)?;
    c.write(&sleeping())?;
    let id = c.id();
    c.call(&["create", "--pid-file", &file.to_string_lossy(), &id])?.ok()?;
    same!(fs::read_to_string(&old)?, "old content", "the old file");
    let names: Vec<_> = fs::read_dir(&c.dir)?.flatten().map(|e| e.file_name()).collect();
    ensure!(!names.iter().any(|n| n.to_string_lossy().contains("pid") && n != "pid"), "left beside: {names:?}");
    c.delete(&id)
}

fn pid_file_is_never_written_through_a_link(c: &Context) -> Result<()> {
    let victim = c.dir.join("victim");
    fs::write(&victim, "precious")?;
    std::os::unix::fs::symlink(&victim, c.dir.join(".pid"))?;
    c.write(&sleeping())?;
    let id = c.id();
    let file = c.dir.join("pid");
    c.call(&["create", "--pid-file", &file.to_string_lossy(), &id])?.ok()?;
    same!(fs::read_to_string(&victim)?, "precious", "the file that the link leads to");
    ensure!(fs::symlink_metadata(&file)?.is_file(), "the pid file is not a file");
    same!(fs::read_to_string(&file)?.parse::<u32>()?, c.pid(&id)?, "the pid in the file");
    c.delete(&id)
}

fn list_shows_an_id_that_begins_with_a_dot(c: &Context) -> Result<()> {
    c.write(&sleeping())?;
    let id = format!(".{}", c.id());
    c.call(&["create", &id])?.ok()?;
    same!(c.call(&["list", "-q"])?.ok()?.stdout, format!("{id}\n"), "ids");
    c.delete(&id)
}

fn list_shows_every_container(c: &Context) -> Result<()> {
    let created = c.create(&sleeping().set("/annotations", json!({"a": "b"})))?;
    let running = c.sleeper()?;
    let stopped = c.create(&Config::plain())?;
    c.call(&["start", &stopped])?.ok()?;
    c.await_status(&stopped, "stopped")?;
    for flag in ["-f", "--format"] {
        let list = c.call(&["list", flag, "json"])?.ok()?.json()?;
        let items = list.as_array().cloned().unwrap_or_default();
        same!(items.len(), 3, "containers in the list");
        for (id, status) in [(&created, "created"), (&running, "running"), (&stopped, "stopped")] {
            let item = items.iter().find(|item| item["id"] == json!(id)).cloned().unwrap_or(Value::Null);
            same!(item["status"], status, "status of {id}");
            same!(item["bundle"], json!(c.bundle()), "bundle");
            same!(item["rootfs"], json!(c.rootfs()), "rootfs");
            let pid = if status == "stopped" { 0 } else { c.pid(id)? };
            same!(item["pid"], json!(pid), "pid of {id}");
            ensure!(item["created"].is_string() && item["owner"].is_string(), "created and owner in {item}");
        }
    }
    let table = c.call(&["list"])?.ok()?;
    let lines = table.lines();
    same!(lines.len(), 4, "lines of the table");
    let head: Vec<_> = lines[0].split_whitespace().collect();
    same!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], "the table's head");
    let line = lines.iter().find(|line| line.starts_with(&running)).copied().unwrap_or_default();
    let cells: Vec<_> = line.split_whitespace().collect();
    let (pid, bundle) = (c.pid(&running)?.to_string(), c.bundle().to_string_lossy().into_owned());
    same!(cells[..4], [&*running, &*pid, "running", &*bundle], "a line");
    same!(cells[5], "root", "the owner in the table");
    // Columns stand under their heads.
    same!(line.find("running"), lines[0].find("STATUS"), "the column of the status");
    for flag in ["-q", "--quiet"] {
        let mut ids: Vec<String> = c.call(&["list", flag])?.ok()?.lines().iter().map(|s| s.to_string()).collect();
        ids.sort();
        let mut expected = vec![created.clone(), running.clone(), stopped.clone()];
        expected.sort();
        same!(ids, expected, "list {flag}");
    }
    c.call(&["list", "-f", "yaml"])?.error(1, &["yaml"])?;
    for id in [created, running, stopped] {
        c.delete(&id)?;
    }
    Ok(())
}

fn list_of_nothing(c: &Context) -> Result<()> {
    for _ in 0..2 {
        // First without a state directory, then with an empty one.
        let json = c.call(&["list", "-f", "json"])?.ok()?.stdout;
        ensure!(matches!(json.trim(), "[]" | "null"), "an empty list in JSON: {json:?}");
        same!(c.call(&["list", "-q"])?.ok()?.stdout, "", "an empty list of ids");
        same!(c.call(&["list"])?.ok()?.lines().len(), 1, "lines of an empty table");
        c.run(&Config::plain())?.ok()?;
    }
    Ok(())
}

fn what_cannot_be_written_is_an_error(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    let lists: [&[&str]; 3] = [&["list"], &["list", "-q"], &["list", "-f", "json"]];
    let others: [&[&str]; 5] = [&["state", &id], &["ps", &id], &["features"], &["--version"], &["--help"]];
    for words in lists.iter().chain(&others) {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" > /dev/full"]).arg(&c.program);
        command.arg("--root").arg(c.state_dir()).args(*words);
        c.surroundings(&mut command);
        c.finish(command)?.error(1, &["no space left on device"])?;
    }
    c.delete(&id)
}

fn list_skips_foreign_files(c: &Context) -> Result<()> {
    let id = c.sleeper()?;
    fs::write(c.state_dir().join("a file"), "x")?;
    fs::create_dir(c.state_dir().join("empty"))?;
    let output = c.call(&["list", "-q"])?.ok()?;
    ensure!(output.lines().contains(&&*id), "{:?}", output.stdout);
    fs::remove_file(c.state_dir().join("a file"))?;
    let _ = fs::remove_dir(c.state_dir().join("empty"));
    c.delete(&id)
}

fn ps_shows_host_pids(c: &Context) -> Result<()> {
    let id = c.detached(&Config::plain().script("sleep 1001 & exec sleep 1002"))?;
    let mut pids: Vec<u32> = Vec::new();
    c.until("two processes", || {
        pids = serde_json::from_value(c.call(&["ps", "--format", "json", &id])?.ok()?.json()?)?;
        Ok(pids.len() == 2)
    })?;
    ensure!(pids.contains(&c.pid(&id)?), "{pids:?} holds the first process");
    for pid in &pids {
        holds!(kernel::command_line(*pid), "sleep 100", "the process {pid} of the host");
    }
    let table = c.call(&["ps", &id])?.ok()?;
    let lines = table.lines();
    same!(lines.len(), 3, "lines of the table: {:?}", table.stdout);
    holds!(lines[0], "PID", "the table's head");
    for pid in pids {
        ensure!(lines.iter().any(|l| l.split_whitespace().any(|w| w == pid.to_string())), "{pid} in {lines:?}");
    }
    c.delete(&id)
}

fn ps_of_a_stopped_container(c: &Context) -> Result<()> {
    let id = c.create(&Config::plain())?;
    c.call(&["start", &id])?.ok()?;
    c.await_status(&id, "stopped")?;
    let output = c.call(&["ps", "-f", "json", &id])?;
    ensure!(output.status == 1 || matches!(output.stdout.trim(), "[]" | "null"), "{output:?}");
    c.delete(&id)
}

fn log_text(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    let path = log.to_string_lossy().into_owned();
    c.call(&["--log", &path, "state", &c.id()])?.status(1)?;
    holds!(fs::read_to_string(&log)?, "container does not exist", "the log");
    Ok(())
}

fn log_json_has_one_line_on_failure(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    let path = log.to_string_lossy().into_owned();
    c.write(&Config::plain().args(&["/nowhere"]))?;
    let id = c.id();
    let commands: [(&[&str], &str); 4] = [
        (&["create", &id], "no such file or directory"),
        (&["start", &id], "container does not exist"),
        (&["kill", &id, "9"], "container does not exist"),
        (&["run", "-b", "/say \"no\"", &id], "/say \"no\""),
    ];
    for (words, part) in commands {
        let _ = fs::remove_file(&log);
        let mut arguments = vec!["--log", &*path, "--log-format", "json"];
        arguments.extend(words);
        c.call(&arguments)?.status(1)?;
        let text = fs::read_to_string(&log)?;
        same!(text.lines().count(), 1, "lines of the log {text:?}");
        let entry: Value = serde_json::from_str(&text)?;
        same!(entry["level"], "error", "level");
        holds!(entry["msg"].as_str().unwrap_or_default(), part, "msg");
        let time = entry["time"].as_str().unwrap_or_default();
        ensure!(time.len() >= 20 && time.as_bytes()[10] == b'T', "time {time:?} is RFC 3339");
    }
    // A second failure is added to the same file.
    let mut arguments = vec!["--log", &*path, "--log-format=json"];
    arguments.extend(["start", &id]);
    c.call(&arguments)?.status(1)?;
    same!(fs::read_to_string(&log)?.lines().count(), 2, "lines of the log after a second failure");
    c.call(&["--log-format", "xml", "list"])?.error(1, &["xml"])?;
    Ok(())
}

fn log_is_empty_on_success(c: &Context) -> Result<()> {
    let log = c.dir.join("log");
    c.write(&Config::plain())?;
    c.call(&["--log", &log.to_string_lossy(), "--log-format", "json", "run", &c.id()])?.ok()?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    ensure!(!text.contains("\"error\""), "the log after a success: {text:?}");
    Ok(())
}

fn features_is_json_alone(c: &Context) -> Result<()> {
    let output = c.call(&["features"])?.ok()?;
    same!(output.stderr, "", "standard error");
    let features = output.json()?;
    for name in ["ociVersionMin", "ociVersionMax"] {
        ensure!(features[name].is_string(), "{name} in {features}");
    }
    let all = serde_json::json!({"enabled": true, "schemata": true, "monitoring": true});
    same!(features["linux"]["intelRdt"], all, "intelRdt");
    let options: Vec<&str> =
        features["mountOptions"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
    for option in ["ro", "rbind", "rslave", "tmpcopyup", "rro"] {
        ensure!(options.contains(&option), "{option} in mountOptions {options:?}");
    }
    let kinds: Vec<&str> =
        features["linux"]["namespaces"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        ensure!(kinds.contains(&kind), "{kind} in namespaces {kinds:?}");
    }
    Ok(())
}

fn version_is_three_lines(c: &Context) -> Result<()> {
    for flag in ["--version", "-v"] {
        let output = c.call(&[flag])?.ok()?;
        let lines = output.lines();
        ensure!(lines.len() >= 3, "{lines:?}");
        let words: Vec<&str> = lines[0].split(' ').collect();
        ensure!(words.len() == 3 && words[1] == "version", "the first line: {:?}", lines[0]);
        ensure!(lines[1].starts_with("commit: ") && lines[2].starts_with("spec: "), "{lines:?}");
    }
    Ok(())
}

fn help_of_every_command(c: &Context) -> Result<()> {
    let all = c.call(&["--help"])?.ok()?.stdout;
    for name in [
        "spec", "run", "create", "start", "state", "exec", "kill", "delete", "list", "ps", "features", "pause",
        "resume", "update", "events",
    ] {
        holds!(all, name, "--help");
        for flag in ["--help", "-h"] {
            let output = c.call(&[name, flag])?.ok()?;
            holds!(output.stdout, name, "{name} {flag}");
            same!(output.stderr, "", "standard error of {name} {flag}");
        }
    }
    Ok(())
}

fn unknown_commands_and_flags(c: &Context) -> Result<()> {
    let id = c.id();
    for words in [
        &["nonsense"] as &[&str],
        &["run", "--nonsense", &id],
        &["--nonsense", "list"],
        &["state"],
        &["state", &id, "more"],
        &["kill"],
        &["create"],
        &["start"],
        &["delete"],
        &["exec"],
        &["run", "--bundle"],
        &["list", "more"],
    ] {
        let output = c.call(words)?;
        ensure!(output.status != 0, "{words:?} ended with 0");
        ensure!(!output.stderr.is_empty(), "{words:?} said nothing");
    }
    Ok(())
}

fn spec_writes_a_bundle_that_runs(c: &Context) -> Result<()> {
    c.call(&["spec"])?.ok()?;
    let mut config: Value = serde_json::from_slice(&fs::read(c.bundle().join("config.json"))?)?;
    ensure!(config["process"]["terminal"] == true, "a terminal is asked for");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/probe", "names", "status"]);
    let output = c.run(&Config(config))?.ok()?;
    same!(output.stderr, "", "warnings about the bundle that it wrote itself");
    let seen = output.json()?;
    ensure!(seen["status"]["NoNewPrivs"] == "1", "{seen}");
    let other = c.folder("other")?;
    c.call(&["spec", "--bundle", &other.to_string_lossy()])?.ok()?;
    ensure!(other.join("config.json").is_file(), "spec --bundle");
    Ok(())
}

fn spec_for_an_ordinary_user(c: &Context) -> Result<()> {
    let rootless = c.folder("rootless")?;
    c.call(&["spec", "--rootless", "-b", &rootless.to_string_lossy()])?.ok()?;
    let config: Value = serde_json::from_slice(&fs::read(rootless.join("config.json"))?)?;
    ensure!(config["linux"]["uidMappings"].is_array(), "spec --rootless has id mappings");
    Ok(())
}

fn spec_does_not_overwrite(c: &Context) -> Result<()> {
    fs::write(c.bundle().join("config.json"), "mine")?;
    c.call(&["spec"])?.error(1, &["config.json", "exist"])?;
    same!(fs::read_to_string(c.bundle().join("config.json"))?, "mine", "the file");
    Ok(())
}
