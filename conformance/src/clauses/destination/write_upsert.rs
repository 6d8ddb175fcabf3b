//! `write-upsert`: Upsert keeps one row a key; of rows with the same key the last to arrive wins, within a batch, over batches and runs.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-upsert",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Upsert keeps one row a key; of rows with the same key the last to arrive wins, within a \
                  batch, over batches and runs.",
    hint: "Remove duplicates by key before merging, keeping the last.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.require_mode(WriteMode::Upsert)?;
    let plan = WritePlan::new(subject, "upsert", sample::schema(), WriteMode::Upsert);
    let (first, again, last) =
        (sample::batch(&[1, 2, 3, 2], 0)?, sample::batch(&[3, 4], 1)?, sample::batch(&[4, 1], 2)?);
    subject
        .write_all(&plan, &[Feed::Batch(first.clone()), Feed::Batch(again.clone()), Feed::Checkpoint])
        .await?;
    let keyed = |batches: &[&arrow_array::RecordBatch]| -> Result<Vec<Row>, Finding> {
        let mut rows = std::collections::BTreeMap::new();
        for batch in batches {
            for row in rows_of_batch(batch)? {
                rows.insert(row.get("id").cloned(), row);
            }
        }
        Ok(rows.into_values().collect())
    };
    subject.must_show(&plan, &keyed(&[&first, &again])?, "after the first run").await?;
    subject.write_all(&plan, &[Feed::Batch(last.clone()), Feed::Checkpoint]).await?;
    subject.must_show(&plan, &keyed(&[&first, &again, &last])?, "after the second run").await?;
    // The very same value twice in one batch, the second with other columns.
    let twice = sample::batch(&[9], 0)?;
    let newer = sample::batch(&[9], 5)?;
    let both = arrow_select::concat::concat_batches(&sample::schema(), [&twice, &newer])
        .map_err(|error| Finding::broken(error.to_string()))?;
    subject.write_all(&plan, &[Feed::Batch(both), Feed::Checkpoint]).await?;
    subject.must_show(&plan, &keyed(&[&first, &again, &last, &newer])?, "with a key twice in one batch").await
}
