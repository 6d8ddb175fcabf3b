//! The package: one manifest, a config blob, one layer with the component. Packing is reproducible; what is unpacked is held
//! against itself, digest by digest and claim by claim, because a registry is a stranger.
//!
//! The layout is that of the CNCF's Wasm artifacts, so `wkg`, `oras` and `skopeo` can carry it. Everything else about a version
//! (code for platforms, signatures, certificates) refers to its manifest and is no part of it.

use rapidbyte_pipeline::Manifest as ConnectorManifest;
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::capabilities::CapabilitySet;
use crate::digest::Digest;
use crate::limits::{COMPONENT_BYTES_MAX, CONFIG_BYTES_MAX};
use crate::oci::{self, Descriptor, Malformed, Manifest};

pub const ARTIFACT_TYPE: &str = "application/vnd.rapidbyte.connector.v1+json";
pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub const LAYER_MEDIA_TYPE: &str = "application/wasm";

/// The world outside is of this version; the field is required by the convention.
const OS: &str = "wasip2";
const ARCHITECTURE: &str = "wasm";
/// No time of day: the same component makes the same package.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The config blob: what the convention asks for, and our manifest in a key of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigBlob {
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    architecture: String,
    os: String,
    layer_digests: Vec<Digest>,
    component: ComponentClaim,
    rapidbyte: ConnectorClaim,
}

#[derive(Debug, Serialize, Deserialize)]
struct ComponentClaim {
    exports: Vec<String>,
    imports: Vec<String>,
    #[serde(default)]
    target: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ConnectorClaim {
    manifest: Box<RawValue>,
}

/// What is known of a component, for packing and for holding a package against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentFacts {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// The JSON of the manifest inside.
    pub manifest_json: String,
}

/// A package ready to be pushed. The layer is the component's own bytes.
#[derive(Debug, Clone)]
pub struct Packed {
    pub manifest: Vec<u8>,
    pub digest: Digest,
    pub config: Vec<u8>,
    pub config_descriptor: Descriptor,
    pub layer: Descriptor,
}

/// A package as its manifest and config describe it, before the layer is fetched.
#[derive(Debug, Clone)]
pub struct Described {
    pub digest: Digest,
    pub manifest: ConnectorManifest,
    pub layer: Descriptor,
    pub capabilities: CapabilitySet,
    facts: ComponentFacts,
}

/// What is wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    #[error("its {part} has the digest {found}, not {expected}")]
    Digest { part: &'static str, expected: Digest, found: Digest },
    #[error("its manifest is not right: {0}")]
    Manifest(#[from] Malformed),
    #[error("it is `{found}`, not a connector (`{ARTIFACT_TYPE}`)")]
    NoConnector { found: String },
    #[error("it has {count} layers, a connector has one, `{LAYER_MEDIA_TYPE}`")]
    Layers { count: usize },
    #[error("its {part} is said to have {bytes} bytes, at most {max} are taken")]
    TooLarge { part: &'static str, bytes: u64, max: u64 },
    #[error("its config is not right: {0}")]
    Config(String),
    #[error("its config says {what} differently than its component")]
    Claim { what: &'static str },
    #[error("it is `{found}`, not `{expected}`")]
    Name { expected: String, found: String },
}

impl BadPackage {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            BadPackage::Digest { part: "manifest", .. } => "package_manifest_digest",
            BadPackage::Digest { part: "config", .. } => "package_config_digest",
            BadPackage::Digest { .. } => "package_layer_digest",
            BadPackage::Manifest(_) => "package_manifest_malformed",
            BadPackage::NoConnector { .. } => "package_no_connector",
            BadPackage::Layers { .. } => "package_layers",
            BadPackage::TooLarge { .. } => "package_too_large",
            BadPackage::Config(_) => "package_config_malformed",
            BadPackage::Claim { .. } => "package_config_lies",
            BadPackage::Name { .. } => "package_name",
        }
    }
}

/// Makes the package of a component.
pub fn pack(component: &[u8], facts: &ComponentFacts) -> Result<Packed, BadPackage> {
    let manifest = connector_manifest(&facts.manifest_json)?;
    let mut layer = Descriptor::of(LAYER_MEDIA_TYPE, component);
    layer.annotations.insert(oci::TITLE.to_owned(), format!("{}.wasm", manifest.name));
    bounded("component", layer.size, COMPONENT_BYTES_MAX)?;
    let raw = RawValue::from_string(facts.manifest_json.clone());
    let config = ConfigBlob {
        created: CREATED.to_owned(),
        author: manifest.author.clone(),
        architecture: ARCHITECTURE.to_owned(),
        os: OS.to_owned(),
        layer_digests: vec![layer.digest],
        component: ComponentClaim {
            exports: facts.exports.clone(),
            imports: facts.imports.clone(),
            target: None,
        },
        rapidbyte: ConnectorClaim { manifest: raw.map_err(|error| BadPackage::Config(error.to_string()))? },
    };
    let config = serde_json::to_vec(&config).map_err(|error| BadPackage::Config(error.to_string()))?;
    bounded("config", config.len() as u64, CONFIG_BYTES_MAX)?;
    let config_descriptor = Descriptor::of(CONFIG_MEDIA_TYPE, &config);

    let mut document = Manifest::new(ARTIFACT_TYPE, config_descriptor.clone(), vec![layer.clone()]);
    let annotations = [
        (oci::TITLE, manifest.name.clone()),
        (oci::VERSION, manifest.version.to_string()),
        (oci::DESCRIPTION, manifest.description.clone()),
        (oci::LICENSES, manifest.license.clone()),
        (oci::CREATED, CREATED.to_owned()),
    ];
    document.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value)));
    let bytes = document.bytes();
    Ok(Packed { digest: Digest::of(&bytes), manifest: bytes, config, config_descriptor, layer })
}

