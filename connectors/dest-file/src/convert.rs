//! Columns as Parquet can hold them: exact numbers as decimals, what Parquet has no type for as text. Text formats take every
//! column as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, IntervalUnit, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use rapidbyte_sdk::prelude::*;
use rapidbyte_text::{
    EXTENSION_JSON, EXTENSION_METADATA, EXTENSION_NUMERIC, TextColumn, extension_name, parse,
};

use crate::config::Format;

/// Metadata of a source's field: the type that PostgreSQL has for it.
const POSTGRES_TYPE: &str = "postgres.type";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conversion {
    Keep,
    /// Exact text to a decimal.
    Decimal(u8, i8),
    /// Any type to its text.
    Text,
}

/// Converts the batches of one stream.
pub struct Converter {
    conversions: Vec<Conversion>,
    schema: SchemaRef,
}

/// A batch without the rows that cannot be written, and those.
pub struct Converted {
    pub batch: RecordBatch,
    /// The refused rows as they came, with the reason for each.
    pub refused: Option<(RecordBatch, Vec<RecordError>)>,
}

impl Converter {
    /// Plans a stream's conversion; an error names the column that the format cannot hold.
    pub fn new(format: Format, stream: &StreamContext) -> Result<Self, ConnectorError> {
        if stream.schema.fields().is_empty() {
            return Err(ConnectorError::schema(
                "no_columns",
                format!("stream `{}` has no columns", stream.name),
            ));
        }
        let mut conversions = Vec::new();
        let mut fields: Vec<FieldRef> = Vec::new();
        for (index, field) in stream.schema.fields().iter().enumerate() {
            if let Some(other) =
                stream.schema.fields()[..index].iter().find(|other| other.name() == field.name())
            {
                let message = format!("stream `{}`: two columns are named `{}`", stream.name, other.name());
                return Err(ConnectorError::schema("duplicate_column", message));
            }
            if !TextColumn::supports(field.data_type()) {
                let message =
                    format!("column `{}`: files cannot hold type `{}`", field.name(), field.data_type());
                return Err(ConnectorError::schema("unsupported_type", message));
            }
            let conversion = if format == Format::Parquet { for_parquet(field) } else { Conversion::Keep };
            conversions.push(conversion);
            fields.push(match conversion {
                Conversion::Keep if format == Format::Parquet => with_extension_metadata(field),
                Conversion::Keep => field.clone(),
                Conversion::Decimal(precision, scale) => {
                    Arc::new(without_extension(field).with_data_type(DataType::Decimal128(precision, scale)))
                }
                Conversion::Text => Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable())),
            });
        }
        Ok(Converter { conversions, schema: Arc::new(Schema::new(fields)) })
    }

    /// The schema of the files.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn convert(&self, batch: &RecordBatch) -> Result<Converted, ConnectorError> {
        let mut refused: BTreeMap<usize, RecordError> = BTreeMap::new();
        let mut columns = Vec::with_capacity(self.conversions.len());
        for (index, conversion) in self.conversions.iter().enumerate() {
            let field = batch.schema_ref().field(index).clone();
            let array = batch.column(index);
            columns.push(match conversion {
                Conversion::Keep => array.clone(),
                Conversion::Text => to_text(&field, array)?,
                Conversion::Decimal(precision, scale) => {
                    to_decimal(field.name(), array, *precision, *scale, &mut refused)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        // A refused value is NULL here even where the column has none: until the rows are gone the schema is looser.
        let schema = if refused.is_empty() { self.schema.clone() } else { nullable(&self.schema) };
        let bad_batch =
            |error: arrow_schema::ArrowError| ConnectorError::schema("bad_batch", error.to_string());
        let converted = RecordBatch::try_new_with_options(schema, columns, &options).map_err(bad_batch)?;
        if refused.is_empty() {
            return Ok(Converted { batch: converted, refused: None });
        }
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(!refused.contains_key(&row))).collect();
        let bad: BooleanArray = keep.iter().map(|keep| keep.map(|keep| !keep)).collect();
        let kept = filter_record_batch(&converted, &keep).map_err(bad_batch)?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        let batch_kept =
            RecordBatch::try_new_with_options(self.schema.clone(), kept.columns().to_vec(), &options)
                .map_err(bad_batch)?;
        let rows = filter_record_batch(batch, &bad).map_err(bad_batch)?;
        let errors = refused.into_values().enumerate();
        let errors = errors.map(|(row, error)| RecordError { row: row as u32, ..error }).collect();
        Ok(Converted { batch: batch_kept, refused: Some((rows, errors)) })
    }
}

fn for_parquet(field: &Field) -> Conversion {
    if extension_name(field) == Some(EXTENSION_NUMERIC)
        && *field.data_type() == DataType::Utf8
        && let Some((precision, scale)) =
            field.metadata().get(POSTGRES_TYPE).and_then(|name| numeric_bounds(name))
    {
        return Conversion::Decimal(precision, scale);
    }
    if has_nano_interval(field.data_type()) { Conversion::Text } else { Conversion::Keep }
}

/// Parquet's interval has milliseconds at best.
fn has_nano_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_nano_interval(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_nano_interval(field.data_type())),
        _ => false,
    }
}

