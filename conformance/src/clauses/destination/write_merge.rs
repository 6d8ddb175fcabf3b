//! `write-merge`: Merge gives an existing row the chosen columns of the new one and leaves the others; a new row comes whole.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-merge",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Merge gives an existing row the chosen columns of the new one and leaves the others; a \
                  new row comes whole.",
    hint: "Update `update-columns` only, where the key is there already.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.require_mode(WriteMode::Merge)?;
    let mut plan = WritePlan::new(subject, "merge", sample::schema(), WriteMode::Merge);
    plan.update_columns = vec!["name".to_owned(), "amount".to_owned()];
    let (old, new) = (sample::batch(&[1, 2], 0)?, sample::batch(&[2, 3], 1)?);
    subject.write_all(&plan, &[Feed::Batch(old.clone()), Feed::Checkpoint]).await?;
    subject.write_all(&plan, &[Feed::Batch(new.clone()), Feed::Checkpoint]).await?;
    let (old, new) = (rows_of_batch(&old)?, rows_of_batch(&new)?);
    let mut merged = old[1].clone();
    for column in &plan.update_columns {
        merged.insert(column.clone(), new[0][column].clone());
    }
    subject.must_show(&plan, &[old[0].clone(), merged, new[1].clone()], "after the second run").await
}
