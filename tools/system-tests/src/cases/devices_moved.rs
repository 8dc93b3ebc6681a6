//! Network devices that are moved into the container (`linux.netDevices`).

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bundle::Config;
use crate::case::Need;
use crate::command::host;
use crate::context::Context;

cases!("net_devices":
    moved_and_renamed [Need::Host, Need::Program("ip")] proves ["linux.netDevices.*.name"],
    moved_before_hooks [Need::Host, Need::Program("ip")],
    that_cannot_be_moved_stay [Need::Host, Need::Program("ip")],
);

/// One end of a pair, which ends with its namespace; the other stays.
struct Pair<'a> {
    context: &'a Context,
    name: String,
}

impl Pair<'_> {
    fn new<'a>(context: &'a Context, letter: &str) -> Result<Pair<'a>> {
        let name = format!("oc{letter}{}", std::process::id());
        let peer = format!("{name}p");
        host(&context.dir, "ip", &["link", "add", &name, "mtu", "1400", "type", "veth", "peer", "name", &peer])?;
        let pair = Pair { context, name };
        host(&context.dir, "ip", &["address", "add", "10.213.7.1/28", "dev", &pair.name])?;
        Ok(pair)
    }

    fn is_here(&self) -> bool {
        Path::new(&format!("/sys/class/net/{}", self.name)).exists()
            || host(&self.context.dir, "ip", &["link", "show", &self.name]).is_ok()
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        let _ = host(&self.context.dir, "ip", &["link", "delete", &self.name]);
    }
}

/// What the container has of a device: MTU, whether it is up, and its addresses.
fn look(name: &str) -> String {
    format!(
        "cat /sys/class/net/{name}/mtu; [ $(($(cat /sys/class/net/{name}/flags) & 1)) = 1 ] && echo up; \
         busybox ip -o address show {name} | grep -o 'inet [^ ]*'"
    )
}

fn moved_and_renamed(c: &Context) -> Result<()> {
    for (letter, new) in [("a", "eth7"), ("b", "")] {
        let pair = Pair::new(c, letter)?;
        let name = if new.is_empty() { &pair.name } else { new };
        let value = if new.is_empty() { json!({}) } else { json!({"name": new}) };
        let config = Config::plain().set(&format!("/linux/netDevices/{}", pair.name), value);
        let output = c.run(&config.script(&look(name)))?.ok()?;
        same!(output.stdout, "1400\nup\ninet 10.213.7.1/28\n", "the device {name}");
        ensure!(!pair.is_here(), "it is here still");
    }
    // A number that is free there.
    let (one, two) = (Pair::new(c, "c")?, Pair::new(c, "d")?);
    let mut config = Config::plain();
    for pair in [&one, &two] {
        config = config.set(&format!("/linux/netDevices/{}", pair.name), json!({"name": "net%d"}));
    }
    let output = c.run(&config.script("ls -d /sys/class/net/net*"))?.ok()?;
    same!(output.stdout, "/sys/class/net/net0\n/sys/class/net/net1\n", "names with %d");
    Ok(())
}

fn moved_before_hooks(c: &Context) -> Result<()> {
    let pair = Pair::new(c, "a")?;
    let out = c.dir.join("out");
    let ask = format!("cat /proc/$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')/net/dev >{}", out.display());
    let config = Config::plain()
        .set(&format!("/linux/netDevices/{}", pair.name), json!({"name": "eth7"}))
        .push("/hooks/prestart", json!({"path": "/bin/sh", "args": ["sh", "-c", ask], "env": ["PATH=/bin:/usr/bin"]}));
    c.run(&config.user_namespace(100_000, 65_536))?.ok()?;
    holds!(std::fs::read_to_string(out)?, "eth7:", "what the hook sees");
    Ok(())
}

fn that_cannot_be_moved_stay(c: &Context) -> Result<()> {
    let pair = Pair::new(c, "a")?;
    let pointer = format!("/linux/netDevices/{}", pair.name);
    let place = format!("linux.netDevices.{}: ", pair.name);
    let place = place.trim_start_matches("linux.");
    for (new, why) in [("lo", "has a network device lo already"), ("a/b", "can be called"), ("a name too long", "")] {
        c.run(&Config::plain().set(&pointer, json!({"name": new})))?.error(1, &[place, why])?;
        ensure!(pair.is_here(), "it is gone after {new}");
    }
    let nobody = Config::plain().set("/linux/netDevices/nobody0", json!({"name": "eth0"}));
    c.run(&nobody)?.error(1, &["netDevices.nobody0", "cannot find the network device nobody0"])?;
    c.run(&Config::plain().set(&pointer, json!({})).without_namespace("network"))?
        .error(1, &["needs a network namespace"])?;
    ensure!(pair.is_here(), "it is gone");
    Ok(())
}
