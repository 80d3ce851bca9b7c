//! An OCI image layout in one tar, readable by containerd (`ctr images import`), podman, skopeo and `docker load`.
//!
//! Invariants: blobs are named by their SHA-256; the same image gives the same bytes. The formats are those of
//! the OCI image specification 1.1; `manifest.json` beside it is what older engines read. Called by the images.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use crate::image::layer::Layer;

/// An image before it is written.
pub struct Image {
    /// `registry/repository:tag`.
    pub name: String,
    pub layers: Vec<Layer>,
    pub entrypoint: Vec<String>,
    /// `user:group` by number, so that Kubernetes can see that it is not root; empty means root.
    pub user: String,
    pub labels: Vec<(&'static str, String)>,
}

struct Blob {
    media_type: &'static str,
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Blob {
        Blob { media_type, digest: sha256(&bytes), bytes }
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len() })
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

impl Image {
    /// Writes the archive and returns its size in bytes; the file appears only when it is complete.
    pub fn write(&self, path: &Path) -> anyhow::Result<u64> {
        let bytes = self.archive()?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, &bytes).with_context(|| format!("cannot write {}", partial.display()))?;
        std::fs::rename(&partial, path)?;
        Ok(bytes.len() as u64)
    }

    fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let tars = self.layers.iter().map(Layer::tar).collect::<anyhow::Result<Vec<_>>>()?;
        let layers = tars.iter().map(|tar| layer_blob(tar)).collect::<anyhow::Result<Vec<_>>>()?;
        let config =
            Blob::new("application/vnd.oci.image.config.v1+json", serde_json::to_vec(&self.config(&tars))?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        let manifest =
            Blob::new("application/vnd.oci.image.manifest.v1+json", serde_json::to_vec(&manifest)?);
        let docker = json!([{
            "Config": config.path(),
            "RepoTags": [self.name],
            "Layers": layers.iter().map(Blob::path).collect::<Vec<_>>(),
        }]);
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), serde_json::to_vec(&self.index(&manifest))?),
            ("manifest.json".to_owned(), serde_json::to_vec(&docker)?),
        ];
        files.extend([config, manifest].into_iter().chain(layers).map(|blob| (blob.path(), blob.bytes)));
        tar_of(&files)
    }

    fn config(&self, tars: &[Vec<u8>]) -> Value {
        let diff_ids: Vec<String> = tars.iter().map(|tar| format!("sha256:{}", sha256(tar))).collect();
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "User": self.user,
                "Entrypoint": self.entrypoint,
                "Env": ["PATH=/usr/bin:/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
                "WorkingDir": "/",
                "Labels": labels,
            },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": tars.iter().map(|_| json!({ "created_by": "cargo xtask image" })).collect::<Vec<_>>(),
        })
    }

    fn index(&self, manifest: &Blob) -> Value {
        let mut descriptor = manifest.descriptor();
        let tag = self.name.rsplit(':').next().unwrap_or("latest");
        descriptor["platform"] = json!({ "architecture": architecture(), "os": "linux" });
        descriptor["annotations"] =
            json!({ "io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag });
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor] })
    }
}

/// Go's name of the architecture that this program was built for, as images use it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn layer_blob(tar: &[u8]) -> anyhow::Result<Blob> {
    // The builder writes no time and no name into the header.
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    encoder.write_all(tar)?;
    Ok(Blob::new("application/vnd.oci.image.layer.v1.tar+gzip", encoder.finish()?))
}

fn tar_of(files: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, path, bytes.as_slice())?;
    }
    builder.into_inner().context("a tar in memory cannot fail to be written")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "localhost/x:1".to_owned(),
            layers: vec![Layer::default().file("usr/bin/x", b"program".to_vec(), 0o755)],
            entrypoint: vec!["/usr/bin/x".to_owned()],
            user: "65532:65532".to_owned(),
            labels: vec![("org.opencontainers.image.title", "x".to_owned())],
        }
    }

    fn file(archive: &[u8], path: &str) -> Vec<u8> {
        let mut archive = tar::Archive::new(archive);
        let mut entries = archive.entries().expect("our own tar").map(|entry| entry.expect("our own tar"));
        let mut entry =
            entries.find(|entry| entry.path().expect("UTF-8").to_str() == Some(path)).expect("it is there");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("in memory");
        bytes
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        assert_eq!(image().archive().expect("in memory"), image().archive().expect("in memory"));
    }

    #[test]
    fn every_descriptor_leads_to_a_blob_of_that_digest_and_size() {
        let archive = image().archive().expect("in memory");
        let index: Value = serde_json::from_slice(&file(&archive, "index.json")).expect("JSON");
        let follow = |descriptor: &Value| {
            let digest = descriptor["digest"]
                .as_str()
                .and_then(|digest| digest.strip_prefix("sha256:"))
                .expect("SHA-256");
            let bytes = file(&archive, &format!("blobs/sha256/{digest}"));
            assert_eq!(sha256(&bytes), digest);
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).expect("JSON");
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).expect("JSON");
        assert_eq!(config["config"]["User"], "65532:65532");
        let mut tar = Vec::new();
        let layer = follow(&manifest["layers"][0]);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer.as_slice()), &mut tar)
            .expect("gzip");
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&tar)));
        assert_eq!(file(&tar, "usr/bin/x"), b"program");
    }
}
