//! `imports-agree`: the component exports what the manifest's role has to, and imports nothing that it does not ask for.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "imports-agree",
    role: None,
    severity: Severity::Error,
    explanation: "The component exports the role of its manifest, has the config schema that the manifest has, and \
                  imports no function that the manifest does not ask for.",
    hint: "Run `rapidbyte connector build`, which checks the same; ask for it under `capabilities`, or do without.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    match subject.disagreement() {
        Ok(None) => Ok(()),
        Ok(Some(what)) => broken(what),
        Err(error) => broken(format!("the component cannot be looked at: {error}")),
    }
}
