//! `write-odd-identifiers`: Columns keep their names, with capitals, blanks, quotes and letters of other scripts.

use crate::clause::prelude::*;
use crate::rows::rows_of_batch;

pub const CLAUSE: Clause = Clause {
    name: "write-odd-identifiers",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "Columns keep their names, with capitals, blanks, quotes and letters of other scripts.",
    hint: "Quote identifiers; never change their case.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let batch = sample::odd_names()?;
    let plan = WritePlan::new(subject, "odd", batch.schema(), subject.any_mode());
    subject.write_all(&plan, &[Feed::Batch(batch.clone()), Feed::Complete]).await?;
    subject.must_show(&plan, &rows_of_batch(&batch)?, "columns with odd names").await
}
