//! The records of `rapidbyte:connector@4.0.0` as connector authors see them: names as in the contract, Arrow schemas as
//! [`SchemaRef`]. It knows nothing of bindings; the backends convert.

use std::fmt;
use std::time::Duration;

use arrow_schema::SchemaRef;

use crate::error::ConnectorError;
use crate::limits;

/// The contract's version.
pub const PROTOCOL_VERSION: &str = "4.0.0";

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// The word that pipelines and output use.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What a connector is for.
    ConnectorRole { Source => "source", Destination => "destination", Transform => "transform" }
);
words!(
    /// What one call of `run` does.
    RunPhase {
        /// Say which streams exist; a transform says what would flow out.
        Discover => "discover",
        Read => "read",
        Write => "write",
        Transform => "transform",
        /// Cut one stream into ranges; see [`Source::partitions`](crate::Source::partitions).
        Partition => "partition",
    }
);
words!(SyncMode { FullRefresh => "full_refresh", Incremental => "incremental", Cdc => "cdc" });
words!(WriteMode { Append => "append", Replace => "replace", Upsert => "upsert", Merge => "merge" });
words!(DataErrorPolicy { Fail => "fail", Skip => "skip", Dlq => "dlq" });
words!(NewColumnPolicy { Add => "add", Ignore => "ignore", Fail => "fail" });
words!(RemovedColumnPolicy { Ignore => "ignore", Drop => "drop", Fail => "fail" });
words!(TypeChangePolicy { Coerce => "coerce", Fail => "fail", Ignore => "ignore", Null => "null" });
words!(NullabilityChangePolicy { Allow => "allow", Fail => "fail" });
words!(ValidationStatus { Success => "success", Failed => "failed", Warning => "warning" });
words!(
    /// Whose state a key belongs to.
    StateScope {
        /// Shared by all streams of the pipeline.
        Pipeline => "pipeline",
        /// This stream's.
        Stream => "stream",
        /// This connector's, in this pipeline.
        ConnectorInstance => "connector_instance",
    }
);

/// What a connector can do. The host plans by it and refuses a pipeline that asks for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    pub full_refresh: bool,
    pub incremental: bool,
    pub cdc: bool,
    /// Honours `columns`.
    pub projection: bool,
    /// Honours `filter`.
    pub filter: bool,
    /// Can read disjoint partitions of one stream: implements [`Source::partitions`](crate::Source::partitions), honours
    /// the range of a [`Partition`] and, where the plan names one, `snapshot`. A destination: `replace` takes the partitions
    /// of one reading, and publishes when all are complete.
    pub partitions: bool,
    pub append: bool,
    pub replace: bool,
    pub upsert: bool,
    pub merge: bool,
    /// Commits a receipt atomically with the data. Without it delivery is at least once.
    pub transactional: bool,
}

/// Bounds that hold for one run. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame.
    pub max_batch_bytes: u64,
    /// Largest single record inside a frame. A larger one is a `data` error.
    pub max_record_bytes: u64,
    /// Frames that may wait between two connectors.
    pub max_inflight_batches: u32,
    /// A resumable source makes a checkpoint when any of the three is reached.
    pub checkpoint_interval_bytes: u64,
    pub checkpoint_interval_rows: u64,
    pub checkpoint_interval_seconds: u32,
}

impl Limits {
    /// What a source aims at per batch, in bytes: half of what is allowed, at most 2 MB, at least one byte.
    pub fn batch_bytes_target(&self) -> u64 {
        (self.max_batch_bytes / 2).clamp(1, limits::BATCH_BYTES_TARGET)
    }

    /// Refuses a record that is larger than `max_record_bytes`; `record` says which one, for the message
    /// (`` key `17` ``), and is only called then.
    ///
    /// ```
    /// # use rapidbyte_sdk::prelude::*;
    /// let limits = Limits { max_record_bytes: 10, ..Limits::default() };
    /// assert!(limits.check_record("notes", 10, || "key `1`").is_ok());
    /// let error = limits.check_record("notes", 11, || "key `2`").unwrap_err();
    /// assert_eq!(error.code, "record_too_large");
    /// ```
    #[inline]
    pub fn check_record<D: fmt::Display>(
        &self,
        stream: &str,
        bytes: u64,
        record: impl FnOnce() -> D,
    ) -> Result<(), ConnectorError> {
        if bytes <= self.max_record_bytes {
            return Ok(());
        }
        let max = self.max_record_bytes;
        Err(ConnectorError::data(
            "record_too_large",
            format!(
                "stream `{stream}`, {}: the record has {bytes} bytes, `max-record-bytes` is {max}",
                record()
            ),
        )
        .with_details(serde_json::json!({ "stream": stream, "bytes": bytes, "max_record_bytes": max })))
    }
}

