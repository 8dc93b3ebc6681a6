//! Which kernel a guest boots: the one named, or the newest that this machine
//! has and this user can read; and its modules.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::modules;

/// A kernel that can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    pub image: PathBuf,
    /// As `uname -r` says in the guest; empty where the image does not tell.
    pub release: String,
    /// The folder of its modules; none where it has none, and all it needs is built in.
    pub modules: Option<PathBuf>,
}

impl Kernel {
    /// The kernel that is named, or the newest readable one; `modules` where they are elsewhere.
    pub fn find(image: Option<&Path>, modules: Option<&Path>) -> Result<Kernel> {
        let mut kernel = match image {
            Some(image) => Kernel::at(image)?,
            None => newest(Path::new("/"))?,
        };
        if let Some(modules) = modules {
            if !modules.is_dir() {
                bail!("{}, which is to have the kernel's modules, is no folder", modules.display());
            }
            kernel.modules = Some(modules.to_owned());
        }
        Ok(kernel)
    }

    /// Whether it has this, built in or as a module. A kernel without a folder
    /// of modules is taken to have everything in itself.
    pub fn has(&self, name: &str) -> bool {
        let Some(folder) = self.modules.clone() else { return true };
        if modules::is_builtin(&folder, name).unwrap_or(false) {
            return true;
        }
        modules::resolve(&modules::Request { folder, names: vec![name.to_owned()] }).is_ok()
    }

    fn at(image: &Path) -> Result<Kernel> {
        let release = release(image).with_context(|| format!("cannot read the kernel {}", image.display()))?;
        let modules = if release.is_empty() { None } else { modules_of(image, &release) };
        Ok(Kernel { image: image.to_owned(), release, modules })
    }
}

/// Where the modules of a kernel are: beside it, as in an unpacked package, or
/// where the system has them.
fn modules_of(image: &Path, release: &str) -> Option<PathBuf> {
    let folder = fs::canonicalize(image).ok()?.parent()?.to_owned();
    let above = folder.parent().map(Path::to_owned).unwrap_or_default();
    let places = [
        folder.clone(), // /lib/modules/RELEASE/vmlinuz
        above.join("lib/modules").join(release),
        above.join("usr/lib/modules").join(release),
        Path::new("/lib/modules").join(release),
        Path::new("/usr/lib/modules").join(release),
    ];
    places.into_iter().find(|place| place.join("modules.builtin").is_file())
}

/// The release that an x86 image tells of itself (the boot protocol's
/// `kernel_version`, Documentation/arch/x86/boot.rst); empty for other images.
fn release(image: &Path) -> Result<String> {
    let mut start = vec![0; 64 << 10];
    let mut file = File::open(image)?;
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..])? {
            0 => break,
            count => length += count,
        }
    }
    start.truncate(length);
    Ok(release_in(&start).unwrap_or_default())
}

