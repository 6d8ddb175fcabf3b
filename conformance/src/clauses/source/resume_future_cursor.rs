//! `resume-future-cursor`: A run from the position behind the last record reads nothing, and so does one from far beyond.

use rapidbyte_host::core::CursorValue;

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
        let Some(last) = run.checkpoints().filter_map(|checkpoint| checkpoint.cursor.clone()).last() else { continue };
        let beyond = match &last.value {
            CursorValue::Int64(_) => Some(CursorValue::Int64(i64::MAX)),
            // 9999-01-01
            CursorValue::TimestampMillis(_) => Some(CursorValue::TimestampMillis(253_370_764_800_000)),
            CursorValue::TimestampMicros(_) => Some(CursorValue::TimestampMicros(253_370_764_800_000_000)),
            CursorValue::Lsn(_) => Some(CursorValue::Lsn(u64::MAX)),
            CursorValue::Utf8(_) | CursorValue::Decimal(_) | CursorValue::Json(_) => None,
        };
        for position in std::iter::once(last.value).chain(beyond) {
            let text = position.value_text();
            let rows = subject.read(&ReadPlan::incremental(&stream, &field, Some(position))).await?.rows()?;
            ensure(rows.is_empty(), || format!("`{}` from `{text}` still reads {} rows", stream.name, rows.len()))?;
        }
    }
    Ok(())
}
