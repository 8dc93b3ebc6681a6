//! Security labels: AppArmor's profile and SELinux's context.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use serde_json::json;

use crate::boot_image::Image;
use crate::bundle::Config;
use crate::case::Need;
use crate::context::Context;
use crate::harness::Skip;
use crate::traced::{FSCONFIG, calls, text_of};

/// Where profiles are loaded, on a kernel that has AppArmor.
const LOAD: &str = "/sys/kernel/security/apparmor/.load";
const REMOVE: &str = "/sys/kernel/security/apparmor/.remove";

cases!("labels":
    apparmor_profile [Need::Path(LOAD)] proves ["process.apparmorProfile"],
    apparmor_profile_of_exec [Need::Path(LOAD)] proves ["process.apparmorProfile"],
    apparmor_profile_that_is_not_there [Need::Path(LOAD)],
    apparmor_where_the_kernel_lacks_it,
    selinux_where_the_kernel_lacks_it proves ["linux.mountLabel", "process.selinuxLabel"],
    selinux_label [Need::Host] proves ["process.selinuxLabel"],
    empty_ones_are_none,
);

const CURRENT: &str = "cat /proc/self/attr/apparmor/current";

/// A profile of no rules that only complains, as apparmor_parser(8) would compile
/// it: names and values one behind the other (security/apparmor/policy_unpack.c).
fn profile(name: &str) -> Vec<u8> {
    const U32: u8 = 2;
    const NAME: u8 = 4;
    const STRING: u8 = 5;
    const STRUCT: u8 = 7;
    const STRUCT_END: u8 = 8;
    let mut blob = Vec::new();
    let text = |blob: &mut Vec<u8>, kind: u8, text: &str| {
        blob.push(kind);
        blob.extend((text.len() as u16 + 1).to_le_bytes());
        blob.extend(text.as_bytes());
        blob.push(0);
    };
    let number = |blob: &mut Vec<u8>, number: u32| {
        blob.push(U32);
        blob.extend(number.to_le_bytes());
    };
    text(&mut blob, NAME, "version");
    number(&mut blob, 5);
    text(&mut blob, NAME, "profile");
    blob.push(STRUCT);
    text(&mut blob, STRING, name);
    text(&mut blob, NAME, "flags");
    blob.push(STRUCT);
    number(&mut blob, 0); // no hat
    number(&mut blob, 1); // complains
    number(&mut blob, 0); // no audit
    blob.push(STRUCT_END);
    for _capabilities in ["allowed", "audited", "quiet", "extended"] {
        number(&mut blob, 0);
    }
    blob.push(STRUCT_END);
    blob
}

/// With a profile of that name, for as long as the case runs.
struct Loaded(String);

impl Loaded {
    fn new(name: &str) -> Result<Loaded> {
        fs::write(LOAD, profile(name)).with_context(|| format!("cannot load the profile {name}"))?;
        Ok(Loaded(name.into()))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let _ = fs::write(REMOVE, &self.0);
    }
}

fn apparmor_profile(c: &Context) -> Result<()> {
    let profile = Loaded::new(&format!("{}-profile", c.tag))?;
    let confined = format!("{} (complain)\n", profile.0);
    let config = Config::plain().script(CURRENT);
    same!(c.run(&config)?.ok()?.stdout, "unconfined\n", "without a profile");
    let config = config.set("/process/apparmorProfile", json!(profile.0));
    same!(c.run(&config)?.ok()?.stdout, confined, "with a profile");
    let user = config.clone().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    same!(c.run(&user)?.ok()?.stdout, confined, "of a user who is not root");
    same!(c.run(&config.clone().user_namespace(100_000, 65_536))?.ok()?.stdout, confined, "in a user namespace");
    let unconfined = config.set("/process/apparmorProfile", json!("unconfined"));
    same!(c.run(&unconfined)?.ok()?.stdout, "unconfined\n", "unconfined");
    // The file is the kernel's, whatever the container has at /proc.
    let fake = c.folder("fake")?;
    for attr in ["self/attr/apparmor", "1/attr/apparmor"] {
        fs::create_dir_all(fake.join(attr))?;
        fs::write(fake.join(attr).join("exec"), "")?;
    }
    let config = Config::plain().set("/process/apparmorProfile", json!(profile.0)).remove("/mounts/0");
    fs::remove_dir(c.rootfs().join("proc"))?;
    crate::bundle::copy_tree(&fake, &c.rootfs().join("proc"))?;
    let id = c.detached(&config.args(&["sleep", "1000"]))?;
    let current = fs::read_to_string(format!("/proc/{}/attr/apparmor/current", c.pid(&id)?))?;
    same!(current, confined, "with a folder at /proc");
    ensure!(fs::read_to_string(c.rootfs().join("proc/1/attr/apparmor/exec"))?.is_empty(), "the fake was written to");
    c.delete(&id)
}

