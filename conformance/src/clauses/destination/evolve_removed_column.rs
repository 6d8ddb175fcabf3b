//! `evolve-removed-column`: a column that disappears from a stream is filled with NULL, dropped or refused, as the policy says.

use rapidbyte_host::core::{Policies, RemovedColumnPolicy};

use crate::clause::prelude::*;
use crate::evolve::{COLUMN, Change, Outcome};

pub const CLAUSE: Clause = Clause {
    name: "evolve-removed-column",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "A column that disappears from a stream is left with NULL, dropped or refused, as the policy says; a destination that can do neither refuses it by a `schema` error that names it.",
    hint: "Compare the schema of the stream context with what is there before the first row, and name every column that differs.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let change = Change { old: sample::evolving(Some(sample::Extra::Number))?, new: sample::evolving(None)? };
    let policies = |removed_column| Policies { removed_column, ..Policies::default() };
    let outcome = Outcome::Refused;
    change.check(subject, "removed_column: fail", policies(RemovedColumnPolicy::Fail), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|_| (), |row| drop(row.insert(COLUMN.to_owned(), None)))?);
    change.check(subject, "removed_column: ignore", policies(RemovedColumnPolicy::Ignore), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|row| drop(row.remove(COLUMN)), |_| ())?);
    change.check(subject, "removed_column: drop", policies(RemovedColumnPolicy::Drop), outcome).await
}
