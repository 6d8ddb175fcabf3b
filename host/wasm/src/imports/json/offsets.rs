//! Time zones by name (`UTC`, `Europe/Berlin`) in schemas, for JSON, which has offsets: what knows the names' rules is large, and
//! an instant is the same under any of them.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};

const OFFSET: &str = "+00:00";

/// The schema with an offset in place of every name.
pub fn of_schema(schema: &Schema) -> Schema {
    let fields: Vec<FieldRef> = schema.fields().iter().map(of_field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

fn of_field(field: &FieldRef) -> FieldRef {
    let kind = of_type(field.data_type());
    if kind == *field.data_type() {
        field.clone()
    } else {
        Arc::new(Field::clone(field).with_data_type(kind))
    }
}

fn of_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(zone)) if !zone.starts_with(['+', '-']) => {
            DataType::Timestamp(*unit, Some(OFFSET.into()))
        }
        DataType::List(item) => DataType::List(of_field(item)),
        DataType::LargeList(item) => DataType::LargeList(of_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(of_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of_field).collect()),
        other => other.clone(),
    }
}

/// The batch under a schema that differs in names of time zones alone.
pub fn cast(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match column.data_type() == field.data_type() {
        true => Ok(column.clone()),
        false => arrow_cast::cast(column, field.data_type()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_, _>>()?, &options)
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, TimestampMicrosecondArray};
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn an_instant_stays_the_same_under_an_offset() {
        let column = TimestampMicrosecondArray::from(vec![Some(0), None]).with_timezone("Europe/Berlin");
        let zoned = Arc::new(Schema::new(vec![Field::new("at", column.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(zoned.clone(), vec![Arc::new(column)]).unwrap();
        let offset = Arc::new(of_schema(&zoned));
        assert_eq!(
            *offset.field(0).data_type(),
            DataType::Timestamp(TimeUnit::Microsecond, Some(OFFSET.into()))
        );
        let there = cast(&batch, &offset).unwrap();
        assert!(arrow_json::LineDelimitedWriter::new(Vec::new()).write(&there).is_ok());
        assert_eq!(cast(&there, &zoned).unwrap(), batch);
    }
}
