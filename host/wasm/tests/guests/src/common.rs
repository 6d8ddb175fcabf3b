//! Included by each guest behind its own bindings: sessions, shorthands.

use std::cell::RefCell;

use rapidbyte_test_guests::Config;

#[allow(unused_imports)]
mod contract {
    pub use crate::rapidbyte::connector::core_types::*;
    pub use crate::rapidbyte::connector::host_io::{
        BatchEvent, Frame, Interest, Socket, StateScope, TlsInfo, TlsOptions, TlsVerification, batch_emit,
        batch_next, batch_try_emit, batch_try_next, cancelled, state_compare_and_swap, state_get, state_put,
        tcp_close, tcp_connect, tcp_read, tcp_start_tls, tcp_try_read, tcp_try_write, tcp_write,
        telemetry_checkpoint, telemetry_committed, telemetry_dlq, telemetry_log, telemetry_metric,
        telemetry_progress, wait,
    };
    pub use crate::rapidbyte::connector::stream_types::{
        Catalog, CatalogStream, Cursor, CursorValue, PartitionPlan, PartitionRange, ReadSummary, RunRequest,
        RunSummary, SyncMode, TransformSummary, WriteSummary,
    };
    pub use crate::rapidbyte::connector::telemetry::{
        CheckpointEvent, CheckpointKind, CheckpointReply, FieldValue, LogEvent, LogLevel, MetricEvent,
        MetricValue, RecordError,
    };
}
pub use contract::*;

pub type Outcome = Result<RunSummary, ConnectorError>;

thread_local! {
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
}

pub fn config() -> Config {
    CONFIG.with_borrow(|config| config.clone().expect("open"))
}

pub fn error(code: &str, message: &str) -> ConnectorError {
    ConnectorError {
        category: ErrorCategory::Internal,
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

pub fn parse(config_json: &str) -> Result<Config, ConnectorError> {
    let config: Config =
        serde_json::from_str(config_json).map_err(|cause| error("bad_config", &cause.to_string()))?;
    CONFIG.with_borrow_mut(|slot| *slot = Some(config.clone()));
    Ok(config)
}

pub fn opened(session: u64, role: ConnectorRole, version: &str) -> Opened {
    Opened {
        session,
        info: OpenInfo {
            connector_id: "guest@0.0.0".into(),
            role,
            protocol_version: version.into(),
            capabilities: Capabilities::FULL_REFRESH | Capabilities::TRANSACTIONAL,
            default_limits: None,
        },
    }
}

pub fn report() -> ValidationReport {
    ValidationReport { status: ValidationStatus::Success, message: "fine".into(), warnings: vec![] }
}

/// Tells the test something.
pub fn say(message: impl Into<String>) {
    telemetry_log(&LogEvent { level: LogLevel::Info, message: message.into(), fields: vec![] });
}

pub fn checkpoint(
    kind: CheckpointKind,
    id: u64,
    cursor: Option<Cursor>,
) -> Result<CheckpointReply, ConnectorError> {
    telemetry_checkpoint(&CheckpointEvent {
        kind,
        stream: "whatever".into(),
        id,
        cursor,
        records: 0,
        bytes: 0,
        complete: false,
    })
}

pub fn int_cursor(value: i64) -> Option<Cursor> {
    Some(Cursor { field: "id".into(), value: CursorValue::Int64(value) })
}

#[allow(dead_code)]
pub fn summary(role: ConnectorRole, records: u64, batches: u64) -> RunSummary {
    let mut summary =
        RunSummary { role, read: None, write: None, transform: None, catalog: None, partition_plan: None };
    match role {
        ConnectorRole::Source => {
            summary.read = Some(ReadSummary { records, bytes: 0, batches, checkpoints: 0, skipped: 0 });
        }
        ConnectorRole::Destination => {
            summary.write = Some(WriteSummary { records, bytes: 0, batches, checkpoints: 0, failed: 0 });
        }
        ConnectorRole::Transform => {
            let (records_in, records_out) = (records, records);
            summary.transform =
                Some(TransformSummary { records_in, records_out, bytes_in: 0, bytes_out: 0, batches });
        }
    }
    summary
}
