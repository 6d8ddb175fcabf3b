//! Columns of text files: what type each has, how a text becomes a value of it, and how values become Arrow arrays. It knows
//! nothing of files and lines; who calls it says where a value stood.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};
use rapidbyte_text::{EXTENSION_JSON, extension_name, minify, parse, temporal};

/// Bytes that a value of fixed size is counted with.
const FIXED_BYTES: u64 = 8;

/// The type of a column of a text file.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    pub data_type: DataType,
    /// The text is JSON.
    pub json: bool,
    /// The user said so: floats may be rounded, and JSON values may be converted to text and from text.
    pub given: bool,
}

impl ColumnType {
    pub fn inferred(data_type: DataType) -> Self {
        ColumnType { data_type, json: false, given: false }
    }

    pub fn given(data_type: DataType) -> Self {
        ColumnType { data_type, json: false, given: true }
    }

    pub fn json() -> Self {
        ColumnType { data_type: DataType::Utf8, json: true, given: true }
    }

    /// The type of a field that [`ColumnType::field`] made; none if it is not a type of text files.
    pub fn of_field(field: &Field, given: bool) -> Option<Self> {
        let known = match field.data_type() {
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                zone.as_deref().is_none_or(|zone| zone == "UTC")
            }
            DataType::Decimal128(precision, scale) => (1..=38).contains(precision) && *scale >= 0,
            DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Utf8 => true,
            DataType::Date32 | DataType::Time64(TimeUnit::Microsecond) => true,
            _ => false,
        };
        let json = extension_name(field) == Some(EXTENSION_JSON);
        known.then(|| ColumnType { data_type: field.data_type().clone(), json, given })
    }

    /// Always nullable: the records that were looked at say nothing of those to come.
    pub fn field(&self, name: &str) -> Field {
        let field = Field::new(name, self.data_type.clone(), true);
        if !self.json {
            return field;
        }
        field.with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), EXTENSION_JSON.to_owned())]))
    }

    /// For messages.
    pub fn word(&self) -> String {
        match &self.data_type {
            DataType::Utf8 if self.json => "json".to_owned(),
            DataType::Boolean => "boolean".to_owned(),
            DataType::Int64 => "int64".to_owned(),
            DataType::Float64 => "float64".to_owned(),
            DataType::Date32 => "date".to_owned(),
            DataType::Time64(_) => "time".to_owned(),
            DataType::Timestamp(_, None) => "timestamp".to_owned(),
            DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
            _ => "utf8".to_owned(),
        }
    }

    /// The value of a text; none if it does not fit the type.
    pub fn parse<'a>(&self, text: Cow<'a, str>) -> Option<Cell<'a>> {
        Some(match &self.data_type {
            DataType::Boolean => Cell::Boolean(parse::boolean(&text)?),
            DataType::Int64 => Cell::Int(parse::integer(&text)?),
            DataType::Float64 if self.given => Cell::Float(parse::float_nearest(&text)?),
            DataType::Float64 => Cell::Float(parse::float(&text)?),
            DataType::Date32 => Cell::Date(temporal::parse_date(&text)?),
            DataType::Time64(_) => Cell::Int(temporal::parse_time(&text)?),
            DataType::Timestamp(_, zone) => {
                let (micros, instant) = temporal::parse_timestamp(&text)?;
                let infinite = micros == i64::MAX || micros == i64::MIN;
                Cell::Int((infinite || instant == zone.is_some()).then_some(micros)?)
            }
            DataType::Decimal128(precision, scale) => {
                Cell::Decimal(parse::decimal(&text, *precision, *scale)?)
            }
            DataType::Utf8 if self.json => {
                let mut document = String::with_capacity(text.len());
                minify(&text, &mut document).ok()?;
                Cell::Text(Cow::Owned(document))
            }
            _ => Cell::Text(text),
        })
    }

    /// The value of raw JSON; none if it does not fit the type. A string is no number and a number no string, unless the
    /// user gave the type.
    pub fn parse_json<'a>(&self, raw: &'a str) -> Option<Cell<'a>> {
        let string = || serde_json::from_str::<JsonString<'a>>(raw).ok().map(|string| string.0);
        match raw.as_bytes().first()? {
            b'n' => Some(Cell::Null),
            _ if self.json => self.parse(Cow::Borrowed(raw)),
            b'"' => match &self.data_type {
                DataType::Boolean | DataType::Int64 if !self.given => None,
                DataType::Float64 if !self.given => {
                    let text = string()?;
                    matches!(&*text, "NaN" | "Infinity" | "-Infinity").then(|| self.parse(text))?
                }
                _ => self.parse(string()?),
            },
            b't' | b'f' => match &self.data_type {
                DataType::Boolean => self.parse(Cow::Borrowed(raw)),
                DataType::Utf8 if self.given => Some(Cell::Text(Cow::Borrowed(raw))),
                _ => None,
            },
            b'{' | b'[' => match &self.data_type {
                DataType::Utf8 if self.given => Some(Cell::Text(Cow::Borrowed(raw))),
                _ => None,
            },
            _ => match &self.data_type {
                DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
                    self.parse(Cow::Borrowed(raw))
                }
                DataType::Utf8 if self.given => Some(Cell::Text(Cow::Borrowed(raw))),
                _ => None,
            },
        }
    }
}