/// What a pipeline gets that does not say otherwise.
impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_batch_bytes: 64 << 20,
            max_record_bytes: 32 << 20,
            max_inflight_batches: 4,
            checkpoint_interval_bytes: 64 << 20,
            checkpoint_interval_rows: 1_000_000,
            checkpoint_interval_seconds: 60,
        }
    }
}

/// What `open` learned about the connector. Role and protocol version are added by the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInfo {
    /// Name and version: `source-postgres@1.0.0`; see [`connector_id!`](crate::connector_id).
    pub connector_id: String,
    pub capabilities: Capabilities,
    /// Bounds the connector works best with; the pipeline's own come first.
    pub default_limits: Option<Limits>,
}

impl OpenInfo {
    pub fn new(connector_id: impl Into<String>, capabilities: Capabilities) -> Self {
        OpenInfo { connector_id: connector_id.into(), capabilities, default_limits: None }
    }

    #[must_use]
    pub fn with_default_limits(mut self, limits: Limits) -> Self {
        self.default_limits = Some(limits);
        self
    }
}

/// The answer of `validate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationReport {
    pub status: ValidationStatus,
    /// One sentence: what was reached, or why not.
    pub message: String,
    pub warnings: Vec<String>,
}

impl ValidationReport {
    pub fn success(message: impl Into<String>) -> Self {
        ValidationReport { status: ValidationStatus::Success, message: message.into(), warnings: Vec::new() }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        ValidationReport { status: ValidationStatus::Failed, message: message.into(), warnings: Vec::new() }
    }

    /// Adds a warning; a success becomes a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        if self.status == ValidationStatus::Success {
            self.status = ValidationStatus::Warning;
        }
        self
    }
}

/// A position in a stream's order. Decimal is its exact decimal text; json is for compound positions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CursorValue {
    Int64(i64),
    Utf8(String),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    TimestampMillis(i64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros(i64),
    Decimal(String),
    Json(String),
    /// A position in a write-ahead log.
    Lsn(u64),
}

impl CursorValue {
    /// The type's name as receipts and state show it.
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

    /// The value as text, for a receipt; [`CursorValue::from_parts`] is the inverse.
    pub fn value_text(&self) -> String {
        match self {
            CursorValue::Int64(v) | CursorValue::TimestampMillis(v) | CursorValue::TimestampMicros(v) => {
                v.to_string()
            }
            CursorValue::Utf8(v) | CursorValue::Decimal(v) | CursorValue::Json(v) => v.clone(),
            CursorValue::Lsn(v) => v.to_string(),
        }
    }

    /// The value that a type's name and a text stand for.
    pub fn from_parts(type_name: &str, text: &str) -> Option<Self> {
        Some(match type_name {
            "int64" => CursorValue::Int64(text.parse().ok()?),
            "utf8" => CursorValue::Utf8(text.to_owned()),
            "timestamp-millis" => CursorValue::TimestampMillis(text.parse().ok()?),
            "timestamp-micros" => CursorValue::TimestampMicros(text.parse().ok()?),
            "decimal" => CursorValue::Decimal(text.to_owned()),
            "json" => CursorValue::Json(text.to_owned()),
            "lsn" => CursorValue::Lsn(text.parse().ok()?),
            _ => return None,
        })
    }
}

/// A stream's position at a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// The column or columns it is over, for people: `updated_at`.
    pub field: String,
    pub value: CursorValue,
}

impl Cursor {
    pub fn new(field: impl Into<String>, value: CursorValue) -> Self {
        Cursor { field: field.into(), value }
    }
}

/// How an incremental stream is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorSpec {
    pub field: String,
    /// Columns that order records of equal cursor. Empty: the connector's choice, usually the primary key.
    pub tie_breaker: Vec<String>,
}

/// How a destination writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritePlan {
    pub mode: WriteMode,
    /// The key of upsert and merge. Never empty for them.
    pub primary_key: Vec<String>,
    /// For merge: the columns an existing record takes from the new one. Empty: all but the key.
    pub update_columns: Vec<String>,
}

