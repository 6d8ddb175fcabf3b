//! The columns of a stream's files. Files that were appended are read as one table, so all of them have the same columns; a
//! stream that has others now is refused before its first row. Files are never rewritten.

use arrow_schema::{Field, Schema};
use rapidbyte_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A column as it stands beside the stream's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredColumn {
    pub name: String,
    pub r#type: String,
    pub nullable: bool,
}

fn stored(field: &Field) -> StoredColumn {
    StoredColumn {
        name: field.name().clone(),
        r#type: field.data_type().to_string(),
        nullable: field.is_nullable(),
    }
}

/// The columns of a schema.
pub fn of(schema: &Schema) -> Vec<StoredColumn> {
    schema.fields().iter().map(|field| stored(field)).collect()
}

/// Whether a column may be NULL now that could not before.
pub fn widened(columns: &[StoredColumn], schema: &Schema) -> bool {
    let may = |name: &str| schema.field_with_name(name).is_ok_and(Field::is_nullable);
    columns.iter().any(|column| !column.nullable && may(&column.name))
}

/// Refuses a schema that differs from the columns of the files that are there. `claim`: where these stand, for the message.
pub fn check(
    columns: &[StoredColumn],
    schema: &Schema,
    stream: &StreamContext,
    claim: &str,
) -> Result<(), ConnectorError> {
    let mut differences = Vec::new();
    for now in of(schema) {
        match columns.iter().find(|column| column.name == now.name) {
            None => differences.push(format!("`{}` is new", now.name)),
            Some(before) if before.r#type != now.r#type => {
                differences.push(format!("`{}` was `{}` and is `{}`", now.name, before.r#type, now.r#type));
            }
            Some(before) => {
                let fails = stream.policies.nullability_change == NullabilityChangePolicy::Fail;
                if fails && now.nullable && !before.nullable {
                    differences.push(format!("`{}` could not be NULL and now can", now.name));
                }
            }
        }
    }
    for before in columns.iter().filter(|column| schema.field_with_name(&column.name).is_err()) {
        differences.push(format!("`{}` is gone", before.name));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let message = format!(
        "stream `{}` does not fit the files that are there: {}; write it to another folder, or remove its files and `{claim}`",
        stream.name,
        differences.join(", ")
    );
    Err(ConnectorError::schema("schema_mismatch", message)
        .with_commit_state(CommitState::BeforeCommit)
        .with_details(json!({ "differences": differences })))
}
