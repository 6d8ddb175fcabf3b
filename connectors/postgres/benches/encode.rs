//! Time per row of encoding a batch of twelve columns, as `cargo bench -p rapidbyte-postgres --bench encode` shows it.
//! The best of many short rounds, so that a busy machine disturbs it little.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::*;
use arrow_schema::{Field, Schema};
use rapidbyte_postgres::encode::{BinaryForm, ColumnSpec, Encoder};

const ROWS: usize = 16_384;
const ROUNDS: usize = 200;
const MESSAGE_BYTES: usize = 256 * 1024;

fn main() {
    let n = |row: usize| row as i64;
    let columns: Vec<(BinaryForm, ArrayRef)> = vec![
        (BinaryForm::Int8, Arc::new(Int64Array::from_iter_values((0..ROWS).map(n)))),
        (
            BinaryForm::Int4,
            Arc::new(Int32Array::from_iter((0..ROWS).map(|r| (r % 10 != 0).then_some(r as i32)))),
        ),
        (BinaryForm::Int2, Arc::new(Int16Array::from_iter_values((0..ROWS).map(|r| r as i16)))),
        (BinaryForm::Bool, Arc::new(BooleanArray::from_iter((0..ROWS).map(|r| Some(r % 3 == 0))))),
        (BinaryForm::Float8, Arc::new(Float64Array::from_iter_values((0..ROWS).map(|r| r as f64 / 7.0)))),
        (
            BinaryForm::Text,
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|r| format!("user{r}@example.com")))),
        ),
        (
            BinaryForm::Text,
            Arc::new(StringArray::from_iter((0..ROWS).map(|r| (r % 5 != 0).then(|| "x".repeat(r % 40))))),
        ),
        (
            BinaryForm::Numeric,
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|r| format!("{}.{:02}", r * 37, r % 100)))),
        ),
        (
            BinaryForm::Timestamp,
            Arc::new(TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|r| n(r) * 1_000_003))),
        ),
        (BinaryForm::Date, Arc::new(Date32Array::from_iter_values((0..ROWS).map(|r| r as i32)))),
        (
            BinaryForm::Jsonb,
            Arc::new(StringArray::from_iter_values((0..ROWS).map(|r| format!("{{\"n\": {r}}}")))),
        ),
        (BinaryForm::Bytea, Arc::new(BinaryArray::from_iter_values((0..ROWS).map(|r| r.to_be_bytes())))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, (_, array))| Field::new(format!("c{i}"), array.data_type().clone(), true))
        .collect();
    let specs: Vec<ColumnSpec> = columns
        .iter()
        .map(|(form, _)| ColumnSpec { form: *form, required: false, infinities: true })
        .collect();
    let arrays: Vec<ArrayRef> = columns.iter().map(|(_, array)| array.clone()).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("arrays of one length");
    let whole = measure(&specs, &batch);
    println!("all 12 columns: {whole:6.1} ns/row");
    for (index, (form, _)) in columns.iter().enumerate() {
        let one = batch.project(&[index]).expect("the column is there");
        println!("{form:>9?} alone: {:6.1} ns/row", measure(&specs[index..=index], &one));
    }
}

fn measure(specs: &[ColumnSpec], batch: &RecordBatch) -> f64 {
    let mut encoder = Encoder::new(specs.to_vec(), false);
    let mut buffer = Vec::new();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut rows = encoder.batch(batch).expect("values that can be encoded");
        while rows.fill(&mut buffer, MESSAGE_BYTES).expect("values that can be encoded") > 0 {
            std::hint::black_box(&buffer);
        }
        let spent = started.elapsed();
        best = best.min(spent.as_nanos() as f64 / batch.num_rows() as f64);
    }
    best
}
