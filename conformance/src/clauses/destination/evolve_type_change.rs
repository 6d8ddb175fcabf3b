//! `evolve-type-change`: a column that becomes another type is converted, made NULL or refused, as the policy says.

use rapidbyte_host::core::{Policies, TypeChangePolicy};

use crate::clause::prelude::*;
use crate::evolve::{COLUMN, Change, Outcome};

pub const CLAUSE: Clause = Clause {
    name: "evolve-type-change",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "A column that becomes another type is converted, made NULL or refused, as the policy says; a destination that can do neither refuses it by a `schema` error that names it. No value is changed silently.",
    hint: "Compare the schema of the stream context with what is there before the first row, and name every column that differs.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let change = Change {
        old: sample::evolving(Some(sample::Extra::Number))?,
        new: sample::evolving(Some(sample::Extra::Text))?,
    };
    let policies = |type_change| Policies { type_change, ..Policies::default() };
    let outcome = Outcome::Refused;
    change.check(subject, "type_change: fail", policies(TypeChangePolicy::Fail), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|_| (), |_| ())?);
    change.check(subject, "type_change: coerce", policies(TypeChangePolicy::Coerce), outcome).await?;
    let outcome = Outcome::Adapted(change.rows(|_| (), |row| drop(row.insert(COLUMN.to_owned(), None)))?);
    change.check(subject, "type_change: null", policies(TypeChangePolicy::Null), outcome).await
}
