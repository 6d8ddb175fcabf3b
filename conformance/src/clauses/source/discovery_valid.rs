//! `discovery-valid`: Each stream has a valid Arrow schema with unique columns, keys and cursors that are among them, and sync modes that the manifest declares.

use rapidbyte_host::core::frame::decode_schema;

use crate::clause::prelude::*;

pub const CLAUSE: Clause = Clause {
    name: "discovery-valid",
    role: Some(ConnectorRole::Source),
    severity: Severity::Error,
    explanation: "Each stream has a valid Arrow schema with unique columns, keys and cursors that are \
                  among them, and sync modes that the manifest declares.",
    hint: "Make keys and cursor fields from the same columns as the schema.",
    check: |subject| check(subject).boxed(),
};

async fn check(subject: &Subject<'_>) -> Check {
    for stream in subject.discover().await?.streams {
        let name = &stream.name;
        let schema = match decode_schema(&stream.schema) {
            Ok(schema) => schema,
            Err(error) => return broken(format!("the schema of `{name}` is no Arrow schema: {error}")),
        };
        let mut columns = std::collections::BTreeSet::new();
        for field in schema.fields() {
            ensure(columns.insert(field.name().as_str()), || {
                format!("`{name}` has column `{}` twice", field.name())
            })?;
        }
        for (what, fields) in [("primary key", &stream.primary_key), ("cursor field", &stream.cursor_fields)]
        {
            for field in fields {
                ensure(columns.contains(field.as_str()), || {
                    format!("`{name}` names `{field}` as a {what}, which is no column of it")
                })?;
            }
        }
        ensure(!stream.sync_modes.is_empty(), || format!("`{name}` has no sync mode"))?;
        for mode in &stream.sync_modes {
            ensure(subject.manifest.sync_modes.contains(mode), || {
                format!("`{name}` offers `{mode}`, the manifest does not declare it")
            })?;
        }
        ensure(
            !stream.sync_modes.contains(&SyncMode::Incremental) || !stream.cursor_fields.is_empty(),
            || format!("`{name}` offers `incremental` and no cursor field"),
        )?;
    }
    Ok(())
}
