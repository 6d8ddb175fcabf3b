//! Documents: text → checked pipeline, text → checked manifest. Every mistake is an error with its line, its cause and a
//! next step; nothing is ignored.
//!
//! - [`spec`]: the checked pipeline, what later stages work with.
//! - [`parse`]: from text to it. Reading goes `yaml` (text → tree with places) → `reader` (strict keys and types) →
//!   `document` (the format) → its `rules` (what cannot be together).
//! - [`manifest`]: the same for `rapidbyte-plugin.yaml`, from YAML or from the JSON in a component.
//! - [`settings`]: the same for `rapidbyte.toml`, defaults of a workspace's pipelines.
//! - [`json_schema`]: the JSON Schema of pipelines, from the tables (`format`) that the reader takes its keys from.
//! - [`fixture`]: the same for `conformance.yaml`.
//! - [`config`]: a connector's config against the schema of its manifest.
//! - [`diagnostic`], [`render`]: errors and warnings, as text and JSON.
//!
//! `expression` is what stands between `{{` and `}}`.
//!
//! Refuses to know: files, the environment (variables come through a function), the clock (the instant is given), the network,
//! connectors' code, SQL.

pub mod config;
pub mod diagnostic;
mod document;
mod expression;
pub mod fixture;
mod format;
mod interpolate;
mod json;
mod json_schema;
pub mod limits;
pub mod manifest;
pub mod node;
pub mod quantity;
mod reader;
pub mod render;
pub mod settings;
pub mod span;
pub mod spec;
mod yaml;

pub use config::{CheckedConfig, Config, ConfigSchema};
pub use diagnostic::{Diagnostic, DocumentErrors, Located, Severity, SourceFile};
pub use document::{Surroundings, decode, parse};
pub use fixture::{Fixture, FixtureStream, ReaderSpec};
pub use interpolate::Environment;
pub use json_schema::{json_schema, settings_json_schema};
pub use manifest::Manifest;
pub use reader::suggest;
pub use settings::ProjectSettings;
pub use span::{Span, Spanned};
pub use spec::{
    Backoff, BreakerSpec, CacheSpec, ColumnRule, ConnectorLocation, ConnectorRef, ContractSpec, CursorDecl,
    DEFAULT_POLICIES, DeadLetterSpec, DestinationSpec, ErrorsSpec, Hook, HooksSpec, Notify, OnViolation,
    OperationSpec, Parsed, Pipeline, RequiredColumn, Resources, RetrySpec, RetryableError, Secret,
    SecretText, SourceSpec, StateBackend, StateSpec, StreamSpec, Streams, TransformKind, TransformSpec,
    WriteSpec,
};
