//! `replace-interrupted`: A replace that is broken off leaves the old rows, all of them and alone; the next one that ends is exact.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "replace-interrupted",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "A replace that is broken off leaves the old rows, all of them and alone; the next one \
                  that ends is exact.",
    hint: "Swap in one step at the complete checkpoint, never at an earlier one.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.require_mode(WriteMode::Replace)?;
    let plan = WritePlan::new(subject, "interrupted", sample::schema(), WriteMode::Replace);
    let (old, new) = (sample::batch(&[1, 2, 3], 0)?, sample::batch(&[7, 8], 1)?);
    subject.write_all(&plan, &[Feed::Batch(old.clone()), Feed::Complete]).await?;
    // How it ends is not the question: its stream was broken off.
    let run = subject.write(&plan, &[Feed::Batch(new.clone()), Feed::Checkpoint, Feed::Broken]).await?;
    ensure(run.result.is_err(), || "a stream that was broken off is written with success".to_owned())?;
    subject.must_show(&plan, &rows_of_batch(&old)?, "after a replace that was broken off").await?;
    // The user starts over: the engine says `restart` to the complete receipt.
    let fresh = WritePlan { pipeline: subject.fresh_name("pipeline"), ..plan };
    subject.write_all(&fresh, &[Feed::Batch(new.clone()), Feed::Complete]).await?;
    subject.must_show(&fresh, &rows_of_batch(&new)?, "after the next replace").await
}