/// A part of a stream, by the values of one column. Records without a value belong to the range that has `nulls`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartitionRange {
    pub field: String,
    /// Inclusive. None: from the smallest.
    pub lower: Option<CursorValue>,
    /// Exclusive. None: to the greatest, and whatever sorts behind it.
    pub upper: Option<CursorValue>,
    pub nulls: bool,
}

/// One of `count` disjoint slices that together are the stream. An unpartitioned stream is slice 0 of 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Partition {
    pub index: u32,
    pub count: u32,
    /// None: the whole stream.
    pub range: Option<PartitionRange>,
    /// Checkpoints up to this id belong to an earlier reading of the stream; all partitions of one reading have the same.
    pub floor: u64,
}

impl Partition {
    /// The whole stream.
    pub const WHOLE: Partition = Partition { index: 0, count: 1, range: None, floor: 0 };

    /// Whether this slice is the stream.
    pub fn is_whole(&self) -> bool {
        self.count == 1 && self.range.is_none()
    }
}

/// The answer of [`Source::partitions`](crate::Source::partitions). One range or none: not worth it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionPlan {
    /// The moment that the session holds open until it is closed, for the `snapshot` of every reader of it. None: each
    /// partition is read at a moment of its own.
    pub snapshot: Option<String>,
    pub ranges: Vec<PartitionRange>,
}

impl PartitionPlan {
    /// Cuts by ascending boundaries: one range more than there are boundaries. The first reaches down to the smallest
    /// value and has the records without one, the last reaches up to the greatest: together they are the stream.
    ///
    /// ```
    /// # use rapidbyte_sdk::prelude::*;
    /// let plan = PartitionPlan::cut("id", [100, 200].map(CursorValue::Int64));
    /// assert_eq!(plan.ranges.len(), 3);
    /// assert_eq!((plan.ranges[0].lower.clone(), plan.ranges[0].nulls), (None, true));
    /// assert_eq!(plan.ranges[1].lower, Some(CursorValue::Int64(100)));
    /// assert_eq!(plan.ranges[2].upper, None);
    /// ```
    pub fn cut(field: impl Into<String>, boundaries: impl IntoIterator<Item = CursorValue>) -> Self {
        let field = field.into();
        let mut ranges: Vec<PartitionRange> = Vec::new();
        let mut lower = None;
        for boundary in boundaries.into_iter().map(Some).chain([None]) {
            let nulls = ranges.is_empty();
            ranges.push(PartitionRange { field: field.clone(), lower, upper: boundary.clone(), nulls });
            lower = boundary;
        }
        PartitionPlan { snapshot: None, ranges }
    }

    /// With the moment that the session holds open.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: impl Into<String>) -> Self {
        self.snapshot = Some(snapshot.into());
        self
    }
}

/// What to do with what does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    pub on_data_error: DataErrorPolicy,
    pub new_column: NewColumnPolicy,
    pub removed_column: RemovedColumnPolicy,
    pub type_change: TypeChangePolicy,
    pub nullability_change: NullabilityChangePolicy,
}

/// What a pipeline gets that does not say otherwise.
impl Default for Policies {
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

/// Everything a connector needs to know about the stream it moves.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamContext {
    /// The pipeline's name. With `name` and `partition` it identifies a receipt.
    pub pipeline: String,
    /// The stream's name as the source's catalog has it.
    pub name: String,
    /// What flows into this connector (destination, transform) or is to flow out of it (source).
    pub schema: SchemaRef,
    pub sync_mode: SyncMode,
    pub cursor: Option<CursorSpec>,
    /// Sources: continue behind this position. None: from the beginning.
    pub position: Option<CursorValue>,
    /// Sources: the selected columns, in order. Empty: all.
    pub columns: Vec<String>,
    /// Sources with the `filter` capability: a SQL predicate over the stream's columns.
    pub filter: Option<String>,
    /// Set for destinations.
    pub write: Option<WritePlan>,
    pub partition: Partition,
    /// Sources: read at this moment, which another session of the connector holds open. A moment that is gone is a
    /// retryable error, `snapshot_gone`.
    pub snapshot: Option<String>,
    /// Sources, when asked to partition: the column that the user wants ranges of.
    pub partition_key: Option<String>,
    pub limits: Limits,
    pub policies: Policies,
}