/// Where the config of a package lies, from its manifest's bytes; `expected` is what the manifest was asked for by.
pub fn open_manifest(bytes: &[u8], expected: &Digest) -> Result<Manifest, BadPackage> {
    same("manifest", bytes, expected)?;
    let manifest = Manifest::read(bytes)?;
    // Registries and tools that know no artifact types take the config's media type for it.
    let kind = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    if kind != ARTIFACT_TYPE || manifest.config.media_type != CONFIG_MEDIA_TYPE {
        return Err(BadPackage::NoConnector { found: kind.chars().take(120).collect() });
    }
    bounded("config", manifest.config.size, CONFIG_BYTES_MAX)?;
    match manifest.layers.as_slice() {
        [layer] if layer.media_type == LAYER_MEDIA_TYPE => {
            bounded("component", layer.size, COMPONENT_BYTES_MAX)?;
        }
        layers => return Err(BadPackage::Layers { count: layers.len() }),
    }
    Ok(manifest)
}

/// Reads what a package says of itself.
pub fn describe(digest: Digest, manifest: &Manifest, config: &[u8]) -> Result<Described, BadPackage> {
    same("config", config, &manifest.config.digest)?;
    let [layer] = manifest.layers.as_slice() else {
        return Err(BadPackage::Layers { count: manifest.layers.len() });
    };
    let config: ConfigBlob =
        serde_json::from_slice(config).map_err(|error| BadPackage::Config(error.to_string()))?;
    if config.layer_digests != [layer.digest] {
        return Err(BadPackage::Config("`layerDigests` is not the manifest's layer".to_owned()));
    }
    let manifest_json = config.rapidbyte.manifest.get().to_owned();
    let connector = connector_manifest(&manifest_json)?;
    let ComponentClaim { imports, exports, .. } = config.component;
    let capabilities = CapabilitySet::of(&connector, imports.iter().map(String::as_str));
    let facts = ComponentFacts { imports, exports, manifest_json };
    Ok(Described { digest, manifest: connector, layer: layer.clone(), capabilities, facts })
}

impl Described {
    /// Whether it is the package that was asked for.
    pub fn must_be(&self, name: &str, version: Option<&Version>) -> Result<(), BadPackage> {
        let found = &self.manifest;
        if found.name == name && version.is_none_or(|version| *version == found.version) {
            return Ok(());
        }
        let expected = version.map_or(name.to_owned(), |version| format!("{name}@{version}"));
        Err(BadPackage::Name { expected, found: found.id() })
    }

    /// Holds what the config claims against the component itself: what was reviewed is what runs.
    pub fn must_fit(&self, facts: &ComponentFacts) -> Result<(), BadPackage> {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        let claims = [
            ("the imports", sorted(&self.facts.imports) == sorted(&facts.imports)),
            ("the exports", sorted(&self.facts.exports) == sorted(&facts.exports)),
            ("the manifest", self.manifest == connector_manifest(&facts.manifest_json)?),
        ];
        match claims.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(BadPackage::Claim { what }),
            None => Ok(()),
        }
    }
}

fn connector_manifest(json: &str) -> Result<ConnectorManifest, BadPackage> {
    ConnectorManifest::from_json(json, "the connector's manifest")
        .map_err(|errors| BadPackage::Config(errors.to_string()))
}