fn apparmor_profile_of_exec(c: &Context) -> Result<()> {
    let [one, two] = ["one", "two"].map(|name| Loaded::new(&format!("{}-{name}", c.tag)));
    let (one, two) = (one?, two?);
    let config = Config::plain().set("/process/apparmorProfile", json!(one.0)).args(&["sleep", "1000"]);
    let id = c.detached(&config)?;
    let exec = |flags: &[&str]| -> Result<String> {
        let mut arguments = vec!["exec"];
        arguments.extend(flags);
        arguments.extend([&*id, "sh", "-c", CURRENT]);
        Ok(c.call(&arguments)?.ok()?.stdout)
    };
    same!(exec(&[])?, format!("{} (complain)\n", one.0), "as the configuration has it");
    same!(exec(&["--apparmor", &two.0])?, format!("{} (complain)\n", two.0), "with --apparmor");
    same!(exec(&["--apparmor", ""])?, format!("{} (complain)\n", one.0), "with an empty one");
    c.delete(&id)
}

fn apparmor_profile_that_is_not_there(c: &Context) -> Result<()> {
    c.run(&Config::plain().set("/process/apparmorProfile", json!("no-such-profile")))?
        .error(1, &["cannot apply the AppArmor profile \"no-such-profile\": no such file or directory"])?;
    Ok(())
}

fn apparmor_where_the_kernel_lacks_it(c: &Context) -> Result<()> {
    if Path::new(LOAD).exists() {
        return Err(Skip("this kernel has AppArmor".into()).into()); // the cases above
    }
    c.run(&Config::plain().set("/process/apparmorProfile", json!("docker-default")))?
        .error(1, &["cannot apply the AppArmor profile \"docker-default\": the kernel does not have it"])?;
    let id = c.sleeper()?;
    c.call(&["exec", "--apparmor", "docker-default", &id, "true"])?.error(255, &["AppArmor profile"])?;
    c.delete(&id)
}

fn selinux_where_the_kernel_lacks_it(c: &Context) -> Result<()> {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Skip("this kernel has SELinux".into()).into());
    }
    let label = "system_u:system_r:container_t:s0:c1,c2";
    c.run(&Config::plain().set("/process/selinuxLabel", json!(label)))?
        .error(1, &[&format!("cannot apply the SELinux label \"{label}\"")])?;
    let config = Config::plain().set("/linux/mountLabel", json!(label));
    c.run(&config)?.error(1, &["mounts[1]: "])?;
    // The kernel was asked for it: FSCONFIG_SET_STRING of fsconfig(2).
    let (asked, _) = calls(c.command(&["create", &c.id()]), FSCONFIG, |tid, [_, command, key, value, _, _]| {
        let is = |address, text: &str| text_of(tid, address, text.len() as u64).is_ok_and(|found| found == text);
        *command == 1 && is(*key, "context\0") && is(*value, &format!("{label}\0"))
    })?;
    let answers: Vec<i64> = asked.iter().map(|call| call.answer).collect();
    same!(answers, [-i64::from(Errno::INVAL.raw_os_error())], "what the kernel says to the context");
    let id = c.sleeper()?;
    c.call(&["exec", "--process-label", label, &id, "true"])?.error(255, &["SELinux label"])?;
    c.delete(&id)
}

/// In a guest whose kernel has SELinux but no policy: then it knows its initial labels
/// alone, of which everybody has "kernel".
fn selinux_label(c: &Context) -> Result<()> {
    let image = Image::new(c)?;
    let ask = || Config::plain().script("cat /proc/self/attr/current; echo");
    image.bundle("containers/onboot/010-without", &ask())?;
    image.bundle("containers/onboot/020-with", &ask().set("/process/selinuxLabel", json!("unlabeled")))?;
    let said = image.boot("lsm=selinux selinux=1")?;
    said.in_order(&["kernel", "010-without ended with status 0", "unlabeled", "020-with ended with status 0"])
}

fn empty_ones_are_none(c: &Context) -> Result<()> {
    let config = Config::plain()
        .set("/process/selinuxLabel", json!(""))
        .set("/process/apparmorProfile", json!(""))
        .set("/linux/mountLabel", json!(""));
    c.run(&config)?.ok()?;
    Ok(())
}
