//! `memory-limit`: The connector does its work within the memory that its manifest asks for.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "memory-limit",
    role: None,
    severity: Severity::Error,
    explanation: "The connector does its work within the memory that its manifest asks for.",
    hint: "Raise `limits.memory` in the manifest, or make batches by bytes instead of collecting \
                  rows.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    match subject.exercise().await {
        Err(Finding::Broken(breach))
            if breach.found.as_ref().is_some_and(|found| found.contains("memory_limit")) =>
        {
            Err(Finding::Broken(breach))
        }
        // How it ends otherwise is other clauses' business.
        _ => Ok(()),
    }
}
