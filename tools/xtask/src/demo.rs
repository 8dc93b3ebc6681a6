//! `demo`: a container that shows itself.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use bundle::Bundle;

use crate::dist::dist;
use crate::shell::{install, line, need_root};

/// What runs inside: each line prints a heading and the thing itself.
const SCRIPT: &str = r#"
say() { echo; echo "--- $*"; }
say "host name";    hostname
say "user";         id
say "processes";    ps -o pid,user,args
say "mounts";       cut -d' ' -f1-4 /proc/mounts
say "root folder";  ls /
say "capabilities"; grep -E '^(Cap|NoNewPrivs)' /proc/self/status
say "namespaces";   ls -l /proc/self/ns | sed -n 's/.*-> //p' | tr '\n' ' '; echo
"#;

pub fn demo() -> Result<()> {
    need_root("demo")?;
    install(&[("busybox", "busybox-static"), ("objcopy", "binutils")])?;
    let (ocinit, _) = dist()?;
    let folder = tempfile::Builder::new().prefix("ocinit-demo-").tempdir()?;
    let mut bundle = Bundle::from_spec(folder.path(), &ocinit)?;
    fs::write(folder.path().join("rootfs/show"), SCRIPT)?;
    bundle.no_terminal().arguments(&["sh", "/show"]);
    bundle.config["hostname"] = "a-container".into();
    bundle.write()?;
    let id = format!("demo-{}", std::process::id());
    let mut command = Command::new(&ocinit);
    command.args(["run", "--bundle"]).arg(bundle.folder()).arg(&id);
    println!("$ {}", line(&command));
    let status = command.status()?;
    if !status.success() {
        // Whatever is left of it; there is normally nothing.
        let _ = Command::new(&ocinit).args(["delete", "--force", &id]).status();
    }
    ensure!(status.success(), "the container ended with {status}");
    println!("\nThe container is gone, and so is its bundle.");
    Ok(())
}
