//! Batches written as literals, operations run over them, results as text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rapidbyte_core::ConnectorError;
use rapidbyte_core::sql::{Operation, Operations, SqlPlanner, SqlProblem};
use rapidbyte_query::Planner;

pub const MIB: u64 = 1024 * 1024;

pub fn extension(field: Field, name: &str) -> Field {
    field.with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), name.to_owned())]))
}

/// One column of most kinds that databases have.
pub fn orders_schema() -> SchemaRef {
    Arc::new(
        Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("email", DataType::Utf8, true),
            Field::new("amount", DataType::Decimal128(18, 2), true),
            Field::new("created", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("paid", DataType::Boolean, true),
            extension(Field::new("Key", DataType::FixedSizeBinary(2), true), "arrow.uuid"),
        ])
        .with_metadata(HashMap::from([("origin".to_owned(), "shop".to_owned())])),
    )
}

pub fn orders() -> RecordBatch {
    orders_from(1, 4)
}

/// Rows whose third is NULL wherever it can be.
pub fn orders_from(first: i64, rows: i64) -> RecordBatch {
    let ids: Vec<i64> = (first..first + rows).collect();
    let known = |id: &i64| id % 3 != 0;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(ids.iter().map(|id| known(id).then(|| format!("User{id}@X.org"))).collect::<StringArray>()),
        Arc::new(
            ids.iter()
                .map(|id| known(id).then_some(i128::from(*id) * 1_050))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(18, 2)
                .expect("fits"),
        ),
        Arc::new(
            ids.iter()
                .map(|id| known(id).then_some(*id * 86_400_000_000))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(ids.iter().map(|id| known(id).then_some(*id as f64 / 2.0)).collect::<Float64Array>()),
        Arc::new(ids.iter().map(|id| known(id).then_some(id % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                ids.iter().map(|id| known(id).then(|| vec![*id as u8, 0])),
                2,
            )
            .expect("two bytes each"),
        ),
    ];
    RecordBatch::try_new(orders_schema(), columns).expect("columns fit the schema")
}

/// A batch of one column.
pub fn column(name: &str, values: impl Array + 'static) -> RecordBatch {
    let schema = Schema::new(vec![Field::new(name, values.data_type().clone(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values)]).expect("one column")
}

pub fn plan(schema: &SchemaRef, operations: &[Operation]) -> Result<Arc<dyn Operations>, SqlProblem> {
    Planner.operations(schema, operations, 64 * MIB)
}

pub fn refused(operations: &[Operation]) -> SqlProblem {
    match plan(&orders_schema(), operations) {
        Ok(_) => panic!("{operations:?} was planned"),
        Err(problem) => problem,
    }
}

/// Everything that comes out of batches.
pub async fn run(
    batches: &[RecordBatch],
    operations: &[Operation],
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let planned = match plan(&batches[0].schema(), operations) {
        Ok(planned) => planned,
        Err(problem) => panic!("{operations:?}: {problem:?}"),
    };
    let mut running = planned.start();
    let mut results = Vec::new();
    for batch in batches {
        results.extend(running.push(batch.clone()).await?);
    }
    results.extend(running.finish().await?);
    for batch in &results {
        assert_eq!(batch.schema(), planned.schema(), "what comes out is what was said");
        assert!(batch.num_rows() > 0, "empty batches are left out");
    }
    Ok(results)
}

/// Rows as text, columns joined by a bar, NULL as a dot.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("·");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|it| ArrayFormatter::try_new(it, &options).expect("can be shown"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|it| it.value(row).to_string()).collect();
            rows.push(cells.join("|"));
        }
    }
    rows
}

pub async fn shown(batches: &[RecordBatch], operations: &[Operation]) -> Vec<String> {
    match run(batches, operations).await {
        Ok(results) => rows(&results),
        Err(error) => panic!("{operations:?}: {error:?}"),
    }
}

pub fn rename(from: &str, to: &str) -> Operation {
    Operation::RenameColumn { from: from.into(), to: to.into() }
}

pub fn add(name: &str, expression: &str) -> Operation {
    Operation::AddColumn { name: name.into(), expression: expression.into() }
}

pub fn cast(column: &str, to: &str) -> Operation {
    Operation::CastColumn { column: column.into(), to: to.into() }
}

pub fn drop_columns(columns: &[&str]) -> Operation {
    Operation::DropColumns { columns: columns.iter().map(|it| (*it).to_owned()).collect() }
}

pub fn filter(predicate: &str) -> Operation {
    Operation::Filter { predicate: predicate.into() }
}

pub fn sql(query: &str) -> Operation {
    Operation::Sql { query: query.into() }
}
