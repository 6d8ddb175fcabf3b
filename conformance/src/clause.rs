//! What a clause is, and how its check ends. A clause knows one promise of the contract; it refuses to know how results are
//! shown.

use futures::future::BoxFuture;
use rapidbyte_host::core::{ConnectorError, ConnectorRole};
use serde::Serialize;

use crate::subject::Subject;

/// One promise that a connector keeps or breaks.
pub struct Clause {
    /// Stable and readable: `read-projection`.
    pub name: &'static str,
    /// None: every role.
    pub role: Option<ConnectorRole>,
    pub severity: Severity,
    /// What is promised, in a sentence or two.
    pub explanation: &'static str,
    /// Where to look first when it is broken.
    pub hint: &'static str,
    pub check: CheckFn,
}

/// A clause's check: a function of its own file.
pub type CheckFn = for<'a> fn(&'a Subject<'a>) -> BoxFuture<'a, Check>;

/// Who is hurt when a clause is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data is lost, repeated or wrong, or a secret leaks.
    Critical,
    /// The connector does not do what the platform plans by.
    Error,
    /// People are misled: counts, messages.
    Warning,
}

impl Severity {
    /// The word in output.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// The end of a check that was kept, or why not.
pub type Check = Result<(), Finding>;

/// Why a check did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The clause is broken, and how.
    Broken(Breach),
    /// The clause says nothing about this connector or fixture, and why.
    NotApplicable(String),
}

/// How a clause is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Where, and what is wrong, in a sentence.
    pub message: String,
    /// What should have come, where the sentence does not say it.
    pub expected: Option<String>,
    /// What came instead.
    pub found: Option<String>,
}

impl From<ConnectorError> for Finding {
    fn from(error: ConnectorError) -> Self {
        Finding::Broken(Breach {
            message: "the connector fails at what it has to be able to do".to_owned(),
            expected: None,
            found: Some(said(&error)),
        })
    }
}

/// An error as its author wrote it: category, code, message and whether to retry.
pub fn said(error: &ConnectorError) -> String {
    let retry = if error.retryable { "retryable" } else { "not retryable" };
    format!("a `{}` error ({retry}): {}", error.kind(), error.message)
}

impl Finding {
    /// A broken clause that one sentence tells all of.
    pub fn broken(message: impl Into<String>) -> Self {
        Finding::Broken(Breach { message: message.into(), expected: None, found: None })
    }
}

/// A broken clause.
pub fn broken<T>(message: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::broken(message))
}

/// A clause broken at some point by something else than what should have come.
pub fn mismatch<T>(
    message: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Result<T, Finding> {
    Err(Finding::Broken(Breach {
        message: message.into(),
        expected: Some(expected.into()),
        found: Some(found.into()),
    }))
}

/// A clause that has nothing to look at here.
pub fn not_applicable<T>(reason: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::NotApplicable(reason.into()))
}

/// Breaks the clause unless the condition holds.
pub fn ensure(condition: bool, message: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { broken(message()) }
}

/// What every clause's file uses.
pub(crate) mod prelude {
    pub use futures::FutureExt;
    pub use rapidbyte_host::core::{
        ConnectorError, ConnectorRole, ErrorCategory, RunPhase, SyncMode, ValidationStatus, WriteMode,
    };

    pub use super::{Check, Clause, Finding, Severity, broken, ensure, mismatch, not_applicable, said};
    pub use crate::drive::{Feed, ReadPlan, WritePlan};
    pub use crate::limits;
    pub use crate::rows::{Row, difference, rows_of};
    pub(crate) use crate::sample;
    pub use crate::subject::Subject;
}
