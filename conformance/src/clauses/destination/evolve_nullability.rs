//! `evolve-nullability`: a column that may suddenly be NULL is taken or refused, as the policy says.

use rapidbyte_host::core::{NullabilityChangePolicy, Policies};

use crate::clause::prelude::*;
use crate::evolve::{Change, Outcome};

pub const CLAUSE: Clause = Clause {
    name: "evolve-nullability",
    role: Some(ConnectorRole::Destination),
    severity: Severity::Critical,
    explanation: "A column that could not be NULL and now can is taken or refused, as the policy says; a destination that cannot take it refuses it by a `schema` error that names it.",
    hint: "Compare the schema of the stream context with what is there before the first row, and name every column that differs.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let change = Change {
        old: sample::evolving(Some(sample::Extra::Number))?,
        new: sample::evolving(Some(sample::Extra::Nullable))?,
    };
    let policies = |nullability_change| Policies { nullability_change, ..Policies::default() };
    let outcome = Outcome::RefusedByValue;
    change
        .check(subject, "nullability_change: fail", policies(NullabilityChangePolicy::Fail), outcome)
        .await?;
    let outcome = Outcome::Adapted(change.rows(|_| (), |_| ())?);
    change
        .check(subject, "nullability_change: allow", policies(NullabilityChangePolicy::Allow), outcome)
        .await
}