/// Precision and scale of `numeric(12,3)` that a decimal can have.
fn numeric_bounds(name: &str) -> Option<(u8, i8)> {
    let (precision, scale) = name.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.trim().parse::<u8>().ok()?, scale.trim().parse::<i8>().ok()?);
    let possible = (1..=38).contains(&precision) && (0..=i16::from(precision)).contains(&i16::from(scale));
    possible.then_some((precision, scale))
}

/// JSON is only marked as such in Parquet where the extension's own metadata is there, if empty.
fn with_extension_metadata(field: &FieldRef) -> FieldRef {
    if extension_name(field) != Some(EXTENSION_JSON) || field.metadata().contains_key(EXTENSION_METADATA) {
        return field.clone();
    }
    let mut metadata = field.metadata().clone();
    metadata.insert(EXTENSION_METADATA.to_owned(), String::new());
    Arc::new(field.as_ref().clone().with_metadata(metadata))
}

fn without_extension(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.retain(|key, _| !key.starts_with("ARROW:extension:"));
    field.clone().with_metadata(metadata)
}

fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

fn to_text(field: &Field, array: &ArrayRef) -> Result<ArrayRef, ConnectorError> {
    let column = TextColumn::new(field, array)
        .map_err(|error| ConnectorError::schema("unsupported_type", error.to_string()))?;
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for row in 0..array.len() {
        if column.is_null(row) {
            out.append_null();
        } else {
            text.clear();
            column.write(row, &mut text);
            out.append_value(&text);
        }
    }
    Ok(Arc::new(out.finish()))
}

fn to_decimal(
    name: &str,
    array: &ArrayRef,
    precision: u8,
    scale: i8,
    refused: &mut BTreeMap<usize, RecordError>,
) -> Result<ArrayRef, ConnectorError> {
    let bad_batch = |error: arrow_schema::ArrowError| ConnectorError::schema("bad_batch", error.to_string());
    let texts = array.as_string_opt::<i32>().ok_or_else(|| {
        ConnectorError::schema("bad_batch", format!("column `{name}` is `{}`, not text", array.data_type()))
    })?;
    let mut out = Decimal128Builder::with_capacity(texts.len())
        .with_precision_and_scale(precision, scale)
        .map_err(bad_batch)?;
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let value = parse::decimal(text, precision, scale);
        if value.is_none() {
            let shown: String = text.chars().take(80).collect();
            let message = format!("column `{name}`: `{shown}` is no decimal({precision},{scale})");
            refused.entry(row).or_insert_with(|| RecordError::new(0, "value_does_not_fit", message));
        }
        out.append_option(value);
    }
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_numerics() {
        for (name, bounds) in [
            ("numeric(12,3)", Some((12, 3))),
            ("numeric(38,38)", Some((38, 38))),
            ("numeric(39,0)", None),
            ("numeric(5,-2)", None),
            ("numeric(2,4)", None),
            ("numeric", None),
            ("numeric(12,3)[]", None),
        ] {
            assert_eq!(numeric_bounds(name), bounds, "{name}");
        }
    }
}
