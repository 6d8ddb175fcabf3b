//! `resume-future-cursor`: A run from the position behind the last record reads nothing, and so does one from far beyond.

use arrow_schema::DataType;
use rapidbyte_host::core::frame::decode_schema;
use rapidbyte_host::core::{CatalogStream, CursorValue};

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "resume-future-cursor",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "A run from the position behind the last record reads nothing, and so does one from far \
                  beyond.",
    hint: "Compare strictly greater, in the type of the column.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for (stream, field) in subject.incremental_streams().await? {
        let run = subject.read(&ReadPlan::incremental(&stream, &field, None)).await?;
        run.rows()?;
        let Some(last) = run.checkpoints().filter_map(|checkpoint| checkpoint.cursor.clone()).last() else {
            continue;
        };
        let beyond = match &last.value {
            CursorValue::Int64(_) => Some(CursorValue::Int64(greatest(&stream, &field))),
            // 9999-01-01
            CursorValue::TimestampMillis(_) => Some(CursorValue::TimestampMillis(253_370_764_800_000)),
            CursorValue::TimestampMicros(_) => Some(CursorValue::TimestampMicros(253_370_764_800_000_000)),
            CursorValue::Lsn(_) => Some(CursorValue::Lsn(u64::MAX)),
            CursorValue::Utf8(_) | CursorValue::Decimal(_) | CursorValue::Json(_) => None,
        };
        for position in std::iter::once(last.value).chain(beyond) {
            let text = position.value_text();
            let rows = subject.read(&ReadPlan::incremental(&stream, &field, Some(position))).await?.rows()?;
            ensure(rows.is_empty(), || {
                format!("`{}` from `{text}` still reads {} rows", stream.name, rows.len())
            })?;
        }
    }
    Ok(())
}

/// The greatest number that the cursor's column can have: no cursor of it lies beyond.
fn greatest(stream: &CatalogStream, field: &str) -> i64 {
    let schema = decode_schema(&stream.schema).ok();
    let kind =
        schema.as_ref().and_then(|schema| Some(schema.field_with_name(field).ok()?.data_type().clone()));
    match kind {
        Some(DataType::Int8) => i8::MAX.into(),
        Some(DataType::Int16) => i16::MAX.into(),
        Some(DataType::Int32) => i32::MAX.into(),
        _ => i64::MAX,
    }
}
