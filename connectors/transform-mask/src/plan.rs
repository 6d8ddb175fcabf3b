//! Which rule each column of a stream falls under, and the schema that flows out.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use rapidbyte_sdk::prelude::*;
use rapidbyte_text::{TextColumn, extension_name};

use crate::config::{Action, Config, Rule};
use crate::mask::{self, Hasher};

const REPLACEMENT: &str = "***";
/// Metadata of a source's field: the type that PostgreSQL has for it.
const POSTGRES_TYPE: &str = "postgres.type";

/// What happens to one column.
enum Change {
    Keep,
    Hash,
    Redact(String),
    Truncate(usize),
    Null,
}

/// The changes of one stream.
pub struct Plan {
    /// Index in the input, and what happens to it, in the output's order.
    columns: Vec<(usize, Change)>,
    input: SchemaRef,
    output: SchemaRef,
    hasher: Option<Hasher>,
    unmatched: Vec<String>,
}

impl Plan {
    pub fn new(config: &Config, stream: &str, input: &SchemaRef) -> Result<Self, ConnectorError> {
        let mut unmatched = Vec::new();
        for (index, rule) in config.rules.iter().enumerate() {
            if let Some(pattern) = &rule.pattern {
                if !input.fields().iter().any(|field| fits(rule, field.name())) {
                    unmatched.push(pattern.clone());
                }
                continue;
            }
            for column in rule.columns.iter().filter(|_| !rule.if_present) {
                if input.fields().find(column).is_none() {
                    return Err(ConnectorError::config(
                        format!("rules[{index}].columns"),
                        format!(
                            "stream `{stream}` has no column `{column}`; set `if_present: true` if that is as it should be"
                        ),
                    ));
                }
            }
        }
        let mut columns = Vec::new();
        let mut fields: Vec<FieldRef> = Vec::new();
        for (index, field) in input.fields().iter().enumerate() {
            let Some((number, rule)) =
                config.rules.iter().enumerate().find(|(_, rule)| fits(rule, field.name()))
            else {
                columns.push((index, Change::Keep));
                fields.push(field.clone());
                continue;
            };
            if rule.action == Action::Drop {
                continue;
            }
            let (change, out) = change(number, rule, field)?;
            columns.push((index, change));
            fields.push(Arc::new(out));
        }
        if fields.is_empty() {
            return Err(ConnectorError::config("rules", format!("no column of stream `{stream}` is left")));
        }
        let hasher = config.key.as_deref().map(Hasher::new);
        let output = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
        Ok(Plan { columns, input: input.clone(), output, hasher, unmatched })
    }

    /// The schema that flows out.
    pub fn schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Patterns that fit no column.
    pub fn unmatched(&self) -> &[String] {
        &self.unmatched
    }

    /// The batch with its columns masked.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        let (found, expected) = (batch.schema_ref().fields(), self.input.fields());
        let same = |(one, other): (&FieldRef, &FieldRef)| {
            one.name() == other.name() && one.data_type() == other.data_type()
        };
        if found.len() != expected.len() || !found.iter().zip(expected).all(same) {
            return Err(ConnectorError::schema(
                "schema_differs",
                "a batch has another schema than its stream",
            ));
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, change) in &self.columns {
            let array = batch.column(*index);
            arrays.push(match change {
                Change::Keep => array.clone(),
                Change::Null => arrow_array::new_null_array(array.data_type(), array.len()),
                Change::Truncate(length) => mask::truncate(array, *length),
                Change::Redact(text) => mask::redact(array, text),
                Change::Hash => {
                    let hasher = self.hasher.as_ref();
                    let hasher =
                        hasher.ok_or_else(|| ConnectorError::config("key", "is needed by `hash`"))?;
                    mask::hash(self.input.field(*index), array, hasher)
                        .map_err(|error| ConnectorError::schema("unsupported_type", error.to_string()))?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.output.clone(), arrays, &options)
            .map_err(|error| ConnectorError::internal("bad_batch", error.to_string()))
    }
}

fn fits(rule: &Rule, column: &str) -> bool {
    match &rule.pattern {
        Some(pattern) => rapidbyte_text::glob(&pattern.to_lowercase(), &column.to_lowercase()),
        None => rule.columns.iter().any(|name| name == column),
    }
}

/// What a rule does to a field, and the field that comes out.
fn change(number: usize, rule: &Rule, field: &Field) -> Result<(Change, Field), ConnectorError> {
    let text = || Field::new(field.name(), DataType::Utf8, field.is_nullable());
    let refuse = |action: &str, what: &str| {
        let message = format!("column `{}` of type `{}` {what}", field.name(), field.data_type());
        Err(ConnectorError::config(format!("rules[{number}].{action}"), message))
    };
    Ok(match rule.action {
        Action::Hash if !TextColumn::supports(field.data_type()) => {
            return refuse("action", "cannot be hashed");
        }
        Action::Hash => (Change::Hash, text()),
        Action::Redact => {
            (Change::Redact(rule.replacement.clone().unwrap_or_else(|| REPLACEMENT.to_owned())), text())
        }
        Action::Truncate => {
            let length = usize::try_from(rule.length.unwrap_or(0)).unwrap_or(usize::MAX);
            match field.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {}
                _ => return refuse("action", "cannot be truncated: it is no text"),
            }
            let kept = is_plain_text(field);
            let out = if kept { field.clone() } else { field.clone().with_metadata(Default::default()) };
            (Change::Truncate(length), out)
        }
        Action::Null => (Change::Null, field.clone().with_nullable(true)),
        // The caller leaves the column out.
        Action::Drop => (Change::Keep, field.clone()),
    })
}

/// Whether the beginning of a value is a value too: not of JSON, of an enum, of an address.
fn is_plain_text(field: &Field) -> bool {
    extension_name(field).is_none()
        && field.metadata().get(POSTGRES_TYPE).is_none_or(|name| {
            ["text", "character", "varchar", "bpchar", "name"].iter().any(|plain| {
                name.strip_prefix(plain).is_some_and(|rest| !rest.ends_with(']') && !rest.starts_with('_'))
            })
        })
}
