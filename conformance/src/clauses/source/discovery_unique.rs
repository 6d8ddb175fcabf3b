//! `discovery-unique`: Every stream has a name of its own.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "discovery-unique",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "Every stream has a name of its own.",
    hint: "Add what tells them apart to the name: the schema, the folder.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let mut seen = std::collections::BTreeSet::new();
    for stream in subject.discover().await?.streams {
        ensure(!stream.name.is_empty(), || "a stream has no name".to_owned())?;
        ensure(seen.insert(stream.name.clone()), || format!("`{}` is there twice", stream.name))?;
    }
    Ok(())
}
