//! `write-nulls`: NULL stays NULL in every column, and the empty text stays the empty text.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-nulls",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "NULL stays NULL in every column, and the empty text stays the empty text.",
    hint: "Write NULL apart from every value.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let plan = WritePlan::new(subject, "nulls", sample::schema(), subject.any_mode());
    let batch = sample::nulls()?;
    subject.write_all(&plan, &[Feed::Batch(batch.clone()), Feed::Complete]).await?;
    subject.must_show(&plan, &rows_of_batch(&batch)?, "rows with NULLs").await
}
