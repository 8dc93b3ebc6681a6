//! Kernel modules: from names to the files that must be loaded, in their order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::pack::packed;

/// Bytes of one of depmod's files: Debian's largest, modules.alias, has 1 MiB.
const TABLE: u64 = 64 << 20;
/// Bytes of one module, unpacked. The largest drivers have some 20 MiB.
const MODULE: u64 = 256 << 20;

/// Which modules an image is to have, out of which kernel's folder.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder with modules.dep: `/lib/modules/VERSION`.
    pub folder: PathBuf,
    /// Names, as modprobe takes them (`virtio_console`, `fs-overlay`), each with
    /// parameters after a blank where it needs some. What is built into the kernel is left out.
    pub names: Vec<String>,
}

/// One module to be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    pub name: String,
    /// The file, as the kernel's folder has it: perhaps compressed.
    pub file: PathBuf,
    pub parameters: String,
    /// Only wanted where it can be had: a soft dependency, or one of several with an alias.
    pub optional: bool,
}

impl Module {
    /// The file, unpacked.
    pub fn read(&self) -> Result<Vec<u8>> {
        let read = || -> Result<Vec<u8>> {
            let (_, unpacked) = packed::unpack(std::fs::File::open(&self.file)?)?;
            let mut bytes = Vec::new();
            unpacked.take(MODULE + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > MODULE {
                bail!("has more than {MODULE} bytes unpacked, which is refused");
            }
            if !bytes.starts_with(b"\x7fELF") {
                bail!("is not an ELF file: no kernel module");
            }
            Ok(bytes)
        };
        read().with_context(|| format!("the kernel module {}", self.file.display()))
    }
}

/// The modules that a request asks for and all they depend on, in the order of loading.
pub fn resolve(request: &Request) -> Result<Vec<Module>> {
    let folder = Folder::read(&request.folder)?;
    let mut order = Order { folder: &folder, done: HashSet::new(), open: Vec::new(), modules: Vec::new() };
    for wanted in &request.names {
        let (name, parameters) = wanted.trim().split_once(char::is_whitespace).unwrap_or((wanted.trim(), ""));
        let found = folder.named(name);
        if found.is_empty() && !folder.has_built_in(name) {
            bail!(
                "there is no kernel module `{name}` in {}: it is not in modules.dep, modules.alias or modules.builtin",
                request.folder.display()
            );
        }
        let optional = found.len() > 1;
        for name in found {
            order.add(&name, optional)?;
            let module = order.modules.iter_mut().find(|module| module.name == name);
            if let (Some(module), false) = (module, parameters.is_empty()) {
                module.parameters = parameters.trim().into();
            }
        }
    }
    Ok(order.modules)
}

/// Whether a kernel has the module built in.
pub fn is_builtin(folder: &Path, name: &str) -> Result<bool> {
    Ok(Folder::read(folder)?.has_built_in(name))
}

/// What depmod wrote about a kernel's modules, by their names.
struct Folder {
    /// The file, and the names of those in whose presence alone it can be loaded.
    modules: BTreeMap<String, (PathBuf, Vec<String>)>,
    /// What is to be loaded before and after, where it is there.
    soft: HashMap<String, (Vec<String>, Vec<String>)>,
    /// Patterns and the modules they mean.
    aliases: Vec<(String, String)>,
    built_in: HashSet<String>,
    /// Other names of what is built in: patterns.
    built_in_aliases: Vec<String>,
}

impl Folder {
    fn read(folder: &Path) -> Result<Folder> {
        let table = |name: &str| -> Result<Option<String>> {
            let path = folder.join(name);
            let read = || -> std::io::Result<Vec<u8>> {
                let mut bytes = Vec::new();
                std::fs::File::open(&path)?.take(TABLE).read_to_end(&mut bytes)?;
                Ok(bytes)
            };
            match read() {
                Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
            }
        };
        let Some(dependencies) = table("modules.dep")? else {
            bail!("{} has no modules.dep: it is not a kernel's module folder (/lib/modules/VERSION)", folder.display());
        };
        let optional = |name| table(name).map(Option::unwrap_or_default);
        let mut aliases = Vec::new();
        for line in optional("modules.alias")?.lines() {
            if let ["alias", pattern, name] = line.split_whitespace().collect::<Vec<_>>()[..] {
                aliases.push((underscores(pattern), underscores(name)));
            }
        }
        let built_in = optional("modules.builtin")?.lines().filter_map(module_name).collect();
        let modinfo = optional("modules.builtin.modinfo")?;
        let built_in_aliases = modinfo
            .split('\0')
            .filter_map(|record| record.split_once('.')?.1.strip_prefix("alias=").map(underscores))
            .collect();
        let soft = soft_dependencies(&optional("modules.softdep")?);
        Ok(Folder { modules: depmod(folder, &dependencies)?, soft, aliases, built_in, built_in_aliases })
    }

