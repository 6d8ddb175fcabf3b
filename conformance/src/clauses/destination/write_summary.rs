//! `write-summary`: The summary of a write counts the records that were taken.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "write-summary",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Warning,
    explanation: "The summary of a write counts the records that were taken.",
    hint: "Count where you take; in Rust `ctx.write_summary()` does.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let plan = WritePlan::new(subject, "summary", sample::schema(), subject.any_mode());
    let run = subject.write_all(&plan, &[Feed::Batch(sample::batch(&[1, 2, 3], 0)?), Feed::Complete]).await?;
    let Some(write) = run.result?.write else { return broken("the summary has no `write`") };
    ensure(write.records == 3, || format!("3 records were written, {} are counted", write.records))
}
