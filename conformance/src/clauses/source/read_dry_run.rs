//! `read-dry-run`: A dry run connects and prepares, and emits neither records nor checkpoints.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-dry-run",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "A dry run connects and prepares, and emits neither records nor checkpoints.",
    hint: "Return before the first batch when `dry-run` is set.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.streams().await? {
        let run = subject.read(&ReadPlan { dry_run: true, ..ReadPlan::full(&stream) }).await?;
        let (records, checkpoints) = (run.records(), run.checkpoints().count());
        run.result?;
        ensure(records == 0 && checkpoints == 0, || {
            format!("`{}`: {records} records and {checkpoints} checkpoints in a dry run", stream.name)
        })?;
    }
    Ok(())
}