impl StreamContext {
    /// A full refresh of a whole stream with default limits and policies: the start for a test.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        StreamContext {
            pipeline: "test".to_owned(),
            name: name.into(),
            schema,
            sync_mode: SyncMode::FullRefresh,
            cursor: None,
            position: None,
            columns: Vec::new(),
            filter: None,
            write: None,
            partition: Partition::WHOLE,
            snapshot: None,
            partition_key: None,
            limits: Limits::default(),
            policies: Policies::default(),
        }
    }

    /// How the destination is to write; an `internal` error where the host gave no plan.
    pub fn write_plan(&self) -> Result<&WritePlan, ConnectorError> {
        self.write.as_ref().ok_or_else(|| {
            ConnectorError::internal(
                "no_write_plan",
                format!("stream `{}`: the host gave no write plan", self.name),
            )
        })
    }
}

/// The argument of `run`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRequest {
    /// None only when a source is asked to discover.
    pub stream: Option<StreamContext>,
    pub phase: RunPhase,
    /// Do everything but move or change data. Errors are those a real run would give.
    pub dry_run: bool,
    /// Stop after this many records.
    pub max_records: Option<u64>,
}

impl RunRequest {
    fn of(phase: RunPhase, stream: Option<StreamContext>) -> Self {
        RunRequest { stream, phase, dry_run: false, max_records: None }
    }

    /// Asks a source for its catalog.
    pub fn discover() -> Self {
        Self::of(RunPhase::Discover, None)
    }

    /// Asks a transform what would flow out if `stream` flowed in.
    pub fn discover_stream(stream: StreamContext) -> Self {
        Self::of(RunPhase::Discover, Some(stream))
    }

    pub fn read(stream: StreamContext) -> Self {
        Self::of(RunPhase::Read, Some(stream))
    }

    pub fn write(stream: StreamContext) -> Self {
        Self::of(RunPhase::Write, Some(stream))
    }

    pub fn transform(stream: StreamContext) -> Self {
        Self::of(RunPhase::Transform, Some(stream))
    }

    /// Asks a source to cut `stream` into at most `count` ranges.
    pub fn partition(stream: StreamContext, count: u32) -> Self {
        let partition = Partition { count, ..Partition::WHOLE };
        Self::of(RunPhase::Partition, Some(StreamContext { partition, ..stream }))
    }

    /// The stream to move; an `internal` error where the host gave none.
    pub fn stream(&self) -> Result<&StreamContext, ConnectorError> {
        self.stream.as_ref().ok_or_else(|| {
            ConnectorError::internal(
                "no_stream",
                format!("the host gave no stream for phase `{}`", self.phase),
            )
        })
    }

    /// Refuses any phase but these: the first line of most `run`s.
    pub fn expect_phase(&self, phases: &[RunPhase]) -> Result<(), ConnectorError> {
        if phases.contains(&self.phase) {
            return Ok(());
        }
        Err(ConnectorError::internal("wrong_phase", format!("this connector has no phase `{}`", self.phase)))
    }
}

/// A stream a source offers.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogStream {
    pub name: String,
    pub schema: SchemaRef,
    /// Empty: none known.
    pub primary_key: Vec<String>,
    /// Columns that can order an incremental read.
    pub cursor_fields: Vec<String>,
    pub sync_modes: Vec<SyncMode>,
    pub estimated_rows: Option<u64>,
    pub estimated_bytes: Option<u64>,
}

impl CatalogStream {
    /// A stream that can be fully refreshed and has neither key nor cursor.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        CatalogStream {
            name: name.into(),
            schema,
            primary_key: Vec::new(),
            cursor_fields: Vec::new(),
            sync_modes: vec![SyncMode::FullRefresh],
            estimated_rows: None,
            estimated_bytes: None,
        }
    }
}

/// What a source offers, or the one stream that a transform would emit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    pub streams: Vec<CatalogStream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadSummary {
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteSummary {
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub checkpoints: u64,
    pub failed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransformSummary {
    pub records_in: u64,
    pub records_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub batches: u64,
}

/// The answer of `run`: the part of the connector's role is set, the catalog after a discover phase, the plan after a
/// partition phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunSummary {
    pub read: Option<ReadSummary>,
    pub write: Option<WriteSummary>,
    pub transform: Option<TransformSummary>,
    pub catalog: Option<Catalog>,
    pub partition_plan: Option<PartitionPlan>,
}

impl RunSummary {
    pub fn read(summary: ReadSummary) -> Self {
        RunSummary { read: Some(summary), ..RunSummary::default() }
    }

