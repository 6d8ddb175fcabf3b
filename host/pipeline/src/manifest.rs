//! The manifest: what a connector is and what it asks for. Read from `rapidbyte-plugin.yaml` or from the JSON that a
//! component carries; the latter is a stranger's word, so both go through the same checks. Says what is asked for;
//! what is granted is the façade's business.

mod read;

use std::sync::Arc;

use rapidbyte_core::contract::{ConnectorRole, SyncMode, WriteMode};
use rapidbyte_core::grants::{HostFunctions, TlsRequirement};
use rapidbyte_core::limits as host;
use semver::Version;
use serde::{Serialize, Serializer};

use crate::config::ConfigSchema;
use crate::diagnostic::{DocumentErrors, SourceFile};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::reader::Reader;
use crate::{json, yaml};

/// The file beside a connector's `Cargo.toml`.
pub const MANIFEST_FILE_NAME: &str = "rapidbyte-plugin.yaml";
/// The custom section of a component that holds the manifest as JSON.
pub const MANIFEST_SECTION: &str = "rapidbyte:manifest";
/// The contract's package, as `wasm.contract` may spell it before the version.
const CONTRACT: &str = "rapidbyte:connector";
const EMPTY_HELP: &str = "a manifest starts with `name`, `version` and `role`";
/// The only target.
const TARGET: &str = "wasm32-wasip2";

/// A checked manifest. Serialises to the JSON that [`Manifest::from_json`] reads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    pub name: String,
    pub version: Version,
    pub role: ConnectorRole,
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    pub license: String,
    pub tier: Tier,
    pub wasm: WasmSpec,
    pub capabilities: Capabilities,
    pub limits: ConnectorLimits,
    /// Sources only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<DeclaredStreams>,
    /// Sources only; not empty for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sync_modes: Vec<SyncMode>,
    /// Destinations only; not empty for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write_modes: Vec<WriteMode>,
    /// None only in source form: the build fills it in from the component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<ConfigSchema>,
    #[serde(skip_serializing_if = "Conformance::is_empty")]
    pub conformance: Conformance,
}

/// What the connector says to the conformance suite.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Conformance {
    pub exempt: Vec<Exemption>,
}

/// A clause that the connector is not held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exemption {
    pub clause: String,
    /// Shown in every report.
    pub reason: String,
}

impl Conformance {
    fn is_empty(&self) -> bool {
        self.exempt.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Official,
    Community,
    Partner,
}

/// The component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WasmSpec {
    /// File name of the component: `source_postgres.wasm`.
    pub entrypoint: String,
    pub target: String,
    /// Version of the contract: `4.0.0`.
    pub contract: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_engine: Option<Version>,
}

/// What the connector asks for. Nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Capabilities {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    pub host_functions: Vec<HostFunction>,
    /// Environment variables by name.
    pub env: Vec<String>,
    pub filesystem: Vec<FilesystemRequest>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    pub allowed_hosts: Vec<AllowedHost>,
    /// The endpoint comes from the pipeline's config: its keys `host` and `port`, or `url`.
    pub runtime_hosts: bool,
    #[serde(serialize_with = "serialize_tls")]
    pub tls: TlsRequirement,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AllowedHost {
    /// A name, `*.name` for the names below it, or an address.
    pub host: String,
    pub port: u16,
    pub protocol: Protocol,
    #[serde(serialize_with = "serialize_tls")]
    pub tls: TlsRequirement,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostFunction {
    ArrowIpc,
    StateRead,
    StateWrite,
    Logging,
    Metrics,
}

/// A folder or file of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilesystemRequest {
    #[serde(flatten)]
    pub place: FilesystemPlace,
    pub access: FilesystemAccess,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FilesystemPlace {
    /// The value of this config key, a path relative to the pipeline document.
    Config(String),
    /// This very absolute path.
    Path(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FilesystemAccess {
    Read,
    ReadWrite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectorLimits {
    /// Most memory of one instance.
    #[serde(rename = "memory")]
    pub memory_bytes: u64,
    /// Longest silence of a call, in milliseconds.
    #[serde(rename = "timeout", serialize_with = "serialize_ms")]
    pub timeout_ms: u64,
}

/// Which streams a source has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeclaredStreams {
    Discovery,
    Named(Vec<String>),
}

impl Manifest {
    /// Reads the YAML form.
    pub fn from_yaml(text: &str, file_name: &str) -> Result<Self, DocumentErrors> {
        let file = Arc::new(SourceFile::new(file_name, text.strip_prefix('\u{feff}').unwrap_or(text)));
        let mut problems = Vec::new();
        let root = yaml::read(&file, MANIFEST_BYTES_MAX, EMPTY_HELP, &mut problems);
        let mut reader = Reader::new(&file, None);
        problems.into_iter().for_each(|problem| reader.error(problem));
        let manifest = root.and_then(|root| read::read_manifest(&mut reader, &root));
        Self::finish(manifest, reader.errors, file.clone())
    }

    /// Reads the JSON form. `name` is what errors call the document.
    pub fn from_json(text: &str, name: &str) -> Result<Self, DocumentErrors> {
        let file = Arc::new(SourceFile::new(name, ""));
        let mut reader = Reader::new(&file, None);
        let manifest = match json::read(text, MANIFEST_BYTES_MAX) {
            Ok(root) => read::read_manifest(&mut reader, &root),
            Err(error) => {
                reader.error(*error);
                None
            }
        };
        Self::finish(manifest, reader.errors, file.clone())
    }

    fn finish(
        manifest: Option<Manifest>,
        errors: Vec<crate::diagnostic::Diagnostic>,
        file: Arc<SourceFile>,
    ) -> Result<Self, DocumentErrors> {
        match manifest {
            Some(manifest) if errors.is_empty() => Ok(manifest),
            _ => Err(DocumentErrors::new(file, errors)),
        }
    }

    /// The JSON form.
    pub fn to_json(&self) -> String {
        // A tree of texts and numbers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `source-postgres@1.0.0`.
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The optional host functions it asks for.
    pub fn host_functions(&self) -> HostFunctions {
        let has = |function| self.capabilities.host_functions.contains(&function);
        HostFunctions {
            state_read: has(HostFunction::StateRead),
            state_write: has(HostFunction::StateWrite),
            logging: has(HostFunction::Logging),
            metrics: has(HostFunction::Metrics),
        }
    }
}

impl Default for ConnectorLimits {
    fn default() -> Self {
        ConnectorLimits {
            memory_bytes: read::MEMORY_BYTES_DEFAULT,
            timeout_ms: host::IDLE_TIMEOUT_SECONDS_DEFAULT * 1000,
        }
    }
}

impl Serialize for DeclaredStreams {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DeclaredStreams::Discovery => serializer.serialize_str("discovery"),
            DeclaredStreams::Named(names) => names.serialize(serializer),
        }
    }
}

fn serialize_tls<S: Serializer>(tls: &TlsRequirement, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match tls {
        TlsRequirement::Required => "required",
        TlsRequirement::Optional => "optional",
        TlsRequirement::None => "none",
    })
}

fn serialize_ms<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{ms}ms"))
}
