//! What a dead letter looks like in a table: the record as JSON, beside why it is one.
//! Refuses to know: the state, the table.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rapidbyte_core::dead_letter::StoredDeadLetters;
use rapidbyte_core::{ConnectorError, Frame};

/// The columns of a dead letter.
pub fn schema(with_error: bool) -> SchemaRef {
    let field = |name, data_type| Field::new(name, data_type, false);
    let mut fields = vec![
        field("id", DataType::Int64),
        field("row", DataType::Int32),
        field("pipeline", DataType::Utf8),
        field("stream", DataType::Utf8),
        field("partition", DataType::Int64),
        field("run_id", DataType::Int64),
        field("origin", DataType::Utf8),
        field("connector", DataType::Utf8),
    ];
    if with_error {
        fields.extend([field("error_code", DataType::Utf8), field("error_message", DataType::Utf8)]);
    }
    fields.extend([
        field("record", DataType::Utf8),
        field("occurred_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
    ]);
    Arc::new(Schema::new(fields))
}

/// One row for each record.
pub fn batch(stored: &StoredDeadLetters, with_error: bool) -> Result<RecordBatch, ConnectorError> {
    let letters = &stored.letters;
    let records = json_of(stored)?;
    let count = records.len();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(vec![value; count])) };
    let number = |value: i64| -> ArrayRef { Arc::new(Int64Array::from_value(value, count)) };
    let reason = |row: usize| letters.errors.iter().find(|error| error.row as usize == row);
    let mut columns = vec![
        number(stored.id),
        Arc::new(Int32Array::from_iter_values((0..).take(count))) as ArrayRef,
        text(&stored.key.pipeline),
        text(&stored.key.stream),
        number(i64::from(stored.key.partition)),
        number(stored.run_id),
        text(&letters.origin),
        text(&letters.connector),
    ];
    if with_error {
        let of = |get: fn(&rapidbyte_core::RecordError) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..count).map(|row| reason(row).map_or("", get))))
        };
        columns.extend([of(|error| &error.code), of(|error| &error.message)]);
    }
    columns.push(Arc::new(StringArray::from_iter_values(records)));
    let at = TimestampMillisecondArray::from_value(letters.occurred_at, count).with_timezone("UTC");
    columns.push(Arc::new(at));
    RecordBatch::try_new(schema(with_error), columns)
        .map_err(|error| ConnectorError::internal("arrow", error.to_string()))
}

/// The records of stored letters as JSON objects.
pub fn json_of(stored: &StoredDeadLetters) -> Result<Vec<String>, ConnectorError> {
    let frame = Frame::from_checked(stored.letters.frame.clone(), stored.letters.errors.len() as u64);
    let lines = rapidbyte_wasm::json_lines(&frame)?;
    Ok(lines.lines().map(str::to_owned).collect())
}