    /// The modules that a name, or an alias, means; none if it is not known or built in.
    fn named(&self, name: &str) -> Vec<String> {
        let name = underscores(name);
        if self.modules.contains_key(&name) {
            return vec![name];
        }
        if self.built_in.contains(&name) {
            return Vec::new();
        }
        let fits = self.aliases.iter().filter(|(pattern, _)| glob(pattern.as_bytes(), name.as_bytes()));
        fits.map(|(_, module)| module.clone()).filter(|module| self.modules.contains_key(module)).collect()
    }

    fn has_built_in(&self, name: &str) -> bool {
        let name = underscores(name);
        let fits = |pattern: &String| glob(pattern.as_bytes(), name.as_bytes());
        self.built_in.contains(&name)
            || self.built_in_aliases.iter().any(fits)
            || self.aliases.iter().any(|(pattern, module)| fits(pattern) && self.built_in.contains(module))
    }
}

/// The order of loading, as it grows.
struct Order<'a> {
    folder: &'a Folder,
    done: HashSet<String>,
    /// The modules that wait for the one being added.
    open: Vec<String>,
    modules: Vec<Module>,
}

impl Order<'_> {
    fn add(&mut self, name: &str, optional: bool) -> Result<()> {
        let Some((file, needs)) = self.folder.modules.get(name) else { return Ok(()) };
        if self.done.contains(name) {
            return if optional { Ok(()) } else { self.require(name) };
        }
        if self.open.iter().any(|open| open == name) {
            bail!("modules.dep: modules depend on each other in a circle: {}, {name}", self.open.join(", "));
        }
        self.open.push(name.into());
        let empty = Default::default();
        let (before, after) = self.folder.soft.get(name).unwrap_or(&empty);
        for other in before.iter().flat_map(|other| self.folder.named(other)) {
            // Unlike the others these may form a circle, and are then left to the kernel.
            if !self.open.contains(&other) {
                self.add(&other, true)?;
            }
        }
        for need in needs {
            self.add(need, optional)?;
        }
        self.open.pop();
        if self.done.insert(name.into()) {
            self.modules.push(Module { name: name.into(), file: file.clone(), parameters: String::new(), optional });
        }
        for other in after.iter().flat_map(|other| self.folder.named(other)) {
            if !self.open.contains(&other) {
                self.add(&other, true)?;
            }
        }
        Ok(())
    }

    /// One that is there already, and all that it needs, cannot be done without.
    fn require(&mut self, name: &str) -> Result<()> {
        match self.modules.iter_mut().find(|module| module.name == name) {
            Some(module) if module.optional => module.optional = false,
            _ => return Ok(()),
        }
        let needs = self.folder.modules.get(name).map_or(&[][..], |(_, needs)| needs);
        needs.iter().try_for_each(|need| self.require(need))
    }
}

type Modules = BTreeMap<String, (PathBuf, Vec<String>)>;

/// `PATH: PATH…`, the latter in the reverse of the order of loading.
fn depmod(folder: &Path, text: &str) -> Result<Modules> {
    let mut modules = Modules::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", folder.join("modules.dep").display(), number + 1);
        let Some((path, needs)) = line.split_once(':') else { bail!("{}: is not PATH: PATH…", place()) };
        if path.split('/').any(|name| name == "..") {
            bail!("{}: `{path}` leads out of the folder, and is refused", place());
        }
        let Some(name) = module_name(path) else { bail!("{}: `{path}` is no module's name", place()) };
        let needs = needs.split_whitespace().rev().filter_map(module_name).collect();
        modules.insert(name, (folder.join(path), needs));
    }
    Ok(modules)
}

