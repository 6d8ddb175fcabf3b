//! Between the SDK's records and the generated ones. Nothing is dropped and nothing invented, save what the SDK owes the
//! host: role and protocol version.

use super::bindings::rapidbyte::connector::{core_types, host_io, stream_types, telemetry};
use crate::batch::{schema_from_ipc, schema_to_ipc};
use crate::error::{BackoffClass, CommitState, ConnectorError, ErrorCategory, ErrorScope};
use crate::events::{CheckpointKind, CheckpointReply};
use crate::net::{TlsInfo, TlsOptions, TlsVerification};
use crate::types::*;

macro_rules! words {
    ($from_wit:ident, $to_wit:ident, $sdk:ident = $wit:path { $($variant:ident),+ $(,)? }) => {
        words!(@from $from_wit, $sdk = $wit { $($variant),+ });
        words!(@to $to_wit, $sdk = $wit { $($variant),+ });
    };
    (@from $from_wit:ident, $sdk:ident = $wit:path { $($variant:ident),+ }) => {
        pub(super) fn $from_wit(value: $wit) -> $sdk {
            use $wit as Wit;
            match value { $(Wit::$variant => $sdk::$variant),+ }
        }
    };
    (@to $to_wit:ident, $sdk:ident = $wit:path { $($variant:ident),+ }) => {
        pub(super) fn $to_wit(value: $sdk) -> $wit {
            use $wit as Wit;
            match value { $($sdk::$variant => Wit::$variant),+ }
        }
    };
}

words!(
    category_from_wit,
    category_to_wit,
    ErrorCategory = core_types::ErrorCategory {
        Config,
        Auth,
        Permission,
        RateLimit,
        TransientNetwork,
        TransientDb,
        Data,
        Schema,
        Internal,
        Frame,
    }
);
words!(
    error_scope_from_wit,
    error_scope_to_wit,
    ErrorScope = core_types::ErrorScope { PerStream, PerBatch, PerRecord }
);
words!(backoff_from_wit, backoff_to_wit, BackoffClass = core_types::BackoffClass { Fast, Normal, Slow });
words!(
    commit_from_wit,
    commit_to_wit,
    CommitState = core_types::CommitState { BeforeCommit, AfterCommitUnknown, AfterCommitConfirmed }
);
words!(
    sync_mode_from_wit,
    sync_mode_to_wit,
    SyncMode = stream_types::SyncMode { FullRefresh, Incremental, Cdc }
);
words!(@from write_mode_from_wit, WriteMode = stream_types::WriteMode { Append, Replace, Upsert, Merge });
words!(@from phase_from_wit, RunPhase = core_types::RunPhase { Discover, Read, Write, Transform, Partition });
words!(@from data_error_from_wit, DataErrorPolicy = stream_types::DataErrorPolicy { Fail, Skip, Dlq });
words!(@from new_column_from_wit, NewColumnPolicy = stream_types::NewColumnPolicy { Add, Ignore, Fail });
words!(@from removed_column_from_wit, RemovedColumnPolicy = stream_types::RemovedColumnPolicy { Ignore, Drop, Fail });
words!(@from type_change_from_wit, TypeChangePolicy = stream_types::TypeChangePolicy { Coerce, Fail, Ignore, Null });
words!(@from nullability_from_wit, NullabilityChangePolicy = stream_types::NullabilityChangePolicy { Allow, Fail });
words!(@from reply_from_wit, CheckpointReply = telemetry::CheckpointReply { Accepted, Resume, Restart });
words!(@to kind_to_wit, CheckpointKind = telemetry::CheckpointKind { Source, Transform, Destination, Receipt });
words!(@to log_level_to_wit, LogLevel = telemetry::LogLevel { Trace, Debug, Info, Warn, Error });
words!(@to scope_to_wit, StateScope = host_io::StateScope { Pipeline, Stream, ConnectorInstance });
words!(@to role_to_wit, ConnectorRole = core_types::ConnectorRole { Source, Destination, Transform });
words!(@to status_to_wit, ValidationStatus = core_types::ValidationStatus { Success, Failed, Warning });
words!(@to verification_to_wit, TlsVerification = host_io::TlsVerification { Full, Chain, None });

