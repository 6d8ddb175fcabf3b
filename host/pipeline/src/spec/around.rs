//! What stands around the moving of records: state, hooks, the cache for queries, and texts that nobody may see.

use serde::{Serialize, Serializer};

use crate::config::MASK;
use crate::span::{Span, Spanned};

/// A text that no message, log or output shows: an address with a password in it, a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText {
    text: String,
    pub span: Span,
}

impl SecretText {
    pub(crate) fn new(text: String, span: Span) -> Self {
        SecretText { text, span }
    }

    /// The same, as another file states it.
    pub(crate) fn at(self, span: Span) -> Self {
        SecretText { span, ..self }
    }

    /// The text itself, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// Where positions, runs and dead letters are kept.
#[derive(Debug, Clone, Serialize)]
pub struct StateSpec {
    pub backend: Spanned<StateBackend>,
    /// Database file, relative to the document; with SQLite only. None: where the workspace or the user keeps state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// With PostgreSQL, always there: `postgres://user:password@host/database`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<SecretText>,
}

impl Default for StateSpec {
    fn default() -> Self {
        StateSpec { backend: Spanned::default_of(StateBackend::Sqlite), path: None, connection: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StateBackend {
    Sqlite,
    Postgres,
}

/// Commands around a run, in the document's order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HooksSpec {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_success: Vec<Hook>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Hook>,
    /// After the others, always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_complete: Vec<Hook>,
}

impl HooksSpec {
    pub fn is_empty(&self) -> bool {
        self.on_success.is_empty() && self.on_failure.is_empty() && self.on_complete.is_empty()
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// What the shell is given.
    pub exec: Spanned<String>,
    pub timeout_ms: u64,
}

/// The local Parquet cache that `rapidbyte query` reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CacheSpec {
    pub enabled: bool,
    /// Relative to the document. None: where the workspace or the user keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
}