/// A JSON string, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

/// One value of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Null,
    Boolean(bool),
    /// Also times and timestamps, in microseconds.
    Int(i64),
    Float(f64),
    Date(i32),
    Decimal(i128),
    Text(Cow<'a, str>),
}

impl Cell<'_> {
    /// About what it takes in a batch.
    pub fn bytes(&self) -> u64 {
        match self {
            Cell::Text(text) => text.len() as u64 + FIXED_BYTES / 2,
            Cell::Decimal(_) => 2 * FIXED_BYTES,
            _ => FIXED_BYTES,
        }
    }
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
}

impl ColumnBuilder {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => ColumnBuilder::Boolean(BooleanBuilder::new()),
            DataType::Int64 => ColumnBuilder::Int(Int64Builder::new()),
            DataType::Float64 => ColumnBuilder::Float(Float64Builder::new()),
            DataType::Date32 => ColumnBuilder::Date(Date32Builder::new()),
            DataType::Time64(_) => ColumnBuilder::Time(Time64MicrosecondBuilder::new()),
            DataType::Timestamp(..) => {
                ColumnBuilder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()))
            }
            DataType::Decimal128(..) => {
                ColumnBuilder::Decimal(Decimal128Builder::new().with_data_type(data_type.clone()))
            }
            _ => ColumnBuilder::Text(StringBuilder::new()),
        }
    }

    /// A cell of another type than the builder's is NULL, which cannot be: [`ColumnType::parse`] makes the cells.
    fn append(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (ColumnBuilder::Boolean(builder), Cell::Boolean(value)) => builder.append_value(*value),
            (ColumnBuilder::Boolean(builder), _) => builder.append_null(),
            (ColumnBuilder::Int(builder), Cell::Int(value)) => builder.append_value(*value),
            (ColumnBuilder::Int(builder), _) => builder.append_null(),
            (ColumnBuilder::Float(builder), Cell::Float(value)) => builder.append_value(*value),
            (ColumnBuilder::Float(builder), _) => builder.append_null(),
            (ColumnBuilder::Date(builder), Cell::Date(value)) => builder.append_value(*value),
            (ColumnBuilder::Date(builder), _) => builder.append_null(),
            (ColumnBuilder::Time(builder), Cell::Int(value)) => builder.append_value(*value),
            (ColumnBuilder::Time(builder), _) => builder.append_null(),
            (ColumnBuilder::Timestamp(builder), Cell::Int(value)) => builder.append_value(*value),
            (ColumnBuilder::Timestamp(builder), _) => builder.append_null(),
            (ColumnBuilder::Decimal(builder), Cell::Decimal(value)) => builder.append_value(*value),
            (ColumnBuilder::Decimal(builder), _) => builder.append_null(),
            (ColumnBuilder::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (ColumnBuilder::Text(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            ColumnBuilder::Boolean(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Int(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Date(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Time(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Timestamp(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Decimal(builder) => Arc::new(builder.finish()),
            ColumnBuilder::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Gathers records into a batch.
pub struct BatchBuilder {
    schema: SchemaRef,
    columns: Vec<ColumnBuilder>,
    rows: usize,
    bytes: u64,
}

impl BatchBuilder {
    pub fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|field| ColumnBuilder::new(field.data_type())).collect();
        BatchBuilder { schema, columns, rows: 0, bytes: 0 }
    }

    /// Takes the first cells of a record, one per column.
    pub fn append(&mut self, cells: &[Cell<'_>], bytes: u64) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.append(cell);
        }
        self.rows += 1;
        self.bytes += bytes;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(
            self.schema.clone(),
            self.columns.iter_mut().map(ColumnBuilder::finish).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_type;

    fn inferred(word: &str) -> ColumnType {
        ColumnType { given: false, ..parse_type(word).unwrap() }
    }

    #[test]
    fn texts_fit_or_are_refused() {
        for (word, text, fits) in [
            ("int64", "12", true),
            ("int64", "1.5", false),
            ("float64", "1", true),
            ("boolean", "yes", false),
            ("date", "2024-02-30", false),
            ("timestamp", "2024-01-01T00:00:00", true),
            ("timestamp", "2024-01-01T00:00:00Z", false),
            ("timestamptz", "2024-01-01T00:00:00", false),
            ("timestamptz", "infinity", true),
            ("decimal(4,2)", "12.34", true),
            ("decimal(4,2)", "123.4", false),
            ("json", "{\"a\": 1}", true),
            ("json", "{", false),
            ("utf8", "", true),
        ] {
            assert_eq!(inferred(word).parse(text.into()).is_some(), fits, "{word} {text}");
        }
    }

    #[test]
    fn only_a_given_float_is_rounded() {
        let long = "0.1234567890123456789";
        assert_eq!(inferred("float64").parse(long.into()), None);
        assert_eq!(
            parse_type("float64").unwrap().parse(long.into()),
            Some(Cell::Float(0.123_456_789_012_345_68))
        );
    }

    #[test]
    fn json_kinds_are_kept_apart_unless_given() {
        for (word, raw, inferred_fits, given_fits) in [
            ("int64", "5", true, true),
            ("int64", "\"5\"", false, true),
            ("utf8", "5", false, true),
            ("utf8", "\"5\"", true, true),
            ("utf8", "{\"a\":1}", false, true),
            ("boolean", "true", true, true),
            ("boolean", "\"true\"", false, true),
            ("int64", "true", false, false),
            ("float64", "\"NaN\"", true, true),
            ("float64", "\"1\"", false, true),
            ("date", "\"2024-01-01\"", true, true),
            ("date", "20240101", false, false),
            ("decimal(5,2)", "1.10", true, true),
            ("decimal(5,2)", "\"1.10\"", true, true),
            ("json", "[1, 2]", true, true),
        ] {
            assert_eq!(inferred(word).parse_json(raw).is_some(), inferred_fits, "inferred {word} {raw}");
            assert_eq!(parse_type(word).unwrap().parse_json(raw).is_some(), given_fits, "given {word} {raw}");
        }
        assert_eq!(inferred("utf8").parse_json(r#""a\u00e9""#), Some(Cell::Text("aé".into())));
        assert_eq!(inferred("int64").parse_json("null"), Some(Cell::Null));
        assert_eq!(inferred("json").parse_json("[1, \"a b\"]"), Some(Cell::Text("[1,\"a b\"]".into())));
    }

    #[test]
    fn fields_give_their_type_back() {
        for word in [
            "boolean",
            "int64",
            "float64",
            "date",
            "time",
            "timestamp",
            "timestamptz",
            "utf8",
            "json",
            "decimal(9,3)",
        ] {
            let column_type = parse_type(word).unwrap();
            assert_eq!(ColumnType::of_field(&column_type.field("c"), true), Some(column_type.clone()));
            assert_eq!(column_type.word(), word);
        }
        assert_eq!(ColumnType::of_field(&Field::new("c", DataType::Int8, true), false), None);
    }
}
