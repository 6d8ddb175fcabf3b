//! Between the generated bindings and `rapidbyte_core::contract`, one to one. What comes from a guest passes the
//! [`Washer`] here, so that no text of a guest enters the host uncut or with a secret in it.

use bytes::Bytes;
use rapidbyte_core as core;
use rapidbyte_core::ConnectorError;
use rapidbyte_core::limits::CATALOG_STREAMS_MAX;

use crate::bindings::{core_types as wc, stream_types as ws, telemetry as wt};
use crate::limits::WARNINGS_MAX;
use crate::wash::Washer;

/// Two enums with the same variants, in both directions.
macro_rules! enums {
    ($($wit:path = $core:path { $($variant:ident),+ $(,)? })+) => {$(
        impl From<$wit> for $core {
            fn from(value: $wit) -> Self {
                match value { $(<$wit>::$variant => <$core>::$variant),+ }
            }
        }
        impl From<$core> for $wit {
            fn from(value: $core) -> Self {
                match value { $(<$core>::$variant => <$wit>::$variant),+ }
            }
        }
    )+};
}

enums! {
    wc::ConnectorRole = core::ConnectorRole { Source, Destination, Transform }
    wc::RunPhase = core::RunPhase { Discover, Read, Write, Transform, Partition }
    wc::ErrorCategory = core::ErrorCategory {
        Config, Auth, Permission, RateLimit, TransientNetwork, TransientDb, Data, Schema, Internal, Frame,
    }
    wc::ErrorScope = core::ErrorScope { PerStream, PerBatch, PerRecord }
    wc::BackoffClass = core::BackoffClass { Fast, Normal, Slow }
    wc::CommitState = core::CommitState { BeforeCommit, AfterCommitUnknown, AfterCommitConfirmed }
    wc::ValidationStatus = core::ValidationStatus { Success, Failed, Warning }
    ws::SyncMode = core::SyncMode { FullRefresh, Incremental, Cdc }
    ws::WriteMode = core::WriteMode { Append, Replace, Upsert, Merge }
    ws::DataErrorPolicy = core::DataErrorPolicy { Fail, Skip, Dlq }
    ws::NewColumnPolicy = core::NewColumnPolicy { Add, Ignore, Fail }
    ws::RemovedColumnPolicy = core::RemovedColumnPolicy { Ignore, Drop, Fail }
    ws::TypeChangePolicy = core::TypeChangePolicy { Coerce, Fail, Ignore, Null }
    ws::NullabilityChangePolicy = core::NullabilityChangePolicy { Allow, Fail }
    wt::CheckpointKind = core::CheckpointKind { Source, Transform, Destination, Receipt }
    wt::CheckpointReply = core::CheckpointReply { Accepted, Resume, Restart }
    wt::LogLevel = core::LogLevel { Trace, Debug, Info, Warn, Error }
}

// ---- To the guest ---------------------------------------------------------------------------------

impl From<core::Limits> for wc::Limits {
    fn from(limits: core::Limits) -> Self {
        wc::Limits {
            max_batch_bytes: limits.max_batch_bytes,
            max_record_bytes: limits.max_record_bytes,
            max_inflight_batches: limits.max_inflight_batches,
            checkpoint_interval_bytes: limits.checkpoint_interval_bytes,
            checkpoint_interval_rows: limits.checkpoint_interval_rows,
            checkpoint_interval_seconds: limits.checkpoint_interval_seconds,
        }
    }
}

impl From<core::CursorValue> for ws::CursorValue {
    fn from(value: core::CursorValue) -> Self {
        use core::CursorValue as C;
        match value {
            C::Int64(v) => ws::CursorValue::Int64(v),
            C::Utf8(v) => ws::CursorValue::Utf8(v),
            C::TimestampMillis(v) => ws::CursorValue::TimestampMillis(v),
            C::TimestampMicros(v) => ws::CursorValue::TimestampMicros(v),
            C::Decimal(v) => ws::CursorValue::Decimal(v),
            C::Json(v) => ws::CursorValue::Json(v),
            C::Lsn(v) => ws::CursorValue::Lsn(v),
        }
    }
}

impl From<ws::CursorValue> for core::CursorValue {
    fn from(value: ws::CursorValue) -> Self {
        use core::CursorValue as C;
        match value {
            ws::CursorValue::Int64(v) => C::Int64(v),
            ws::CursorValue::Utf8(v) => C::Utf8(v),
            ws::CursorValue::TimestampMillis(v) => C::TimestampMillis(v),
            ws::CursorValue::TimestampMicros(v) => C::TimestampMicros(v),
            ws::CursorValue::Decimal(v) => C::Decimal(v),
            ws::CursorValue::Json(v) => C::Json(v),
            ws::CursorValue::Lsn(v) => C::Lsn(v),
        }
    }
}

