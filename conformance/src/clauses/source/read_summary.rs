//! `read-summary`: The summary of a read counts the records and batches that were emitted.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-summary",
    role: Some(ConnectorRole::Source),
    severity: Severity::Warning,
    explanation: "The summary of a read counts the records and batches that were emitted.",
    hint: "Count where you emit; in Rust `ctx.read_summary()` does.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.streams().await? {
        let run = subject.read(&ReadPlan::full(&stream)).await?;
        let (records, batches) = (run.records(), run.frames().count() as u64);
        let Some(read) = run.result?.read else { return broken("the summary has no `read`") };
        ensure(read.records == records && read.batches == batches, || {
            format!(
                "`{}`: {} records in {} batches are counted, {records} in {batches} came",
                stream.name, read.records, read.batches
            )
        })?;
    }
    Ok(())
}