/// `softdep NAME pre: NAME… post: NAME…`; what stands before either counts for nothing, as
/// for kmod (modprobe.d(5)).
fn soft_dependencies(text: &str) -> HashMap<String, (Vec<String>, Vec<String>)> {
    let mut soft: HashMap<String, (Vec<String>, Vec<String>)> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
        let lists = soft.entry(underscores(name)).or_default();
        let mut list = None;
        for word in words {
            match (word, &mut list) {
                ("pre:", _) => list = Some(&mut lists.0),
                ("post:", _) => list = Some(&mut lists.1),
                (name, Some(list)) => list.push(name.into()),
                (_, None) => {}
            }
        }
    }
    soft
}

/// The name of the module in a file: `kernel/fs/a-b.ko.xz` has `a_b`.
fn module_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let (name, packing) = name.rsplit_once(".ko")?;
    matches!(packing, "" | ".xz" | ".gz" | ".zst").then(|| underscores(name)).filter(|name| !name.is_empty())
}

/// `-` and `_` are the same in names, but not within brackets of a pattern.
fn underscores(name: &str) -> String {
    let mut brackets = false;
    let each = |character| {
        brackets = (brackets || character == '[') && character != ']';
        if character == '-' && !brackets { '_' } else { character }
    };
    name.chars().map(each).collect()
}

/// fnmatch(3) with `*`, `?` and `[…]`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        (Some((b'?', rest)), Some((_, after))) => glob(rest, after),
        (Some((b'[', rest)), Some((byte, after))) => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let inside = rest[..end].windows(3).any(|range| range[1] == b'-' && range[0] <= *byte && *byte <= range[2])
                || (rest[..end].contains(byte) && *byte != b'-');
            inside && glob(&rest[end + 1..], after)
        }
        (Some((byte, rest)), Some((other, after))) => byte == other && glob(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn order(folder: &Path, names: &[&str]) -> Result<String> {
        let names = names.iter().map(|name| name.to_string()).collect();
        let modules = resolve(&Request { folder: folder.into(), names })?;
        let one = |module: &Module| {
            let mark = if module.optional { "-" } else { "" };
            format!("{mark}{} {}", module.name, module.parameters).trim().to_owned()
        };
        Ok(modules.iter().map(one).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn orders() {
        let folder = folder(&[
            ("modules.dep", "k/a.ko: k/b-b.ko.xz k/c.ko\nk/b-b.ko.xz: k/c.ko\nk/c.ko:\nk/s.ko.zst:\nk/t.ko:\n"),
            ("modules.softdep", "# comment\nsoftdep c t pre: s missing post: t\nsoftdep s pre: c\n"),
            ("modules.alias", "alias fs-x a\nalias both t\nalias both b_b\nalias pci:v[0-9]d* c\nalias gone nothing\n"),
            ("modules.builtin", "kernel/in-side.ko\n"),
            ("modules.builtin.modinfo", "in_side.alias=fs-inside\0in_side.license=GPL\0"),
        ]);
        for (names, expected) in [
            (&["a"][..], Some("-s,c,-t,b_b,a")),
            (&["b_b"], Some("-s,c,-t,b_b")),
            (&["c", "b-b"], Some("-s,c,-t,b_b")),
            (&["fs-x"], Some("-s,c,-t,b_b,a")),
            (&["pci:v7d00"], Some("-s,c,-t")),
            (&["both"], Some("-t,-s,-c,-b_b")),
            (&["both", "b_b"], Some("-t,-s,c,b_b")),
            (&["c", "t"], Some("-s,c,t")),
            (&["t x=1 y=\"2 3\""], Some("t x=1 y=\"2 3\"")),
            (&["in_side", "fs-inside", "in-side"], Some("")),
            (&["none"], None),
            (&["gone"], None),
        ] {
            assert_eq!(order(folder.path(), names).ok().as_deref(), expected, "{names:?}");
        }
        assert!(is_builtin(folder.path(), "in-side").unwrap() && !is_builtin(folder.path(), "a").unwrap());
    }

    #[test]
    fn refused() {
        for table in ["k/a.ko: k/b.ko\nk/b.ko: k/a.ko\n", "../../a.ko:\n", "a\n", "k/a.txt:\n"] {
            assert!(order(folder(&[("modules.dep", table)]).path(), &["a"]).is_err(), "{table}");
        }
        assert!(order(folder(&[]).path(), &["a"]).is_err());
    }
}
