//! `config-valid`: A configuration that fits the schema and names a system that is there is accepted.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "config-valid",
    role: None,
    severity: Severity::Error,
    explanation: "A configuration that fits the schema and names a system that is there is accepted.",
    hint: "Read the error: either the fixture names something that is not there, or `open` refuses \
                  what the schema allows.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    subject.info().await?;
    Ok(())
}
