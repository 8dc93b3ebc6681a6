//! An old kernel for guests: Debian's 6.1 for virtual machines, from its package
//! and kept in the user's cache folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Debian's package that depends on the newest 6.1 kernel for virtual machines.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel and its modules.
pub struct OldKernel {
    pub image: PathBuf,
    /// With modules.dep, as depmod(8) would write it.
    pub modules: PathBuf,
}

impl OldKernel {
    /// The kernel, from the cache or from Debian; or why it cannot be had.
    pub fn find() -> Result<OldKernel> {
        ensure!(cfg!(target_arch = "x86_64"), "the old kernel is for x86_64");
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("ocinit-tests/linux-6.1");
        if !folder.join("boot").is_dir() {
            download(&folder).context("no 6.1 kernel")?;
        }
        let first = |place: &str, start: &str| -> Result<PathBuf> {
            let entries =
                fs::read_dir(folder.join(place)).with_context(|| format!("no {place} in the kernel's package"))?;
            let mut paths = entries.flatten().map(|entry| entry.path());
            let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
            paths.find(named).with_context(|| format!("no {start}* in {}", folder.display()))
        };
        let kernel = OldKernel { image: first("boot", "vmlinuz-")?, modules: first("lib/modules", "6.")? };
        let table = kernel.modules.join("modules.dep");
        if !table.exists() {
            write_whole(&table, &dependencies(&kernel.modules)?)?;
        }
        Ok(kernel)
    }
}

/// Fetches the package and unpacks it. The archive settings are the machine's.
fn download(folder: &Path) -> Result<()> {
    let output =
        Command::new("apt-cache").args(["depends", "--important", PACKAGE]).output().context("no apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).find(|name| name.contains("6.1."));
    let name = name.with_context(|| format!("{PACKAGE} is not a 6.1 kernel here"))?;
    let parent = folder.parent().context("the cache has a parent")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("download-").tempdir_in(parent)?;
    // apt drops its rights for downloading, and must be able to write here.
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
    let status = Command::new("apt-get")
        .args(["-qq", "-o", "APT::Sandbox::User=root", "download", name])
        .current_dir(work.path())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "apt-get download {name} failed");
    let package =
        fs::read_dir(work.path())?.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    let package = package.context("apt-get downloaded nothing")?;
    let tree = work.path().join("tree");
    let status = Command::new("dpkg").arg("-x").arg(&package).arg(&tree).status()?;
    ensure!(status.success(), "dpkg -x {} failed", package.display());
    let _ = fs::remove_dir_all(folder);
    fs::rename(&tree, folder)?;
    Ok(())
}

/// modules.dep of an unpacked package, for which depmod has not run: each
/// module, and those that its own list of needs leads to, the nearest first.
fn dependencies(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    find_modules(&folder.join("kernel"), &mut files)?;
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
    let mut table = Vec::new();
    for path in &files {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // .modinfo is a list of NAME=VALUE, each ended by a zero byte.
        let depends = bytes.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"depends="));
        let depends = String::from_utf8_lossy(depends.unwrap_or_default()).replace('-', "_");
        let needs: Vec<String> = depends.split(',').filter(|need| !need.is_empty()).map(String::from).collect();
        table.push((name(path), path.strip_prefix(folder)?.display().to_string(), needs));
    }
    let mut text = String::new();
    for (_, path, needs) in &table {
        let mut order = Vec::new();
        needs.iter().for_each(|need| follow(need, &table, &mut order));
        // The last is loaded first.
        let paths: String = order.iter().rev().map(|path| format!(" {path}")).collect();
        text.push_str(&format!("{path}:{paths}\n"));
    }
    Ok(text)
}

/// Appends what a module needs, then the module's path, each once.
fn follow<'a>(name: &str, table: &'a [(String, String, Vec<String>)], order: &mut Vec<&'a str>) {
    let Some((_, path, needs)) = table.iter().find(|(known, ..)| known == name) else { return };
    if !order.contains(&path.as_str()) {
        needs.iter().for_each(|need| follow(need, table, order));
        order.push(path);
    }
}

fn find_modules(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            found.push(path);
        }
    }
    Ok(())
}

/// Whole or not at all: two may be at it.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().context("a table has a folder")?)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_dependencies() {
        let folder = tempfile::tempdir().expect("a folder");
        let add = |path: &str, needs: &str| {
            let path = folder.path().join("kernel").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, format!("\u{7f}ELF\0license=GPL\0depends={needs}\0name=x\0")).expect("written");
        };
        add("a/top.ko", "mid-one,low");
        add("a/mid-one.ko", "low");
        add("b/low.ko", "");
        assert_eq!(
            dependencies(folder.path()).expect("a table"),
            "kernel/a/mid-one.ko: kernel/b/low.ko\nkernel/a/top.ko: kernel/a/mid-one.ko kernel/b/low.ko\nkernel/b/low.ko:\n"
        );
    }
}
