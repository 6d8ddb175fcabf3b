//! The pipeline as later stages see it: checked, defaults and overrides applied, with spans kept wherever the engine or
//! the façade may still have to point at the document. Refuses to know how it was written.

use std::sync::Arc;

use rapidbyte_core::contract::{ConnectorRole, CursorSpec, Limits, SyncMode, WriteMode, WritePlan};
use rapidbyte_core::limits;
use serde::Serialize;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, DocumentErrors, SourceFile};
use crate::span::{Span, Spanned};

/// A checked pipeline document.
#[derive(Debug, Clone, Serialize)]
pub struct Pipeline {
    pub version: Spanned<String>,
    #[serde(rename = "pipeline")]
    pub name: Spanned<String>,
    pub source: SourceSpec,
    pub transforms: Vec<TransformSpec>,
    pub destination: DestinationSpec,
    pub state: StateSpec,
    pub resources: Resources,
    /// The text the spans point into.
    #[serde(skip)]
    pub file: Arc<SourceFile>,
}

impl Pipeline {
    /// The streams the document lists; none where it takes all of the catalog.
    pub fn listed_streams(&self) -> &[StreamSpec] {
        match &self.source.streams {
            Streams::Listed(streams) => streams,
            Streams::All { .. } => &[],
        }
    }

    /// The stream of this name as the document wants it: listed, or by the rule for all streams of the catalog.
    pub fn stream(&self, name: &str) -> Option<StreamSpec> {
        match &self.source.streams {
            Streams::Listed(streams) => streams.iter().find(|stream| stream.name.value == name).cloned(),
            Streams::All { span, write } => Some(StreamSpec::whole(name, *span, write.clone())),
        }
    }

    /// The transforms that a stream passes, in order.
    pub fn transforms_of<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a TransformSpec> {
        self.transforms
            .iter()
            .filter(move |transform| transform.stream.as_ref().is_none_or(|only| only.value == stream))
    }

    /// A document error that a later stage found, ready to be shown.
    pub fn error(&self, diagnostic: Diagnostic) -> DocumentErrors {
        DocumentErrors::new(self.file.clone(), vec![diagnostic])
    }
}

/// A connector as the document names it.
#[derive(Debug, Clone, Serialize)]
pub struct ConnectorRef {
    #[serde(skip)]
    pub role: ConnectorRole,
    /// Where in the document: `source`, `destination`, `transforms[0]`.
    #[serde(skip)]
    pub place: String,
    #[serde(rename = "use")]
    pub location: Spanned<ConnectorLocation>,
    pub config: Config,
}

/// What `use:` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub enum ConnectorLocation {
    /// A folder with `Cargo.toml` and `rapidbyte-plugin.yaml`, relative to the document.
    Crate(String),
    /// A component file, relative to the document.
    Wasm(String),
    /// A package of a registry, or an installed one, as it is written: `acme/source-jira@^1.2`. What it means is not known here.
    Package(String),
}

impl ConnectorLocation {
    /// As it is written.
    pub fn text(&self) -> &str {
        match self {
            ConnectorLocation::Crate(text)
            | ConnectorLocation::Wasm(text)
            | ConnectorLocation::Package(text) => text,
        }
    }
}

impl From<ConnectorLocation> for String {
    fn from(location: ConnectorLocation) -> String {
        location.text().to_owned()
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceSpec {
    #[serde(flatten)]
    pub connector: ConnectorRef,
    pub streams: Streams,
}

/// Which streams move.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Streams {
    /// Those of the document, in its order. Never empty; names are unique.
    Listed(Vec<StreamSpec>),
    /// Every stream of the source's catalog, whole, each by the same write plan.
    All {
        #[serde(skip)]
        span: Span,
        #[serde(rename = "all")]
        write: WriteSpec,
    },
}

/// One stream, the destination's write plan included.
#[derive(Debug, Clone, Serialize)]
pub struct StreamSpec {
    pub name: Spanned<String>,
    pub sync_mode: Spanned<SyncMode>,
    /// Always there for incremental streams, never for others.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorDecl>,
    /// Columns to read, in this order. None: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(flatten)]
    pub write: WriteSpec,
    /// The stream's place in the document.
    #[serde(skip)]
    pub span: Span,
}

impl StreamSpec {
    fn whole(name: &str, span: Span, write: WriteSpec) -> Self {
        StreamSpec {
            name: Spanned::new(name.to_owned(), span),
            sync_mode: Spanned::default_of(SyncMode::FullRefresh),
            cursor: None,
            columns: None,
            write,
            span,
        }
    }

