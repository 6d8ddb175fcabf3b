//! The records of `rapidbyte:connector@4.0.0` as Rust types, one to one with `wit/rapidbyte-connector.wit`, where they
//! are documented. Conversions to and from the generated bindings live in `rapidbyte-wasm`.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The contract's version, as `OpenInfo::protocol_version` carries it.
pub const PROTOCOL_VERSION: &str = "4.0.0";

/// An Arrow schema as an IPC stream without batches.
pub type ArrowSchemaIpc = Bytes;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $(#[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word used in pipelines, state and output.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The value a word stands for.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}
pub(crate) use words;

words!(ConnectorRole { Source => "source", Destination => "destination", Transform => "transform" });
words!(RunPhase {
    Discover => "discover", Read => "read", Write => "write", Transform => "transform", Partition => "partition",
});
words!(SyncMode { FullRefresh => "full_refresh", Incremental => "incremental", Cdc => "cdc" });
words!(WriteMode { Append => "append", Replace => "replace", Upsert => "upsert", Merge => "merge" });
words!(DataErrorPolicy { Fail => "fail", Skip => "skip", Dlq => "dlq" });
words!(NewColumnPolicy { Add => "add", Ignore => "ignore", Fail => "fail" });
words!(RemovedColumnPolicy { Ignore => "ignore", Drop => "drop", Fail => "fail" });
words!(TypeChangePolicy { Coerce => "coerce", Fail => "fail", Ignore => "ignore", Null => "null" });
words!(NullabilityChangePolicy { Allow => "allow", Fail => "fail" });
words!(ValidationStatus { Success => "success", Failed => "failed", Warning => "warning" });
words!(CheckpointKind {
    Source => "source", Transform => "transform", Destination => "destination", Receipt => "receipt",
});
words!(CheckpointReply { Accepted => "accepted", Resume => "resume", Restart => "restart" });
words!(LogLevel { Trace => "trace", Debug => "debug", Info => "info", Warn => "warn", Error => "error" });
words!(StateScope {
    Pipeline => "pipeline", Stream => "stream", ConnectorInstance => "connector_instance",
});

/// What a connector can do; the flags of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    pub full_refresh: bool,
    pub incremental: bool,
    pub cdc: bool,
    pub projection: bool,
    pub filter: bool,
    pub partitions: bool,
    pub append: bool,
    pub replace: bool,
    pub upsert: bool,
    pub merge: bool,
    pub transactional: bool,
}

impl Capabilities {
    pub fn sync_mode(&self, mode: SyncMode) -> bool {
        match mode {
            SyncMode::FullRefresh => self.full_refresh,
            SyncMode::Incremental => self.incremental,
            SyncMode::Cdc => self.cdc,
        }
    }

    pub fn write_mode(&self, mode: WriteMode) -> bool {
        match mode {
            WriteMode::Append => self.append,
            WriteMode::Replace => self.replace,
            WriteMode::Upsert => self.upsert,
            WriteMode::Merge => self.merge,
        }
    }
}

/// Bounds of one run. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub max_batch_bytes: u64,
    pub max_record_bytes: u64,
    pub max_inflight_batches: u32,
    pub checkpoint_interval_bytes: u64,
    pub checkpoint_interval_rows: u64,
    pub checkpoint_interval_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenInfo {
    pub connector_id: String,
    pub role: ConnectorRole,
    pub protocol_version: String,
    pub capabilities: Capabilities,
    pub default_limits: Option<Limits>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    pub status: ValidationStatus,
    pub message: String,
    pub warnings: Vec<String>,
}

/// A position in a stream's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "kebab-case")]
pub enum CursorValue {
    Int64(i64),
    Utf8(String),
    TimestampMillis(i64),
    TimestampMicros(i64),
    Decimal(String),
    Json(String),
    Lsn(u64),
}

