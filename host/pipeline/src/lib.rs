//! Documents: text → checked pipeline, text → checked manifest. Every mistake is an error with its line, its cause and a
//! next step; nothing is ignored.
//!
//! - [`spec`]: the checked pipeline, what later stages work with.
//! - [`parse`]: from text to it. Reading goes `yaml` (text → tree with places) → `reader` (strict keys and types) →
//!   `document` (the format) → its `rules` (what cannot be together).
//! - [`manifest`]: the same for `rapidbyte-plugin.yaml`, from YAML or from the JSON in a component.
//! - [`fixture`]: the same for `conformance.yaml`.
//! - [`config`]: a connector's config against the schema of its manifest.
//! - [`diagnostic`], [`render`]: errors and warnings, as text and JSON.
//!
//! Refuses to know: files, the environment (variables come through a function), the network, connectors' code.

pub mod config;
pub mod diagnostic;
mod document;
pub mod fixture;
mod interpolate;
mod json;
pub mod limits;
pub mod manifest;
pub mod node;
pub mod quantity;
mod reader;
pub mod render;
pub mod span;
pub mod spec;
mod yaml;

pub use config::{CheckedConfig, Config, ConfigSchema};
pub use diagnostic::{Diagnostic, DocumentErrors, Located, Severity, SourceFile};
pub use document::{decode, parse};
pub use fixture::{Fixture, FixtureStream, ReaderSpec};
pub use interpolate::Environment;
pub use manifest::Manifest;
pub use reader::suggest;
pub use span::{Span, Spanned};
pub use spec::{
    Backoff, BreakerSpec, CacheSpec, ColumnRule, ConnectorLocation, ConnectorRef, ContractSpec, CursorDecl,
    DEFAULT_POLICIES, DeadLetterSpec, DestinationSpec, ErrorsSpec, Hook, HooksSpec, Notify, OnViolation,
    OperationSpec, Parsed, Pipeline, RequiredColumn, Resources, RetrySpec, RetryableError, Secret,
    SecretText, SourceSpec, StateBackend, StateSpec, StreamSpec, Streams, TransformKind, TransformSpec,
    WriteSpec,
};
