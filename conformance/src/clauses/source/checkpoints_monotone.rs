//! `checkpoints-monotone`: Cursors of a run only grow, are of one type, and stand behind what they cover.

use rapidbyte_host::core::CursorValue;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "checkpoints-monotone",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "Cursors of a run only grow, are of one type, and stand behind what they cover.",
    hint: "Read in order of the cursor.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for (stream, field) in subject.incremental_streams().await? {
        let mut plan = ReadPlan::incremental(&stream, &field, None);
        let total = subject.read(&plan).await?.rows()?.len() as u64;
        plan.limits.checkpoint_interval_rows = (total / limits::CHECKPOINTS_AIM).max(1);
        let run = subject.read(&plan).await?;
        run.rows()?;
        let mut earlier: Vec<CursorValue> = Vec::new();
        for cursor in run.checkpoints().filter_map(|checkpoint| checkpoint.cursor.as_ref()) {
            let value = &cursor.value;
            if let Some(last) = earlier.last() {
                ensure(last.type_name() == value.type_name(), || {
                    format!(
                        "`{}`: a cursor is `{}`, the one before `{}`",
                        stream.name,
                        value.type_name(),
                        last.type_name()
                    )
                })?;
                ensure(!falls(last, value), || {
                    format!(
                        "`{}`: the cursor falls from `{}` to `{}`",
                        stream.name,
                        last.value_text(),
                        value.value_text()
                    )
                })?;
                // What cannot be compared must at least never come back.
                ensure(last == value || !earlier.contains(value), || {
                    format!("`{}`: the cursor comes back to `{}`", stream.name, value.value_text())
                })?;
            }
            earlier.push(value.clone());
        }
    }
    Ok(())
}

fn falls(last: &CursorValue, next: &CursorValue) -> bool {
    use CursorValue::*;
    match (last, next) {
        (Int64(a), Int64(b))
        | (TimestampMillis(a), TimestampMillis(b))
        | (TimestampMicros(a), TimestampMicros(b)) => b < a,
        (Lsn(a), Lsn(b)) => b < a,
        _ => false,
    }
}
