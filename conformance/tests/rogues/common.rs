//! What the three rogues share: config, sessions, and the clauses that every role can break. Included by each behind its own
//! bindings.

#![allow(dead_code)] // Each rogue uses its part.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

#[allow(unused_imports)]
mod contract {
    pub use crate::rapidbyte::connector::core_types::*;
    pub use crate::rapidbyte::connector::host_io::{
        BatchEvent, Frame, batch_emit, batch_next, cancelled, tcp_connect, telemetry_checkpoint,
        telemetry_dlq, telemetry_log, wait,
    };
    pub use crate::rapidbyte::connector::stream_types::{
        Catalog, CatalogStream, Cursor, CursorValue, DataErrorPolicy, NewColumnPolicy,
        NullabilityChangePolicy, Partition, PartitionPlan, PartitionRange, Policies, ReadSummary,
        RemovedColumnPolicy, RunRequest, RunSummary, StreamContext, SyncMode, TransformSummary,
        TypeChangePolicy, WriteMode, WritePlan, WriteSummary,
    };
    pub use crate::rapidbyte::connector::telemetry::{
        CheckpointEvent, CheckpointKind, LogEvent, LogLevel, RecordError,
    };
}
pub use contract::*;

pub type Outcome = Result<RunSummary, ConnectorError>;

#[derive(Default)]
struct Sessions {
    open: BTreeMap<u64, Value>,
    last: u64,
    closed: u64,
    hoard: Vec<Vec<u8>>,
}

thread_local! {
    static SESSIONS: RefCell<Sessions> = RefCell::default();
}

pub fn error(category: ErrorCategory, code: &str, message: &str) -> ConnectorError {
    ConnectorError {
        category,
        scope: ErrorScope::PerStream,
        code: code.into(),
        message: message.into(),
        retryable: false,
        retry_after_ms: None,
        backoff: BackoffClass::Normal,
        safe_to_retry: true,
        commit: None,
        details: None,
    }
}

pub fn config_error(message: &str) -> ConnectorError {
    error(ErrorCategory::Config, "config_invalid", message)
}

pub fn broken(config: &Value) -> &str {
    config["break"].as_str().unwrap_or_default()
}

/// A number that differs from instance to instance.
pub fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

/// `kinds` are the required key's name and whether it is a text.
pub fn open(
    config_json: &str,
    role: ConnectorRole,
    name: &str,
    capabilities: Capabilities,
    (key, is_text): (&str, bool),
) -> Result<Opened, ConnectorError> {
    let parsed: Value = match serde_json::from_str(config_json) {
        Ok(parsed) => parsed,
        Err(cause) => return Err(config_error(&cause.to_string())),
    };
    let Some(fields) = parsed.as_object() else { return Err(config_error("the config is no object")) };
    let broken = broken(&parsed);
    if broken == "config-valid" {
        return Err(config_error("`break` is not to our taste"));
    }
    for (name, value) in fields {
        let text = match name.as_str() {
            "break" | "token" => true,
            name if name == key => is_text,
            _ if broken == "config-unknown-key" => continue,
            _ => return Err(config_error(&format!("unknown key `{name}`"))),
        };
        if (if text { !value.is_string() } else { !value.is_u64() }) && broken != "config-wrong-type" {
            return Err(config_error(&format!("`{name}` is of the wrong type")));
        }
    }
    if !fields.contains_key(key) && broken != "config-missing-key" {
        return Err(config_error(&format!("`{key}` is missing")));
    }
    if broken == "secrets-unspoken" {
        say(&format!("logging in with {}", parsed["token"]));
    }
    if broken == "memory-limit" {
        SESSIONS.with_borrow_mut(|sessions| sessions.hoard.push(vec![1; 64 << 20]));
    }
    if broken == "grants-respected" {
        let _ = tcp_connect("example.invalid", 1, 1);
    }
    let mut capabilities = capabilities;
    if broken == "capabilities-agree" {
        capabilities = capabilities | Capabilities::CDC;
    }
    let id = if broken == "identity-agrees" { "somebody-else@9.9.9".into() } else { format!("{name}@0.1.0") };
    let session = SESSIONS.with_borrow_mut(|sessions| {
        if broken != "two-sessions" || sessions.last == 0 {
            sessions.last += 1;
        }
        sessions.open.insert(sessions.last, parsed.clone());
        sessions.last
    });
    let info = OpenInfo {
        connector_id: id,
        role,
        protocol_version: "4.0.0".into(),
        capabilities,
        default_limits: None,
    };
    Ok(Opened { session, info })
}

pub fn config(session: u64) -> Result<Value, ConnectorError> {
    let config = SESSIONS.with_borrow(|sessions| sessions.open.get(&session).cloned());
    config.ok_or_else(|| error(ErrorCategory::Internal, "unknown_session", "the session is not open"))
}

pub fn validate(session: u64) -> Result<ValidationReport, ConnectorError> {
    let honest = broken(&config(session)?) != "validate-honest";
    let status = if honest { ValidationStatus::Success } else { ValidationStatus::Failed };
    Ok(ValidationReport { status, message: "so it is".into(), warnings: vec![] })
}

pub fn close(session: u64) -> Result<(), ConnectorError> {
    SESSIONS.with_borrow_mut(|sessions| {
        let again = session <= sessions.closed;
        sessions.closed = sessions.closed.max(session);
        let Some(config) = sessions.open.get(&session) else {
            return Ok(());
        };
        match broken(config) {
            "run-after-close" => {}
            "close-twice" if again => return Err(error(ErrorCategory::Internal, "closed", "closed already")),
            "close-twice" => {}
            _ => drop(sessions.open.remove(&session)),
        }
        Ok(())
    })
}

/// What a run does before anything else.
pub fn begin(config: &Value, request: &RunRequest, own: &[RunPhase]) -> Result<(), ConnectorError> {
    if !own.contains(&request.phase) {
        if broken(config) == "survives-odd-input" {
            panic!("nobody told me of this phase");
        }
        return Err(error(ErrorCategory::Internal, "wrong_phase", "this phase is another role's"));
    }
    if broken(config) == "cancellation-prompt" && cancelled() {
        loop {
            wait(&[], Some(1_000_000_000));
        }
    }
    if broken(config) == "time-limit" {
        loop {
            wait(&[], Some(1_000_000_000));
        }
    }
    Ok(())
}

/// What a call of the host answers, and what the two rogues of faults make of it.
pub fn handed<T>(config: &Value, answer: Result<T, ConnectorError>) -> Result<Option<T>, ConnectorError> {
    match (answer, broken(config)) {
        (Ok(answer), _) => Ok(Some(answer)),
        (Err(error), "faults-each-import") => panic!("what could go wrong? {}", error.message),
        (Err(_), "faults-combined") => Ok(None),
        (Err(error), _) => Err(error),
    }
}

pub fn say(message: &str) {
    telemetry_log(&LogEvent { level: LogLevel::Info, message: message.into(), fields: vec![] });
}

pub fn mark(kind: CheckpointKind, id: u64, cursor: Option<Cursor>) -> Result<(), ConnectorError> {
    let event =
        CheckpointEvent { kind, stream: String::new(), id, cursor, records: 0, bytes: 0, complete: false };
    telemetry_checkpoint(&event).map(drop)
}

pub fn empty_summary(role: ConnectorRole) -> RunSummary {
    RunSummary { role, read: None, write: None, transform: None, catalog: None, partition_plan: None }
}