pub(super) fn error_from_wit(error: core_types::ConnectorError) -> ConnectorError {
    ConnectorError {
        category: category_from_wit(error.category),
        scope: error_scope_from_wit(error.scope),
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        backoff: backoff_from_wit(error.backoff),
        safe_to_retry: error.safe_to_retry,
        commit: error.commit.map(commit_from_wit),
        details: error.details,
    }
}

pub(super) fn error_to_wit(error: ConnectorError) -> core_types::ConnectorError {
    core_types::ConnectorError {
        category: category_to_wit(error.category),
        scope: error_scope_to_wit(error.scope),
        code: error.code,
        message: error.message,
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        backoff: backoff_to_wit(error.backoff),
        safe_to_retry: error.safe_to_retry,
        commit: error.commit.map(commit_to_wit),
        details: error.details,
    }
}

fn limits_from_wit(limits: core_types::Limits) -> Limits {
    Limits {
        max_batch_bytes: limits.max_batch_bytes,
        max_record_bytes: limits.max_record_bytes,
        max_inflight_batches: limits.max_inflight_batches,
        checkpoint_interval_bytes: limits.checkpoint_interval_bytes,
        checkpoint_interval_rows: limits.checkpoint_interval_rows,
        checkpoint_interval_seconds: limits.checkpoint_interval_seconds,
    }
}

fn limits_to_wit(limits: Limits) -> core_types::Limits {
    core_types::Limits {
        max_batch_bytes: limits.max_batch_bytes,
        max_record_bytes: limits.max_record_bytes,
        max_inflight_batches: limits.max_inflight_batches,
        checkpoint_interval_bytes: limits.checkpoint_interval_bytes,
        checkpoint_interval_rows: limits.checkpoint_interval_rows,
        checkpoint_interval_seconds: limits.checkpoint_interval_seconds,
    }
}

