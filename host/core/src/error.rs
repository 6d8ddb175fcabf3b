//! The one error record that crosses the contract, and that every port answers with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contract::words;

words!(ErrorCategory {
    Config => "config", Auth => "auth", Permission => "permission", RateLimit => "rate-limit",
    TransientNetwork => "transient-network", TransientDb => "transient-db", Data => "data", Schema => "schema",
    Internal => "internal", Frame => "frame",
});
words!(ErrorScope { PerStream => "per-stream", PerBatch => "per-batch", PerRecord => "per-record" });
words!(BackoffClass { Fast => "fast", Normal => "normal", Slow => "slow" });
words!(CommitState {
    BeforeCommit => "before-commit", AfterCommitUnknown => "after-commit-unknown",
    AfterCommitConfirmed => "after-commit-confirmed",
});

/// One structured error; see `connector-error` in the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ConnectorError {
    pub category: ErrorCategory,
    pub scope: ErrorScope,
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
    pub backoff: BackoffClass,
    pub safe_to_retry: bool,
    pub commit: Option<CommitState>,
    /// A JSON object.
    pub details: Option<String>,
}

impl ConnectorError {
    /// An error that retrying does not mend; network, database and rate-limit categories are retryable by nature.
    pub fn new(category: ErrorCategory, code: impl Into<String>, message: impl Into<String>) -> Self {
        let retryable = matches!(
            category,
            ErrorCategory::RateLimit | ErrorCategory::TransientNetwork | ErrorCategory::TransientDb
        );
        ConnectorError {
            category,
            scope: ErrorScope::PerStream,
            code: code.into(),
            message: message.into(),
            retryable,
            retry_after_ms: None,
            backoff: if category == ErrorCategory::RateLimit {
                BackoffClass::Slow
            } else {
                BackoffClass::Normal
            },
            safe_to_retry: true,
            commit: None,
            details: None,
        }
    }

    /// A defect of ours or of the connector.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Internal, code, message)
    }

    /// The sandbox refused what was not granted.
    pub fn permission(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Permission, code, message)
    }

    pub fn frame(code: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorCategory::Frame, code, message);
        error.scope = ErrorScope::PerBatch;
        error
    }

    /// Category and code for people and machines: `config/unknown_field`.
    pub fn kind(&self) -> impl fmt::Display + '_ {
        struct Kind<'a>(&'a ConnectorError);
        impl fmt::Display for Kind<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.0.category, self.0.code)
            }
        }
        Kind(self)
    }
}
