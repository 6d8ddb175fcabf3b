//! `write-replace`: Replace leaves exactly the rows of the last run.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-replace",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Replace leaves exactly the rows of the last run.",
    hint: "Build the new contents aside and put them in place at the end.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.require_mode(WriteMode::Replace)?;
    let plan = WritePlan::new(subject, "replace", sample::schema(), WriteMode::Replace);
    let (old, new) = (sample::batch(&[1, 2, 3], 0)?, sample::batch(&[3, 4], 1)?);
    subject.write_all(&plan, &[Feed::Batch(old.clone()), Feed::Complete]).await?;
    subject.must_show(&plan, &rows_of_batch(&old)?, "after the first run").await?;
    subject.write_all(&plan, &[Feed::Batch(new.clone()), Feed::Complete]).await?;
    subject.must_show(&plan, &rows_of_batch(&new)?, "after the second run").await?;
    subject.write_all(&plan, &[Feed::Complete]).await?;
    subject.must_show(&plan, &[], "after a run without rows").await
}
