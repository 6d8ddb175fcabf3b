//! `discovery-stable`: Discovery answers the same twice: names, columns, keys, in the same order.

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "discovery-stable",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "Discovery answers the same twice: names, columns, keys, in the same order.",
    hint: "Sort what the system lists in no order.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    let (first, second) = (subject.discover().await?, subject.discover().await?);
    let names = |catalog: &rapidbyte_host::core::Catalog| -> Vec<String> {
        catalog.streams.iter().map(|stream| stream.name.clone()).collect()
    };
    ensure(names(&first) == names(&second), || {
        format!("the streams are {:?} and then {:?}", names(&first), names(&second))
    })?;
    for (one, two) in first.streams.iter().zip(&second.streams) {
        let same = one.schema == two.schema
            && one.primary_key == two.primary_key
            && one.cursor_fields == two.cursor_fields
            && one.sync_modes == two.sync_modes;
        ensure(same, || format!("stream `{}` is described differently the second time", one.name))?;
    }
    Ok(())
}
