//! `write-empty-batches`: Batches without rows, streams without batches and checkpoints without rows are nothing special.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-empty-batches",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Error,
    explanation: "Batches without rows, streams without batches and checkpoints without rows are nothing \
                  special.",
    hint: "Skip empty batches; confirm checkpoints whether or not rows came.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let plan = WritePlan::new(subject, "empty", sample::schema(), subject.any_mode());
    let batch = sample::batch(&[1, 2], 0)?;
    let feed = [
        Feed::Batch(sample::empty()),
        Feed::Checkpoint,
        Feed::Batch(sample::empty()),
        Feed::Batch(batch.clone()),
        Feed::Batch(sample::empty()),
        Feed::Complete,
    ];
    subject.write_all(&plan, &feed).await?;
    subject.must_show(&plan, &rows_of_batch(&batch)?, "among batches without rows").await?;
    let bare = WritePlan::new(subject, "bare", sample::schema(), subject.any_mode());
    subject.write_all(&bare, &[Feed::Complete]).await?;
    subject.must_show(&bare, &[], "a stream without batches").await
}
