//! The one error record that a connector answers with, and its constructors. It knows nothing of the transport: how an
//! error crosses to the host is the backend's business.

use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong, by who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCategory {
    /// The configuration is wrong. Retrying cannot help.
    Config,
    /// Credentials were refused.
    Auth,
    /// Credentials are fine, the right is missing; or the sandbox refused what was not granted.
    Permission,
    /// The remote side asked for fewer requests.
    RateLimit,
    /// The network failed in a way that may pass.
    TransientNetwork,
    /// The remote system failed in a way that may pass (restart, deadlock, overload).
    TransientDb,
    /// A record cannot be represented or is refused. Falls under the data-error policy.
    Data,
    /// Stream and destination disagree about columns or types.
    Schema,
    /// A defect in the connector or in the host.
    Internal,
    /// A frame is not valid Arrow IPC, or not of the stream's schema, or too large.
    Frame,
}

impl ErrorCategory {
    /// The word that output and logs use.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorCategory::Config => "config",
            ErrorCategory::Auth => "auth",
            ErrorCategory::Permission => "permission",
            ErrorCategory::RateLimit => "rate-limit",
            ErrorCategory::TransientNetwork => "transient-network",
            ErrorCategory::TransientDb => "transient-db",
            ErrorCategory::Data => "data",
            ErrorCategory::Schema => "schema",
            ErrorCategory::Internal => "internal",
            ErrorCategory::Frame => "frame",
        }
    }
}

impl fmt::Display for ErrorCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much an error spoils.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorScope {
    PerStream,
    PerBatch,
    PerRecord,
}

/// How patient a retry should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackoffClass {
    Fast,
    Normal,
    Slow,
}

/// Where an error stands to the last commit. Set by destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitState {
    /// Nothing of the pending work was committed.
    BeforeCommit,
    /// The commit was sent, its outcome is unknown. The receipt decides at the next start.
    AfterCommitUnknown,
    /// The commit is durable.
    AfterCommitConfirmed,
}

/// The one structured error of the contract.
///
/// Make it with the constructor of its category, refine it with the setters:
///
/// ```
/// use rapidbyte_sdk::prelude::*;
/// use std::time::Duration;
///
/// let error = ConnectorError::transient_db("deadlock", "table `orders`: deadlock detected")
///     .with_commit_state(CommitState::BeforeCommit)
///     .with_details(serde_json::json!({ "sqlstate": "40P01" }));
/// assert!(error.retryable);
///
/// let error = ConnectorError::rate_limit("too_many_requests", "the API asked to wait", Some(Duration::from_secs(3)));
/// assert_eq!(error.retry_after_ms, Some(3_000));
/// ```
///
/// Messages are one lower-case sentence for a person: they name the thing and the cause, put values in backticks and
/// never contain a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorError {
    pub category: ErrorCategory,
    pub scope: ErrorScope,
    /// Stable, machine-readable, lower-case with underscores: `connection_refused`.
    pub code: String,
    pub message: String,
    pub retryable: bool,
    /// How long the remote side asked to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
    pub backoff: BackoffClass,
    /// Whether repeating the same work cannot do it twice.
    pub safe_to_retry: bool,
    pub commit: Option<CommitState>,
    /// A JSON object with whatever else helps: column, row, SQLSTATE, a hint.
    pub details: Option<String>,
}

impl ConnectorError {
    /// An error of any category. Network, database and rate-limit errors are retryable by nature, others are not.
    pub fn new(category: ErrorCategory, code: impl Into<String>, message: impl Into<String>) -> Self {
        let retryable = matches!(
            category,
            ErrorCategory::RateLimit | ErrorCategory::TransientNetwork | ErrorCategory::TransientDb
        );
        ConnectorError {
            category,
            scope: match category {
                ErrorCategory::Frame => ErrorScope::PerBatch,
                ErrorCategory::Data => ErrorScope::PerRecord,
                _ => ErrorScope::PerStream,
            },
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

    /// A field of the configuration is wrong; `details` carries the field's path.
    pub fn config(field: impl AsRef<str>, message: impl fmt::Display) -> Self {
        let field = field.as_ref();
        Self::new(ErrorCategory::Config, "invalid_config", format!("config field `{field}`: {message}"))
            .with_details(serde_json::json!({ "field": field }))
    }

    /// Credentials were refused.
    pub fn auth(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Auth, code, message)
    }

    /// A right is missing.
    pub fn permission(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Permission, code, message)
    }

    /// The remote side asked for fewer requests, and for how long if it said so.
    pub fn rate_limit(
        code: impl Into<String>,
        message: impl Into<String>,
        retry_after: Option<Duration>,
    ) -> Self {
        let mut error = Self::new(ErrorCategory::RateLimit, code, message);
        error.retry_after_ms =
            retry_after.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        error
    }

