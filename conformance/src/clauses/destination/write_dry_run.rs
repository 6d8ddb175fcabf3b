//! `write-dry-run`: A dry run changes nothing.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "write-dry-run",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Error,
    explanation: "A dry run changes nothing.",
    hint: "Return before the first change when `dry-run` is set.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let plan = WritePlan::new(subject, "dry", sample::schema(), subject.any_mode());
    let dry = WritePlan { dry_run: true, ..plan.clone() };
    subject.write(&dry, &[Feed::Batch(sample::batch(&[1], 0)?), Feed::Complete]).await?.result?;
    let rows = subject.visible(&plan).await?.unwrap_or_default();
    ensure(rows.is_empty(), || format!("a dry run wrote {} rows", rows.len()))
}
