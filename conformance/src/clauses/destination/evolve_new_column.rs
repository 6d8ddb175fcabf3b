//! `evolve-new-column`: a column that appears in a stream is added, left out or refused, as the policy says.

use rapidbyte_host::core::{NewColumnPolicy, Policies};

use crate::clause::prelude::*;
use crate::evolve::{COLUMN, Change, Outcome};

pub const CLAUSE: Clause = Clause {
    name: "evolve-new-column",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "A column that appears in a stream is added, left out or refused, as the policy says; a destination that cannot add it refuses it by a `schema` error that names it.",
    hint: "Compare the schema of the stream context with what is there before the first row, and name every column that differs.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let change = Change { old: sample::evolving(None)?, new: sample::evolving(Some(sample::Extra::Number))? };
    let policies = |new_column| Policies { new_column, ..Policies::default() };
    let outcome = Outcome::Refused;
    change.check(subject, "new_column: fail", policies(NewColumnPolicy::Fail), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|row| drop(row.insert(COLUMN.to_owned(), None)), |_| ())?);
    change.check(subject, "new_column: add", policies(NewColumnPolicy::Add), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|_| (), |row| drop(row.remove(COLUMN)))?);
    change.check(subject, "new_column: ignore", policies(NewColumnPolicy::Ignore), outcome).await
}
