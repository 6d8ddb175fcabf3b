//! `time-limit`: the connector does its work without standing still.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "time-limit",
    role: None,
    severity: Severity::Error,
    explanation: "The connector does its work without standing still: it neither computes nor waits for longer than \
                  `limits.timeout` (here 15 s at most) without moving a byte.",
    hint: "Give every wait a time-out of its own that ends in an error, and emit batches while there are more to make.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    match subject.exercise().await {
        Err(Finding::Broken(breach))
            if breach.found.as_ref().is_some_and(|found| found.contains("idle_timeout")) =>
        {
            Err(Finding::Broken(breach))
        }
        // How it ends otherwise is other clauses' business.
        _ => Ok(()),
    }
}
