//! Images: from an index or a manifest to the layers and the configuration. All
//! contents are held against their digests, and layers a second time unpacked.

use anyhow::{Context, Result, bail};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::digest::{Digest, Hashed};
use super::packed::{self, Packing};
use super::spool::Spool;
use super::store::Store;
use super::tree::{Id, Tree};
use super::{layer, limits};
use crate::progress::Progress;

/// Media types of Docker's that mean what OCI's do.
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What stands in a manifest.json of `docker save`, per image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image's layer: where it is, and what it must be.
struct Layer {
    name: String,
    /// Of the file as it is stored, and its size; archives of Docker's do not say.
    stored: Option<(Digest, u64)>,
    /// What the media type says about its packing.
    packing: Option<Packing>,
}

/// An image whose configuration has been read.
pub struct Image {
    pub configuration: ImageConfiguration,
    layers: Vec<Layer>,
}

impl Image {
    /// Out of an OCI image layout. `reference` chooses where there are several.
    pub fn oci(store: &Store, reference: Option<&str>) -> Result<Image> {
        let header: serde_json::Value = json(&store.read("oci-layout", limits::IMAGE_JSON)?, "oci-layout")?;
        if header["imageLayoutVersion"] != "1.0.0" {
            bail!("oci-layout: imageLayoutVersion is {}, and should be \"1.0.0\"", header["imageLayoutVersion"]);
        }
        let index: ImageIndex = json(&store.read("index.json", limits::IMAGE_JSON)?, "index.json")?;
        let mut found = Vec::new();
        manifests(store, &index, reference, 0, &mut found).context("index.json")?;
        found.dedup_by(|a, b| a.digest() == b.digest());
        let [descriptor] = &found[..] else {
            let wanted = reference.map(|name| format!(" called `{name}`")).unwrap_or_default();
            if found.is_empty() {
                bail!("index.json: no image{wanted} for linux/{} is in it", host_architecture());
            }
            let names: Vec<_> = index.manifests().iter().filter_map(|image| names(image).next()).collect();
            bail!("index.json: {} images{wanted} are in it; --image chooses one: {}", found.len(), names.join(", "));
        };
        let manifest: ImageManifest = json(&blob(store, descriptor).context("index.json")?, "the image's manifest")?;
        let kind = manifest.config().media_type();
        if *kind != MediaType::ImageConfig && kind.as_ref() != DOCKER_CONFIG {
            bail!("the image's configuration has the media type {kind}: it is no container image");
        }
        let configuration = json(&blob(store, manifest.config())?, "the image's configuration")?;
        let layers = manifest.layers().iter().map(layer_of).collect::<Result<_>>()?;
        Image { configuration, layers }.checked()
    }

    /// Out of what `docker save` and `podman save` write.
    pub fn docker(store: &Store, reference: Option<&str>) -> Result<Image> {
        let images: Vec<DockerImage> = json(&store.read("manifest.json", limits::IMAGE_JSON)?, "manifest.json")?;
        let tags = |image: &DockerImage| image.repo_tags.clone().unwrap_or_default();
        let fits =
            |image: &&DockerImage| reference.is_none_or(|name| tags(image).iter().any(|tag| is_called(tag, name)));
        let found: Vec<&DockerImage> = images.iter().filter(fits).collect();
        let [image] = found[..] else {
            let names: Vec<String> = images.iter().flat_map(tags).collect();
            bail!("manifest.json: {} images fit; --image chooses one: {}", found.len(), names.join(", "));
        };
        let name = plain(&image.config)?;
        let text = store.read(name, limits::IMAGE_JSON)?;
        // Its name is its digest, in all of the forms that there were.
        let hex = name.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
        if let Ok(digest) = Digest::parse(&format!("sha256:{hex}")) {
            let mut hashed = Hashed::new(&text[..], &digest);
            std::io::copy(&mut hashed, &mut std::io::sink())?;
            hashed.verify(&digest).with_context(|| format!("`{name}`"))?;
        }
        let configuration = json(&text, "the image's configuration")?;
        let layer = |name: &String| Ok(Layer { name: plain(name)?.into(), stored: None, packing: None });
        let layers = image.layers.iter().map(layer).collect::<Result<_>>()?;
        Image { configuration, layers }.checked()
    }

    fn checked(self) -> Result<Image> {
        let (os, architecture) = (self.configuration.os().to_string(), self.configuration.architecture().to_string());
        if os != "linux" || architecture != host_architecture() {
            bail!("the image is for {os}/{architecture}, and this machine is linux/{}", host_architecture());
        }
        let expected = self.configuration.rootfs().diff_ids().len();
        if self.layers.len() != expected {
            bail!("the image has {} layers, and its configuration speaks of {expected}", self.layers.len());
        }
        if expected > limits::LAYERS {
            bail!("the image has {expected} layers; {} are taken", limits::LAYERS);
        }
        Ok(self)
    }