    /// The network failed in a way that may pass.
    pub fn transient_network(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::TransientNetwork, code, message)
    }

    /// The remote system failed in a way that may pass.
    pub fn transient_db(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::TransientDb, code, message)
    }

    /// A record cannot be represented or is refused.
    pub fn data(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Data, code, message)
    }

    /// Stream and destination disagree about columns or types.
    pub fn schema(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Schema, code, message)
    }

    /// A defect of the connector or of the host.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Internal, code, message)
    }

    /// A batch cannot cross as a frame.
    pub fn frame(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCategory::Frame, code, message)
    }

    /// Replaces the code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = code.into();
        self
    }

    /// Replaces the scope.
    #[must_use]
    pub fn with_scope(mut self, scope: ErrorScope) -> Self {
        self.scope = scope;
        self
    }

    /// Attaches a JSON object. Anything but an object is put under the key `detail`.
    #[must_use]
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        let details = if details.is_object() { details } else { serde_json::json!({ "detail": details }) };
        self.details = Some(details.to_string());
        self
    }

    /// Says where the error stands to the last commit. An unknown outcome is not safe to repeat by itself.
    #[must_use]
    pub fn with_commit_state(mut self, commit: CommitState) -> Self {
        self.commit = Some(commit);
        if commit == CommitState::AfterCommitUnknown {
            self.safe_to_retry = false;
        }
        self
    }

    /// Replaces the backoff class.
    #[must_use]
    pub fn with_backoff(mut self, backoff: BackoffClass) -> Self {
        self.backoff = backoff;
        self
    }

    /// Puts context before the message: `` table `orders`: … ``.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Retrying cannot help.
    #[must_use]
    pub fn not_retryable(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Repeating the work may do it twice.
    #[must_use]
    pub fn not_safe_to_retry(mut self) -> Self {
        self.safe_to_retry = false;
        self
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConnectorError {}

/// So that a host's refusal survives libraries that only know `io::Error`.
impl From<ConnectorError> for io::Error {
    fn from(error: ConnectorError) -> Self {
        let kind = match (error.category, error.code.as_str()) {
            (ErrorCategory::Permission, _) => io::ErrorKind::PermissionDenied,
            (_, "connection_refused") => io::ErrorKind::ConnectionRefused,
            (_, "connection_reset") => io::ErrorKind::ConnectionReset,
            (_, "connection_closed") => io::ErrorKind::BrokenPipe,
            (_, "timeout" | "connect_timeout") => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Gives back the [`ConnectorError`] inside, if there is one; otherwise the network failed.
impl From<io::Error> for ConnectorError {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection_refused",
            io::ErrorKind::ConnectionReset => "connection_reset",
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => "connection_closed",
            io::ErrorKind::UnexpectedEof => "unexpected_eof",
            io::ErrorKind::TimedOut => "timeout",
            io::ErrorKind::PermissionDenied => "permission_denied",
            io::ErrorKind::NotFound => "not_found",
            _ => "io",
        };
        match error.downcast::<ConnectorError>() {
            Ok(inner) => inner,
            Err(error) if code == "permission_denied" => ConnectorError::permission(code, error.to_string()),
            Err(error) => ConnectorError::transient_network(code, error.to_string()),
        }
    }
}

/// Arrow refuses what does not fit together: a defect, unless the caller knows better.
impl From<arrow_schema::ArrowError> for ConnectorError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        ConnectorError::internal("arrow", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_know_what_is_retryable() {
        assert!(ConnectorError::transient_network("reset", "x").retryable);
        assert!(ConnectorError::transient_db("deadlock", "x").retryable);
        assert!(ConnectorError::rate_limit("429", "x", None).retryable);
        assert!(!ConnectorError::transient_db("gone", "x").not_retryable().retryable);
        assert!(!ConnectorError::auth("refused", "x").retryable);
        assert_eq!(ConnectorError::data("d", "x").scope, ErrorScope::PerRecord);
    }

    #[test]
    fn config_errors_name_the_field() {
        let error = ConnectorError::config("tls.mode", "unknown mode `maybe`");
        assert_eq!(error.message, "config field `tls.mode`: unknown mode `maybe`");
        assert_eq!(error.details.as_deref(), Some(r#"{"field":"tls.mode"}"#));
    }

    #[test]
    fn an_unknown_commit_is_not_safe_to_repeat() {
        let error =
            ConnectorError::transient_db("lost", "x").with_commit_state(CommitState::AfterCommitUnknown);
        assert!(!error.safe_to_retry && error.retryable);
    }

    #[test]
    fn survives_a_trip_through_io_error() {
        let error = ConnectorError::permission("not_granted", "`db:5432` is not granted");
        let io = io::Error::from(error.clone());
        assert_eq!(io.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(ConnectorError::from(io), error);
        let plain = ConnectorError::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(
            (plain.category, plain.code.as_str()),
            (ErrorCategory::TransientNetwork, "connection_reset")
        );
    }
}
