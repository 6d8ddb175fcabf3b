//! `transform-accounts`: The summary accounts for every row: in, what was taken; out, what was emitted; the rest are dead letters or filtered.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "transform-accounts",
    role: Some(ConnectorRole::Transform),
    severity: Severity::Warning,
    explanation: "The summary accounts for every row: in, what was taken; out, what was emitted; the rest \
                  are dead letters or filtered.",
    hint: "Count where you take and emit; in Rust `ctx.transform_summary()` does.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let feed =
        [Feed::Batch(sample::batch(&[1, 2, 3], 0)?), Feed::Batch(sample::batch(&[4], 0)?), Feed::Complete];
    let (run, _) = subject.transform(&sample::schema(), &feed).await?;
    let came = run.records();
    let Some(transform) = run.result?.transform else { return broken("the summary has no `transform`") };
    ensure(transform.records_in == 4, || format!("4 rows went in, {} are counted", transform.records_in))?;
    ensure(transform.records_out == came, || {
        format!("{came} rows came out, {} are counted", transform.records_out)
    })
}
