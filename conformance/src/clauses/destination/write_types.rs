//! `write-types`: Integers, floats, decimals, texts, bytes, dates and timestamps come back as they were written, at their extremes too.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-types",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Integers, floats, decimals, texts, bytes, dates and timestamps come back as they were \
                  written, at their extremes too.",
    hint: "Map each Arrow type to one that holds all its values, or refuse it before the first row.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let batch = sample::types()?;
    let plan = WritePlan::new(subject, "types", batch.schema(), subject.any_mode());
    subject.write_all(&plan, &[Feed::Batch(batch.clone()), Feed::Complete]).await?;
    subject.must_show(&plan, &rows_of_batch(&batch)?, "a column of each type").await
}
