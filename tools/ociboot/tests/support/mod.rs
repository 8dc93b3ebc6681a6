//! Images made by the tests, and a reader of the archives that come out.
#![allow(dead_code, reason = "each file of tests takes a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use ociboot::pack::Options;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Entries of a tar archive: NAME/ is a folder, NAME->TARGET a symbolic link,
/// NAME=>TARGET a hard link, everything else a file with these contents.
pub fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1000);
        header.set_uid(12);
        header.set_gid(3 << 20);
        header.set_mode(if name.ends_with('/') { 0o755 } else { 0o4711 });
        header.set_size(data.len() as u64);
        if let Some((name, target)) = name.split_once("=>") {
            header.set_entry_type(tar::EntryType::Link);
            builder.append_link(&mut header, name, target).unwrap();
        } else if let Some((name, target)) = name.split_once("->") {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, target).unwrap();
        } else {
            let kind = if name.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
            header.set_entry_type(kind);
            builder.append_data(&mut header, name, data.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A configuration for these layers, as they are unpacked.
pub fn configuration(layers: &[Vec<u8>], config: Value) -> Value {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    json!({ "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": ids } })
}

pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Files of an OCI image layout, by name; layers are packed by turns: gzip, zstd, not at all.
pub fn layout(layers: &[Vec<u8>], configuration: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut add = |kind: &str, bytes: Vec<u8>| {
        let digest = digest(&bytes);
        let descriptor = json!({ "mediaType": kind, "digest": digest, "size": bytes.len() });
        files.insert(format!("blobs/{}", digest.replace(':', "/")), bytes);
        descriptor
    };
    let mut descriptors = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let (packing, bytes) = match number % 3 {
            0 => ("+gzip", gzip(layer)),
            1 => ("+zstd", zstd::encode_all(&layer[..], 1).unwrap()),
            _ => ("", layer.clone()),
        };
        descriptors.push(add(&format!("application/vnd.oci.image.layer.v1.tar{packing}"), bytes));
    }
    let config = add("application/vnd.oci.image.config.v1+json", configuration.to_string().into_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors });
    let manifest = add("application/vnd.oci.image.manifest.v1+json", manifest.to_string().into_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    files.insert("index.json".into(), index.to_string().into_bytes());
    files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    files
}

/// Files of what `docker save` writes.
pub fn docker(layers: &[Vec<u8>], configuration: &Value) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number}/layer.tar");
        files.insert(name.clone(), layer.clone());
        names.push(name);
    }
    let text = configuration.to_string().into_bytes();
    let config = format!("{}.json", &digest(&text)[7..]);
    let manifest = json!([{ "Config": config, "RepoTags": ["localhost/test:latest"], "Layers": names }]);
    files.insert(config, text);
    files.insert("manifest.json".into(), manifest.to_string().into_bytes());
    files
}

pub fn write_folder(files: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

pub fn write_archive(files: &BTreeMap<String, Vec<u8>>, path: &Path) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap();
}

/// Options with something that passes for ocinit.
pub fn options(folder: &Path) -> Options {
    let ocinit = folder.join("ocinit-to-be");
    fs::write(&ocinit, b"\x7fELF and so on").unwrap();
    Options::new(ocinit)
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub number: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub links: u32,
    pub mtime: u32,
    pub device: (u32, u32),
    pub data: Vec<u8>,
}

impl Entry {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.data).unwrap()
    }
}

/// Reads a newc archive, unpacked if it is gzip's or zstd's.
pub fn read_cpio(path: &Path) -> Vec<(String, Entry)> {
    let file = fs::read(path).unwrap();
    let mut bytes = Vec::new();
    match file[..2] {
        [0x1f, 0x8b] => _ = flate2::read::GzDecoder::new(&file[..]).read_to_end(&mut bytes).unwrap(),
        [0x28, 0xb5] => bytes = zstd::decode_all(&file[..]).unwrap(),
        _ => bytes = file,
    }
    let (mut at, mut entries) = (0, Vec::new());
    loop {
        assert_eq!(&bytes[at..at + 6], b"070701");
        let field = |number: usize| {
            let text = std::str::from_utf8(&bytes[at + 6 + 8 * number..at + 14 + 8 * number]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        let name = String::from_utf8(bytes[at + 110..at + 109 + field(11) as usize].to_vec()).unwrap();
        let start = (at + 110 + field(11) as usize).next_multiple_of(4);
        let end = start + field(6) as usize;
        let entry = Entry {
            number: field(0),
            mode: field(1),
            owner: (field(2), field(3)),
            links: field(4),
            mtime: field(5),
            device: (field(9), field(10)),
            data: bytes[start..end].to_vec(),
        };
        at = end.next_multiple_of(4);
        if name == "TRAILER!!!" {
            assert!(bytes[end..].iter().all(|byte| *byte == 0));
            return entries;
        }
        entries.push((name, entry));
    }
}

pub fn by_name(path: &Path) -> BTreeMap<String, Entry> {
    read_cpio(path).into_iter().collect()
}

/// The names in a folder: nothing is to be left in it by what failed.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
