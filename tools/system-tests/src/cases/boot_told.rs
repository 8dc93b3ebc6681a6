//! ocinit as the first process: what it is told by the machine, and whom it tells.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::boot_image::Image;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::dhcp_server::DhcpServer;
use crate::harness::Skip;
use crate::vsock_listener;

cases!("boot_told":
    over_vsock_though_it_panics [Need::Host],
    by_a_large_smbios_table [Need::Host],
    by_fw_cfg [Need::Host],
    a_lease_that_changes [Need::Host],
    gateways_beside_every_network [Need::Host],
);

/// What comes to a port of the listener's, in order.
fn came(console: &str, port: u32) -> Vec<&str> {
    let start = format!("VSOCK {port} ");
    console.lines().filter_map(|line| line.trim_end().strip_prefix(start.as_str())).collect()
}

/// Process 1 that panics, after a process of its own has, still tells everybody and
/// ends the machine. (Nobody is killed on this way, so that the guest's own
/// listener hears the last word.)
fn over_vsock_though_it_panics(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    let panicking = c.program.with_file_name("ocinit-panics");
    if !panicking.is_file() {
        anyhow::bail!(Skip(format!("no {}: `cargo xtask panics` makes it", panicking.display())));
    }
    image.init(&panicking)?;
    vsock_listener::add(&image)?;
    image.bundle("containers/services/panics", &Config::plain().script("echo NEVER"))?;
    image.bundle("bundle", &Config::plain().script("sleep 1; exit 3"))?;
    // vmm.notify_socket=vsock-stream:1:5001
    let credential = "io.systemd.credential.binary:vmm.notify_socket=dnNvY2stc3RyZWFtOjE6NTAwMQ==";
    image.arguments = vec!["-smbios".into(), format!("type=11,value={credential}")];
    let said = image.boot("ocinit.status=vsock:1:5000")?;
    let service = "panics: the process that attends to it ended with status 1 without a word";
    said.in_order(&["a mistake in ocinit itself: as it was built to", service, "bundle ended with status 3"])?;
    ensure!(!said.console.contains("NEVER"), "{}", said.console);
    same!(said.outcome["result"], "error", "the outcome");
    let message = said.outcome["message"].as_str().unwrap_or_default();
    holds!(message, "a mistake in ocinit itself: as it was built to (src/init/setup.rs:", "the message");
    let told = came(&said.console, 5000);
    for part in [
        "{\"event\":\"init\"",
        "\"started\",\"unit\":\"bundle\"",
        "\"unit\":\"panics\",\"result\":\"error\"",
        "\"outcome\"",
    ] {
        ensure!(told.iter().any(|line| line.starts_with("1 ") && line.contains(part)), "no {part} among {told:?}");
    }
    // A connection for each message.
    let expected = ["1 READY=1", "2 EXIT_STATUS=125", "2 X_SYSTEMD_SHUTDOWN=poweroff"];
    same!(came(&said.console, 5001), expected, "what the monitor was told; the console: {}", said.console);
    Ok(())
}

fn by_a_large_smbios_table(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    vsock_listener::add(&image)?;
    // Whoever attends to a unit makes no socket: the listener must be there before.
    image.bundle("bundle", &Config::plain().script("sleep 1"))?;
    for number in 0..16 {
        image.arguments.extend(["-smbios".into(), format!("type=11,value=filler{number}:{}", "x".repeat(1000))]);
    }
    let credential = "io.systemd.credential:vmm.notify_socket=vsock-seqpacket:1:5002";
    image.arguments.extend(["-smbios".into(), format!("type=11,value={credential}")]);
    let said = image.boot("ocinit.status=vsock:1:5000")?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 0}), "the outcome");
    same!(came(&said.console, 5002), ["1 READY=1"], "what was told; the console: {}", said.console);
    // Nobody is there any more at the end, which is a warning.
    holds!(said.console, "nobody takes \"EXIT_STATUS=0", "the end");
    Ok(())
}

fn by_fw_cfg(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    vsock_listener::add(&image)?;
    image.module("drivers/firmware/qemu_fw_cfg.ko")?;
    image.bundle("bundle", &Config::plain().script("sleep 1"))?;
    let value = "name=opt/io.systemd.credentials/vmm.notify_socket,string=vsock:1:5002";
    image.arguments = vec!["-fw_cfg".into(), value.into()];
    let said = image.boot("")?;
    same!(said.outcome(), json!({"event": "outcome", "result": "exit", "status": 0}), "the outcome");
    same!(came(&said.console, 5002), ["1 READY=1"], "what was told; the console: {}", said.console);
    Ok(())
}

/// An answer with an option in two parts; at the renewal the router is another, and
/// one route is no more.
fn a_lease_that_changes(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    image.virtio(&["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"])?;
    let one = vec![(121, vec![0, 10, 7, 0, 1, 16, 10, 8, 10]), (121, vec![7, 0, 1, 16, 10, 9, 10, 7, 0, 1])];
    let two = vec![(121, vec![0, 10, 7, 0, 2, 16, 10, 8, 10, 7, 0, 2])];
    let server = DhcpServer::start(vec![one, two])?;
    image.arguments = server.arguments.clone();
    let script = "ip route; for i in $(seq 100); do \
                      ip route | grep -q 'default via 10.7.0.2' && break; sleep 0.2; done; \
                  sleep 1; echo AFTER; ip route; echo END";
    image.bundle("bundle", &Config::plain().without_namespace("network").script(script))?;
    let said = image.boot("ocinit.dhcp=any")?;
    ensure!(server.answered() >= 2, "{} requests were answered; the console: {}", server.answered(), said.console);
    said.in_order(&["default via 10.7.0.1", "10.8.0.0/16 via 10.7.0.1", "10.9.0.0/16 via 10.7.0.1", "AFTER"])?;
    let after = said.console.split("AFTER").nth(1).unwrap_or_default().split("END").next().unwrap_or_default();
    ensure!(after.contains("default via 10.7.0.2") && after.contains("10.8.0.0/16 via 10.7.0.2"), "{after}");
    ensure!(!after.contains("via 10.7.0.1 ") && !after.contains("10.9.0.0"), "what was before is still there: {after}");
    Ok(())
}

/// A gateway that only its device's link leads to, in both families.
fn gateways_beside_every_network(c: &Context) -> Result<()> {
    let mut image = Image::new(c)?;
    image.virtio(&["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"])?;
    image.arguments =
        ["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net"].map(String::from).to_vec();
    let script = "ip route; ip -6 route | grep default; echo END";
    image.bundle("bundle", &Config::plain().without_namespace("network").script(script))?;
    let words = "ocinit.address=eth0,10.7.0.9/32 ocinit.address=eth0,fd00::9/128";
    let said = image.boot(&format!("{words} ocinit.gateway=eth0,10.9.9.1 ocinit.gateway=eth0,fe80::1"))?;
    said.in_order(&["default via 10.9.9.1 dev eth0", "default via fe80::1 dev eth0", "END"])?;
    let said = image.boot(&format!("{words} ocinit.gateway=eth7,10.9.9.1"))?;
    holds!(said.outcome["message"].as_str().unwrap_or_default(), "cannot find the network device eth7", "the message");
    Ok(())
}
