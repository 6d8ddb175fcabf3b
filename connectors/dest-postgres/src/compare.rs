//! Stream against table. Under the policies of this version nothing is adapted: what does not fit is an error that
//! names every column, what fits takes over the table's own types.

use rapidbyte_postgres::types::Enumeration;
use rapidbyte_sdk::prelude::*;
use serde_json::json;

use crate::catalog::{Table, TableColumn};
use crate::column::{Column, widened};

/// Fits the stream's columns to a table's, or says what differs. `what`: the table, for the message.
pub fn fit(columns: &mut [Column], key: &[String], table: &Table, what: &str) -> Result<(), ConnectorError> {
    if !matches!(table.kind.as_str(), "r" | "p") {
        let kind = match table.kind.as_str() {
            "v" => "a view",
            "m" => "a materialized view",
            "f" => "a foreign table",
            "S" => "a sequence",
            _ => "something else",
        };
        return Err(ConnectorError::schema("not_a_table", format!("{what} is {kind}, not a table")));
    }
    let mut missing = Vec::new();
    let mut differing = Vec::new();
    for column in columns.iter_mut() {
        let Some(own) = table.column(&column.name) else {
            missing.push(column.name.clone());
            continue;
        };
        match difference(column, own) {
            Some(difference) => differing.push(format!("`{}` ({difference})", column.name)),
            None => {
                column.required = own.not_null || key.contains(&column.name);
                column.collation.clone_from(&own.collation);
                if let Some(type_name) = &own.type_name {
                    column.form = widened(column.form, type_name);
                    column.type_name = type_name.clone();
                }
            }
        }
    }
    let extra: Vec<String> = table
        .columns
        .iter()
        .filter(|own| own.not_null && !own.filled && !columns.iter().any(|column| column.name == own.name))
        .map(|own| own.name.clone())
        .collect();
    if missing.is_empty() && differing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let ticked =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("the table lacks {}", ticked(&missing)));
    }
    if !extra.is_empty() {
        parts.push(format!("the stream lacks {}, which must not be NULL and has no default", ticked(&extra)));
    }
    if !differing.is_empty() {
        parts.push(format!("types differ: {}", differing.join(", ")));
    }
    Err(ConnectorError::schema(
        "schema_mismatch",
        format!(
            "{what} does not fit the stream: {}; alter the table, or the stream in a transform",
            parts.join("; ")
        ),
    )
    .with_details(json!({ "missing": missing, "extra": extra, "differing": differing })))
}

/// Why values of the stream's column cannot go into the table's.
fn difference(column: &Column, own: &TableColumn) -> Option<String> {
    if own.generated {
        return Some("the table computes it".to_owned());
    }
    if let Some(enumeration) = &column.enumeration {
        let Some(labels) = &own.labels else {
            return Some(format!(
                "enum `{}` in the stream, `{}` in the table",
                enumeration.name, own.type_text
            ));
        };
        return label_difference(enumeration, labels);
    }
    let holds = own.type_name.as_ref().is_some_and(|own| own.holds(&column.type_name));
    (!holds).then(|| format!("`{}` in the stream, `{}` in the table", column.type_name, own.type_text))
}

/// Why an enum type with these labels does not hold the values of another: a label is missing, or the order is another.
pub fn label_difference(enumeration: &Enumeration, labels: &[String]) -> Option<String> {
    let mut rest = labels.iter();
    for label in &enumeration.labels {
        if !rest.any(|own| own == label) {
            return Some(if labels.contains(label) {
                format!("enum `{}` has its labels in another order", enumeration.name)
            } else {
                format!("enum `{}` lacks the label `{label}`", enumeration.name)
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enum_may_have_more_labels_but_not_fewer_or_others() {
        let stream = Enumeration { name: "mood".into(), labels: vec!["sad".into(), "ok".into()] };
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        assert_eq!(label_difference(&stream, &labels(&["sad", "ok"])), None);
        assert_eq!(label_difference(&stream, &labels(&["sad", "meh", "ok", "glad"])), None);
        assert!(label_difference(&stream, &labels(&["sad"])).unwrap().contains("lacks the label `ok`"));
        assert!(label_difference(&stream, &labels(&["ok", "sad"])).unwrap().contains("order"));
    }
}
