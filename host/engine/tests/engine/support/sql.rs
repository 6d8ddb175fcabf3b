//! A planner of its own few words, so that these tests are about when and where operations run; what SQL means is tested
//! where it is evaluated.

use std::sync::Arc;

use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use async_trait::async_trait;
use rapidbyte_core::sql::*;
use rapidbyte_core::{ConnectorError, ErrorCategory};

/// Knows `Filter` by `even`, and by `not N` (a record with that id is a data error); `Sql` by `last`, which keeps the last
/// record of all until the end.
pub struct FakeSql;

impl SqlPlanner for FakeSql {
    fn operations(
        &self,
        input: &SchemaRef,
        operations: &[Operation],
        _memory_bytes_max: u64,
    ) -> Result<Arc<dyn Operations>, SqlProblem> {
        let known = |(index, operation): (usize, &Operation)| match operation {
            Operation::Filter { predicate } if predicate == "even" => Ok(Kind::Even),
            Operation::Filter { predicate } if predicate.starts_with("not ") => {
                Ok(Kind::Not(predicate[4..].parse().unwrap()))
            }
            Operation::Sql { query } if query == "last" => Ok(Kind::Last),
            other => Err(SqlProblem {
                index,
                key: Some("predicate"),
                code: "sql_syntax",
                message: format!("{other:?} means nothing"),
                hint: None,
            }),
        };
        let kinds = operations.iter().enumerate().map(known).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Planned { schema: input.clone(), kinds }))
    }

    fn rules(&self, input: &SchemaRef, rules: &[Rule]) -> Result<Arc<dyn Rules>, SqlProblem> {
        let bounds = rules.iter().map(|rule| {
            (
                input.index_of(&rule.column).unwrap(),
                rule.check.strip_prefix("value < ").unwrap().parse().unwrap(),
            )
        });
        Ok(Arc::new(Below(bounds.collect())))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Even,
    Not(i64),
    Last,
}

struct Planned {
    schema: SchemaRef,
    kinds: Vec<Kind>,
}

impl Operations for Planned {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn is_stateless(&self) -> bool {
        !self.kinds.iter().any(|kind| matches!(kind, Kind::Last))
    }

    fn start(&self) -> Box<dyn RunningOperations> {
        Box::new(Running { kinds: self.kinds.clone(), last: None })
    }
}

struct Running {
    kinds: Vec<Kind>,
    last: Option<RecordBatch>,
}

fn ints(batch: &RecordBatch, column: usize) -> &Int64Array {
    batch.column(column).as_any().downcast_ref().unwrap()
}

#[async_trait]
impl RunningOperations for Running {
    async fn push(&mut self, mut batch: RecordBatch) -> Result<Vec<RecordBatch>, ConnectorError> {
        for kind in &self.kinds {
            let ids = ints(&batch, 0);
            match kind {
                Kind::Even => {
                    let mask = BooleanArray::from_iter(ids.values().iter().map(|id| Some(id % 2 == 0)));
                    batch = filter_record_batch(&batch, &mask).unwrap();
                }
                Kind::Not(refused) if ids.values().contains(refused) => {
                    let message = format!("`id` cannot be {refused}");
                    return Err(ConnectorError::new(ErrorCategory::Data, "cast", message));
                }
                Kind::Not(_) => {}
                Kind::Last => {
                    let newest = batch.slice(batch.num_rows() - 1, 1);
                    let place = |batch: &RecordBatch| ints(batch, 1).value(0);
                    if self.last.as_ref().is_none_or(|last| place(last) < place(&newest)) {
                        self.last = Some(newest);
                    }
                    return Ok(Vec::new());
                }
            }
        }
        Ok(vec![batch])
    }

    async fn finish(&mut self) -> Result<Vec<RecordBatch>, ConnectorError> {
        Ok(self.last.take().into_iter().collect())
    }
}

struct Below(Vec<(usize, i64)>);

impl Rules for Below {
    fn violations(&self, batch: &RecordBatch) -> Result<Vec<BooleanArray>, ConnectorError> {
        let mask = |(column, bound): &(usize, i64)| {
            let column = ints(batch, *column);
            assert_eq!(column.null_count(), 0);
            BooleanArray::from_iter(column.values().iter().map(|value| Some(value >= bound)))
        };
        Ok(self.0.iter().map(mask).collect())
    }
}
