//! The runtime as an ordinary user starts it: user 1000, with an account and
//! subordinate ids of the tests' own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::bundle::Config;
use crate::command::Output;
use crate::context::Context;
use crate::kernel;

/// The user's id, and the group's.
pub const ID: u32 = 1000;

/// The first of the 65,536 ids that the user may give away.
pub const SUBORDINATE: u32 = 100_000;

/// An ordinary user with the case's bundle.
pub struct Ordinary<'a> {
    context: &'a Context,
    program: PathBuf,
    /// HOME; XDG_RUNTIME_DIR is `run` in it.
    pub home: PathBuf,
    /// The cgroup that commands are started in: with another, empty one above that
    /// is the user's as well.
    pub cgroup: Option<PathBuf>,
}

/// Becomes the user in a mount namespace where /etc knows it.
const SCRIPT: &str = r#"
for file in passwd group subuid subgid; do mount --bind "$HOME/$file" "/etc/$file" || exit 98; done
[ -z "$CGROUP" ] || echo 0 >"$CGROUP/cgroup.procs" || exit 97
exec "$SETPRIV" --reuid 1000 --regid 1000 --clear-groups "$@"
"#;

impl<'a> Ordinary<'a> {
    pub fn new(context: &'a Context) -> Result<Ordinary<'a>> {
        let home = context.folder("home")?;
        let program = home.join("ocinit"); // where it is, the user need not be let in
        fs::copy(&context.program, &program)?;
        for (name, text) in [
            ("passwd", "root:x:0:0::/root:/bin/sh\nordinary:x:1000:1000::/:/bin/sh\n"),
            ("group", "root:x:0:\nordinary:x:1000:\n"),
            ("subuid", "ordinary:100000:65536\n"),
            ("subgid", "ordinary:100000:65536\n"),
        ] {
            fs::write(home.join(name), text)?;
        }
        for folder in [home.join("run"), context.state_dir(), context.bundle()] {
            fs::create_dir_all(&folder)?;
            own(&folder)?;
        }
        for folder in [home.join("run"), context.state_dir()] {
            fs::set_permissions(folder, PermissionsExt::from_mode(0o700))?;
        }
        Ok(Ordinary { context, program, home, cgroup: None })
    }

    /// Gives the user a part of the cgroup tree, as systemd does (cgroups(7),
    /// "Cgroups delegation").
    pub fn with_cgroup(mut self) -> Result<Ordinary<'a>> {
        let top = kernel::cgroup_root().join(format!("{}-user", self.context.tag));
        fs::create_dir(&top)?;
        let controllers = fs::read_to_string(kernel::cgroup_root().join("cgroup.controllers"))?;
        for controller in controllers.split_whitespace() {
            let _ = fs::write(kernel::cgroup_root().join("cgroup.subtree_control"), format!("+{controller}"));
        }
        fs::create_dir(top.join("session"))?;
        for folder in [&top, &top.join("session")] {
            for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
                chown(folder.join(file), Some(ID), Some(ID))?;
            }
        }
        self.cgroup = Some(top.join("session"));
        Ok(self)
    }

    /// Takes the cgroups away again, which must be empty.
    pub fn remove_cgroup(&self) -> Result<()> {
        for folder in
            self.cgroup.iter().chain(self.cgroup.as_deref().and_then(Path::parent).map(PathBuf::from).as_ref())
        {
            fs::remove_dir(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// A command of the user's.
    pub fn any_command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]).arg(program).args(arguments);
        self.context.surroundings(&mut command);
        command.env("HOME", &self.home).env("XDG_RUNTIME_DIR", self.home.join("run")).env("USER", "ordinary");
        // A path: a busybox shell would take its own applet.
        command.env("SETPRIV", kernel::find_program("setpriv").unwrap_or_default());
        command.env("CGROUP", self.cgroup.as_deref().unwrap_or(Path::new("")));
        command
    }

    /// A command line of the runtime, with the case's state directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let state = self.context.state_dir();
        let state = state.to_string_lossy();
        let mut all = vec!["--root", &*state];
        all.extend(arguments);
        self.any_command(&self.program, &all)
    }

    pub fn call(&self, arguments: &[&str]) -> Result<Output> {
        self.context.finish(self.command(arguments))
    }

    /// Without `--root`.
    pub fn call_without_root(&self, arguments: &[&str]) -> Result<Output> {
        self.context.finish(self.any_command(&self.program, arguments))
    }

    /// `run` in the foreground, with a fresh id.
    pub fn run(&self, config: &Config) -> Result<Output> {
        self.context.write(config)?;
        self.call(&["run", &self.context.id()])
    }

    /// `run --detach` of a container that stays: its id.
    pub fn detached(&self, config: &Config) -> Result<String> {
        self.context.write(config)?;
        let id = self.context.id();
        self.call(&["run", "--detach", &id])?.ok()?;
        Ok(id)
    }
}

/// Gives the user a folder and all in it.
fn own(folder: &Path) -> Result<()> {
    rustix::fs::chownat(
        rustix::fs::CWD,
        folder,
        Some(rustix::fs::Uid::from_raw(ID)),
        Some(rustix::fs::Gid::from_raw(ID)),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )?;
    if fs::symlink_metadata(folder)?.is_dir() {
        for entry in fs::read_dir(folder)? {
            own(&entry?.path())?;
        }
    }
    Ok(())
}
