//! `transform-deterministic`: The same rows give the same rows, however they are cut into batches.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "transform-deterministic",
    role: Some(ConnectorRole::Transform),
    severity: Severity::Critical,
    explanation: "The same rows give the same rows, however they are cut into batches.",
    hint: "Keep no state from batch to batch that rows are changed by, and use neither clock nor \
                  chance.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let (one, two) = (sample::batch(&[1, 2, 3], 0)?, sample::batch(&[4, 5], 1)?);
    let both = arrow_select::concat::concat_batches(&sample::schema(), [&one, &two])
        .map_err(|error| Finding::broken(error.to_string()))?;
    let whole =
        subject.transform(&sample::schema(), &[Feed::Batch(both.clone()), Feed::Complete]).await?.0.rows()?;
    let again = subject.transform(&sample::schema(), &[Feed::Batch(both), Feed::Complete]).await?.0.rows()?;
    if let Some(difference) = difference(&whole, &again) {
        return broken(format!("the same batch again: {difference}"));
    }
    let feed = [Feed::Batch(one), Feed::Batch(sample::empty()), Feed::Batch(two), Feed::Complete];
    let cut = subject.transform(&sample::schema(), &feed).await?.0.rows()?;
    match difference(&whole, &cut) {
        Some(difference) => broken(format!("the same rows in two batches: {difference}")),
        None => Ok(()),
    }
}