fn same(part: &'static str, bytes: &[u8], expected: &Digest) -> Result<(), BadPackage> {
    let found = Digest::of(bytes);
    if found == *expected { Ok(()) } else { Err(BadPackage::Digest { part, expected: *expected, found }) }
}

fn bounded(part: &'static str, bytes: u64, max: u64) -> Result<(), BadPackage> {
    if bytes > max { Err(BadPackage::TooLarge { part, bytes, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ComponentFacts {
        let yaml = "name: source-a\nversion: 0.1.0\nrole: source\ndescription: A\nlicense: MIT\ntier: community\n\
             wasm: { entrypoint: a.wasm, target: wasm32-wasip2, contract: 4.0.0 }\n\
             capabilities: { env: [TOKEN] }\nlimits: { memory: 64mb, timeout: 1h }\nstreams: discovery\n\
             sync_modes: [full_refresh]\nconfig_schema: { type: object, properties: {} }\n";
        let manifest = ConnectorManifest::from_yaml(yaml, "rapidbyte-plugin.yaml").unwrap();
        ComponentFacts {
            imports: vec!["wasi:http/outgoing-handler@0.2.6".to_owned()],
            exports: vec!["rapidbyte:connector/source@4.0.0".to_owned()],
            manifest_json: manifest.to_json(),
        }
    }

    fn described(packed: &Packed) -> Result<Described, BadPackage> {
        let manifest = open_manifest(&packed.manifest, &packed.digest)?;
        describe(packed.digest, &manifest, &packed.config)
    }

    #[test]
    fn a_package_is_described_by_what_it_was_packed_of() {
        let packed = pack(b"component", &facts()).unwrap();
        assert_eq!(packed.digest, pack(b"component", &facts()).unwrap().digest);
        let package = described(&packed).unwrap();
        package.must_be("source-a", Some(&Version::new(0, 1, 0))).unwrap();
        package.must_fit(&facts()).unwrap();
        let shown: Vec<String> = package.capabilities.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["environment TOKEN", "import wasi:http/outgoing-handler"]);
        let manifest = Manifest::read(&packed.manifest).unwrap();
        assert_eq!(manifest.layers.len(), 1);
        assert_eq!(manifest.layers[0].annotations[oci::TITLE], "source-a.wasm");
        assert_eq!(manifest.config.media_type, CONFIG_MEDIA_TYPE);
    }

    #[test]
    fn a_flipped_byte_anywhere_has_a_name() {
        let packed = pack(b"component", &facts()).unwrap();
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[20] ^= 1;
            bytes
        };
        let manifest = Packed { manifest: flipped(&packed.manifest), ..packed.clone() };
        assert_eq!(described(&manifest).unwrap_err().code(), "package_manifest_digest");
        let config = Packed { config: flipped(&packed.config), ..packed };
        assert_eq!(described(&config).unwrap_err().code(), "package_config_digest");
    }

    #[test]
    fn a_config_that_says_something_else_than_the_component_is_refused() {
        let package = described(&pack(b"component", &facts()).unwrap()).unwrap();
        let more = ComponentFacts { imports: vec!["wasi:sockets/tcp@0.2.6".to_owned()], ..facts() };
        assert_eq!(package.must_fit(&more).unwrap_err().code(), "package_config_lies");
        let other = facts().manifest_json.replace("TOKEN", "SECRET");
        let error = package.must_fit(&ComponentFacts { manifest_json: other, ..facts() }).unwrap_err();
        assert_eq!(error.to_string(), "its config says the manifest differently than its component");
        assert_eq!(package.must_be("source-b", None).unwrap_err().code(), "package_name");
        assert_eq!(
            package.must_be("source-a", Some(&Version::new(0, 2, 0))).unwrap_err().code(),
            "package_name"
        );
    }

    #[test]
    fn other_artifacts_are_no_connectors() {
        let packed = pack(b"component", &facts()).unwrap();
        let open = |manifest: &Manifest| {
            let bytes = manifest.bytes();
            open_manifest(&bytes, &Digest::of(&bytes)).unwrap_err().code()
        };
        let right = Manifest::read(&packed.manifest).unwrap();
        assert_eq!(
            open(&Manifest { artifact_type: Some("application/x".to_owned()), ..right.clone() }),
            "package_no_connector"
        );
        assert_eq!(open(&Manifest { layers: vec![], ..right.clone() }), "package_layers");
        let mut large = right.clone();
        large.layers[0].size = COMPONENT_BYTES_MAX + 1;
        assert_eq!(open(&large), "package_too_large");
        let mut large = right;
        large.config.size = CONFIG_BYTES_MAX + 1;
        assert_eq!(open(&large), "package_too_large");
    }
}