    pub fn write(summary: WriteSummary) -> Self {
        RunSummary { write: Some(summary), ..RunSummary::default() }
    }

    pub fn transform(summary: TransformSummary) -> Self {
        RunSummary { transform: Some(summary), ..RunSummary::default() }
    }

    pub fn catalog(catalog: Catalog) -> Self {
        RunSummary { catalog: Some(catalog), ..RunSummary::default() }
    }

    pub fn partition_plan(plan: PartitionPlan) -> Self {
        RunSummary { partition_plan: Some(plan), ..RunSummary::default() }
    }
}

/// A marker in the stream: everything before it belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Given by the host, monotone per (pipeline, stream, partition).
    pub id: u64,
    pub stream: String,
    /// None: nothing was read yet, or the stream has no order to resume in.
    pub cursor: Option<Cursor>,
    /// Records and bytes since the checkpoint before.
    pub records: u64,
    pub bytes: u64,
    /// The stream was read to its end here.
    pub complete: bool,
}

/// What a destination stores in the transaction that commits a checkpoint, and reports at the next start.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    pub id: u64,
    pub cursor: Option<Cursor>,
    pub complete: bool,
}

impl Receipt {
    /// The receipt of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        Receipt { id: checkpoint.id, cursor: checkpoint.cursor.clone(), complete: checkpoint.complete }
    }
}

/// The host's answer to a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuation {
    /// The stream continues behind the receipt; keep what is staged.
    Resume,
    /// The stream starts over; drop what is staged and not yet published.
    Restart,
}

/// Why one record of a dead-letter batch was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Index in the batch.
    pub row: u32,
    pub code: String,
    pub message: String,
}

impl RecordError {
    pub fn new(row: u32, code: impl Into<String>, message: impl Into<String>) -> Self {
        RecordError { row, code: code.into(), message: message.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The value of a log field.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldValue {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

macro_rules! field_value_from {
    ($($from:ty => |$value:ident| $into:expr),+ $(,)?) => {
        $(impl From<$from> for FieldValue {
            fn from($value: $from) -> Self { $into }
        })+
    };
}

field_value_from! {
    &str => |value| FieldValue::Text(value.to_owned()),
    String => |value| FieldValue::Text(value),
    &String => |value| FieldValue::Text(value.clone()),
    bool => |value| FieldValue::Bool(value),
    i32 => |value| FieldValue::Int(value.into()),
    u32 => |value| FieldValue::Int(value.into()),
    i64 => |value| FieldValue::Int(value),
    u64 => |value| i64::try_from(value).map_or_else(|_| FieldValue::Text(value.to_string()), FieldValue::Int),
    usize => |value| (value as u64).into(),
    f64 => |value| FieldValue::Float(value),
    f32 => |value| FieldValue::Float(value.into()),
    Duration => |value| FieldValue::Float(value.as_secs_f64()),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// Added to the total.
    Counter(u64),
    /// Replaces the value.
    Gauge(f64),
    /// One observation.
    Histogram(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_values_round_trip_as_text() {
        for value in [
            CursorValue::Int64(-7),
            CursorValue::Utf8("é".into()),
            CursorValue::TimestampMillis(1),
            CursorValue::TimestampMicros(i64::MIN),
            CursorValue::Decimal("1.50".into()),
            CursorValue::Json("[1]".into()),
            CursorValue::Lsn(u64::MAX),
        ] {
            assert_eq!(CursorValue::from_parts(value.type_name(), &value.value_text()), Some(value));
        }
        assert_eq!(CursorValue::from_parts("int64", "x"), None);
        assert_eq!(CursorValue::from_parts("float", "1"), None);
    }

    #[test]
    fn batch_target_is_half_of_the_limit_at_most_two_megabytes() {
        let target = |max_batch_bytes| Limits { max_batch_bytes, ..Limits::default() }.batch_bytes_target();
        assert_eq!(target(64 << 20), 2 << 20);
        assert_eq!(target(1 << 20), 1 << 19);
        assert_eq!(target(0), 1);
    }

    #[test]
    fn requests_refuse_a_missing_stream_and_a_foreign_phase() {
        let request = RunRequest::discover();
        assert_eq!(request.stream().unwrap_err().code, "no_stream");
        assert_eq!(request.expect_phase(&[RunPhase::Read]).unwrap_err().code, "wrong_phase");
        assert!(request.expect_phase(&[RunPhase::Read, RunPhase::Discover]).is_ok());
    }
}