    /// The columns for the contract's stream context: empty means all.
    pub fn column_names(&self) -> Vec<String> {
        self.columns.as_ref().map(|columns| names(columns)).unwrap_or_default()
    }
}

/// How an incremental stream is ordered, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CursorDecl {
    #[serde(rename = "cursor_field")]
    pub field: Spanned<String>,
    /// Empty: the connector's choice, usually the primary key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tie_breaker: Vec<Spanned<String>>,
}

impl CursorDecl {
    pub fn spec(&self) -> CursorSpec {
        CursorSpec { field: self.field.value.clone(), tie_breaker: names(&self.tie_breaker) }
    }
}

/// How a stream is written: the destination's words with the stream's own over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteSpec {
    #[serde(rename = "write_mode")]
    pub mode: Spanned<WriteMode>,
    /// Never empty for upsert and merge.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub primary_key: Vec<Spanned<String>>,
    /// For merge; empty: all but the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub update_columns: Vec<Spanned<String>>,
}

impl WriteSpec {
    pub fn plan(&self) -> WritePlan {
        WritePlan {
            mode: self.mode.value,
            primary_key: names(&self.primary_key),
            update_columns: names(&self.update_columns),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct TransformSpec {
    /// The only stream that passes it. None: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Spanned<String>>,
    #[serde(flatten)]
    pub connector: ConnectorRef,
}

#[derive(Debug, Clone, Serialize)]
pub struct DestinationSpec {
    #[serde(flatten)]
    pub connector: ConnectorRef,
    /// What streams get that do not say otherwise; already applied to them.
    #[serde(flatten)]
    pub write: WriteSpec,
}

#[derive(Debug, Clone, Serialize)]
pub struct StateSpec {
    pub backend: Spanned<StateBackend>,
    /// Database file, relative to the document. None: where the workspace or the user keeps state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateBackend {
    Sqlite,
}

/// Bounds of a run. Every value is set; [`Spanned::is_stated`] tells defaults apart.
#[derive(Debug, Clone, Serialize)]
pub struct Resources {
    #[serde(rename = "max_memory")]
    pub max_memory_bytes: Spanned<u64>,
    pub max_batch_bytes: Spanned<u64>,
    pub max_record_bytes: Spanned<u64>,
    pub parallelism: Spanned<u32>,
    pub checkpoint_interval_bytes: Spanned<u64>,
    pub checkpoint_interval_rows: Spanned<u64>,
    pub checkpoint_interval_seconds: Spanned<u32>,
}

impl Resources {
    /// The bounds that connectors are told.
    pub fn limits(&self) -> Limits {
        Limits {
            max_batch_bytes: self.max_batch_bytes.value,
            max_record_bytes: self.max_record_bytes.value,
            max_inflight_batches: limits::INFLIGHT_BATCHES,
            checkpoint_interval_bytes: self.checkpoint_interval_bytes.value,
            checkpoint_interval_rows: self.checkpoint_interval_rows.value,
            checkpoint_interval_seconds: self.checkpoint_interval_seconds.value,
        }
    }
}

/// The plain names of a list.
pub fn names(list: &[Spanned<String>]) -> Vec<String> {
    list.iter().map(|name| name.value.clone()).collect()
}

/// A value that came from the environment into a connector's config.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub variable: String,
    pub value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{{}}}", self.variable)
    }
}

/// What [`crate::parse`] answers.
#[derive(Debug, Clone)]
pub struct Parsed {
    pub pipeline: Pipeline,
    /// Every value that came from the environment into a config, before it is known which fields are secret. Once the
    /// manifest is read, [`crate::CheckedConfig::secrets`] says which to register with the redactor; without a manifest,
    /// register all of these.
    pub secrets: Vec<Secret>,
    /// Things that are allowed and probably not meant. Rendered like errors.
    pub warnings: Vec<Diagnostic>,
}
