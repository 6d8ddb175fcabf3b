//! The documents of the OCI distribution and image specifications that packages are made of: descriptors, image manifests,
//! indexes. Read strictly enough that nothing odd gets further than here; unknown keys are allowed, as the specifications
//! demand. Knows nothing of connectors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::{ENTRIES_MAX, MANIFEST_BYTES_MAX};

pub const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX_MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The blob `{}`, for manifests that need no config.
pub const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub const EMPTY_BLOB: &[u8] = b"{}";

pub const TITLE: &str = "org.opencontainers.image.title";
pub const VERSION: &str = "org.opencontainers.image.version";
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
pub const CREATED: &str = "org.opencontainers.image.created";
pub const LICENSES: &str = "org.opencontainers.image.licenses";
/// The tag of an entry in an image layout's `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub type Annotations = BTreeMap<String, String>;

/// What a blob or a manifest is, and its digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: Annotations::new(),
            artifact_type: None,
        }
    }
}

/// An image manifest: a config, layers, what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// A list of manifests: an image layout's entries, the referrers of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// Why bytes are no such document.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("it has {bytes} bytes, at most {MANIFEST_BYTES_MAX} are read")]
    TooLarge { bytes: usize },
    #[error("it is not the JSON that it should be: {0}")]
    Json(serde_json::Error),
    #[error("its `schemaVersion` is {found}, not 2")]
    SchemaVersion { found: u32 },
    #[error("its `mediaType` is `{found}`, not `{expected}`")]
    MediaType { found: String, expected: &'static str },
    #[error("it has {count} entries, at most {ENTRIES_MAX} are read")]
    Entries { count: usize },
}

impl Manifest {
    pub fn new(artifact_type: &str, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST_MEDIA_TYPE.to_owned()),
            artifact_type: Some(artifact_type.to_owned()),
            config,
            layers,
            subject: None,
            annotations: Annotations::new(),
        }
    }

    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let manifest: Manifest = read(bytes)?;
        check(manifest.schema_version, manifest.media_type.as_deref(), MANIFEST_MEDIA_TYPE)?;
        bounded(manifest.layers.len())?;
        Ok(manifest)
    }

    /// The bytes that its digest is of. The same manifest always gives the same.
    pub fn bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

impl Index {
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Index {
            schema_version: 2,
            media_type: Some(INDEX_MEDIA_TYPE.to_owned()),
            manifests,
            annotations: Annotations::new(),
        }
    }

    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let index: Index = read(bytes)?;
        check(index.schema_version, index.media_type.as_deref(), INDEX_MEDIA_TYPE)?;
        bounded(index.manifests.len())?;
        Ok(index)
    }

    pub fn bytes(&self) -> Vec<u8> {
        bytes(self)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(Malformed::TooLarge { bytes: bytes.len() });
    }
    serde_json::from_slice(bytes).map_err(Malformed::Json)
}

fn check(version: u32, media_type: Option<&str>, expected: &'static str) -> Result<(), Malformed> {
    if version != 2 {
        return Err(Malformed::SchemaVersion { found: version });
    }
    match media_type {
        // The specification lets it be left out.
        None => Ok(()),
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(Malformed::MediaType { found: found.chars().take(80).collect(), expected }),
    }
}

fn bounded(count: usize) -> Result<(), Malformed> {
    if count > ENTRIES_MAX { Err(Malformed::Entries { count }) } else { Ok(()) }
}

fn bytes(document: &impl Serialize) -> Vec<u8> {
    // Only a map with keys that are no strings could fail, and there is none.
    serde_json::to_vec(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let layer = Descriptor::of("application/wasm", b"\0asm");
        let manifest =
            Manifest::new("application/x", Descriptor::of(EMPTY_MEDIA_TYPE, EMPTY_BLOB), vec![layer]);
        let bytes = manifest.bytes();
        assert_eq!(Manifest::read(&bytes).unwrap(), manifest);
        assert_eq!(bytes, manifest.bytes());
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(
                r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json""#
            ),
            "{text}"
        );
    }

    #[test]
    fn strange_documents_are_refused() {
        let refused = |text: &str| Manifest::read(text.as_bytes()).unwrap_err().to_string();
        let config = r#""config":{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
        assert!(refused("[]").contains("not the JSON"));
        assert!(
            refused(&format!("{{\"schemaVersion\":1,{config},\"layers\":[]}}"))
                .contains("`schemaVersion` is 1")
        );
        let index =
            format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX_MEDIA_TYPE}\",{config},\"layers\":[]}}");
        assert!(refused(&index).contains("`mediaType`"));
        assert!(
            refused(&format!("{{\"schemaVersion\":2,{config},\"layers\":[{{}}]}}")).contains("mediaType")
        );
        assert!(refused(&config.replace("\"size\":0", "\"size\":-1")).contains("not the JSON"));
        let long = " ".repeat(MANIFEST_BYTES_MAX as usize + 1);
        assert!(refused(&long).contains("at most"));
    }
}
