//! The initramfs: ocinit, what is said to it, and what it boots. docs/boot.md has
//! the list of the files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result, bail};

use super::folder::read_small;
use super::spool::Content;
use super::tree::{Kind, Tree};
use super::{Compression, Format, Layout, Options, cpio, limits};
use crate::modules::{self, Request};

/// What every initramfs has: the init, and the folders and the device that the
/// kernel and it begin with.
pub fn skeleton(tree: &mut Tree, options: &Options) -> Result<()> {
    let init = read_small(&options.ocinit, limits::INIT).context("the binary that is to become /init")?;
    if !init.starts_with(b"\x7fELF") {
        bail!("{}: is not an ELF file; it cannot become /init", options.ocinit.display());
    }
    tree.put_made(Tree::ROOT, "init", 0o755, Content::memory(init))?;
    for folder in ["dev", "proc", "run", "sys"] {
        tree.make_folders(Tree::ROOT, folder.as_bytes())?;
    }
    let dev = tree.make_folders(Tree::ROOT, b"dev")?;
    let console = Kind::Device { character: true, major: 5, minor: 1 };
    tree.put(dev, b"console", tree.made_meta(0o600), console)?;
    Ok(())
}

/// What is said to ocinit. `place` is where the containers are.
pub fn boot_files(tree: &mut Tree, options: &Options, place: &[u8], warnings: &mut Vec<String>) -> Result<()> {
    let mut say = |name: &str, strings: Vec<&[u8]>| -> Result<()> {
        if strings.is_empty() {
            return Ok(());
        }
        let text = ended_by_nul(&strings).with_context(|| format!("/ocinit/{name}"))?;
        tree.put_made(Tree::ROOT, &format!("ocinit/{name}"), 0o644, Content::memory(text))
    };
    if let Some(command) = &options.command {
        if command.is_empty() {
            bail!("the command is empty");
        }
        say("args", command.iter().map(|word| word.as_bytes()).collect())?;
    }
    for variable in &options.environment {
        if variable.as_bytes().iter().position(|byte| *byte == b'=').is_none_or(|equals| equals == 0) {
            bail!("the variable `{}` is not NAME=VALUE", variable.as_bytes().escape_ascii());
        }
    }
    say("env", options.environment.iter().map(|variable| variable.as_bytes()).collect())?;
    say("artifacts", options.artifacts.iter().map(|path| path.as_bytes()).collect())?;
    if let Some(request) = &options.modules {
        put_modules(tree, request, &options.layout, warnings)?;
    }
    let mut words = Vec::new();
    if let Layout::Disk { format, .. } = &options.layout {
        let place = String::from_utf8_lossy(place);
        words.push(format!("ocinit.mount={}:/{place}:{}:ro", options.disk_device, file_system(*format)));
    }
    words.extend(options.boot_words.iter().cloned());
    if !words.is_empty() {
        if let Some(word) = words.iter().find(|word| word.contains(['\n', '\0'])) {
            bail!("`{}` has a newline or a NUL, which no word of a command line has", word.escape_default());
        }
        let line = words.join(" ") + "\n";
        tree.put_made(Tree::ROOT, "ocinit/cmdline", 0o644, Content::memory(line.into_bytes()))?;
    }
    Ok(())
}

fn ended_by_nul(strings: &[&[u8]]) -> Result<Vec<u8>> {
    if let Some(string) = strings.iter().find(|string| string.contains(&0)) {
        bail!("`{}` has a NUL", string.escape_ascii());
    }
    let text: Vec<u8> = strings.iter().flat_map(|string| [*string, b"\0"].concat()).collect();
    if text.len() > limits::BOOT_FILE {
        bail!("it would have {} bytes; ocinit reads {}", text.len(), limits::BOOT_FILE);
    }
    Ok(text)
}

fn file_system(format: Format) -> &'static str {
    match format {
        Format::Erofs => "erofs",
        Format::Squashfs => "squashfs",
    }
}

/// The modules asked for, and those without which a disk could not be read.
fn put_modules(tree: &mut Tree, request: &Request, layout: &Layout, warnings: &mut Vec<String>) -> Result<()> {
    let mut request = request.clone();
    if let Layout::Disk { format, .. } = layout {
        for name in ["virtio_blk", file_system(*format)] {
            let alone = Request { folder: request.folder.clone(), names: vec![name.into()] };
            match modules::resolve(&alone) {
                Ok(_) => request.names.push(name.into()),
                Err(error) => warnings.push(format!("the disk needs it: {error:#}")),
            }
        }
    }
    let mut list = String::new();
    for module in modules::resolve(&request)? {
        let path = format!("ocinit/modules.d/{}.ko", module.name);
        let text = match module.read() {
            Err(error) if module.optional => {
                warnings.push(format!("it is left out, as it is not indispensable: {error:#}"));
                continue;
            }
            read => read?,
        };
        tree.put_made(Tree::ROOT, &path, 0o644, Content::memory(text))?;
        let mark = if module.optional { "-" } else { "" };
        list.push_str(format!("{mark}/{path} {}", module.parameters).trim_end());
        list.push('\n');
    }
    if list.is_empty() {
        return Ok(());
    }
    tree.put_made(Tree::ROOT, "ocinit/modules", 0o644, Content::memory(list.into_bytes()))
}

/// Writes the archive, compressed. Returns what it has no place for.
pub fn write(
    tree: &Tree,
    compression: Compression,
    out: &mut File,
    leave: &dyn Fn(&[u8]) -> bool,
) -> Result<Vec<String>> {
    let out = BufWriter::with_capacity(1 << 18, out);
    compressed(compression, out, &mut |out| cpio::write(tree, Tree::ROOT, out, leave))
        .context("cannot write the initramfs")
}

type Writes<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<Vec<String>>;

fn compressed<W: Write>(compression: Compression, mut out: W, write: Writes) -> Result<Vec<String>> {
    let lost = match compression {
        Compression::None => {
            let lost = write(&mut out)?;
            out.flush()?;
            lost
        }
        Compression::Gzip => {
            // Its header has no name and no time: the same input gives the same bytes.
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(9));
            let lost = write(&mut encoder)?;
            encoder.finish()?.flush()?;
            lost
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, 19)?;
            let lost = write(&mut encoder)?;
            encoder.finish()?.flush()?;
            lost
        }
    };
    Ok(lost)
}

/// How large it would be without the containers' root file systems.
pub fn size_without_root(tree: &Tree, compression: Compression) -> Result<u64> {
    let mut count = Count(0);
    let leave = |path: &[u8]| {
        (path.starts_with(b"bundle/") || path.starts_with(b"containers/"))
            && path.split(|byte| *byte == b'/').any(|name| matches!(name, b"rootfs" | b"lower"))
    };
    compressed(compression, &mut count, &mut |out| cpio::write(tree, Tree::ROOT, out, &leave))?;
    Ok(count.0)
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
