//! `transform-order`: Rows come out in the order they went in: one batch of several rows gives what they give one by one.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "transform-order",
    role: Some(ConnectorRole::Transform),
    severity: Severity::Critical,
    explanation: "Rows come out in the order they went in: one batch of several rows gives what they give \
                  one by one.",
    hint: "Emit a batch before taking the next, and do not collect rows in an unordered map.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let ids = [5, 3, 9, 1, 7];
    let together = subject
        .transform(&sample::schema(), &[Feed::Batch(sample::batch(&ids, 0)?), Feed::Complete])
        .await?
        .0
        .rows()?;
    let mut one_by_one = Vec::new();
    for id in ids {
        let feed = [Feed::Batch(sample::batch(&[id], 0)?), Feed::Complete];
        one_by_one.extend(subject.transform(&sample::schema(), &feed).await?.0.rows()?);
    }
    ensure(together == one_by_one, || {
        let at = together.iter().zip(&one_by_one).position(|(one, two)| one != two);
        match at {
            Some(at) => format!("row {at} of {} is another one when rows go in one by one", together.len()),
            None => format!("{} rows come together and {} one by one", together.len(), one_by_one.len()),
        }
    })
}