fn capabilities_to_wit(from: Capabilities) -> core_types::Capabilities {
    use core_types::Capabilities as Flags;
    [
        (from.full_refresh, Flags::FULL_REFRESH),
        (from.incremental, Flags::INCREMENTAL),
        (from.cdc, Flags::CDC),
        (from.projection, Flags::PROJECTION),
        (from.filter, Flags::FILTER),
        (from.partitions, Flags::PARTITIONS),
        (from.append, Flags::APPEND),
        (from.replace, Flags::REPLACE),
        (from.upsert, Flags::UPSERT),
        (from.merge, Flags::MERGE),
        (from.transactional, Flags::TRANSACTIONAL),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .fold(Flags::empty(), |all, (_, flag)| all | flag)
}

pub(super) fn open_info_to_wit(role: ConnectorRole, info: OpenInfo) -> core_types::OpenInfo {
    core_types::OpenInfo {
        connector_id: info.connector_id,
        role: role_to_wit(role),
        protocol_version: PROTOCOL_VERSION.to_owned(),
        capabilities: capabilities_to_wit(info.capabilities),
        default_limits: info.default_limits.map(limits_to_wit),
    }
}

pub(super) fn report_to_wit(report: ValidationReport) -> core_types::ValidationReport {
    core_types::ValidationReport {
        status: status_to_wit(report.status),
        message: report.message,
        warnings: report.warnings,
    }
}

fn cursor_value_from_wit(value: stream_types::CursorValue) -> CursorValue {
    use stream_types::CursorValue as Wit;
    match value {
        Wit::Int64(value) => CursorValue::Int64(value),
        Wit::Utf8(value) => CursorValue::Utf8(value),
        Wit::TimestampMillis(value) => CursorValue::TimestampMillis(value),
        Wit::TimestampMicros(value) => CursorValue::TimestampMicros(value),
        Wit::Decimal(value) => CursorValue::Decimal(value),
        Wit::Json(value) => CursorValue::Json(value),
        Wit::Lsn(value) => CursorValue::Lsn(value),
    }
}

fn cursor_value_to_wit(value: &CursorValue) -> stream_types::CursorValue {
    use stream_types::CursorValue as Wit;
    match value {
        CursorValue::Int64(value) => Wit::Int64(*value),
        CursorValue::Utf8(value) => Wit::Utf8(value.clone()),
        CursorValue::TimestampMillis(value) => Wit::TimestampMillis(*value),
        CursorValue::TimestampMicros(value) => Wit::TimestampMicros(*value),
        CursorValue::Decimal(value) => Wit::Decimal(value.clone()),
        CursorValue::Json(value) => Wit::Json(value.clone()),
        CursorValue::Lsn(value) => Wit::Lsn(*value),
    }
}

pub(super) fn checkpoint_from_wit(event: telemetry::CheckpointEvent) -> Checkpoint {
    Checkpoint {
        id: event.id,
        stream: event.stream,
        cursor: event
            .cursor
            .map(|cursor| Cursor { field: cursor.field, value: cursor_value_from_wit(cursor.value) }),
        records: event.records,
        bytes: event.bytes,
        complete: event.complete,
    }
}

pub(super) fn checkpoint_to_wit(kind: CheckpointKind, checkpoint: &Checkpoint) -> telemetry::CheckpointEvent {
    telemetry::CheckpointEvent {
        kind: kind_to_wit(kind),
        stream: checkpoint.stream.clone(),
        id: checkpoint.id,
        cursor: checkpoint.cursor.as_ref().map(|cursor| stream_types::Cursor {
            field: cursor.field.clone(),
            value: cursor_value_to_wit(&cursor.value),
        }),
        records: checkpoint.records,
        bytes: checkpoint.bytes,
        complete: checkpoint.complete,
    }
}

pub(super) fn metric_value_to_wit(value: MetricValue) -> telemetry::MetricValue {
    match value {
        MetricValue::Counter(value) => telemetry::MetricValue::Counter(value),
        MetricValue::Gauge(value) => telemetry::MetricValue::Gauge(value),
        MetricValue::Histogram(value) => telemetry::MetricValue::Histogram(value),
    }
}

pub(super) fn field_value_to_wit(value: &FieldValue) -> telemetry::FieldValue {
    match value {
        FieldValue::Text(value) => telemetry::FieldValue::Text(value.clone()),
        FieldValue::Int(value) => telemetry::FieldValue::Int(*value),
        FieldValue::Float(value) => telemetry::FieldValue::Float(*value),
        FieldValue::Bool(value) => telemetry::FieldValue::Boolean(*value),
    }
}

pub(super) fn record_error_to_wit(error: RecordError) -> telemetry::RecordError {
    telemetry::RecordError { row: error.row, code: error.code, message: error.message }
}

pub(super) fn tls_options_to_wit(options: TlsOptions) -> host_io::TlsOptions {
    host_io::TlsOptions {
        server_name: options.server_name,
        verification: verification_to_wit(options.verification),
        roots_pem: options.roots_pem,
        alpn: options.alpn,
    }
}

pub(super) fn tls_info_from_wit(info: host_io::TlsInfo) -> TlsInfo {
    TlsInfo { alpn: info.alpn, channel_binding: info.channel_binding }
}

pub(super) fn request_from_wit(request: stream_types::RunRequest) -> Result<RunRequest, ConnectorError> {
    Ok(RunRequest {
        stream: request.stream.map(stream_from_wit).transpose()?,
        phase: phase_from_wit(request.phase),
        dry_run: request.dry_run,
        max_records: request.max_records,
    })
}

fn stream_from_wit(stream: stream_types::StreamContext) -> Result<StreamContext, ConnectorError> {
    Ok(StreamContext {
        pipeline: stream.pipeline,
        schema: schema_from_ipc(stream.schema)
            .map_err(|error| error.context(format_args!("stream `{}`", stream.name)))?,
        name: stream.name,
        sync_mode: sync_mode_from_wit(stream.sync_mode),
        cursor: stream.cursor.map(|spec| CursorSpec { field: spec.field, tie_breaker: spec.tie_breaker }),
        position: stream.position.map(cursor_value_from_wit),
        columns: stream.columns,
        filter: stream.filter,
        write: stream.write.map(|plan| WritePlan {
            mode: write_mode_from_wit(plan.mode),
            primary_key: plan.primary_key,
            update_columns: plan.update_columns,
        }),
        partition: Partition {
            index: stream.partition.index,
            count: stream.partition.count,
            range: stream.partition.range.map(range_from_wit),
            floor: stream.partition.floor,
        },
        snapshot: stream.snapshot,
        partition_key: stream.partition_key,
        limits: limits_from_wit(stream.limits),
        policies: Policies {
            on_data_error: data_error_from_wit(stream.policies.on_data_error),
            new_column: new_column_from_wit(stream.policies.new_column),
            removed_column: removed_column_from_wit(stream.policies.removed_column),
            type_change: type_change_from_wit(stream.policies.type_change),
            nullability_change: nullability_from_wit(stream.policies.nullability_change),
        },
    })
}

pub(super) fn summary_to_wit(
    role: ConnectorRole,
    summary: RunSummary,
) -> Result<stream_types::RunSummary, ConnectorError> {
    Ok(stream_types::RunSummary {
        role: role_to_wit(role),
        read: summary.read.map(|read| stream_types::ReadSummary {
            records: read.records,
            bytes: read.bytes,
            batches: read.batches,
            checkpoints: read.checkpoints,
            skipped: read.skipped,
        }),
        write: summary.write.map(|write| stream_types::WriteSummary {
            records: write.records,
            bytes: write.bytes,
            batches: write.batches,
            checkpoints: write.checkpoints,
            failed: write.failed,
        }),
        transform: summary.transform.map(|transform| stream_types::TransformSummary {
            records_in: transform.records_in,
            records_out: transform.records_out,
            bytes_in: transform.bytes_in,
            bytes_out: transform.bytes_out,
            batches: transform.batches,
        }),
        catalog: summary.catalog.map(catalog_to_wit).transpose()?,
        partition_plan: summary.partition_plan.map(|plan| stream_types::PartitionPlan {
            snapshot: plan.snapshot,
            ranges: plan.ranges.iter().map(range_to_wit).collect(),
        }),
    })
}

fn range_from_wit(range: stream_types::PartitionRange) -> PartitionRange {
    PartitionRange {
        field: range.field,
        lower: range.lower.map(cursor_value_from_wit),
        upper: range.upper.map(cursor_value_from_wit),
        nulls: range.nulls,
    }
}

fn range_to_wit(range: &PartitionRange) -> stream_types::PartitionRange {
    stream_types::PartitionRange {
        field: range.field.clone(),
        lower: range.lower.as_ref().map(cursor_value_to_wit),
        upper: range.upper.as_ref().map(cursor_value_to_wit),
        nulls: range.nulls,
    }
}

fn catalog_to_wit(catalog: Catalog) -> Result<stream_types::Catalog, ConnectorError> {
    let streams = catalog.streams.into_iter().map(|stream| {
        Ok(stream_types::CatalogStream {
            schema: schema_to_ipc(&stream.schema)
                .map_err(|error| error.context(format_args!("stream `{}`", stream.name)))?,
            name: stream.name,
            primary_key: stream.primary_key,
            cursor_fields: stream.cursor_fields,
            sync_modes: stream.sync_modes.into_iter().map(sync_mode_to_wit).collect(),
            estimated_rows: stream.estimated_rows,
            estimated_bytes: stream.estimated_bytes,
        })
    });
    Ok(stream_types::Catalog { streams: streams.collect::<Result<_, ConnectorError>>()? })
}
