//! `read-filter`: with a filter exactly the rows come that it holds for.

use arrow_schema::DataType;
use rapidbyte_host::core::frame::decode_schema;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "read-filter",
    role: Some(ConnectorRole::Source),
    severity: Severity::Critical,
    explanation: "With a filter exactly the rows come that it holds for, unchanged; where it is NULL it does not hold.",
    hint: "Declare `filter` only if the SQL predicate of the stream context is honoured, all of it.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    if !subject.info().await?.capabilities.filter {
        return not_applicable("`open` does not declare `filter`");
    }
    let mut looked = false;
    for stream in subject.streams().await? {
        let schema = decode_schema(&stream.schema)?;
        let whole = subject.read(&ReadPlan::full(&stream)).await?.rows()?;
        for field in schema.fields().iter().filter(|field| is_integer(field.data_type())) {
            let value = |row: &Row| {
                row.get(field.name()).cloned().flatten().and_then(|text| text.parse::<i64>().ok())
            };
            let mut values: Vec<i64> = whole.iter().filter_map(value).collect();
            values.sort_unstable();
            let Some(middle) = values.get(values.len() / 2) else { continue };
            looked = true;
            let name = field.name().replace('"', "\"\"");
            for (filter, holds) in [
                (
                    format!("\"{name}\" <= {middle}"),
                    (|value, middle| value <= middle) as fn(i64, i64) -> bool,
                ),
                (format!("\"{name}\" = {middle}"), |value, middle| value == middle),
            ] {
                let expected: Vec<Row> = whole
                    .iter()
                    .filter(|row| value(row).is_some_and(|value| holds(value, *middle)))
                    .cloned()
                    .collect();
                let plan = ReadPlan { filter: Some(filter.clone()), ..ReadPlan::full(&stream) };
                let found = subject.read(&plan).await?.rows()?;
                if let Some(difference) = difference(&expected, &found) {
                    let expected = format!("the {} rows that it holds for", expected.len());
                    return mismatch(format!("`{}` where `{filter}`", stream.name), expected, difference);
                }
            }
            break;
        }
    }
    if looked { Ok(()) } else { not_applicable("no stream has rows with a number to filter by") }
}

fn is_integer(kind: &DataType) -> bool {
    matches!(kind, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}
