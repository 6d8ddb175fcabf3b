//! Operations that answer batch by batch: rows kept by a predicate, columns kept, computed and cast. Planned once, evaluated
//! without anything else per batch.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, SchemaRef, TimeUnit};
use datafusion::physical_expr::PhysicalExpr;
use rapidbyte_core::ConnectorError;

use crate::problem;

/// A cast that fails where a value does not fit.
pub(crate) const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: datafusion::arrow::util::display::FormatOptions::new() };

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Filter { what: String, predicate: Arc<dyn PhysicalExpr> },
    Project { schema: SchemaRef, columns: Vec<Source> },
}

/// Where a column comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Keep(usize),
    Compute { what: String, expression: Arc<dyn PhysicalExpr>, data_type: DataType },
    Cast { what: String, column: usize, cast: Cast },
}

impl Step {
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ConnectorError> {
        match self {
            Step::Filter { what, predicate } => {
                let kept = predicate
                    .evaluate(batch)
                    .and_then(|it| it.into_array(batch.num_rows()))
                    .map_err(|error| problem::evaluation(what, &error))?;
                let kept = kept
                    .as_boolean_opt()
                    .ok_or_else(|| problem::internal(what, "the predicate is not boolean"))?;
                if kept.null_count() == 0 && kept.true_count() == batch.num_rows() {
                    return Ok(batch.clone());
                }
                filter_record_batch(batch, kept).map_err(|error| problem::arrow(what, &error))
            }
            Step::Project { schema, columns } => {
                let columns = columns.iter().map(|it| it.take(batch)).collect::<Result<Vec<_>, _>>()?;
                let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)
                    .map_err(|error| problem::internal("operations", &error.to_string()))
            }
        }
    }
}

impl Source {
    fn take(&self, batch: &RecordBatch) -> Result<ArrayRef, ConnectorError> {
        match self {
            Source::Keep(column) => Ok(Arc::clone(batch.column(*column))),
            Source::Compute { what, expression, data_type } => {
                let array = expression
                    .evaluate(batch)
                    .and_then(|it| it.into_array(batch.num_rows()))
                    .map_err(|error| problem::evaluation(what, &error))?;
                if array.data_type() == data_type {
                    return Ok(array);
                }
                cast_with_options(&array, data_type, &STRICT).map_err(|error| problem::arrow(what, &error))
            }
            Source::Cast { what, column, cast } => cast.apply(what, batch.column(*column)),
        }
    }
}

/// The cast of a column, perhaps by way of another type.
#[derive(Debug, Clone)]
pub(crate) struct Cast {
    by_way_of: Option<DataType>,
    to: DataType,
}

impl Cast {
    /// None: there is no such cast. `is_bare` says that the document wrote no unit with a timestamp: integers then count
    /// seconds, as everybody's epoch does.
    pub fn plan(from: &DataType, to: &DataType, is_bare: bool) -> Option<Cast> {
        let possible = |from: &DataType, to: &DataType| datafusion::arrow::compute::can_cast_types(from, to);
        if let DataType::Timestamp(_, zone) = to
            && from.is_integer()
        {
            // Integers narrower than a timestamp have no cast of their own.
            let seconds = DataType::Timestamp(TimeUnit::Second, zone.clone());
            let way = if is_bare { seconds } else { to.clone() };
            return possible(from, &DataType::Int64).then_some(Cast { by_way_of: Some(way), to: to.clone() });
        }
        possible(from, to).then(|| Cast { by_way_of: None, to: to.clone() })
    }

    fn apply(&self, what: &str, array: &ArrayRef) -> Result<ArrayRef, ConnectorError> {
        let strict = |array: &ArrayRef, to: &DataType| {
            cast_with_options(array, to, &STRICT).map_err(|error| problem::cast(what, &error))
        };
        let result = match &self.by_way_of {
            Some(way) => strict(&strict(&strict(array, &DataType::Int64)?, way)?, &self.to)?,
            None => strict(array, &self.to)?,
        };
        if result.logical_null_count() > array.logical_null_count() {
            return Err(problem::data("cast_failed", format!("{what}: a value does not fit `{}`", self.to)));
        }
        if let Some(row) = saturated(array, &result) {
            let message =
                format!("{what}: the value of record {row} of the batch is too large for `{}`", self.to);
            return Err(problem::data("cast_failed", message));
        }
        Ok(result)
    }
}

/// The first number that became infinite: narrower floats have no other way to say that a number does not fit.
fn saturated(before: &ArrayRef, after: &ArrayRef) -> Option<usize> {
    let infinite = |array: &ArrayRef, row: usize| match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_infinite(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_infinite(),
        DataType::Float16 => array.as_primitive::<Float16Type>().value(row).is_infinite(),
        _ => false,
    };
    let narrowed = matches!(
        (before.data_type(), after.data_type()),
        (DataType::Float64, DataType::Float32 | DataType::Float16) | (DataType::Float32, DataType::Float16)
    );
    let number_to_half = after.data_type() == &DataType::Float16 && before.data_type().is_numeric();
    if !(narrowed || number_to_half) {
        return None;
    }
    (0..after.len()).find(|row| after.is_valid(*row) && infinite(after, *row) && !infinite(before, *row))
}