    /// Applies the layers below `root`.
    pub fn unpack(
        &self,
        store: &Store,
        tree: &mut Tree,
        root: Id,
        spool: &mut Spool,
        progress: &Progress,
    ) -> Result<()> {
        for (number, (layer, id)) in self.layers.iter().zip(self.configuration.rootfs().diff_ids()).enumerate() {
            layer
                .unpack(store, tree, root, number as u32, id, spool, progress)
                .with_context(|| format!("layer {} of {} ({})", number + 1, self.layers.len(), layer.name))?;
        }
        Ok(())
    }
}

impl Layer {
    #[expect(clippy::too_many_arguments, reason = "where from, where to, and what it must be")]
    fn unpack(
        &self,
        store: &Store,
        tree: &mut Tree,
        root: Id,
        number: u32,
        diff_id: &str,
        spool: &mut Spool,
        progress: &Progress,
    ) -> Result<()> {
        let (file, size) = store.open(&self.name)?;
        let unpacked_digest = Digest::parse(diff_id).context("its diff_id")?;
        let like = self.stored.as_ref().map_or(&unpacked_digest, |(digest, _)| digest);
        let mut stored = Hashed::new(file, like);
        if let Some((_, expected)) = &self.stored
            && *expected != size
        {
            bail!("has {size} bytes, and should have {expected}");
        }
        {
            let (packing, unpacked) = packed::unpack(&mut stored)?;
            if self.packing.is_some_and(|said| said != packing) {
                bail!("its media type says {:?}, and it begins as {packing:?} does", self.packing.unwrap_or(packing));
            }
            let mut unpacked = Hashed::new(unpacked, &unpacked_digest);
            layer::apply(tree, root, number, &mut unpacked, spool, progress)?;
            unpacked.verify(&unpacked_digest).context("unpacked")?;
        }
        std::io::copy(&mut stored, &mut std::io::sink())?;
        match &self.stored {
            Some((digest, _)) => stored.verify(digest),
            None => Ok(()),
        }
    }
}

/// The manifests for this machine, of an index and of those in it.
fn manifests(
    store: &Store,
    index: &ImageIndex,
    reference: Option<&str>,
    depth: usize,
    found: &mut Vec<Descriptor>,
) -> Result<()> {
    if depth > limits::INDEX_DEPTH {
        bail!("more than {} indexes lie within each other", limits::INDEX_DEPTH);
    }
    for descriptor in index.manifests() {
        if reference.is_some_and(|wanted| !names(descriptor).any(|name| is_called(name, wanted))) {
            continue;
        }
        let ours = descriptor.platform().as_ref().is_none_or(|platform| {
            platform.os().to_string() == "linux" && platform.architecture().to_string() == host_architecture()
        });
        match descriptor.media_type().as_ref() {
            "application/vnd.oci.image.index.v1+json" | DOCKER_LIST => {
                let inner: ImageIndex = json(&blob(store, descriptor)?, "an index in it")?;
                manifests(store, &inner, None, depth + 1, found)?;
            }
            "application/vnd.oci.image.manifest.v1+json" | DOCKER_MANIFEST if ours => found.push(descriptor.clone()),
            // Those for other machines, and what else a layout may hold.
            _ => {}
        }
    }
    Ok(())
}

/// What an image is called, the longest first: `docker save` has only the tag in the
/// specification's annotation, and the whole name in containerd's.
fn names(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    let annotations = descriptor.annotations().as_ref();
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .into_iter()
        .filter_map(move |name| Some(annotations?.get(name)?.as_str()))
}

/// Whether a name is the one that is wanted, which may leave out the registry.
fn is_called(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// A small blob, which has the size and the digest that it should.
fn blob(store: &Store, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    let bytes = store.read(&digest.blob_path(), limits::IMAGE_JSON)?;
    if bytes.len() as u64 != descriptor.size() {
        bail!("`{digest}` has {} bytes, and should have {}", bytes.len(), descriptor.size());
    }
    let mut hashed = Hashed::new(&bytes[..], &digest);
    std::io::copy(&mut hashed, &mut std::io::sink())?;
    hashed.verify(&digest).with_context(|| format!("`{digest}`"))?;
    Ok(bytes)
}

fn layer_of(descriptor: &Descriptor) -> Result<Layer> {
    let kind = descriptor.media_type().to_string();
    let packing = match kind.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Packing::None,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Packing::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Packing::Zstd,
        _ => bail!("a layer has the media type {kind}, which is not known"),
    };
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    Ok(Layer { name: digest.blob_path(), stored: Some((digest, descriptor.size())), packing: Some(packing) })
}

/// A name in an archive, as a document in it has it.
fn plain(name: &str) -> Result<&str> {
    let path = layer::inner_path(name.as_bytes()).with_context(|| format!("manifest.json: `{name}`"))?;
    Ok(std::str::from_utf8(path)?)
}

fn json<T: DeserializeOwned>(text: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("{what} is not what it should be"))
}

/// This machine's, in the words of images.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Names of files by which a store is recognised.
pub fn is_layout(store: &Store) -> bool {
    store.has("oci-layout") && store.has("index.json")
}

pub fn is_docker(store: &Store) -> bool {
    store.has("manifest.json")
}
