//! What can be wrong: with a pipeline before it runs ([`PlanError`]), with a task while it runs ([`Fault`]).

use std::fmt;

use rapidbyte_core::ports::StateError;
use rapidbyte_core::{ConnectorError, ConnectorRole, ErrorCategory};
use serde::{Deserialize, Serialize};

/// Where an error began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Source,
    /// Index into the pipeline's transforms.
    Transform(usize),
    Destination,
    State,
    Engine,
}

impl Origin {
    pub(crate) fn role(self) -> Option<ConnectorRole> {
        match self {
            Origin::Source => Some(ConnectorRole::Source),
            Origin::Transform(_) => Some(ConnectorRole::Transform),
            Origin::Destination => Some(ConnectorRole::Destination),
            Origin::State | Origin::Engine => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Transform(index) => write!(f, "transform {}", index + 1),
            Origin::Source => f.write_str("source"),
            Origin::Destination => f.write_str("destination"),
            Origin::State => f.write_str("state"),
            Origin::Engine => f.write_str("engine"),
        }
    }
}

/// An error with where it began: the cause, not what it did to the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{by}: {error}")]
pub struct Fault {
    pub origin: Origin,
    /// The connector's name and version, or the origin where there is none.
    pub by: String,
    /// Not the `source` of this error: its message already stands in ours.
    pub error: Box<ConnectorError>,
}

impl Fault {
    pub(crate) fn new(origin: Origin, by: impl Into<String>, error: ConnectorError) -> Self {
        Fault { origin, by: by.into(), error: Box::new(error) }
    }

    /// Nobody else's.
    pub fn of_engine(error: ConnectorError) -> Self {
        Fault::new(Origin::Engine, "engine", error)
    }

    pub(crate) fn state(error: &StateError) -> Self {
        Fault::new(Origin::State, "state", state_error(error))
    }
}

/// A state error as the contract's record.
pub(crate) fn state_error(error: &StateError) -> ConnectorError {
    let (category, code) = match error {
        StateError::Busy { .. } => (ErrorCategory::TransientDb, "stream_busy"),
        StateError::TakenOver { .. } => (ErrorCategory::Internal, "stream_taken_over"),
        StateError::TooNew { .. } => (ErrorCategory::Config, "state_too_new"),
        StateError::Unavailable { .. } => (ErrorCategory::Internal, "state_unavailable"),
    };
    ConnectorError::new(category, code, error.to_string())
}

/// Why there is no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// A connector could not say what it offers.
    #[error(transparent)]
    Connector(#[from] Fault),
    /// The pipeline asks for what cannot be done. All problems at once, never none.
    #[error("{}", list(.0))]
    Refused(Vec<Problem>),
    /// The run was asked to end before it began.
    #[error("cancelled before anything was moved")]
    Cancelled,
}

/// One thing that is wrong with a pipeline, with where the document says it.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// None: not about one stream.
    pub stream: Option<String>,
    pub place: Place,
    /// Stable and machine-readable: `unknown_stream`.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// Which part of the document a problem is about. Names are as the document writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "part", content = "name")]
pub enum Place {
    Stream,
    SyncMode,
    CursorField,
    TieBreaker(String),
    Column(String),
    Filter,
    WriteMode,
    /// None: there is no key where one is needed.
    PrimaryKey(Option<String>),
    UpdateColumn(String),
    PartitionKey,
    /// Index into the pipeline's transforms.
    Transform(usize),
    /// One of a transform's operations, and the key in it.
    Operation {
        transform: Option<usize>,
        operation: usize,
        key: Option<&'static str>,
    },
    /// Index into the pipeline's contracts.
    Contract(usize),
    RequiredColumn {
        contract: usize,
        column: usize,
    },
    ContractRule {
        contract: usize,
        rule: usize,
        key: Option<&'static str>,
    },
    Streams,
}

impl Problem {
    pub(crate) fn new(stream: &str, place: Place, code: &'static str, message: String) -> Self {
        Problem { stream: Some(stream.to_owned()), place, code, message, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; ")
}