impl From<core::Cursor> for ws::Cursor {
    fn from(cursor: core::Cursor) -> Self {
        ws::Cursor { field: cursor.field, value: cursor.value.into() }
    }
}

impl From<ws::Cursor> for core::Cursor {
    fn from(cursor: ws::Cursor) -> Self {
        core::Cursor { field: cursor.field, value: cursor.value.into() }
    }
}

impl From<core::CheckpointEvent> for wt::CheckpointEvent {
    fn from(event: core::CheckpointEvent) -> Self {
        wt::CheckpointEvent {
            kind: event.kind.into(),
            stream: event.stream,
            id: event.id,
            cursor: event.cursor.map(Into::into),
            records: event.records,
            bytes: event.bytes,
            complete: event.complete,
        }
    }
}

impl From<wt::CheckpointEvent> for core::CheckpointEvent {
    fn from(event: wt::CheckpointEvent) -> Self {
        core::CheckpointEvent {
            kind: event.kind.into(),
            stream: event.stream,
            id: event.id,
            cursor: event.cursor.map(Into::into),
            records: event.records,
            bytes: event.bytes,
            complete: event.complete,
        }
    }
}

impl From<core::Policies> for ws::Policies {
    fn from(policies: core::Policies) -> Self {
        ws::Policies {
            on_data_error: policies.on_data_error.into(),
            new_column: policies.new_column.into(),
            removed_column: policies.removed_column.into(),
            type_change: policies.type_change.into(),
            nullability_change: policies.nullability_change.into(),
        }
    }
}

impl From<core::PartitionRange> for ws::PartitionRange {
    fn from(range: core::PartitionRange) -> Self {
        ws::PartitionRange {
            field: range.field,
            lower: range.lower.map(Into::into),
            upper: range.upper.map(Into::into),
            nulls: range.nulls,
        }
    }
}

impl From<ws::PartitionRange> for core::PartitionRange {
    fn from(range: ws::PartitionRange) -> Self {
        core::PartitionRange {
            field: range.field,
            lower: range.lower.map(Into::into),
            upper: range.upper.map(Into::into),
            nulls: range.nulls,
        }
    }
}

impl From<core::Partition> for ws::Partition {
    fn from(partition: core::Partition) -> Self {
        ws::Partition {
            index: partition.index,
            count: partition.count,
            range: partition.range.map(Into::into),
            floor: partition.floor,
        }
    }
}

impl From<core::StreamContext> for ws::StreamContext {
    fn from(context: core::StreamContext) -> Self {
        ws::StreamContext {
            pipeline: context.pipeline,
            name: context.name,
            schema: context.schema.into(),
            sync_mode: context.sync_mode.into(),
            cursor: context
                .cursor
                .map(|spec| ws::CursorSpec { field: spec.field, tie_breaker: spec.tie_breaker }),
            position: context.position.map(Into::into),
            columns: context.columns,
            filter: context.filter,
            write: context.write.map(|plan| ws::WritePlan {
                mode: plan.mode.into(),
                primary_key: plan.primary_key,
                update_columns: plan.update_columns,
            }),
            partition: context.partition.into(),
            snapshot: context.snapshot,
            partition_key: context.partition_key,
            limits: context.limits.into(),
            policies: context.policies.into(),
        }
    }
}

impl From<core::RunRequest> for ws::RunRequest {
    fn from(request: core::RunRequest) -> Self {
        ws::RunRequest {
            stream: request.stream.map(Into::into),
            phase: request.phase.into(),
            dry_run: request.dry_run,
            max_records: request.max_records,
        }
    }
}

/// An error of the host, as a guest sees it.
impl From<ConnectorError> for wc::ConnectorError {
    fn from(error: ConnectorError) -> Self {
        wc::ConnectorError {
            category: error.category.into(),
            scope: error.scope.into(),
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            backoff: error.backoff.into(),
            safe_to_retry: error.safe_to_retry,
            commit: error.commit.map(Into::into),
            details: error.details,
        }
    }
}

// ---- From the guest -------------------------------------------------------------------------------

