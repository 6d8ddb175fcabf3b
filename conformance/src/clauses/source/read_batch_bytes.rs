//! `read-batch-bytes`: Batches stay within `max-batch-bytes`, and the limit changes how rows are cut, not which rows come.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-batch-bytes",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "Batches stay within `max-batch-bytes`, and the limit changes how rows are cut, not which \
                  rows come.",
    hint: "Cut batches by bytes, never by rows alone.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.streams().await? {
        let whole = subject.read(&ReadPlan::full(&stream)).await?.rows()?;
        let tight = ReadPlan { limits: limits::TIGHT, ..ReadPlan::full(&stream) };
        let run = subject.read(&tight).await?;
        if let Err(error) = &run.result {
            let (limit, kind) = (tight.limits.max_batch_bytes, error.kind());
            return broken(format!(
                "`{}` with batches of {limit} bytes: {kind}: {}",
                stream.name, error.message
            ));
        }
        if let Some(difference) = difference(&whole, &run.rows()?) {
            return broken(format!("`{}` in small batches: {difference}", stream.name));
        }
    }
    Ok(())
}
