//! The suite's own rows, for destinations and transforms: made by formula, so that a failing run is the same the next time.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::clause::{Finding, broken};

/// 2024-01-01T00:00:00Z in microseconds.
const EPOCH_2024_US: i64 = 1_704_067_200_000_000;

/// The columns that most clauses write, `id` being the key.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("email", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("active", DataType::Boolean, true),
        Field::new("updated_at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

/// Rows with these ids. `version` makes the other columns differ.
pub fn batch(ids: &[i64], version: i64) -> Result<RecordBatch, Finding> {
    let texts = |what: &str| {
        let texts = ids.iter().map(|id| Some(format!("{what} {id}.{version}")));
        Arc::new(StringArray::from_iter(texts)) as ArrayRef
    };
    assemble(
        schema(),
        vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            texts("name"),
            texts("someone@example"),
            Arc::new(Float64Array::from_iter(ids.iter().map(|id| Some(*id as f64 + version as f64 / 8.0)))),
            Arc::new(BooleanArray::from_iter(ids.iter().map(|id| Some((id + version) % 2 == 0)))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                ids.iter().map(|id| EPOCH_2024_US + id * 1_000_000 + version * 250_000),
            )),
        ],
    )
}

/// No rows.
pub fn empty() -> RecordBatch {
    RecordBatch::new_empty(schema())
}

/// Rows in which all that may be NULL is, in turn and together.
pub fn nulls() -> Result<RecordBatch, Finding> {
    let on = |bit: usize| move |index: i64| (index >> bit) & 1 == 0;
    let ids: Vec<i64> = (0..32).collect();
    let pick = |bit: usize| ids.iter().map(move |id| on(bit)(*id).then_some(*id));
    assemble(
        schema(),
        vec![
            Arc::new(Int64Array::from(ids.clone())),
            Arc::new(StringArray::from_iter(pick(0).map(|id| id.map(|id| format!("n{id}"))))),
            // The empty text is not NULL.
            Arc::new(StringArray::from_iter(pick(1).map(|id| id.map(|_| "")))),
            Arc::new(Float64Array::from_iter(pick(2).map(|id| id.map(|id| id as f64)))),
            Arc::new(BooleanArray::from_iter(pick(3).map(|id| id.map(|id| id % 3 == 0)))),
            Arc::new(TimestampMicrosecondArray::from_iter(pick(4).map(|id| id.map(|id| EPOCH_2024_US + id)))),
        ],
    )
}

/// Columns whose names need quoting everywhere.
pub fn odd_names() -> Result<RecordBatch, Finding> {
    let names = ["id", "two words", "Capital", "select", "quo\"te", "apo'strophe", "ünï-code", "semi;colon"];
    let fields: Vec<Field> = names
        .iter()
        .enumerate()
        .map(|(index, name)| match index {
            0 => Field::new(*name, DataType::Int64, false),
            _ => Field::new(*name, DataType::Utf8, true),
        })
        .collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2, 3]))];
    for name in &names[1..] {
        let texts = (1..=3).map(|row| format!("{name} {row}, \"quoted\" 'too'\\ \n\t; end"));
        columns.push(Arc::new(StringArray::from_iter_values(texts)));
    }
    assemble(Arc::new(Schema::new(fields)), columns)
}

/// A column of each common type, with its extremes.
pub fn types() -> Result<RecordBatch, Finding> {
    let decimals = Decimal128Array::from(vec![Some(-9_999_999_999_i128), Some(150), None])
        .with_precision_and_scale(12, 2)
        .map_err(|error| Finding::broken(error.to_string()))?;
    let utc: Arc<str> = "UTC".into();
    let instants = TimestampMicrosecondArray::from(vec![Some(0), Some(EPOCH_2024_US + 123_456), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("int16", Arc::new(Int16Array::from(vec![Some(i16::MIN), Some(i16::MAX), None]))),
        ("int32", Arc::new(Int32Array::from(vec![Some(i32::MIN), Some(i32::MAX), None]))),
        ("int64", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]))),
        ("float32", Arc::new(Float32Array::from(vec![Some(0.1), Some(-1.5e30), None]))),
        ("float64", Arc::new(Float64Array::from(vec![Some(0.1), Some(-1.5e300), None]))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("text", Arc::new(StringArray::from(vec![Some(""), Some("naïve 𝄞 \\N \"\n"), None]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b""[..]), Some(&[0, 255, 92][..]), None]))),
        ("decimal", Arc::new(decimals)),
        ("date", Arc::new(Date32Array::from(vec![Some(-719_162), Some(19_782), None]))),
        ("timestamp", Arc::new(instants.clone())),
        ("instant", Arc::new(instants.with_timezone(utc))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), *name != "id"))
        .collect();
    assemble(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
}

/// How a column of [`evolving`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Numbers, never NULL.
    Number,
    /// The same as texts.
    Text,
    /// Numbers, some of which are NULL.
    Nullable,
}

/// Rows with a column that a stream may or may not have.
pub fn evolving(extra: Option<Extra>) -> Result<RecordBatch, Finding> {
    // Each schema has its own ids, so that rows can be told apart.
    let first = extra.map_or(10, |extra| 20 + 10 * extra as i64);
    let ids = vec![first, first + 1];
    let mut fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)];
    let names = StringArray::from_iter_values(ids.iter().map(|id| format!("name {id}")));
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids.clone())), Arc::new(names)];
    if let Some(extra) = extra {
        let (kind, column): (DataType, ArrayRef) = match extra {
            Extra::Number => (DataType::Int64, Arc::new(Int64Array::from(ids))),
            Extra::Text => {
                (DataType::Utf8, Arc::new(StringArray::from_iter_values(ids.iter().map(i64::to_string))))
            }
            Extra::Nullable => (DataType::Int64, Arc::new(Int64Array::from(vec![Some(first), None]))),
        };
        fields.push(Field::new("extra", kind, extra == Extra::Nullable));
        columns.push(column);
    }
    assemble(Arc::new(Schema::new(fields)), columns)
}

/// Rows of which most systems refuse one: it has the character U+0000 in a text.
pub fn refusable() -> Result<RecordBatch, Finding> {
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec!["one", "t\u{0}wo", "three"])),
    ];
    assemble(Arc::new(Schema::new(fields)), columns)
}

fn assemble(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, Finding> {
    match RecordBatch::try_new(schema, columns) {
        Ok(batch) => Ok(batch),
        Err(error) => broken(format!("the suite's own rows do not fit: {error}")),
    }
}