/// For people: instants as such (`2024-04-13T15:10:55.664Z`), everything else as it is.
impl fmt::Display for CursorValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = match self {
            CursorValue::TimestampMillis(millis) => jiff::Timestamp::from_millisecond(*millis).ok(),
            CursorValue::TimestampMicros(micros) => jiff::Timestamp::from_microsecond(*micros).ok(),
            _ => None,
        };
        match instant {
            Some(instant) => instant.fmt(f),
            // Beyond the calendar, as PostgreSQL's infinities are.
            None => f.write_str(&self.value_text()),
        }
    }
}

impl CursorValue {
    /// The type's name as state and output show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            CursorValue::Int64(_) => "int64",
            CursorValue::Utf8(_) => "utf8",
            CursorValue::TimestampMillis(_) => "timestamp-millis",
            CursorValue::TimestampMicros(_) => "timestamp-micros",
            CursorValue::Decimal(_) => "decimal",
            CursorValue::Json(_) => "json",
            CursorValue::Lsn(_) => "lsn",
        }
    }

    /// The value as text, the inverse of [`CursorValue::from_parts`].
    pub fn value_text(&self) -> String {
        match self {
            CursorValue::Int64(v) | CursorValue::TimestampMillis(v) | CursorValue::TimestampMicros(v) => {
                v.to_string()
            }
            CursorValue::Utf8(v) | CursorValue::Decimal(v) | CursorValue::Json(v) => v.clone(),
            CursorValue::Lsn(v) => v.to_string(),
        }
    }

    /// Reads back what [`CursorValue::type_name`] and [`CursorValue::value_text`] wrote; none if they do not belong together.
    pub fn from_parts(type_name: &str, value: &str) -> Option<Self> {
        Some(match type_name {
            "int64" => CursorValue::Int64(value.parse().ok()?),
            "utf8" => CursorValue::Utf8(value.to_owned()),
            "timestamp-millis" => CursorValue::TimestampMillis(value.parse().ok()?),
            "timestamp-micros" => CursorValue::TimestampMicros(value.parse().ok()?),
            "decimal" => CursorValue::Decimal(value.to_owned()),
            "json" => CursorValue::Json(value.to_owned()),
            "lsn" => CursorValue::Lsn(value.parse().ok()?),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    pub field: String,
    pub value: CursorValue,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorSpec {
    pub field: String,
    pub tie_breaker: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritePlan {
    pub mode: WriteMode,
    pub primary_key: Vec<String>,
    pub update_columns: Vec<String>,
}

/// A part of a stream, by the values of one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartitionRange {
    pub field: String,
    /// Inclusive. None: from the smallest.
    pub lower: Option<CursorValue>,
    /// Exclusive. None: to the greatest.
    pub upper: Option<CursorValue>,
    pub nulls: bool,
}

/// For people: `id from 100 to before 200`, `id before 100 or without a value`.
impl fmt::Display for PartitionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        match (&self.lower, &self.upper) {
            (None, None) => f.write_str(" of any value")?,
            (Some(lower), None) => write!(f, " from {lower}")?,
            (None, Some(upper)) => write!(f, " before {upper}")?,
            (Some(lower), Some(upper)) => write!(f, " from {lower} to before {upper}")?,
        }
        if self.nulls { f.write_str(" or without a value") } else { Ok(()) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Partition {
    pub index: u32,
    pub count: u32,
    /// None: the whole stream.
    #[serde(default)]
    pub range: Option<PartitionRange>,
    /// Checkpoints up to this id belong to an earlier reading of the stream.
    #[serde(default)]
    pub floor: u64,
}

impl Partition {
    /// The only slice of an unpartitioned stream.
    pub const WHOLE: Partition = Partition { index: 0, count: 1, range: None, floor: 0 };

    /// Whether this slice is the stream.
    pub fn is_whole(&self) -> bool {
        self.count == 1 && self.range.is_none()
    }
}

/// The answer of a partition phase. One range or none: not worth it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PartitionPlan {
    /// The moment that the session holds open until it is closed.
    pub snapshot: Option<String>,
    pub ranges: Vec<PartitionRange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    pub on_data_error: DataErrorPolicy,
    pub new_column: NewColumnPolicy,
    pub removed_column: RemovedColumnPolicy,
    pub type_change: TypeChangePolicy,
    pub nullability_change: NullabilityChangePolicy,
}

impl Default for Policies {
    /// What a pipeline that says nothing gets: nothing is changed or dropped behind anyone's back.
    fn default() -> Self {
        Policies {
            on_data_error: DataErrorPolicy::Fail,
            new_column: NewColumnPolicy::Fail,
            removed_column: RemovedColumnPolicy::Fail,
            type_change: TypeChangePolicy::Fail,
            nullability_change: NullabilityChangePolicy::Fail,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamContext {
    pub pipeline: String,
    pub name: String,
    pub schema: ArrowSchemaIpc,
    pub sync_mode: SyncMode,
    pub cursor: Option<CursorSpec>,
    pub position: Option<CursorValue>,
    pub columns: Vec<String>,
    pub filter: Option<String>,
    pub write: Option<WritePlan>,
    pub partition: Partition,
    /// Sources: read at this moment, which another session of the connector holds open.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// Sources, phase `partition`: the column that the user wants ranges of.
    #[serde(default)]
    pub partition_key: Option<String>,
    pub limits: Limits,
    pub policies: Policies,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    pub stream: Option<StreamContext>,
    pub phase: RunPhase,
    pub dry_run: bool,
    pub max_records: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogStream {
    pub name: String,
    pub schema: ArrowSchemaIpc,
    pub primary_key: Vec<String>,
    pub cursor_fields: Vec<String>,
    pub sync_modes: Vec<SyncMode>,
    pub estimated_rows: Option<u64>,
    pub estimated_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Catalog {
    pub streams: Vec<CatalogStream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReadSummary {
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriteSummary {
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransformSummary {
    pub records_in: u64,
    pub records_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub batches: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    pub role: ConnectorRole,
    pub read: Option<ReadSummary>,
    pub write: Option<WriteSummary>,
    pub transform: Option<TransformSummary>,
    pub catalog: Option<Catalog>,
    #[serde(default)]
    pub partition_plan: Option<PartitionPlan>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointEvent {
    pub kind: CheckpointKind,
    pub stream: String,
    pub id: u64,
    pub cursor: Option<Cursor>,
    pub records: u64,
    pub bytes: u64,
    pub complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    Counter(u64),
    Gauge(f64),
    Histogram(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct MetricEvent {
    pub name: String,
    pub value: MetricValue,
    pub labels: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    Text(String),
    Int(i64),
    Float(f64),
    Boolean(bool),
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogEvent {
    pub level: LogLevel,
    pub message: String,
    pub fields: Vec<(String, FieldValue)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    pub row: u32,
    pub code: String,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_shown_as_people_write_them() {
        let shown = |value: CursorValue| value.to_string();
        assert_eq!(shown(CursorValue::TimestampMicros(1_713_021_055_664_001)), "2024-04-13T15:10:55.664001Z");
        assert_eq!(shown(CursorValue::TimestampMillis(-1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(shown(CursorValue::TimestampMicros(i64::MAX)), i64::MAX.to_string());
        assert_eq!(shown(CursorValue::Int64(7)), "7");
        assert_eq!(shown(CursorValue::Decimal("1.50".to_owned())), "1.50");
    }

    #[test]
    fn ranges_are_shown_as_people_say_them() {
        let shown = |lower: Option<i64>, upper: Option<i64>, nulls| {
            let (lower, upper) = (lower.map(CursorValue::Int64), upper.map(CursorValue::Int64));
            PartitionRange { field: "id".to_owned(), lower, upper, nulls }.to_string()
        };
        assert_eq!(shown(None, Some(-5), true), "id before -5 or without a value");
        assert_eq!(shown(Some(-5), Some(7), false), "id from -5 to before 7");
        assert_eq!(shown(Some(7), None, false), "id from 7");
        assert_eq!(shown(None, None, true), "id of any value or without a value");
    }
}