/// An error of a guest, cut and without secrets.
pub fn guest_error(washer: &Washer, error: wc::ConnectorError) -> ConnectorError {
    ConnectorError {
        category: error.category.into(),
        scope: error.scope.into(),
        code: washer.name(&error.code),
        message: washer.message(&error.message),
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
        backoff: error.backoff.into(),
        safe_to_retry: error.safe_to_retry,
        commit: error.commit.map(Into::into),
        details: error.details.map(|details| washer.details(&details)),
    }
}

fn limits(limits: wc::Limits) -> core::Limits {
    core::Limits {
        max_batch_bytes: limits.max_batch_bytes,
        max_record_bytes: limits.max_record_bytes,
        max_inflight_batches: limits.max_inflight_batches,
        checkpoint_interval_bytes: limits.checkpoint_interval_bytes,
        checkpoint_interval_rows: limits.checkpoint_interval_rows,
        checkpoint_interval_seconds: limits.checkpoint_interval_seconds,
    }
}

pub fn open_info(washer: &Washer, info: wc::OpenInfo) -> core::OpenInfo {
    let has = |flag| info.capabilities.contains(flag);
    use wc::Capabilities as C;
    core::OpenInfo {
        connector_id: washer.name(&info.connector_id),
        role: info.role.into(),
        protocol_version: washer.name(&info.protocol_version),
        capabilities: core::Capabilities {
            full_refresh: has(C::FULL_REFRESH),
            incremental: has(C::INCREMENTAL),
            cdc: has(C::CDC),
            projection: has(C::PROJECTION),
            filter: has(C::FILTER),
            partitions: has(C::PARTITIONS),
            append: has(C::APPEND),
            replace: has(C::REPLACE),
            upsert: has(C::UPSERT),
            merge: has(C::MERGE),
            transactional: has(C::TRANSACTIONAL),
        },
        default_limits: info.default_limits.map(limits),
    }
}

pub fn validation_report(washer: &Washer, report: wc::ValidationReport) -> core::ValidationReport {
    core::ValidationReport {
        status: report.status.into(),
        message: washer.message(&report.message),
        warnings: report.warnings.iter().take(WARNINGS_MAX).map(|text| washer.message(text)).collect(),
    }
}

/// A summary with its catalog; the catalog's schemas are readable Arrow or this is an error that names the stream.
pub fn run_summary(washer: &Washer, summary: ws::RunSummary) -> Result<core::RunSummary, ConnectorError> {
    Ok(core::RunSummary {
        role: summary.role.into(),
        read: summary.read.map(|read| core::ReadSummary {
            records: read.records,
            bytes: read.bytes,
            batches: read.batches,
            checkpoints: read.checkpoints,
            skipped: read.skipped,
        }),
        write: summary.write.map(|write| core::WriteSummary {
            records: write.records,
            bytes: write.bytes,
            batches: write.batches,
            checkpoints: write.checkpoints,
            failed: write.failed,
        }),
        transform: summary.transform.map(|transform| core::TransformSummary {
            records_in: transform.records_in,
            records_out: transform.records_out,
            bytes_in: transform.bytes_in,
            bytes_out: transform.bytes_out,
            batches: transform.batches,
        }),
        catalog: summary.catalog.map(|catalog| self::catalog(washer, catalog)).transpose()?,
        partition_plan: summary.partition_plan.map(|plan| core::PartitionPlan {
            snapshot: plan.snapshot,
            ranges: plan.ranges.into_iter().map(Into::into).collect(),
        }),
    })
}

fn catalog(washer: &Washer, catalog: ws::Catalog) -> Result<core::Catalog, ConnectorError> {
    if catalog.streams.len() > CATALOG_STREAMS_MAX {
        return Err(ConnectorError::internal(
            "catalog_too_large",
            format!("the catalog has {} streams, at most {CATALOG_STREAMS_MAX} fit", catalog.streams.len()),
        ));
    }
    let stream = |stream: ws::CatalogStream| {
        if let Err(error) = core::frame::decode_schema(&stream.schema) {
            return Err(ConnectorError::internal(
                "catalog_schema",
                format!("the schema of stream `{}` is not readable: {error}", washer.name(&stream.name)),
            ));
        }
        Ok(core::CatalogStream {
            name: stream.name,
            schema: Bytes::from(stream.schema),
            primary_key: stream.primary_key,
            cursor_fields: stream.cursor_fields,
            sync_modes: stream.sync_modes.into_iter().map(Into::into).collect(),
            estimated_rows: stream.estimated_rows,
            estimated_bytes: stream.estimated_bytes,
        })
    };
    Ok(core::Catalog { streams: catalog.streams.into_iter().map(stream).collect::<Result<_, _>>()? })
}
