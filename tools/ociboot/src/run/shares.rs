//! `--share HOST:GUEST[:ro]`: folders of the host's in the container, by 9p,
//! which QEMU serves itself, or by virtiofs, where the kernel has no 9p.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use oci_spec::runtime::{Mount, MountBuilder};

use super::machine::Machine;
use super::qemu::{Builder, Process, find_program};
use crate::kernel::Kernel;

/// A folder that the container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub host: PathBuf,
    pub guest: String,
    pub read_only: bool,
}

impl std::str::FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Share> {
        let (text, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (host, guest) = text.split_once(':').context("it must be HOST:GUEST[:ro]")?;
        ensure!(!host.is_empty(), "it must be HOST:GUEST[:ro]");
        ensure!(guest.starts_with('/'), "the path in the guest must begin with a slash");
        Ok(Share { host: host.into(), guest: guest.into(), read_only })
    }
}

/// How folders come into the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    NineP,
    Virtiofs,
}

impl Protocol {
    /// What kernel and host have between them.
    pub fn choose(kernel: &Kernel) -> Result<Protocol> {
        if kernel.has("9p") && kernel.has("9pnet_virtio") {
            return Ok(Protocol::NineP);
        }
        if kernel.has("virtiofs") {
            find_program("virtiofsd").context(
                "the kernel has virtiofs but not 9p, and there is no virtiofsd here (Debian: apt-get install virtiofsd, or qemu-system-common before Debian 13)",
            )?;
            return Ok(Protocol::Virtiofs);
        }
        bail!(
            "the kernel {} has neither 9p nor virtiofs, so that nothing can be shared with it (Debian: linux-image-amd64 has both)",
            kernel.image.display()
        )
    }

    pub fn modules(self) -> &'static [&'static str] {
        match self {
            Protocol::NineP => &["9pnet_virtio", "9p"],
            Protocol::Virtiofs => &["virtiofs"],
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Protocol::NineP => &["trans=virtio", "version=9p2000.L", "msize=512000"],
            Protocol::Virtiofs => &[],
        }
    }
}

fn tag(number: usize) -> String {
    format!("ocinit.share{number}")
}

/// The mount in config.json for each.
pub fn mounts(shares: &[Share], protocol: Protocol) -> Result<Vec<Mount>> {
    let mount = |(number, share): (usize, &Share)| {
        let mut options: Vec<String> = ["nosuid", "nodev"].map(String::from).to_vec();
        options.push(if share.read_only { "ro" } else { "rw" }.into());
        options.extend(protocol.options().iter().map(|option| (*option).to_owned()));
        let kind = if protocol == Protocol::NineP { "9p" } else { "virtiofs" };
        let builder = MountBuilder::default().destination(&share.guest).typ(kind).source(tag(number));
        Ok(builder.options(options).build()?)
    };
    shares.iter().enumerate().map(mount).collect()
}

/// QEMU's devices for them, and the servers that must live as long as it.
pub fn serve(
    shares: &[Share],
    protocol: Protocol,
    machine: Machine,
    memory: u64,
    work: &Path,
    builder: &mut Builder,
) -> Result<Vec<Process>> {
    let mut servers = Vec::new();
    if protocol == Protocol::Virtiofs && !shares.is_empty() {
        // The server reads and writes the guest's memory.
        builder.add(["-object", &format!("memory-backend-memfd,id=memory,size={memory}M,share=on")]);
        builder.add(["-machine", "memory-backend=memory"]);
    }
    for (number, share) in shares.iter().enumerate() {
        let host =
            std::fs::canonicalize(&share.host).with_context(|| format!("cannot share {}", share.host.display()))?;
        ensure!(host.is_dir(), "cannot share {}: it is no folder", host.display());
        let host = host.to_str().context("a shared folder's path is not UTF-8")?;
        let tag = tag(number);
        match protocol {
            Protocol::NineP => {
                // QEMU reads a doubled comma as one.
                let path = host.replace(',', ",,");
                let mode = if share.read_only { ",readonly=on" } else { "" };
                builder.add([
                    "-fsdev",
                    &format!("local,id=share{number},path={path},security_model=none,multidevs=remap{mode}"),
                ]);
                builder
                    .add(["-device", &format!("{},fsdev=share{number},mount_tag={tag}", machine.device("virtio-9p"))]);
            }
            Protocol::Virtiofs => {
                let socket = work.join(format!("share{number}"));
                servers.push(virtiofsd(host, share.read_only, &socket)?);
                let socket = socket.to_str().context("the temporary folder's path is not UTF-8")?;
                builder.add(["-chardev", &format!("socket,id=share{number},path={socket}")]);
                builder
                    .add(["-device", &format!("{},chardev=share{number},tag={tag}", machine.device("vhost-user-fs"))]);
            }
        }
    }
    Ok(servers)
}

