//! Whether KVM can be used. That /dev/kvm is there does not say so: under some
//! hypervisors a guest then hangs or QEMU aborts. So a guest must have been
//! seen to get somewhere: the kernel is booted without anything to run, which
//! it ends with a panic. The verdict holds until the machine is booted again.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::machine::{Accel, Machine};
use super::qemu::Builder;
use crate::kernel::Kernel;

/// A kernel under KVM has come to its panic long before.
const LIMIT: Duration = Duration::from_secs(5);

/// What `auto` comes to here; what was asked for otherwise.
pub fn choose(asked: Accel, machine: Machine, kernel: &Kernel) -> Result<Accel> {
    static VERDICT: OnceLock<bool> = OnceLock::new();
    match asked {
        Accel::Kvm => {
            fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/kvm")
                .context("cannot use KVM: cannot open /dev/kvm")?;
            Ok(Accel::Kvm)
        }
        Accel::Tcg => Ok(Accel::Tcg),
        Accel::Auto if *VERDICT.get_or_init(|| remembered(machine, kernel)) => Ok(Accel::Kvm),
        Accel::Auto => Ok(Accel::Tcg),
    }
}

/// The verdict, from an earlier run since the machine was booted if there was one.
fn remembered(machine: Machine, kernel: &Kernel) -> bool {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let place = cache_folder().map(|folder| folder.join("kvm"));
    let before = place.as_ref().and_then(|place| fs::read_to_string(place).ok()).unwrap_or_default();
    match before.strip_prefix(boot.trim()).map(str::trim) {
        Some("works") if !boot.is_empty() => return true,
        Some("fails") if !boot.is_empty() => return false,
        _ => {}
    }
    let works = try_out(machine, kernel).is_ok();
    if let Some(place) = place {
        let text = format!("{} {}\n", boot.trim(), if works { "works" } else { "fails" });
        let stored = place.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok());
        // Where it cannot be kept, the next run finds out again.
        let _ = stored && fs::write(place, text).is_ok();
    }
    works
}

/// Where this user's caches are.
fn cache_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    folder.is_absolute().then(|| folder.join("ociboot"))
}

/// Boots the kernel under KVM; an error where it does not come to its panic.
pub fn try_out(machine: Machine, kernel: &Kernel) -> Result<()> {
    let mut builder = Builder::new(machine.arguments(Accel::Kvm, 256, 1));
    let words = machine.kernel_words(Accel::Kvm).join(" ");
    let image = kernel.image.to_str().context("the kernel's path is not UTF-8")?;
    builder.add(["-serial", "null", "-kernel", image, "-append", &words]);
    let mut qemu = builder.start()?;
    match qemu.wait(LIMIT) {
        Some(status) if status.success() => Ok(()),
        Some(_) => bail!("QEMU gives up under KVM: {}", qemu.complaint().unwrap_or_default()),
        None => bail!("a guest hangs under KVM"),
    }
}