fn release_in(start: &[u8]) -> Option<String> {
    if start.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let at = usize::from(u16::from_le_bytes(start.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = CStr::from_bytes_until_nul(start.get(at..)?).ok()?.to_str().ok()?;
    Some(text.split_whitespace().next()?.to_owned())
}

/// The newest kernel below `root` that can be read.
fn newest(root: &Path) -> Result<Kernel> {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let in_boot = list(root.join("boot"))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")));
    let in_modules = ["lib/modules", "usr/lib/modules"]
        .into_iter()
        .flat_map(|folder| list(root.join(folder)))
        .map(|folder| folder.join("vmlinuz"))
        .filter(|path| path.is_file());
    let (mut kernels, mut unreadable) = (Vec::new(), Vec::new());
    for path in in_boot.chain(in_modules) {
        match Kernel::at(&path) {
            Ok(kernel) if !kernel.release.is_empty() => kernels.push(kernel),
            Ok(_) => {}
            Err(_) => unreadable.push(path),
        }
    }
    // One without its modules is of less use than an older one with them.
    let best = kernels.into_iter().max_by_key(|kernel| (kernel.modules.is_some(), version_key(&kernel.release)));
    if let Some(kernel) = best {
        return Ok(kernel);
    }
    if let Some(path) = unreadable.first() {
        bail!(
            "the kernel {} cannot be read by this user: make it readable (`sudo chmod a+r {}`), or name another by --kernel",
            path.display(),
            path.display()
        );
    }
    let system = fs::read_to_string(root.join("etc/os-release")).unwrap_or_default();
    bail!("no kernel in /boot or /lib/modules: {}, or name one by --kernel", advice(&system))
}

/// How a distribution's user gets a kernel.
fn advice(os_release: &str) -> String {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or("").trim_matches('"').to_owned()
    };
    let known = [
        ("debian", "apt-get install linux-image-cloud-amd64"),
        ("ubuntu", "apt-get install linux-image-virtual"),
        ("fedora", "dnf install kernel-core"),
        ("rhel", "dnf install kernel-core"),
        ("arch", "pacman -S linux"),
        ("alpine", "apk add linux-virt"),
        ("suse", "zypper install kernel-default-base"),
    ];
    let words = format!("{} {}", value("ID"), value("ID_LIKE"));
    let fits = |name: &str| words.split_whitespace().any(|word| word == name);
    match known.iter().find(|(name, _)| fits(name)) {
        Some((_, command)) => format!("install one (`{command}`)"),
        None => "install your distribution's kernel package (Debian: linux-image-cloud-amd64)".into(),
    }
}

/// Numbers compare as numbers: 6.10 is newer than 6.9.
fn version_key(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(release: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x400];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        bytes.truncate(0x300);
        bytes.extend_from_slice(format!("{release} (someone) #1 SMP\0").as_bytes());
        bytes
    }

    #[test]
    fn releases() {
        assert_eq!(release_in(&image("6.1.0-56-cloud-amd64")).as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(release_in(b"\x7fELF"), None);
        let mut bad = image("6.1");
        bad[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(release_in(&bad), None);
        assert!(version_key("6.10.1-a") > version_key("6.9.12-a"));
    }

    #[test]
    fn the_newest_with_modules() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let error = newest(root).expect_err("none yet").to_string();
        assert!(error.contains("linux-image-cloud-amd64"), "{error}");
        fs::create_dir_all(root.join("boot")).expect("made");
        for release in ["6.9.1-a", "6.10.0-b", "6.12.0-c"] {
            fs::write(root.join("boot").join(format!("vmlinuz-{release}")), image(release)).expect("made");
        }
        fs::write(root.join("boot/vmlinuz-old.txt"), b"no kernel").expect("made");
        assert_eq!(newest(root).expect("one").release, "6.12.0-c");
        for release in ["6.9.1-a", "6.10.0-b"] {
            let folder = root.join("lib/modules").join(release);
            fs::create_dir_all(&folder).expect("made");
            fs::write(folder.join("modules.builtin"), b"").expect("made");
        }
        let kernel = newest(root).expect("one");
        assert_eq!(kernel.release, "6.10.0-b");
        assert!(kernel.modules.is_some_and(|folder| folder.ends_with("lib/modules/6.10.0-b")));
        let folder = root.join("usr/lib/modules/7.0.0-d");
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join("modules.builtin"), b"").expect("made");
        fs::write(folder.join("vmlinuz"), image("7.0.0-d")).expect("made");
        assert_eq!(newest(root).expect("one").modules, fs::canonicalize(folder).ok());
    }

    #[test]
    fn advice_by_distribution() {
        for (text, word) in [
            ("ID=debian\n", "linux-image-cloud-amd64"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt-get"),
            ("ID=fedora\n", "dnf"),
            ("", "linux-image-cloud-amd64"),
        ] {
            assert!(advice(text).contains(word), "{text}");
        }
    }
}