/// Starts the server on a socket that already listens, so that QEMU need not wait for it.
fn virtiofsd(host: &str, read_only: bool, socket: &Path) -> Result<Process> {
    let program = find_program("virtiofsd").context("no virtiofsd here")?;
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    let help = Command::new(&program).arg("--help").stderr(Stdio::null()).output()?.stdout;
    let help = String::from_utf8_lossy(&help);
    let descriptor = std::os::fd::OwnedFd::from(listener);
    let arguments = virtiofsd_arguments(&help, host, read_only, rustix::process::geteuid().is_root())
        .with_context(|| format!("cannot share {host} by {}", program.display()))?;
    let mut command = Command::new(&program);
    command.arg(format!("--fd={}", std::os::fd::AsRawFd::as_raw_fd(&descriptor))).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Process::start(command, vec![descriptor])
}

/// What the server is told, by what its help says that it understands.
fn virtiofsd_arguments(help: &str, host: &str, read_only: bool, root: bool) -> Result<Vec<String>> {
    // QEMU's own, in C, before it was rewritten, has none of these.
    let rewritten = help.contains("--shared-dir");
    ensure!(
        !read_only || help.contains("--readonly"),
        "this {} virtiofsd cannot share read-only: take the {}one (https://gitlab.com/virtio-fs/virtiofsd), or a kernel with 9p (Debian: linux-image-amd64), or leave `:ro` out",
        if rewritten { "old" } else { "C" },
        if rewritten { "newest " } else { "Rust " }
    );
    if rewritten {
        let sandbox = if root { "chroot" } else { "none" };
        let mut arguments = ["--shared-dir", host, "--sandbox", sandbox].map(String::from).to_vec();
        arguments.extend(read_only.then(|| "--readonly".to_owned()));
        return Ok(arguments);
    }
    ensure!(root, "this virtiofsd, QEMU's own, runs as root only");
    ensure!(!host.contains(','), "this virtiofsd, QEMU's own, takes no folder with a comma in its name");
    let source = format!("source={host}");
    Ok(["-o", &source, "-o", "sandbox=chroot", "-o", "cache=auto"].map(String::from).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, expected) in [
            ("/a:/b", Some(("/a", "/b", false))),
            ("/a:/b:ro", Some(("/a", "/b", true))),
            (".:/b:rw", Some((".", "/b", false))),
            ("/a", None),
            (":/b", None),
            ("/a:b", None),
        ] {
            let parsed = text.parse::<Share>().ok();
            let expected =
                expected.map(|(host, guest, read_only)| Share { host: host.into(), guest: guest.into(), read_only });
            assert_eq!(parsed, expected, "{text}");
        }
    }

    #[test]
    fn read_only_needs_a_server_that_can() {
        let c = "usage: virtiofsd [options]\n -o source=PATH";
        let (rust, newest) = ("--shared-dir <PATH>", "--shared-dir <PATH> --readonly");
        for (help, read_only, root, said) in [
            (c, true, true, "this C virtiofsd cannot share read-only: take the Rust one"),
            (rust, true, true, "this old virtiofsd cannot share read-only: take the newest one"),
            (c, false, false, "runs as root only"),
        ] {
            let error = virtiofsd_arguments(help, "/a", read_only, root).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
        let arguments = virtiofsd_arguments(newest, "/a", true, false).expect("arguments");
        assert_eq!(arguments, ["--shared-dir", "/a", "--sandbox", "none", "--readonly"]);
        assert!(virtiofsd_arguments(c, "/a", false, true).expect("arguments").contains(&"source=/a".to_owned()));
    }

    #[test]
    fn a_mount_each() {
        let share = |read_only| Share { host: "/a".into(), guest: "/b".into(), read_only };
        let made = mounts(&[share(false), share(true)], Protocol::NineP).expect("mounts");
        assert_eq!(made[1].source().as_deref(), Some(Path::new("ocinit.share1")));
        let options = made[1].options().clone().unwrap_or_default();
        assert!(options.contains(&"ro".into()) && options.contains(&"trans=virtio".into()), "{options:?}");
    }
}
