//! Instants whose column names a time zone, on their way through JSON: the same instants in UTC. Arrow's JSON would need a
//! database of zones to show them in their own; the instant is all that a row says, the zone stays with the column.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, RecordBatchOptions, make_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};

const UTC: &str = "+00:00";

/// The schema with every zone made UTC.
pub fn in_utc(schema: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(field_in_utc).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn field_in_utc(field: &FieldRef) -> FieldRef {
    let kind = type_in_utc(field.data_type());
    if kind == *field.data_type() {
        return field.clone();
    }
    Arc::new(Field::clone(field).with_data_type(kind))
}

fn type_in_utc(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(UTC.into())),
        DataType::List(item) => DataType::List(field_in_utc(item)),
        DataType::LargeList(item) => DataType::LargeList(field_in_utc(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field_in_utc(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field_in_utc).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field_in_utc(entries), *sorted),
        other => other.clone(),
    }
}

/// The same values under a schema that differs in zones alone.
pub fn relabelled(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| Ok(make_array(data_relabelled(column.to_data(), field.data_type())?)));
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

fn data_relabelled(data: ArrayData, kind: &DataType) -> Result<ArrayData, ArrowError> {
    if data.data_type() == kind {
        return Ok(data);
    }
    let kinds: Vec<&DataType> = match kind {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    };
    let children =
        data.child_data().iter().zip(kinds).map(|(child, kind)| data_relabelled(child.clone(), kind));
    let children = children.collect::<Result<Vec<_>, ArrowError>>()?;
    data.into_builder().data_type(kind.clone()).child_data(children).build()
}
