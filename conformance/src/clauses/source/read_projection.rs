//! `read-projection`: With selected columns, exactly these come, in the order asked for, with the same values.

use arrow_schema::{Field, Schema};
use rapidbyte_host::core::frame::{decode_schema, encode_schema};

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-projection",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "With selected columns, exactly these come, in the order asked for, with the same values.",
    hint: "Declare `projection` only if `columns` of the stream context is honoured.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.projection {
        return not_applicable("`open` does not declare `projection`");
    }
    let mut looked = false;
    for stream in subject.streams().await? {
        let names: Vec<String> =
            decode_schema(&stream.schema)?.fields().iter().map(|field| field.name().clone()).collect();
        if names.len() < 2 {
            continue;
        }
        looked = true;
        // Every other column, the last one first.
        let columns: Vec<String> = names.iter().rev().step_by(2).cloned().collect();
        let selected: Vec<Field> = {
            let schema = decode_schema(&stream.schema)?;
            columns.iter().filter_map(|name| schema.field_with_name(name).ok().cloned()).collect()
        };
        let schema = encode_schema(&Schema::new(selected))?;
        let whole = subject.read(&ReadPlan::full(&stream)).await?.rows()?;
        let expected: Vec<Row> = whole
            .into_iter()
            .map(|row| row.into_iter().filter(|(name, _)| columns.contains(name)).collect())
            .collect();
        let run =
            subject.read(&ReadPlan { columns: columns.clone(), schema, ..ReadPlan::full(&stream) }).await?;
        let found = run.rows()?;
        if let Some(frame) = run.frames().next() {
            let came: Vec<String> =
                frame.schema()?.fields().iter().map(|field| field.name().clone()).collect();
            ensure(came == columns, || {
                format!("`{}`: {columns:?} were asked for, {came:?} came", stream.name)
            })?;
        }
        if let Some(difference) = difference(&expected, &found) {
            return broken(format!("`{}` with columns {columns:?}: {difference}", stream.name));
        }
    }
    if looked { Ok(()) } else { not_applicable("no stream has two columns") }
}
