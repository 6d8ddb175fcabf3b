//! The pipeline as later stages see it: checked, defaults and overrides applied, with spans kept wherever the engine or
//! the façade may still have to point at the document. Refuses to know how it was written.

mod around;
mod errors;
mod quality;

use std::sync::Arc;

use rapidbyte_core::contract::{
    ConnectorRole, CursorSpec, DataErrorPolicy, Limits, NewColumnPolicy, NullabilityChangePolicy, Policies,
    RemovedColumnPolicy, SyncMode, TypeChangePolicy, WriteMode, WritePlan,
};
use rapidbyte_core::limits;
use serde::Serialize;

pub use around::{CacheSpec, Hook, HooksSpec, SecretText, StateBackend, StateSpec};
pub use errors::{Backoff, BreakerSpec, DeadLetterSpec, ErrorsSpec, RetrySpec, RetryableError};
pub use quality::{
    ColumnRule, ContractSpec, Notify, OnViolation, OperationSpec, RequiredColumn, TransformKind,
    TransformSpec,
};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contracts: Vec<ContractSpec>,
    pub destination: DestinationSpec,
    pub errors: ErrorsSpec,
    pub state: StateSpec,
    pub resources: Resources,
    #[serde(skip_serializing_if = "HooksSpec::is_empty")]
    pub hooks: HooksSpec,
    pub cache: CacheSpec,
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
            Streams::All { span, write, policies, on_error } => Some(StreamSpec {
                policies: *policies,
                on_error: *on_error,
                ..StreamSpec::whole(name, *span, write.clone())
            }),
        }
    }

    /// The transforms that a stream passes, in order.
    pub fn transforms_of<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a TransformSpec> {
        self.transforms
            .iter()
            .filter(move |transform| transform.stream.as_ref().is_none_or(|only| only.value == stream))
    }

    /// The contracts of a stream, in order.
    pub fn contracts_of<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a ContractSpec> {
        self.contracts.iter().filter(move |contract| contract.stream.value == stream)
    }

    /// Every connector that the document names, in the order in which data passes them; the one for dead letters last.
    pub fn connectors(&self) -> impl Iterator<Item = &ConnectorRef> {
        let transforms = self.transforms.iter().filter_map(TransformSpec::connector);
        let dead_letter = self.errors.dead_letter.as_ref().map(|dead_letter| &dead_letter.connector);
        std::iter::once(&self.source.connector)
            .chain(transforms)
            .chain([&self.destination.connector])
            .chain(dead_letter)
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
    /// Where in the document: `source`, `destination`, `transforms[0]`, `errors.dead_letter`.
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
        #[serde(skip)]
        policies: Policies,
        /// As in [`StreamSpec::on_error`].
        #[serde(skip)]
        on_error: DataErrorPolicy,
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
    /// SQL that chooses the records to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Spanned<String>>,
    /// The column by whose values the stream is divided. None: the source chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<Spanned<String>>,
    /// Into how many ranges the stream is divided: 1 is never. None: by its size and `parallelism`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Spanned<u32>>,
    #[serde(flatten)]
    pub write: WriteSpec,
    /// What the destination does with schemas that change and records that it refuses: the stream's own words over the
    /// destination's.
    pub policies: Policies,
    /// What is done with records that the source, a transform or a contract refuses: the stream's own `on_data_error`, else
    /// `errors.on_error`.
    #[serde(skip)]
    pub on_error: DataErrorPolicy,
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
            filter: None,
            partition_key: None,
            partitions: None,
            write,
            policies: DEFAULT_POLICIES,
            on_error: DataErrorPolicy::Fail,
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
pub struct DestinationSpec {
    #[serde(flatten)]
    pub connector: ConnectorRef,
    /// What streams get that do not say otherwise; already applied to them.
    #[serde(flatten)]
    pub write: WriteSpec,
    /// As [`write`](Self::write): already applied.
    pub policies: Policies,
    /// The table of the destination that dead letters go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlq_table: Option<Spanned<String>>,
}

/// What a document that says nothing of policies gets: columns may come and types may widen, nothing is taken away, and a
/// record that is refused ends the run.
pub const DEFAULT_POLICIES: Policies = Policies {
    on_data_error: DataErrorPolicy::Fail,
    new_column: NewColumnPolicy::Add,
    removed_column: RemovedColumnPolicy::Ignore,
    type_change: TypeChangePolicy::Coerce,
    nullability_change: NullabilityChangePolicy::Allow,
};

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
    /// What is secret whatever a manifest says: addresses of state and webhooks, and values of the environment in commands.
    /// Register all of these.
    pub hidden: Vec<Secret>,
    /// Things that are allowed and probably not meant. Rendered like errors.
    pub warnings: Vec<Diagnostic>,
}
