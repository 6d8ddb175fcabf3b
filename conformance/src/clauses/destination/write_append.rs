//! `write-append`: Append adds exactly the rows that came, over batches, checkpoints and runs.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-append",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Append adds exactly the rows that came, over batches, checkpoints and runs.",
    hint: "Commit what came before a checkpoint, all of it, and nothing else.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.require_mode(WriteMode::Append)?;
    let plan = WritePlan::new(subject, "append", sample::schema(), WriteMode::Append);
    let (one, two, three) =
        (sample::batch(&[1, 2, 3], 0)?, sample::batch(&[4], 0)?, sample::batch(&[3, 5], 1)?);
    subject
        .write_all(
            &plan,
            &[Feed::Batch(one.clone()), Feed::Checkpoint, Feed::Batch(two.clone()), Feed::Checkpoint],
        )
        .await?;
    let mut expected = rows_of_batch(&one)?;
    expected.extend(rows_of_batch(&two)?);
    subject.must_show(&plan, &expected, "after the first run").await?;
    subject.write_all(&plan, &[Feed::Batch(three.clone()), Feed::Checkpoint]).await?;
    expected.extend(rows_of_batch(&three)?);
    subject.must_show(&plan, &expected, "after the second run").await
}
