//! Whether KVM can be used. That /dev/kvm is there does not say so: under some
//! hypervisors a guest then hangs or QEMU aborts. So a guest must have been
//! seen to get somewhere: the kernel is booted without anything to run, which
//! it ends with a panic. The verdict holds for that kernel, machine and QEMU until
//! this machine is booted again.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::machine::{Accel, Machine};
use super::qemu::Builder;
use crate::kernel::Kernel;

/// A kernel under KVM has come to its panic long before.
const LIMIT: Duration = Duration::from_secs(5);

/// What `auto` comes to here; what was asked for otherwise. `say`: a person is told why
/// it is emulation, at the time when that is found out.
pub fn choose(asked: Accel, machine: Machine, kernel: &Kernel, say: bool) -> Result<Accel> {
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
        Accel::Auto if works(machine, kernel, say) => Ok(Accel::Kvm),
        Accel::Auto => Ok(Accel::Tcg),
    }
}

/// The verdict, from an earlier run of the same since this machine was booted if there
/// was one.
fn works(machine: Machine, kernel: &Kernel, say: bool) -> bool {
    // Held to the end: several guests at once wait for one verdict.
    static FOUND: Mutex<Verdicts> = Mutex::new(Verdicts(Vec::new()));
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return false;
    }
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let key = key(machine, kernel);
    let place = cache_folder().map(|folder| folder.join("kvm"));
    if let Some(text) = place.as_ref().and_then(|place| fs::read_to_string(place).ok()) {
        found.read(&text, &boot_id());
    }
    if let Some(works) = found.of(&key) {
        return works;
    }
    let tried = try_out(machine, kernel);
    if let (Err(why), true) = (&tried, say) {
        eprintln!("ociboot: the guest is emulated: {why:#}");
    }
    found.0.push((key, tried.is_ok()));
    if let Some(place) = place {
        let stored = place.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok());
        // Where it cannot be kept, the next run finds out again.
        let _ = stored && fs::write(place, found.text(&boot_id())).is_ok();
    }
    tried.is_ok()
}

/// What was found out, by the key of what was tried.
struct Verdicts(Vec<(String, bool)>);

impl Verdicts {
    /// Lines `BOOT KEY VERDICT`; those of another boot count for nothing.
    fn read(&mut self, text: &str, boot: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (key, works) = match words[..] {
                [of, key, "works"] if of == boot => (key, true),
                [of, key, "fails"] if of == boot => (key, false),
                _ => continue,
            };
            if self.of(key).is_none() {
                self.0.push((key.into(), works));
            }
        }
    }

    fn of(&self, key: &str) -> Option<bool> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, works)| *works)
    }

    fn text(&self, boot: &str) -> String {
        let line = |(key, works): &(String, bool)| format!("{boot} {key} {}\n", if *works { "works" } else { "fails" });
        self.0.iter().map(line).collect()
    }
}

/// Since when this machine runs; without an answer nothing is remembered for long.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if id.trim().is_empty() { format!("process-{}", std::process::id()) } else { id.trim().into() }
}

/// What a verdict is about, as one word: the kernel's file, the machine, the program.
fn key(machine: Machine, kernel: &Kernel) -> String {
    let program = super::qemu::program().unwrap_or_default();
    let mut hash = Sha256::new();
    for path in [&kernel.image, &program] {
        let changed = fs::metadata(path).and_then(|file| file.modified()).ok();
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        hash.update(format!("{path:?} {} ", changed.as_nanos()));
    }
    hash.update(machine.name());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_of_one_boot_and_one_kernel() {
        let mut verdicts = Verdicts(Vec::new());
        verdicts.read("this a works\nthis b fails\nother c works\nthis d\nnoise\n\nthis works\n", "this");
        assert_eq!(["a", "b", "c", "d"].map(|key| verdicts.of(key)), [Some(true), Some(false), None, None]);
        assert_eq!(verdicts.text("this"), "this a works\nthis b fails\n");
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("vmlinuz");
        fs::write(&image, "1").expect("written");
        let kernel = Kernel { image: image.clone(), release: String::new(), modules: None };
        let first = key(Machine::Q35, &kernel);
        assert_eq!(first, key(Machine::Q35, &kernel));
        assert_ne!(first, key(Machine::Microvm, &kernel));
        fs::File::options()
            .write(true)
            .open(&image)
            .and_then(|file| file.set_modified(UNIX_EPOCH))
            .expect("its time is set");
        assert_ne!(first, key(Machine::Q35, &kernel));
    }
}
