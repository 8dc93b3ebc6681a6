//! ocinit as the first process: images and lines that are broken. Nothing is started,
//! the outcome is told, and the machine ends.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::boot_image::Image;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;

cases!("boot_broken":
    nothing_to_start [Need::Host],
    a_configuration_that_is_none [Need::Host],
    pipes_in_the_place_of_files [Need::Host],
    log_files_behind_links [Need::Host],
    a_disk_that_does_not_answer [Need::Host],
    an_attendant_that_cannot_be_killed [Need::Host],
);

fn nothing_to_start(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let said = image.boot("ocinit.on-exit=reboot")?;
    same!(said.outcome["result"], "error", "the result");
    holds!(said.outcome["message"].as_str().unwrap_or_default(), "there is nothing to start", "the message");
    Ok(())
}

fn a_configuration_that_is_none(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("containers/services/fine", &Config::plain().script("echo STARTED"))?;
    image.file("containers/services/wrong/config.json", [0xff; 5000])?;
    image.file("ocinit/cmdline", [b'"'; 4000])?;
    let said =
        image.boot("ocinit.hostname= ocinit.mount=::: ocinit.on-exit=never ocinit.status=isa-debug-exit:0x400")?;
    ensure!(!said.console.contains("STARTED"), "{}", said.console);
    same!(said.outcome["status"], 125, "the status");
    holds!(said.console, "ocinit.on-exit", "a mistake on the line");
    holds!(said.console, "containers/services/wrong", "the configuration");
    Ok(())
}

/// A pipe that nobody writes to, or reads from, would be waited for.
fn pipes_in_the_place_of_files(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.bundle("bundle", &Config::plain().script("echo STARTED; exit 4"))?;
    for place in ["ocinit/env", "ocinit/args", "ocinit/artifacts", "ocinit/cmdline", "etc/resolv.conf"] {
        let path = image.tree.join(place);
        image.file(place, "")?;
        std::fs::remove_file(&path)?;
        ensure!(Command::new("mkfifo").arg(&path).status()?.success(), "no mkfifo");
    }
    let said = image.boot("ocinit.dns=10.0.0.1")?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 4}), "the outcome");
    holds!(said.console, "STARTED", "the console");
    Ok(())
}

/// A container that a folder is shared with may put links there: none is followed,
/// neither in the place of the file nor on the way.
fn log_files_behind_links(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    image.file("logs/real/kept", "")?;
    std::os::unix::fs::symlink("/logs/real", image.tree.join("logs/way"))?;
    std::os::unix::fs::symlink("real/file", image.tree.join("logs/link"))?;
    for (number, path) in ["/logs/way/file", "/logs/link", "/logs/real/good"].iter().enumerate() {
        let config = Config::plain().script("echo WRITTEN").set("/annotations", json!({"org.ocinit.stdout": path}));
        image.bundle(&format!("containers/onboot/{number}0"), &config)?;
    }
    let shows = Config::plain()
        .bind(Path::new("/logs"), "/mnt", &["bind"])
        .script("ls /mnt/real | tr '\\n' ' '; cat /mnt/real/*");
    image.bundle("containers/onboot/90-shows", &shows)?;
    let said = image.boot("")?;
    said.in_order(&[
        "00: cannot open /logs/way/file (no symbolic link may be on its way): too many levels of symbolic links",
        "10: cannot open /logs/link (no symbolic link",
        "20 ended with status 0",
        "good kept WRITTEN\n",
    ])?;
    Ok(())
}

/// A disk that takes a kibibyte a second, and has megabytes to take: the outcome is
/// told all the same.
fn a_disk_that_does_not_answer(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    add_disk(c, &mut image, ",throttling.bps-write=1024")?;
    let config = Config::plain().bind(Path::new("/disk"), "/mnt", &["bind", "rw"]);
    image.bundle("bundle", &config.script("dd if=/dev/zero of=/mnt/file bs=1M count=4 2>/dev/null; exit 7"))?;
    image.only_outcome = true;
    let said = image.boot(MOUNT)?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 7}), "the outcome");
    holds!(said.console, "the file systems are not written back in time", "the warning");
    Ok(())
}

/// Whoever attends to a unit writes its output to a file system that takes nothing any
/// more: it waits in the kernel, which no signal ends.
fn an_attendant_that_cannot_be_killed(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    add_disk(c, &mut image, "")?;
    let annotations = json!({"org.ocinit.stdout": "/disk/log", "org.ocinit.stop-timeout": "100ms"});
    let script = "while true; do echo x; sleep 0.1; done";
    image.bundle("containers/services/writes", &Config::plain().script(script).set("/annotations", annotations))?;
    let freezes = Config::plain()
        .capabilities(&["CAP_SYS_ADMIN"])
        .bind(Path::new("/disk"), "/mnt", &["bind", "rw"])
        .script("sleep 1; fsfreeze --freeze /mnt && echo FROZEN; sleep 1; exit 8");
    image.bundle("bundle", &freezes)?;
    let said = image.boot(MOUNT)?;
    said.in_order(&["FROZEN", "writes: it cannot be ended, not even by signal 9"])?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 8}), "the outcome");
    Ok(())
}

const MOUNT: &str = "ocinit.mount=/dev/vda:/disk:ext4:noatime";

/// A disk with an empty ext4.
fn add_disk(c: &Context, image: &mut Image<'_>, options: &str) -> Result<()> {
    image.virtio(&["drivers/block/virtio_blk.ko"])?;
    let disk = c.dir.join("disk");
    std::fs::File::create(&disk)?.set_len(16 << 20)?;
    ensure!(Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&disk).status()?.success(), "no mke2fs");
    let drive = format!("file={},if=none,id=disk,format=raw{options}", disk.display());
    image.arguments = ["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"].map(String::from).to_vec();
    Ok(())
}
